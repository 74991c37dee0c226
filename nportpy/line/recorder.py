"""The flight recorder: keeps a tap running, and freezes what is in its ring when something goes wrong.

The minute before last night's timeout can be looked at next morning. Of each cause (what happened, and to which unit)
the newest moment is kept, and of all causes the newest few; a unit that is off for weeks takes one place, not all.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from nportpy.line.tap import Tap
from nportpy.protocols.capture.records import Cause, Discards, Ended, Kind, Record
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT

MOST_FROZEN: Final = 4
"""Moments that are kept of one line; each takes as much memory as the ring."""

AFTER: Final = 1.0
"""Seconds after the cause that belong to the moment."""

AGAIN: Final = 600.0
"""Seconds before the same cause freezes again."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """One moment.

    Attributes:
        number: of the record that is its cause.
        cause: what happened, as in `no_answer unit 5`.
        time: when, nanoseconds on the tap's clock.
        records: what the ring had of it.
    """

    number: int
    cause: str
    time: int
    records: tuple[Record, ...]


class FlightRecorder:
    """Keeps one line's tap running.

    Attributes:
        frozen: moments by their cause, the newest last.
    """

    def __init__(self, tap: Tap) -> None:
        """Off."""
        self.frozen: OrderedDict[str, Frozen] = OrderedDict()
        self._tap = tap
        self._causes: frozenset[Cause] = frozenset()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def configure(self, keep: int, causes: frozenset[Cause]) -> None:
        """Keep so many bytes, and freeze for these causes; 0 bytes: be off, and forget what was frozen."""
        self._causes = causes
        self._tap.noticed = self._notice if keep and causes else None
        self._tap.keep(keep)
        if not keep:
            self.frozen.clear()

    def close(self) -> None:
        """Freeze nothing more."""
        self._tap.noticed = None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _notice(self, record: Record) -> None:
        cause = cause_of(record)
        if cause is None or cause not in self._causes:
            return
        text = f"{cause} unit {record.about.unit}" if isinstance(record.about, Ended) else str(cause)
        before = self.frozen.get(text)
        again = before is not None and record.time - before.time < AGAIN * 1e9
        if text not in self._timers and not again:
            loop = asyncio.get_running_loop()
            self._timers[text] = loop.call_later(AFTER, self._freeze, text, record.number, record.time)

    def _freeze(self, cause: str, number: int, time: int) -> None:
        del self._timers[cause]
        self.frozen[cause] = Frozen(number, cause, time, self._tap.snapshot())
        self.frozen.move_to_end(cause)
        while len(self.frozen) > MOST_FROZEN:
            self.frozen.popitem(last=False)


def cause_of(record: Record) -> Cause | None:
    """Why a record would freeze the recorder."""
    about = record.about
    match record.kind:
        case Kind.ANSWER if isinstance(about, Ended):
            if about.outcome == "no_answer":
                return Cause.NO_ANSWER
            return Cause.EXCEPTION if record.data and record.data[0] & EXCEPTION_BIT else None
        case Kind.DISCARDED if isinstance(about, Discards):
            return Cause.CRC if about.spoilt else Cause.LATE if about.late else None
        case Kind.ERRORS:
            return Cause.UART
        case Kind.DOWN:
            return Cause.LINE_DOWN
        case _:
            return None
