"""Prometheus metrics of a gateway: read from its status at scrape time, never kept up beside it.

The labels are names from the configuration and the fixed sets below. Nothing that a client sends or chooses becomes
a label or a label's value, so the number of series is fixed by the configuration. The exception are the units and
functions that Modbus requests name: a bus says how many of them there are, however many clients try
(nportpy/modbus/tally.py).

This module costs 5 MB and some 50 ms to import (prometheus_client brings http.server and ssl along): import it late.
"""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Protocol, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

from nportpy import __version__
from nportpy.services.capture_metrics import recordings
from nportpy.services.edge_metrics import edge
from nportpy.services.unit_metrics import BOUNDS, long, units
from nportpy.status import BusStatus, End, GatewayStatus, LeaseStatus, LineStatus, ServiceStatus, TlsStatus

CONNECTED = (
    "accepted",
    "refused_allow",
    "refused_limit",
    "refused_full",
    "refused_down",
    "refused_busy",
    "refused_settings",
    "tls_failed",
)
"""How a connection that comes in can turn out."""

CALLED = ("connected", "refused", "timeout", "unreachable", "no_address", "tls_failed", "failed")
"""How a connection that we make can turn out."""

REQUESTED = (
    "answered",
    "exception",
    "sent",
    "no_answer",
    "unreachable",
    "expired",
    "queue_full",
    "line_down",
    "gone",
    "malformed",
)
"""How a Modbus request of a bus can turn out."""

REFUSED = ("forbidden", "ignored", "no_route", "queue_full", "malformed")
"""Why a Modbus request comes to no bus."""

OTHER = "other"
"""Stands for every result that is in none, so that a new one upstairs is counted and still makes no new label."""


class GatewayCollector(Collector):
    """A gateway's metrics. `status` is called once per scrape, in the thread that scrapes."""

    def __init__(self, status: Callable[[], GatewayStatus]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask for a status, and no other collector shares the prefix."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, those of lines and services with one sample or more per line, service or bus."""
        status = self._status()
        yield from _gateway(status)
        yield from _lines(status.lines)
        yield from _leases(status.lines)
        yield from _services(status)
        yield from _datagrams_and_late(status.services)
        yield _refused(status.services)
        yield _refused_by(status.services)
        yield from _buses(status.buses)
        yield _requests(status.buses)
        yield from units(status.buses)
        yield from edge(status.edge)
        yield from _tls(status.tls)
        yield from recordings(status.recordings)


def registry(status: Callable[[], GatewayStatus]) -> CollectorRegistry:
    """A registry of its own with the gateway's metrics and those of the process (CPU, memory, descriptors)."""
    made = CollectorRegistry()
    made.register(GatewayCollector(status))
    ProcessCollector(registry=made)
    return made


def _tls(tables: tuple[TlsStatus, ...]) -> Iterator[Metric]:
    """Of `[tls.NAME]` tables. Nothing where there is none."""
    if not tables:
        return
    expiry = GaugeMetricFamily(
        "nportpy_certificate_expiry_timestamp_seconds",
        "When a certificate of ours expires, since the epoch.",
        labels=("tls", "number"),
    )
    update = GaugeMetricFamily(
        "nportpy_crl_next_update_timestamp_seconds",
        "When a revocation list expires, since the epoch.",
        labels=("tls",),
    )
    bad = GaugeMetricFamily(
        "nportpy_certificate_files_bad", "Whether files could not be taken over when last read.", labels=("tls",)
    )
    checked = GaugeMetricFamily(
        "nportpy_certificate_dates_checked",
        "Whether dates of certificates are looked at: not before the clock is known.",
        labels=("tls",),
    )
    for table in tables:
        for number, certificate in enumerate(table.certificates, 1):
            expiry.add_metric((table.name, str(number)), certificate.not_after)
        if table.crl_next_update is not None:
            update.add_metric((table.name,), table.crl_next_update)
        bad.add_metric((table.name,), bool(table.error))
        checked.add_metric((table.name,), table.checked)
    yield from (expiry, update, bad, checked)


def _gateway(status: GatewayStatus) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "nportpy_build",
        "What runs here.",
        {"name": status.name, "version": __version__, "python": platform.python_version()},
    )
    yield GaugeMetricFamily("nportpy_start_time_seconds", "When the gateway started, since the epoch.", status.started)
    yield GaugeMetricFamily("nportpy_ready", "Whether every service listens, at each of its addresses.", status.ready)
    reloads = CounterMetricFamily("nportpy_reloads", "Reloads of the configuration by result.", labels=("result",))
    reloads.add_metric(("done",), status.reloads)
    reloads.add_metric(("failed",), status.reloads_failed)
    lags = HistogramMetricFamily(
        "nportpy_loop_lag_seconds", "How late the event loop comes to what is to be done, sampled once a second."
    )
    lags.add_metric((), tuple(zip(BOUNDS, accumulate(status.loop.lags), strict=True)), status.loop.seconds)
    actions = CounterMetricFamily(
        "nportpy_console_actions", "What was done from the console by result.", labels=("action", "result")
    )
    for (action, result), count in status.actions.items():
        actions.add_metric((action, result), count)
    yield from (reloads, lags, actions)


