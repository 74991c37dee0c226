"""What is wrong with a Modbus bus, and whose doing it is, in words: out of what was counted in the last minutes.

    who hogs it     who has had more of it than the others have, and why: it asks too often, or of whom it asks
    bad units       dead: silent. noisy: its answers are spoilt. late: they come after its timeout. flaky: they do not
                    come. slow: they come, but keep the bus from the others meanwhile
    the gateway     innocent if what it adds to a transaction is nothing beside it, and its loop comes in time

Nothing here asks anything: a status comes in, and sentences go out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

from nportpy.status import BusClientStatus, BusStatus, GatewayStatus, LoopStatus, UnitStatus

FEW: Final = 3
"""So many of anything may be an accident."""

SPOILT_SHARE: Final = 0.02
LATE_SHARE: Final = 0.02
LOST_SHARE: Final = 0.05
"""Of the frames sent to a unit: what is more than that is no accident either."""

SLOW: Final = 0.25
"""Seconds, those on the wire apart, after which any unit is slow to answer."""

SLOW_HERE: Final = 0.05
SLOW_TIMES: Final = 4
"""Seconds after which a unit is slow that takes so many times as long as the others of its bus."""

HOG_SHARE: Final = 0.4
HOG_TIMES: Final = 1.5
"""Who has so much of a bus, and so many times what would be an even share, hogs it."""

FULL: Final = 0.5
"""How busy a bus is that leaves others waiting; who has much of one that rests does no harm."""

UNSENT_SHARE: Final = 0.01
"""Requests that may have waited in vain."""

OWN_SECONDS: Final = 0.002
OWN_SHARE: Final = 0.1
"""What the gateway may add to a transaction, whichever is more."""

LATE_LOOP: Final = 0.1
"""Seconds that its loop may be late."""


class Ill(StrEnum):
    """What is wrong with a unit."""

    DEAD = "dead"
    LATE = "late"
    NOISY = "noisy"
    FLAKY = "flaky"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class BadUnit:
    """A unit that costs the others time.

    Attributes:
        unit: its unit id.
        ill: what is wrong with it.
        words: the same as a sentence.
    """

    unit: int
    ill: Ill
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one bus.

    Attributes:
        bus: its name.
        sentences: all there is to say, the most important first.
        hogs: clients that have too much of it; not those that have it because a bad unit keeps them waiting.
        units: that are bad.
        innocent: whether the gateway is; None where it had nothing to do.
    """

    bus: str
    sentences: tuple[str, ...]
    hogs: tuple[str, ...] = ()
    units: tuple[BadUnit, ...] = ()
    innocent: bool | None = None


def verdict(status: GatewayStatus, bus: BusStatus, now: float) -> Verdict:
    """On a bus of a gateway; `now` in seconds since the epoch."""
    line = next((line for line in status.lines if line.name == bus.name), None)
    if not bus.up:
        why = f": {line.error}" if line is not None and line.error else ""
        since = f" for {lasting(now - line.since)}" if line is not None else ""
        return Verdict(bus.name, (f"{bus.name} is down{since}{why}.", "Nothing else can be told until it is back."))
    units = tuple(_bad_units(bus, now))
    if not bus.recent.sent and not any(bus.recent.results.values()):
        nobody = f"Nobody has asked {bus.name} anything in the last {lasting(bus.recent.seconds)}."
        return Verdict(bus.name, (nobody, *(each.words for each in units)), units=units)
    hogs, of_clients = _clients(bus, units)
    innocent, of_gateway = _gateway(bus, status.loop)
    well = () if units else ("All units that were asked answer as they should.",)
    sentences = (*_load(bus), *of_clients, *(each.words for each in units), *well, of_gateway)
    return Verdict(bus.name, sentences, hogs, units, innocent)


