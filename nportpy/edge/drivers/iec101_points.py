"""What is known of an outstation's points, and which of what it says is the present. Pure.

An outstation tells changes once, and all values when it is asked to. So a tag's reading is the newest that it has
said, for as long as the link is up. Its events carry its own time, and what is newest is decided in this order:

- events of one point by their own times: an older one is history, whatever came first
- an event and a value without time: an event that was told later is newer, unless the outstation had not told
  everything that had happened when the value came; then by their times
- events that had waited while there was no link are history: the interrogation tells the present

What is history goes into the archive with its time and never changes what is shown. So does an event that is the
present, but is older than a sample that the tag has already.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final, NamedTuple

from nportpy.edge.driver import RawReading
from nportpy.edge.settings import TagSettings
from nportpy.meters.iec101.client import Report
from nportpy.protocols.iec101.asdu import Cause
from nportpy.protocols.iec101.elements import Flags, Object, Type
from nportpy.protocols.iec101.times import AHEAD
from nportpy.protocols.modbus.values import Value

_EVENTS: Final = frozenset((Cause.SPONTANEOUS, Cause.REMOTE_RETURN, Cause.LOCAL_RETURN))
_WORDS: Final = {
    Flags.OVERFLOW: "beyond its range (OV)",
    Flags.ELAPSED_INVALID: "its duration is invalid (EI)",
    Flags.BLOCKED: "blocked (BL)",
    Flags.SUBSTITUTED: "substituted (SB)",
    Flags.NOT_TOPICAL: "not topical (NT)",
}
_STATES: Final = {0: "between off and on", 3: "neither off nor on"}
_RESTARTED: Final = "from before the outstation restarted or its link came up"
_NO_TIME: Final = "its time tag is invalid: stamped when it came"
_AHEAD: Final = "its time tag is in the future: stamped when it came"


class Worth(NamedTuple):
    """A value, why it is not good, and why there is none."""

    raw: Value | None
    uncertain: str = ""
    reason: str = ""


@dataclass(slots=True)
class Point:
    """A tag, and what its object has said.

    Attributes:
        tag: which.
        worth: the present; None: nothing was said.
        stale: the outstation has not said it since it restarted.
        refreshed: when a value without time came last, since then.
        event: the time of the newest event, by the outstation's clock.
        waited: the newest event of those that had waited for a link.
        live: the stamp of the newest that was given as the present.
    """

    tag: TagSettings
    worth: Worth | None = None
    stale: bool = False
    refreshed: int | None = None
    event: int | None = None
    waited: Worth | None = None
    live: int = 0

    def restarted(self) -> None:
        """What is known may not be so any more."""
        self.stale = self.worth is not None
        self.refreshed = self.waited = None

    def settled(self) -> None:
        """No interrogation tells it any more: what had waited is the best that there is."""
        if self.waited is not None and self.refreshed is None:
            self._set(self.waited)
        self.waited = None

    def present(self, missing: str, known: int, now: int, monotonic: int) -> RawReading:
        """Its reading: how things were at `known`, as what has happened since then may not have been told yet.

        Args:
            missing: why there is none, where nothing was said.
            known: all that had happened by then was told, in microseconds UTC.
            now: the same clock.
            monotonic: that of readings.
        """
        self.live = min(max(known, self.live), now)  # after an event that has been told, whatever the clock was set to
        monotonic -= now - self.live
        if self.worth is None:
            return RawReading(self.tag, monotonic, reason=missing)
        raw, uncertain, reason = self.worth
        return RawReading(self.tag, monotonic, raw, reason, uncertain=uncertain or (_RESTARTED if self.stale else ""))

    def hear(self, said: "Said", monotonic: int) -> RawReading | None:
        """What the outstation has said; a reading if that is a sample of its own."""
        self.live, self.event = min(self.live, said.arrived), self.event and min(self.event, said.arrived + AHEAD)
        if said.at is None:
            self._set(said.worth)
            self.refreshed = said.arrived
            if not said.event:
                return None
            self.live = said.arrived
            return self._reading(said, monotonic)
        newer = self._is_newer(said)
        if newer:
            self.event = said.at
        if not newer or (said.waited and self.refreshed is None):
            self.waited = said.worth if newer else self.waited
            return self._reading(said, monotonic)
        self._set(said.worth)
        if said.at < self.live:
            return self._reading(said, monotonic)
        self.live = said.at
        return self._reading(said, monotonic, present=True)

    def _set(self, worth: Worth) -> None:
        self.worth, self.stale, self.waited = worth, False, None

    def _is_newer(self, said: "Said") -> bool:
        assert said.at is not None
        if self.event is not None and said.at < self.event:
            return False
        if self.refreshed is None or said.at >= self.refreshed:
            return True
        return said.since is not None and self.refreshed <= said.since

    def _reading(self, said: "Said", monotonic: int, *, present: bool = False) -> RawReading:
        raw, uncertain, reason = said.worth
        event = said.event and (present or said.at is None)
        return RawReading(self.tag, monotonic, raw, reason, said.at, uncertain=uncertain, present=present, event=event)


@dataclass(frozen=True, slots=True)
class Said:
    """One object of a report.

    Attributes:
        worth: its value.
        arrived: when it came, in microseconds UTC.
        at: its own time; None: it has none that can be believed.
        event: something has happened, other than that somebody asked.
        since: see `Report`.
        waited: it may have waited for the link to come up, and an interrogation tells the present.
    """

    worth: Worth
    arrived: int
    at: int | None = None
    event: bool = False
    since: int | None = None
    waited: bool = False


@dataclass(frozen=True, slots=True)
class Hearing:
    """How an outstation's reports are understood.

    Attributes:
        zone: of its clock.
        interrogates: an interrogation tells the present when the link has come up.
        trusted: our own clock is right, so a time in the future is wrong.
    """

    zone: tzinfo
    interrogates: bool
    trusted: bool = field(default=True)

    def said(self, report: Report) -> Iterator[tuple[int, Said]]:
        """What a report says, by object address."""
        asdu = report.asdu
        event, waited = asdu.cause in _EVENTS, self.interrogates and report.since is None
        for each in asdu.objects:
            worth, at = worth_of(asdu.kind, each), None
            if each.time is not None:
                at = each.time.instant(self.zone, report.arrived)
                doubt = _NO_TIME
                if at is not None and self.trusted and at > report.arrived + AHEAD:
                    at, doubt = None, _AHEAD
                if at is None:
                    worth = worth._replace(uncertain=_joined((worth.uncertain, doubt)))
            yield each.address, Said(worth, report.arrived, at, event, report.since, waited)


def worth_of(kind: Type, found: Object) -> Worth:
    """The value of an object and its quality: IV is none; NT, OV, SB, BL, EI or a double point at 0 or 3 uncertain."""
    if found.flags & Flags.INVALID:
        return Worth(None, reason="the outstation marks it as invalid (IV)")
    value = found.value
    raw: Value | None = int.from_bytes(value, "little") if isinstance(value, bytes) else value
    words = [word for flag, word in _WORDS.items() if found.flags & flag]
    if kind.doubles and isinstance(value, int) and value in _STATES:
        words.append(_STATES[value])
    return Worth(raw, _joined(words))


def _joined(words: Iterable[str]) -> str:
    return ", ".join(word for word in words if word)
