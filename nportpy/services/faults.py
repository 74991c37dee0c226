"""What is wrong with a gateway now, and since when: one list out of its status, for the screen and the API."""

from collections.abc import Iterator
from dataclasses import dataclass

from nportpy.services import verdict
from nportpy.status import GatewayStatus


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong.

    Attributes:
        where: the port, router, station or upstream; the gateway's name for what is its own.
        what: in words.
        since: in seconds since the epoch; None: nobody knows, or it is a matter of the last minutes.
    """

    where: str
    what: str
    since: float | None = None


def faults(status: GatewayStatus, now: float) -> tuple[Fault, ...]:
    """All of them, what nobody can work without first; `now` in seconds since the epoch."""
    return (*_addresses(status), *_lines(status), *_buses(status, now), *_edge(status), *_loop(status))


def _addresses(status: GatewayStatus) -> Iterator[Fault]:
    for missing in status.missing:
        line = f" ({missing.line})" if missing.line else ""
        yield Fault(missing.port, f"{missing.service} does not listen on {missing.listen}: {missing.reason}{line}")
    told = {(missing.port, missing.service) for missing in status.missing}
    for service in status.services:
        if not (service.listen or service.may_be_silent or (service.port, service.service) in told):
            yield Fault(service.port, f"{service.service} does not listen")


def _lines(status: GatewayStatus) -> Iterator[Fault]:
    for line in status.lines:
        if line.state != "up":
            why = f": {line.error}" if line.error else ""
            yield Fault(line.name, f"{line.device} is {line.state}{why}", line.since)


def _buses(status: GatewayStatus, now: float) -> Iterator[Fault]:
    lines = {line.name for line in status.lines}
    for bus in status.buses:
        if not bus.up:
            if bus.name not in lines:  # else the line says it
                yield Fault(bus.name, "cannot be reached")
            continue
        silent = {unit.unit: unit.silent_since for unit in bus.units}
        for bad in verdict.bad_units(bus, now):
            since = silent[bad.unit] if bad.ill is verdict.Ill.DEAD else None
            yield Fault(bus.name, f"unit {bad.unit} is {bad.ill}", since)
        for hog in verdict.verdict(status, bus, now).hogs:
            yield Fault(bus.name, f"{hog} has too much of the bus")


def _edge(status: GatewayStatus) -> Iterator[Fault]:
    if status.edge is None:
        return
    if status.edge.error:
        yield Fault(status.name, f"nothing is read: {status.edge.error}")
    archive = status.edge.archive
    if archive is not None and archive.error:
        yield Fault(archive.path, f"the archive cannot be written: {archive.error}")
    for station in status.edge.stations:
        if station.up is False:
            yield Fault(station.name, f"the station does not answer: {station.reason}", station.since)
    for upstream in status.edge.upstreams:
        if not upstream.up:
            waiting = f"; {upstream.backlog} samples wait" if upstream.backlog else ""
            yield Fault(upstream.name, f"the upstream is away: {upstream.reason}{waiting}", upstream.since)


def _loop(status: GatewayStatus) -> Iterator[Fault]:
    if status.loop.worst > verdict.LATE_LOOP:
        late = verdict.took(status.loop.worst)
        yield Fault(status.name, f"the event loop was {late} late in the last two minutes")
