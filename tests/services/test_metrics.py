import re
from collections.abc import Iterable
from dataclasses import replace
from platform import python_version

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics

from nportpy import __version__
from nportpy.services import exposition, metrics
from nportpy.status import GatewayStatus
from tests.services import samples


def scraped(status: GatewayStatus, form: str = exposition.TEXT) -> str:
    return "".join(exposition.written(metrics.GatewayCollector(lambda: status).collect(), form))


def series(text: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def test_every_sample_of_one_port() -> None:
    status = replace(samples.gateway(), services=(samples.service(),))
    written = [line for line in scraped(status).splitlines() if not line.startswith("#")]
    assert written == EXPECTED.replace("VERSION", __version__).replace("PYTHON", python_version()).split("\n")


EXPECTED = """\
nportpy_build_info{name="pi-07",version="VERSION",python="PYTHON"} 1
nportpy_start_time_seconds 1767225600.0
nportpy_ready 1
nportpy_reloads_total{result="done"} 2
nportpy_reloads_total{result="failed"} 1
nportpy_line_up{port="meters"} 1
nportpy_line_state_change_timestamp_seconds{port="meters"} 1767225602.5
nportpy_line_unsent_bytes{port="meters"} 7
nportpy_line_character_seconds{port="meters"} 0.0011458333333333333
nportpy_line_received_bytes_total{port="meters"} 1001
nportpy_line_sent_bytes_total{port="meters"} 2002
nportpy_line_unheard_bytes_total{port="meters"} 33
nportpy_line_purged_bytes_total{port="meters"} 44
nportpy_line_opens_total{port="meters"} 5
nportpy_line_losses_total{port="meters"} 4
nportpy_line_failed_attempts_total{port="meters"} 6
nportpy_line_uart_errors_total{port="meters",kind="frame"} 1
nportpy_line_uart_errors_total{port="meters",kind="overrun"} 2
nportpy_line_uart_errors_total{port="meters",kind="parity"} 3
nportpy_line_uart_errors_total{port="meters",kind="break"} 4
nportpy_line_uart_errors_total{port="meters",kind="buffer_overrun"} 5
nportpy_service_listening{port="meters",service="raw"} 1
nportpy_clients{port="meters",service="raw"} 2
nportpy_dropped_bytes_total{port="meters",service="raw"} 4096
nportpy_connections_total{port="meters",service="raw",result="accepted"} 12
nportpy_connections_total{port="meters",service="raw",result="refused_allow"} 3
nportpy_connections_total{port="meters",service="raw",result="refused_limit"} 0
nportpy_connections_total{port="meters",service="raw",result="refused_full"} 0
nportpy_connections_total{port="meters",service="raw",result="refused_down"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="closed"} 9
nportpy_connections_ended_total{port="meters",service="raw",result="kicked"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="taken_over"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="inactive"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="slow"} 1
nportpy_connections_ended_total{port="meters",service="raw",result="line_down"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="dead"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="error"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="shutdown"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="other"} 0"""


@pytest.mark.parametrize("form", [exposition.TEXT, exposition.OPENMETRICS])
def test_the_writer_says_what_the_library_says(form: str) -> None:
    odd = replace(samples.gateway("meters", "b"), name='a "name"\\ with\nall', started=1.5e18)
    registry = CollectorRegistry()
    registry.register(metrics.GatewayCollector(lambda: odd))
    library = openmetrics.generate_latest if form == exposition.OPENMETRICS else generate_latest
    theirs = library(registry).decode().splitlines()
    assert [normal(line) for line in scraped(odd, form).splitlines()] == [normal(line) for line in theirs]


def normal(line: str) -> object:
    """A line whatever the order of its labels and the writing of its number."""
    if line.startswith("#"):
        return line
    name, brace, rest = line.rpartition(" ")[0].partition("{")
    labels = sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', rest))
    return name, brace, labels, float(line.rpartition(" ")[2])


def test_series_depend_on_the_configuration_only() -> None:
    quiet = samples.gateway("meters", "plc")
    busy = replace(
        quiet,
        lines=tuple(
            replace(line, received=1 << 60, settings=replace(line.settings, baudrate=1234567), error="x" * 99)
            for line in quiet.lines
        ),
        services=tuple(
            replace(
                service,
                clients=tuple(samples.client(f"192.0.2.{number}") for number in range(200)),
                results={f"from a client {number}": 1 for number in range(1000)} | {"accepted": 7},
            )
            for service in quiet.services
        ),
    )
    assert series(scraped(busy)) == series(scraped(quiet))
    assert 'nportpy_connections_ended_total{port="plc",service="raw",result="other"} 1000\n' in scraped(busy)
    assert "192.0.2" not in scraped(busy)


def test_series_survive_the_loss_of_the_line() -> None:
    up = samples.gateway()
    lost = replace(up, lines=(samples.line(state="lost"),))
    assert series(scraped(up)) == series(scraped(lost))
    assert 'nportpy_line_up{port="meters"} 0\n' in scraped(lost)


def test_no_uart_counters_no_samples() -> None:
    status = replace(samples.gateway(), lines=(samples.line(uart=False),))
    assert "nportpy_line_uart_errors_total{" not in scraped(status)


def test_the_registry_is_its_own_and_has_the_process_too() -> None:
    asked: list[None] = []

    def status() -> GatewayStatus:
        asked.append(None)
        return samples.gateway()

    registry = metrics.registry(status)
    assert not asked
    names = {family.name for family in registry.collect()}
    assert len(asked) == 1
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds", "nportpy_ready"} <= names


def test_every_family_has_its_prefix_text_and_kind() -> None:
    for family in metrics.GatewayCollector(samples.gateway).collect():
        assert family.name.startswith("nportpy_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "info")


def test_one_family_at_a_time() -> None:
    families: Iterable[Metric] = metrics.GatewayCollector(samples.gateway).collect()
    assert all(piece.count("# TYPE") == 1 for piece in exposition.written(families, exposition.TEXT))


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", exposition.TEXT),
        ("*/*", exposition.TEXT),
        ("text/html,application/xhtml+xml", exposition.TEXT),
        ("text/plain;version=0.0.4", exposition.TEXT),
        ("application/openmetrics-text", exposition.OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; q=0.5, text/plain;q=0.1", exposition.OPENMETRICS),
        ("application/openmetrics-text;version=../../x", exposition.OPENMETRICS),
        ("Application/OpenMetrics-Text;q=0, */*", exposition.TEXT),
        (";;,,;", exposition.TEXT),
    ],
)
def test_the_format_that_was_asked_for(accept: str, form: str) -> None:
    assert exposition.content_type(accept) == form
