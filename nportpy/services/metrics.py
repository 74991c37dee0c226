"""Prometheus metrics of a gateway: read from its status at scrape time, never kept up beside it.

The labels are names from the configuration and the fixed sets below. Nothing that a client sends or chooses becomes
a label or a label's value, so the number of series is fixed by the configuration.

This module costs 5 MB and some 50 ms to import (prometheus_client brings http.server and ssl along): import it late.
"""

import platform
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from nportpy import __version__
from nportpy.status import End, GatewayStatus, LineStatus, ServiceStatus

CONNECTED = ("accepted", "refused_allow", "refused_limit", "refused_full", "refused_down")
"""How a connection attempt can turn out."""

OTHER = "other"
"""Stands for every result that is in neither, so that a new one upstairs is counted and still makes no new label."""


class GatewayCollector(Collector):
    """A gateway's metrics. `status` is called once per scrape, in the thread that scrapes."""

    def __init__(self, status: Callable[[], GatewayStatus]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask for a status, and no other collector shares the prefix."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, those of lines and services with one sample or more per line or service."""
        status = self._status()
        yield from _gateway(status)
        yield from _lines(status.lines)
        yield from _services(status.services)


def registry(status: Callable[[], GatewayStatus]) -> CollectorRegistry:
    """A registry of its own with the gateway's metrics and those of the process (CPU, memory, descriptors)."""
    made = CollectorRegistry()
    made.register(GatewayCollector(status))
    ProcessCollector(registry=made)
    return made


def _gateway(status: GatewayStatus) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "nportpy_build",
        "What runs here.",
        {"name": status.name, "version": __version__, "python": platform.python_version()},
    )
    yield GaugeMetricFamily("nportpy_start_time_seconds", "When the gateway started, since the epoch.", status.started)
    yield GaugeMetricFamily("nportpy_ready", "Whether every service listens.", status.ready)
    reloads = CounterMetricFamily("nportpy_reloads", "Reloads of the configuration by result.", labels=("result",))
    reloads.add_metric(("done",), status.reloads)
    reloads.add_metric(("failed",), status.reloads_failed)
    yield reloads


_LINE_COUNTERS: tuple[tuple[str, str, Callable[[LineStatus], int]], ...] = (
    ("received_bytes", "Bytes that came from the line.", lambda line: line.received),
    ("sent_bytes", "Bytes handed to the line.", lambda line: line.sent),
    ("unheard_bytes", "Bytes that came from the line while no client was there.", lambda line: line.unheard),
    ("purged_bytes", "Bytes for the line that were thrown away unsent.", lambda line: line.purged),
    ("opens", "How often the device was opened.", lambda line: line.opens),
    ("losses", "How often the device was lost.", lambda line: line.losses),
    ("failed_attempts", "How often opening the device failed.", lambda line: line.attempts),
)

_LINE_GAUGES: tuple[tuple[str, str, Callable[[LineStatus], float]], ...] = (
    ("up", "Whether the device is open.", lambda line: line.state == "up"),
    ("state_change_timestamp_seconds", "When the line came up or went down, since the epoch.", lambda line: line.since),
    ("unsent_bytes", "Bytes that wait for the line now.", lambda line: line.unsent),
    (
        "character_seconds",
        "Time that a character takes on the wire, as the line is set: times the byte rate, the share it is busy.",
        lambda line: line.settings.character_time,
    ),
)


def _lines(lines: tuple[LineStatus, ...]) -> Iterator[Metric]:
    for name, text, gauge in _LINE_GAUGES:
        gauges = GaugeMetricFamily(f"nportpy_line_{name}", text, labels=("port",))
        for line in lines:
            gauges.add_metric((line.name,), gauge(line))
        yield gauges
    for name, text, count in _LINE_COUNTERS:
        counters = CounterMetricFamily(f"nportpy_line_{name}", text, labels=("port",))
        for line in lines:
            counters.add_metric((line.name,), count(line))
        yield counters
    errors = CounterMetricFamily(
        "nportpy_line_uart_errors", "Errors that the driver counted, by kind.", labels=("port", "kind")
    )
    for line in lines:
        if line.uart is not None:
            errors.add_metric((line.name, "frame"), line.uart.frame)
            errors.add_metric((line.name, "overrun"), line.uart.overrun)
            errors.add_metric((line.name, "parity"), line.uart.parity)
            errors.add_metric((line.name, "break"), line.uart.breaks)
            errors.add_metric((line.name, "buffer_overrun"), line.uart.buffer_overrun)
    yield errors


def _services(services: tuple[ServiceStatus, ...]) -> Iterator[Metric]:
    labels = ("port", "service")
    listening = GaugeMetricFamily("nportpy_service_listening", "Whether the service listens.", labels=labels)
    clients = GaugeMetricFamily("nportpy_clients", "Clients that are connected.", labels=labels)
    dropped = CounterMetricFamily(
        "nportpy_dropped_bytes", "Bytes that waited for clients dropped as too slow.", labels=labels
    )
    connections = CounterMetricFamily(
        "nportpy_connections", "Connection attempts by result.", labels=(*labels, "result")
    )
    ended = CounterMetricFamily(
        "nportpy_connections_ended", "Accepted connections that are over, by result.", labels=(*labels, "result")
    )
    for service in services:
        names = (service.port, service.service)
        listening.add_metric(names, bool(service.listen))
        clients.add_metric(names, len(service.clients))
        dropped.add_metric(names, service.dropped)
        for result in CONNECTED:
            connections.add_metric((*names, result), service.results.get(result, 0))
        for result in End:
            ended.add_metric((*names, result), service.results.get(result, 0))
        other = sum(count for result, count in service.results.items() if result not in _KNOWN)
        ended.add_metric((*names, OTHER), other)
    yield from (listening, clients, dropped, connections, ended)


_KNOWN = frozenset((*CONNECTED, *End))