_LINE_COUNTERS: tuple[tuple[str, str, Callable[[LineStatus], int]], ...] = (
    ("received_bytes", "Bytes that came from the line.", lambda line: line.received),
    ("sent_bytes", "Bytes handed to the line.", lambda line: line.sent),
    ("unheard_bytes", "Bytes that came from the line while no client was there.", lambda line: line.unheard),
    ("purged_bytes", "Bytes for the line that were thrown away unsent.", lambda line: line.purged),
    ("opens", "How often the device was opened.", lambda line: line.opens),
    ("losses", "How often the device was lost.", lambda line: line.losses),
    ("changeovers", "How often it went over to the settings of other services.", lambda line: line.changeovers),
    ("failed_attempts", "How often opening the device failed.", lambda line: line.attempts),
)

_LINE_GAUGES: tuple[tuple[str, str, Callable[[LineStatus], float]], ...] = (
    ("up", "Whether the device is open.", lambda line: line.state == "up"),
    ("state_change_timestamp_seconds", "When the line came up or went down, since the epoch.", lambda line: line.since),
    ("unsent_bytes", "Bytes that wait for the line now.", lambda line: line.unsent),
    ("held", "Whether a service has the line at settings of its own.", lambda line: bool(line.held_by)),
    (
        "character_seconds",
        "Time that a character takes on the wire, as the line is set: times the byte rate, the share it is busy.",
        lambda line: line.settings.character_time,
    ),
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Source = TypeVar("_Source", bound=_Named)
_Figures = tuple[tuple[str, str, Callable[[_Source], float]], ...]


def _by_port(
    prefix: str, sources: tuple[_Source, ...], gauges: _Figures[_Source], counters: _Figures[_Source]
) -> Iterator[Metric]:
    """The figures of lines, or of buses: one number each."""
    for kind, figures in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
        for name, text, figure in figures:
            family = kind(f"{prefix}_{name}", text, labels=("port",))
            for source in sources:
                family.add_metric((source.name,), figure(source))
            yield family


def _lines(lines: tuple[LineStatus, ...]) -> Iterator[Metric]:
    yield from _by_port("nportpy_line", lines, _LINE_GAUGES, _LINE_COUNTERS)
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


_LEASE_FIGURES: tuple[
    tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str, Callable[[LeaseStatus], float]], ...
] = (
    (GaugeMetricFamily, "held", "Whether it has the line to itself now.", lambda lease: lease.held),
    (CounterMetricFamily, "seconds", "Time in which it had the wire.", lambda lease: lease.seconds),
    (CounterMetricFamily, "wait_seconds", "Time that it waited for the line.", lambda lease: lease.waited),
    (CounterMetricFamily, "ways_given", "How often it let others have the wire.", lambda lease: lease.ways_given),
)


def _leases(lines: tuple[LineStatus, ...]) -> Iterator[Metric]:
    """Who has had a line to itself; nothing where nobody ever wanted one."""
    leases = [(line.name, lease) for line in lines for lease in line.leases]
    if not leases:
        return
    for kind, name, text, figure in _LEASE_FIGURES:
        family = kind(f"nportpy_lease_{name}", text, labels=("port", "holder"))
        for port, lease in leases:
            family.add_metric((port, lease.holder), figure(lease))
        yield family
    outcomes = CounterMetricFamily("nportpy_leases", "Leases by how they ended.", labels=("port", "holder", "outcome"))
    for port, lease in leases:
        for outcome, count in lease.outcomes.items():
            outcomes.add_metric((port, lease.holder, outcome), count)
    yield outcomes


