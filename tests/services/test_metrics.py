import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from platform import python_version

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from prometheus_client.samples import Sample

from nportpy import __version__
from nportpy.services import exposition, metrics
from nportpy.status import DURATIONS, GatewayStatus, LeaseStatus
from tests.services import samples

ETC = Path(__file__).parent.parent.parent / "etc"


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
nportpy_loop_lag_seconds_bucket{le="0.001"} 0
nportpy_loop_lag_seconds_bucket{le="0.0025"} 0
nportpy_loop_lag_seconds_bucket{le="0.005"} 0
nportpy_loop_lag_seconds_bucket{le="0.01"} 0
nportpy_loop_lag_seconds_bucket{le="0.025"} 0
nportpy_loop_lag_seconds_bucket{le="0.05"} 0
nportpy_loop_lag_seconds_bucket{le="0.1"} 0
nportpy_loop_lag_seconds_bucket{le="0.25"} 0
nportpy_loop_lag_seconds_bucket{le="0.5"} 0
nportpy_loop_lag_seconds_bucket{le="1.0"} 0
nportpy_loop_lag_seconds_bucket{le="2.5"} 0
nportpy_loop_lag_seconds_bucket{le="5.0"} 0
nportpy_loop_lag_seconds_bucket{le="10.0"} 0
nportpy_loop_lag_seconds_bucket{le="+Inf"} 0
nportpy_loop_lag_seconds_count 0
nportpy_loop_lag_seconds_sum 0.0
nportpy_line_up{port="meters"} 1
nportpy_line_state_change_timestamp_seconds{port="meters"} 1767225602.5
nportpy_line_unsent_bytes{port="meters"} 7
nportpy_line_held{port="meters"} 0
nportpy_line_character_seconds{port="meters"} 0.0011458333333333333
nportpy_line_received_bytes_total{port="meters"} 1001
nportpy_line_sent_bytes_total{port="meters"} 2002
nportpy_line_unheard_bytes_total{port="meters"} 33
nportpy_line_purged_bytes_total{port="meters"} 44
nportpy_line_opens_total{port="meters"} 5
nportpy_line_losses_total{port="meters"} 4
nportpy_line_changeovers_total{port="meters"} 0
nportpy_line_failed_attempts_total{port="meters"} 6
nportpy_line_uart_errors_total{port="meters",kind="frame"} 1
nportpy_line_uart_errors_total{port="meters",kind="overrun"} 2
nportpy_line_uart_errors_total{port="meters",kind="parity"} 3
nportpy_line_uart_errors_total{port="meters",kind="break"} 4
nportpy_line_uart_errors_total{port="meters",kind="buffer_overrun"} 5
nportpy_service_listening{port="meters",service="raw"} 1
nportpy_clients{port="meters",service="raw"} 2
nportpy_clients_waiting{port="meters",service="raw"} 0
nportpy_dropped_bytes_total{port="meters",service="raw"} 4096
nportpy_connections_total{port="meters",service="raw",result="accepted"} 12
nportpy_connections_total{port="meters",service="raw",result="refused_allow"} 3
nportpy_connections_total{port="meters",service="raw",result="refused_limit"} 0
nportpy_connections_total{port="meters",service="raw",result="refused_full"} 0
nportpy_connections_total{port="meters",service="raw",result="refused_down"} 0
nportpy_connections_total{port="meters",service="raw",result="refused_busy"} 0
nportpy_connections_total{port="meters",service="raw",result="refused_settings"} 0
nportpy_connections_total{port="meters",service="raw",result="tls_failed"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="closed"} 9
nportpy_connections_ended_total{port="meters",service="raw",result="kicked"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="taken_over"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="inactive"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="slow"} 1
nportpy_connections_ended_total{port="meters",service="raw",result="line_down"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="dead"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="error"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="not_allowed"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="reload"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="shutdown"} 0
nportpy_connections_ended_total{port="meters",service="raw",result="other"} 0"""


def test_who_had_a_line_to_itself_and_how_long() -> None:
    lease = LeaseStatus("mains", held=True, outcomes={"returned": 3, "limit": 1}, seconds=7.5, waited=0.5, ways_given=9)
    status = replace(samples.gateway(), lines=(replace(samples.line(), leases=(lease,)),))
    written = [line for line in scraped(status).splitlines() if line.startswith("nportpy_lease")]
    assert written == EXPECTED_OF_A_LEASE.split("\n")


EXPECTED_OF_A_LEASE = """\
nportpy_lease_held{port="meters",holder="mains"} 1
nportpy_lease_seconds_total{port="meters",holder="mains"} 7.5
nportpy_lease_wait_seconds_total{port="meters",holder="mains"} 0.5
nportpy_lease_ways_given_total{port="meters",holder="mains"} 9
nportpy_leases_total{port="meters",holder="mains",outcome="returned"} 3
nportpy_leases_total{port="meters",holder="mains",outcome="limit"} 1"""


def test_every_sample_of_one_bus() -> None:
    service = replace(samples.service("meters", "modbus"), refused={"forbidden": 5, "no_route": 6})
    status = replace(samples.gateway(), lines=(), services=(service,), buses=(samples.bus(),))
    written = [line for line in scraped(status).splitlines() if line.startswith("nportpy_modbus_")]
    assert written == EXPECTED_OF_A_BUS.split("\n")


EXPECTED_OF_A_BUS = """\
nportpy_modbus_refused_total{port="meters",service="modbus",reason="forbidden"} 5
nportpy_modbus_refused_total{port="meters",service="modbus",reason="ignored"} 0
nportpy_modbus_refused_total{port="meters",service="modbus",reason="no_route"} 6
nportpy_modbus_refused_total{port="meters",service="modbus",reason="queue_full"} 0
nportpy_modbus_refused_total{port="meters",service="modbus",reason="malformed"} 0
nportpy_modbus_refused_total{port="meters",service="modbus",reason="other"} 0
nportpy_modbus_bus_up{port="meters"} 1
nportpy_modbus_queue{port="meters"} 2
nportpy_modbus_busy_seconds_total{port="meters"} 15.5
nportpy_modbus_coalesced_total{port="meters"} 21
nportpy_modbus_cached_total{port="meters"} 22
nportpy_modbus_merged_total{port="meters"} 23
nportpy_modbus_retries_total{port="meters"} 24
nportpy_modbus_probes_total{port="meters"} 25
nportpy_modbus_late_answers_total{port="meters"} 26
nportpy_modbus_echoes_total{port="meters"} 27
nportpy_modbus_junk_bytes_total{port="meters"} 28
nportpy_modbus_spoilt_answers_total{port="meters"} 29
nportpy_modbus_foreign_frames_total{port="meters"} 30
nportpy_modbus_unfit_answers_total{port="meters"} 31
nportpy_modbus_queue_wait_seconds_count{port="meters"} 14
nportpy_modbus_queue_wait_seconds_sum{port="meters"} 0.75
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.001"} 0
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.0025"} 0
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.005"} 1
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.01"} 3
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.025"} 3
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.05"} 6
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.1"} 11
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.25"} 11
nportpy_modbus_transaction_seconds_bucket{port="meters",le="0.5"} 11
nportpy_modbus_transaction_seconds_bucket{port="meters",le="1.0"} 13
nportpy_modbus_transaction_seconds_bucket{port="meters",le="2.5"} 13
nportpy_modbus_transaction_seconds_bucket{port="meters",le="5.0"} 13
nportpy_modbus_transaction_seconds_bucket{port="meters",le="10.0"} 13
nportpy_modbus_transaction_seconds_bucket{port="meters",le="+Inf"} 14
nportpy_modbus_transaction_seconds_count{port="meters"} 14
nportpy_modbus_transaction_seconds_sum{port="meters"} 15.5
nportpy_modbus_gateway_seconds_count{port="meters"} 10
nportpy_modbus_gateway_seconds_sum{port="meters"} 0.125
nportpy_modbus_requests_total{port="meters",unit="1",function="3",result="answered"} 13
nportpy_modbus_requests_total{port="meters",unit="1",function="16",result="answered"} 26
nportpy_modbus_requests_total{port="meters",unit="2",function="3",result="no_answer"} 23
nportpy_modbus_requests_total{port="meters",unit="2",function="16",result="no_answer"} 36
nportpy_modbus_requests_total{port="meters",unit="other",function="other",result="unreachable"} 4
nportpy_modbus_unit_silent{port="meters",unit="1"} 0
nportpy_modbus_unit_silent{port="meters",unit="2"} 1
nportpy_modbus_unit_timeout_seconds{port="meters",unit="1"} 0.25
nportpy_modbus_unit_timeout_seconds{port="meters",unit="2"} 0.5
nportpy_modbus_unit_transactions_total{port="meters",unit="1",result="answered"} 100
nportpy_modbus_unit_transactions_total{port="meters",unit="2",result="answered"} 200
nportpy_modbus_unit_transactions_total{port="meters",unit="1",result="unanswered"} 1
nportpy_modbus_unit_transactions_total{port="meters",unit="2",result="unanswered"} 2
nportpy_modbus_unit_busy_seconds_total{port="meters",unit="1"} 1.5
nportpy_modbus_unit_busy_seconds_total{port="meters",unit="2"} 3.0
nportpy_modbus_unit_wire_seconds_total{port="meters",unit="1"} 0.3
nportpy_modbus_unit_wire_seconds_total{port="meters",unit="2"} 0.3
nportpy_modbus_unit_retries_total{port="meters",unit="1"} 4
nportpy_modbus_unit_retries_total{port="meters",unit="2"} 4
nportpy_modbus_unit_spoilt_answers_total{port="meters",unit="1"} 3
nportpy_modbus_unit_spoilt_answers_total{port="meters",unit="2"} 3
nportpy_modbus_unit_late_answers_total{port="meters",unit="1"} 2
nportpy_modbus_unit_late_answers_total{port="meters",unit="2"} 2
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.001"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.0025"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.005"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.01"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.025"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.05"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.1"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.25"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="0.5"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="1.0"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="2.5"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="5.0"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="10.0"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="1",le="+Inf"} 20
nportpy_modbus_unit_answer_seconds_count{port="meters",unit="1"} 20
nportpy_modbus_unit_answer_seconds_sum{port="meters",unit="1"} 0.4
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.001"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.0025"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.005"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.01"} 0
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.025"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.05"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.1"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.25"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="0.5"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="1.0"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="2.5"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="5.0"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="10.0"} 20
nportpy_modbus_unit_answer_seconds_bucket{port="meters",unit="2",le="+Inf"} 20
nportpy_modbus_unit_answer_seconds_count{port="meters",unit="2"} 20
nportpy_modbus_unit_answer_seconds_sum{port="meters",unit="2"} 0.4"""


def test_calls_are_not_connections_that_came_in() -> None:
    results = {"connected": 7, "refused": 6, "timeout": 5, "unreachable": 4, "no_address": 3, "failed": 2, "dead": 1}
    results["tls_failed"] = 8
    calling = replace(samples.service("meters", "tcp_client-2"), listen=(), results=results)
    text = scraped(replace(samples.gateway(), services=(calling,)))
    found = [line for line in text.splitlines() if 'service="tcp_client-2"' in line and not line.endswith(" 0")]
    labels = 'port="meters",service="tcp_client-2"'
    assert found == [
        f"nportpy_clients{{{labels}}} 2",
        f"nportpy_dropped_bytes_total{{{labels}}} 4096",
        *(f'nportpy_calls_total{{{labels},result="{result}"}} {results[result]}' for result in metrics.CALLED),
        f'nportpy_connections_ended_total{{{labels},result="dead"}} 1',
    ]
    assert "nportpy_service_listening{" not in text
    assert "nportpy_connections_total{" not in text


def test_a_modem_is_called_and_calls() -> None:
    modem = replace(samples.service("meters", "modem"), results={"accepted": 3, "connected": 2})
    text = scraped(replace(samples.gateway(), services=(modem,)))
    assert 'nportpy_connections_total{port="meters",service="modem",result="accepted"} 3\n' in text
    assert 'nportpy_calls_total{port="meters",service="modem",result="connected"} 2\n' in text
    assert 'nportpy_service_listening{port="meters",service="modem"} 1\n' in text


def test_unsent_datagrams_and_late_answers_of_a_master() -> None:
    udp = replace(samples.service("meters", "udp"), results={"accepted": 1, "unsent": 9})
    master = replace(samples.service("plc", "master"), listen=(), results={"late": 8})
    text = scraped(replace(samples.gateway(), services=(udp, master)))
    assert 'nportpy_unsent_datagrams_total{port="meters",service="udp"} 9\n' in text
    assert 'nportpy_modbus_master_late_answers_total{port="plc",service="master"} 8\n' in text
    assert 'nportpy_connections_total{port="plc"' not in text
    assert [line for line in text.splitlines() if 'result="other"' in line and not line.endswith(" 0")] == []


def test_only_what_speaks_modbus_refuses_requests() -> None:
    assert "nportpy_modbus_refused_total{" not in scraped(samples.gateway())
    found = {
        line for line in series(scraped(samples.translator("meters"))) if line.startswith("nportpy_modbus_refused")
    }
    assert {re.sub(",reason.*", "", line) for line in found} == {
        'nportpy_modbus_refused_total{port="meters",service="modbus"',
        'nportpy_modbus_refused_total{port="plant",service="router-2"',
    }


def test_a_result_that_is_not_known_here_makes_no_series_of_its_own() -> None:
    bus = samples.bus()
    odd = {("1", "3", f"result {number}"): 2 for number in range(50)} | {("2", "3", "strange"): 7}
    status = samples.translator("meters")
    refusing = replace(status.services[-1], refused={f"reason {number}": 3 for number in range(50)})
    text = scraped(replace(status, services=(refusing,), buses=(replace(bus, requests={**bus.requests, **odd}),)))
    assert "strange" not in text
    assert [line for line in text.splitlines() if 'result="other"' in line and "_modbus_" in line] == [
        'nportpy_modbus_requests_total{port="meters",unit="1",function="3",result="other"} 100',
        'nportpy_modbus_requests_total{port="meters",unit="2",function="3",result="other"} 7',
    ]
    assert 'nportpy_modbus_refused_total{port="plant",service="router-2",reason="other"} 150\n' in text


@pytest.mark.parametrize("form", [exposition.TEXT, exposition.OPENMETRICS])
def test_the_writer_says_what_the_library_says(form: str) -> None:
    odd = replace(samples.translator("meters", "b"), name='a "name"\\ with\nall', started=1.5e18)
    registry = CollectorRegistry()
    registry.register(metrics.GatewayCollector(lambda: odd))
    library = openmetrics.generate_latest if form == exposition.OPENMETRICS else generate_latest
    theirs = library(registry).decode().splitlines()
    assert [normal(line) for line in scraped(odd, form).splitlines()] == [normal(line) for line in theirs]


@pytest.mark.long
def test_both_formats_say_the_same_to_who_reads_them() -> None:
    status = samples.translator("meters", "plc", units=50)
    text = list(text_families(scraped(status)))
    other = list(openmetrics_families(scraped(status, exposition.OPENMETRICS)))  # type: ignore[no-untyped-call]
    assert said(text) == said(other)
    kinds = {family.name: family.type for family in other}
    assert kinds == {family.name.replace("build_info", "build"): family.type for family in text} | {
        "nportpy_build": "info"
    }
    assert kinds["nportpy_modbus_transaction_seconds"] == "histogram"
    assert kinds["nportpy_modbus_queue_wait_seconds"] == "summary"
    assert {float(sample.labels["le"]) for family in other for sample in family.samples if "le" in sample.labels} == {
        *DURATIONS,
        float("inf"),
    }


def said(families: Iterable[Metric]) -> list[tuple[str, dict[str, str], float]]:
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


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
    for family in metrics.GatewayCollector(samples.every_mode).collect():
        assert family.name.startswith("nportpy_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "info", "histogram", "summary")


def test_one_family_at_a_time() -> None:
    families: Iterable[Metric] = metrics.GatewayCollector(samples.translator).collect()
    assert all(piece.count("# TYPE") == 1 for piece in exposition.written(families, exposition.TEXT))


@pytest.mark.parametrize("form", [exposition.TEXT, exposition.OPENMETRICS])
def test_a_long_family_comes_in_portions_under_one_head(form: str) -> None:
    status = samples.translator("meters", "plc", units=247)
    portions = list(exposition.written(metrics.GatewayCollector(lambda: status).collect(), form))
    assert max(portion.count("\n") for portion in portions) == exposition.PORTION + 2
    assert len(portions) > 30
    heads = re.findall(r"^# TYPE (\w+) ", "".join(portions), flags=re.MULTILINE)
    assert len(set(heads)) == len(heads)


def test_samples_are_not_made_before_they_are_written() -> None:
    made: list[int] = []

    def endless() -> Iterator[Sample]:
        while True:
            made.append(len(made))
            yield Sample("x", {}, 0)

    family = Metric("x", "X.", "gauge")
    family.samples = endless()  # type: ignore[assignment]  # as metrics.py does it
    portions = exposition.written([family], exposition.TEXT)
    for number in (1, 2, 3):
        next(portions)
        assert len(made) == number * exposition.PORTION


def test_the_alerts_ask_for_metrics_that_are_there() -> None:
    there = {re.sub(r"\{.*", "", each) for each in series(scraped(samples.every_mode()))}
    for file in ETC.glob("prometheus-*rules.yml"):
        asked = set(re.findall(r"\bnportpy_\w+", file.read_text()))
        assert asked
        assert asked <= there


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