def lasting(seconds: float) -> str:
    """`40 s`, `12 min`, `5 h`, `3 days`."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{max(seconds, 0) / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def took(seconds: float) -> str:
    """`0.4 ms`, `25 ms`, `1.2 s`."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def share(part: float, whole: float) -> str:
    """`12 %`."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f} %" if 0 < percent < 1 else f"{percent:.0f} %"


def bad_units(bus: BusStatus, now: float) -> tuple[BadUnit, ...]:
    """Those of a bus that is up."""
    return tuple(_bad_units(bus, now)) if bus.up else ()


# The bus.


def _load(bus: BusStatus) -> Iterator[str]:
    recent = bus.recent
    span = f"in the last {lasting(recent.seconds)}" if recent.seconds else "since the start"
    busy = (
        f"{bus.name} was busy {share(recent.busy, recent.seconds)} of the time {span}" if recent.seconds else bus.name
    )
    wait = f"; a request waits {took(recent.waited / recent.sent)} for its turn" if recent.sent else ""
    yield f"{busy}: {recent.sent} requests were sent{wait}."
    unsent = recent.results.get("expired", 0) + recent.results.get("queue_full", 0)
    asked = sum(recent.results.values())
    if unsent > FEW and unsent >= UNSENT_SHARE * asked:
        yield f"More is asked than it carries: {unsent} requests ({share(unsent, asked)}) were never sent."


# Its clients.


@dataclass(frozen=True, slots=True)
class _Part:
    """What one client has had: a connection, those of an address that have left, or all of an address."""

    name: str
    service: str
    requests: int
    busy: float
    last_unit: int | None


def _clients(bus: BusStatus, units: Sequence[BadUnit]) -> tuple[tuple[str, ...], list[str]]:
    parts = [_part(client) for client in bus.clients if client.recent.requests or client.recent.busy]
    if not parts:
        return (), []
    busy, requests = sum(part.busy for part in parts), sum(part.requests for part in parts)
    if len(parts) == 1:
        return (), [f"{parts[0].name} is the only client that asks ({parts[0].service}): {_rate(parts[0], bus)}."]
    even = max(HOG_SHARE, HOG_TIMES / len(parts))
    hogs = [part for part in parts if _hogs(part, busy, requests, even, len(parts))]
    if not hogs:
        hosts = _by_host(parts)
        if 1 < len(hosts) < len(parts):
            even = max(HOG_SHARE, HOG_TIMES / len(hosts))
            hogs = [host for host in hosts if _hogs(host, busy, requests, even, len(hosts))]
    harmful = not bus.recent.seconds or bus.recent.busy >= FULL * bus.recent.seconds
    hogs.sort(key=lambda part: part.busy, reverse=True)
    words = [_of_hog(part, busy, requests, bus, units, harmful=harmful) for part in hogs]
    if not hogs:
        words = [f"Nobody hogs it: {len(parts)} clients ask, and none has much more of it than the others."]
    guilty = [part for part in hogs if _asks_much(part, busy, requests) or _bad(part, units) is None]
    return tuple(part.name for part in guilty) if harmful else (), words


def _hogs(part: _Part, busy: float, requests: int, even: float, many: int) -> bool:
    if busy and part.busy >= even * busy:
        return True
    return bool(busy and requests) and part.requests >= even * requests and part.busy * many >= busy


def _of_hog(part: _Part, busy: float, requests: int, bus: BusStatus, units: Sequence[BadUnit], *, harmful: bool) -> str:
    has = f"{part.name} ({part.service}) has {share(part.busy, busy)} of its time"
    asks = f"{_rate(part, bus)}, {share(part.requests, requests)} of all requests"
    if not harmful:
        return f"{has}, but the bus has room: {asks}."
    if _asks_much(part, busy, requests):
        return (
            f"{part.name} hogs the bus: it ({part.service}) has {share(part.busy, busy)} of its time and asks {asks}."
        )
    bad = _bad(part, units)
    whom = f"unit {part.last_unit}, which is {bad.ill}" if bad is not None else f"unit {part.last_unit}"
    return f"{has}, not by asking often ({asks}) but by what it asks: last {whom}."


def _asks_much(part: _Part, busy: float, requests: int) -> bool:
    """Whether its share of the requests explains what it has of the bus."""
    return 2 * part.requests * busy >= part.busy * requests


def _bad(part: _Part, units: Iterable[BadUnit]) -> BadUnit | None:
    """The bad unit that it asked last: that one has the bus then, and not who asks it."""
    return next((each for each in units if each.unit == part.last_unit), None)


def _rate(part: _Part, bus: BusStatus) -> str:
    if not bus.recent.seconds:
        return f"{part.requests} requests"
    rate = part.requests / bus.recent.seconds
    return f"{rate:.1f} times a second" if rate >= 0.1 else f"{part.requests} times in {lasting(bus.recent.seconds)}"


def _part(client: BusClientStatus) -> _Part:
    name = client.client if client.left is None else f"{client.client} ({_connections(client)}left)"
    return _Part(name, client.service, client.recent.requests, client.recent.busy, client.unit)


def _connections(client: BusClientStatus) -> str:
    return f"{client.connections} connections, " if client.connections > 1 else ""


def _by_host(parts: Iterable[_Part]) -> list[_Part]:
    """All of an address and service together, called by the address."""
    found: dict[tuple[str, str], list[_Part]] = {}
    for part in parts:
        host = part.name.partition(" (")[0]
        host = host.rpartition(":")[0].strip("[]") if host.count(":") == 1 or host.startswith("[") else host
        found.setdefault((host, part.service), []).append(part)
    return [
        _Part(
            host if len(members) == 1 else f"{host} ({len(members)} clients there)",
            service,
            sum(part.requests for part in members),
            sum(part.busy for part in members),
            max(members, key=lambda part: part.busy).last_unit,
        )
        for (host, service), members in found.items()
    ]


# Its units.


def _bad_units(bus: BusStatus, now: float) -> Iterator[BadUnit]:
    for unit in bus.units:
        found = _dead(unit, bus, now) or _late(unit) or _noisy(unit) or _flaky(unit) or _slow(unit, bus)
        if found is not None:
            yield found


def _cost(unit: UnitStatus, bus: BusStatus) -> str:
    return f"{share(unit.recent.busy, bus.recent.busy)} of the bus's time"


def _frames(unit: UnitStatus) -> int:
    """Sent to it in the last minutes."""
    return unit.recent.answered + unit.recent.unanswered + unit.recent.retries


def _dead(unit: UnitStatus, bus: BusStatus, now: float) -> BadUnit | None:
    if not unit.silent or unit.recent.late > FEW or unit.recent.spoilt > FEW:
        return None
    since = "" if unit.silent_since is None else f" for {lasting(now - unit.silent_since)}"
    since = since if unit.answered else f"{since}, nor ever before" if since else " so far"
    words = (
        f"Unit {unit.unit} is dead: it has answered nothing{since}; trying it takes {_cost(unit, bus)}. "
        "Off, cut off, or set to another unit id, speed or format."
    )
    return BadUnit(unit.unit, Ill.DEAD, words)


def _late(unit: UnitStatus) -> BadUnit | None:
    late, frames = unit.recent.late, _frames(unit)
    if late <= FEW or late < LATE_SHARE * frames:
        return None
    words = (
        f"Unit {unit.unit} answers too late: {late} answers of {frames} ({share(late, frames)}) came after its timeout "
        f"of {took(unit.timeout)}. Give it more time (`timeout`), or ask it for less at once."
    )
    return BadUnit(unit.unit, Ill.LATE, words)


def _noisy(unit: UnitStatus) -> BadUnit | None:
    spoilt, frames = unit.recent.spoilt, _frames(unit)
    if spoilt < FEW or spoilt < SPOILT_SHARE * frames:
        return None
    words = (
        f"Unit {unit.unit} is noisy: {spoilt} answers of {frames} ({share(spoilt, frames)}) had a wrong check sum. "
        "Its cable, termination or bias; or two units have this unit id."
    )
    return BadUnit(unit.unit, Ill.NOISY, words)


def _flaky(unit: UnitStatus) -> BadUnit | None:
    lost, frames = unit.recent.unanswered + unit.recent.retries, _frames(unit)
    if lost < FEW or lost < LOST_SHARE * frames:
        return None
    words = (
        f"Unit {unit.unit} is flaky: {lost} of {frames} requests sent to it ({share(lost, frames)}) were not answered. "
        f"A loose wire, a timeout that is too short for it ({took(unit.timeout)}), or what it does not know is asked."
    )
    return BadUnit(unit.unit, Ill.FLAKY, words)


def _slow(unit: UnitStatus, bus: BusStatus) -> BadUnit | None:
    mine = _thinking(unit)
    if mine is None or mine < SLOW_HERE or sum(unit.recent.answer_times) < FEW:
        return None
    others = [each for other in bus.units if other is not unit and (each := _thinking(other)) is not None]
    usual = median(others) if others else None
    if mine < SLOW and (usual is None or mine < SLOW_TIMES * usual):
        return None
    beside = f", the others {took(usual)}" if usual is not None else ""
    words = (
        f"Unit {unit.unit} is slow: it takes {took(mine)} to answer{beside}, and {_cost(unit, bus)}. "
        "Ask it less often, or put it on a line of its own."
    )
    return BadUnit(unit.unit, Ill.SLOW, words)


def _thinking(unit: UnitStatus) -> float | None:
    """Seconds that it takes to answer, the wire apart; None: nobody knows."""
    timed = sum(unit.recent.answer_times)
    if not timed:
        return None
    return max(0.0, unit.recent.answer_seconds - unit.recent.wire_seconds) / timed


# The gateway.


def _gateway(bus: BusStatus, loop: LoopStatus) -> tuple[bool | None, str]:
    sent, sampled = bus.recent.sent, bus.recent.sampled
    if not sent or not sampled:
        return None, "The gateway had too little to do to be judged."
    own = bus.recent.own / sampled
    whole = bus.recent.busy / sent + own
    adds = f"of the {took(whole)} that a transaction takes it adds {took(own)} ({share(own, whole)})"
    late = f"its event loop was at most {took(loop.worst)} late in the last two minutes"
    if own > max(OWN_SECONDS, OWN_SHARE * whole):
        return False, f"The gateway is not innocent: {adds}; {late}. Its processor is too busy, or too slow."
    if loop.worst > LATE_LOOP:
        return False, f"The gateway is not innocent: {late}; {adds}. Something keeps its processor busy."
    return True, f"The gateway is innocent: {adds}, and {late}."