_CALLERS = frozenset({"tcp_client", "pair", "modem"})
_NEVER_CALLED = frozenset({"tcp_client", "pair", "master"})
_OF_DATAGRAMS = frozenset({"udp", "modbus", "router"})


def _services(status: GatewayStatus) -> Iterator[Metric]:
    labels = ("port", "service")
    services, missing = status.services, {(each.port, each.service) for each in status.missing}
    text = "Whether the service listens, at each of its addresses, and this machine has them."
    listening = GaugeMetricFamily("nportpy_service_listening", text, labels=labels)
    clients = GaugeMetricFamily("nportpy_clients", "Clients that are connected.", labels=labels)
    waiting = GaugeMetricFamily(
        "nportpy_clients_waiting", "Clients that wait for the line to be free for other settings.", labels=labels
    )
    dropped = CounterMetricFamily(
        "nportpy_dropped_bytes",
        "Bytes that waited for clients dropped as too slow, or for hosts that could not be reached.",
        labels=labels,
    )
    for service in services:
        names = (service.port, service.service)
        if service.listen or names in missing or not service.may_be_silent:
            listening.add_metric(names, bool(service.listen) and names not in missing)
        clients.add_metric(names, len(service.clients))
        waiting.add_metric(names, service.waiting)
        dropped.add_metric(names, service.dropped)
    yield from (listening, clients, waiting, dropped)
    called = [service for service in services if service.kind not in _NEVER_CALLED]
    yield _by_result("nportpy_connections", "Connections that came in, by result.", called, CONNECTED)
    callers = [service for service in services if service.kind in _CALLERS]
    yield _by_result("nportpy_calls", "Connections that the gateway tried to make, by result.", callers, CALLED)
    name = "nportpy_connections_ended"
    text = "Connections that are over, whoever made them, by result."
    yield long(CounterMetricFamily(name, text), _ended(f"{name}_total", services))


def _by_result(name: str, text: str, services: Iterable[ServiceStatus], results: Iterable[str]) -> Metric:
    def samples() -> Iterator[Sample]:
        for service in services:
            for result in results:
                labels = {"port": service.port, "service": service.service, "result": result}
                yield Sample(f"{name}_total", labels, service.results.get(result, 0))

    return long(CounterMetricFamily(name, text), samples())


def _ended(name: str, services: tuple[ServiceStatus, ...]) -> Iterator[Sample]:
    for service in services:
        labels = {"port": service.port, "service": service.service}
        for result in End:
            yield Sample(name, {**labels, "result": result}, service.results.get(result, 0))
        other = sum(count for result, count in service.results.items() if result not in _KNOWN)
        yield Sample(name, {**labels, "result": OTHER}, other)


_UNSENT, _LATE = "unsent", "late"
_KNOWN = frozenset((*CONNECTED, *CALLED, *End, _UNSENT, _LATE))


def _datagrams_and_late(services: tuple[ServiceStatus, ...]) -> Iterator[Metric]:
    labels = ("port", "service")
    unsent = CounterMetricFamily("nportpy_unsent_datagrams", "Datagrams that the network did not take.", labels=labels)
    late = CounterMetricFamily(
        "nportpy_modbus_master_late_answers",
        "Answers for which the master on the line did not wait any more.",
        labels=labels,
    )
    for service in services:
        names = (service.port, service.service)
        if service.kind in _OF_DATAGRAMS:
            unsent.add_metric(names, service.results.get(_UNSENT, 0))
        elif service.kind == "master":
            late.add_metric(names, service.results.get(_LATE, 0))
    yield from (unsent, late)


_TRANSLATORS = frozenset({"modbus", "master", "router"})


def _refused_by(services: tuple[ServiceStatus, ...]) -> Metric:
    """Roles, and never a name: those that rules name, NULL, other, and none."""
    refused = CounterMetricFamily(
        "nportpy_modbus_refused_by_rule",
        "Modbus requests that a rule refused, by its number and the role of the client's certificate.",
        labels=("port", "service", "rule", "role"),
    )
    for service in services:
        for (rule, role), count in service.refused_by.items():
            refused.add_metric((service.port, service.service, str(rule), role), count)
    return refused


def _refused(services: tuple[ServiceStatus, ...]) -> Metric:
    refused = CounterMetricFamily(
        "nportpy_modbus_refused",
        "Modbus requests that came to no bus, by reason.",
        labels=("port", "service", "reason"),
    )
    for service in services:
        if service.kind not in _TRANSLATORS:
            continue
        names = (service.port, service.service)
        for reason in REFUSED:
            refused.add_metric((*names, reason), service.refused.get(reason, 0))
        other = sum(count for reason, count in service.refused.items() if reason not in REFUSED)
        refused.add_metric((*names, OTHER), other)
    return refused


_BUS_COUNTERS: tuple[tuple[str, str, Callable[[BusStatus], float]], ...] = (
    ("busy_seconds", "Time in which a request was on the line.", lambda bus: bus.busy),
    ("coalesced", "Requests answered by a transaction that another one caused.", lambda bus: bus.coalesced),
    ("cached", "Requests answered from the cache.", lambda bus: bus.cached),
    ("merged", "Requests that were made part of a wider one.", lambda bus: bus.merged),
    ("retries", "Requests sent again.", lambda bus: bus.retries),
    ("probes", "Requests sent to find out about the echo.", lambda bus: bus.probes),
    ("late_answers", "Answers that came when nobody waited for them any more.", lambda bus: bus.late),
    ("echoes", "Copies of what was sent.", lambda bus: bus.echoes),
    ("junk_bytes", "Bytes that belong to no frame.", lambda bus: bus.junk),
    ("spoilt_answers", "Answers with a wrong check sum.", lambda bus: bus.spoilt),
    ("foreign_frames", "Frames of other units, or of another function.", lambda bus: bus.foreign),
    ("unfit_answers", "Answers that do not fit their request.", lambda bus: bus.unfit),
)

_BUS_GAUGES: tuple[tuple[str, str, Callable[[BusStatus], float]], ...] = (
    ("bus_up", "Whether the bus can be asked.", lambda bus: bus.up),
    ("queue", "Requests that wait now.", lambda bus: bus.queued),
)


def _buses(buses: tuple[BusStatus, ...]) -> Iterator[Metric]:
    yield from _by_port("nportpy_modbus", buses, _BUS_GAUGES, _BUS_COUNTERS)
    waits = SummaryMetricFamily(
        "nportpy_modbus_queue_wait_seconds", "Time from a request to its being sent.", labels=("port",)
    )
    transactions = HistogramMetricFamily(
        "nportpy_modbus_transaction_seconds", "Time from a request's being sent to its end.", labels=("port",)
    )
    own = SummaryMetricFamily(
        "nportpy_modbus_gateway_seconds",
        "Time of a transaction that is the gateway's own, neither waiting nor wire nor unit: one of 16 is sampled.",
        labels=("port",),
    )
    for bus in buses:
        waits.add_metric((bus.name,), bus.sent, bus.waited)
        transactions.add_metric((bus.name,), tuple(zip(BOUNDS, accumulate(bus.durations), strict=True)), bus.busy)
        own.add_metric((bus.name,), bus.sampled, bus.own)
    yield from (waits, transactions, own)


def _requests(buses: tuple[BusStatus, ...]) -> Metric:
    text = "Modbus requests by unit, function and result."

    def samples(name: str) -> Iterator[Sample]:
        for bus in buses:
            others: Counter[tuple[str, str]] = Counter()
            for (unit, function, result), count in bus.requests.items():
                if result in REQUESTED:
                    labels = {"port": bus.name, "unit": unit, "function": function, "result": result}
                    yield Sample(name, labels, count)
                else:
                    others[unit, function] += count
            for (unit, function), count in others.items():
                yield Sample(name, {"port": bus.name, "unit": unit, "function": function, "result": OTHER}, count)

    return long(CounterMetricFamily("nportpy_modbus_requests", text), samples("nportpy_modbus_requests_total"))
