"""What the flight recorders have frozen, as captures for Wireshark: for the support bundle."""

import asyncio
import time
from collections.abc import Iterable
from functools import partial

from nportpy.console.desk import Moment
from nportpy.gateway.captures import Watched
from nportpy.gateway.recording import capture_of
from nportpy.line.recorder import Frozen

_AT_ONCE = 500  # records, between two of which the lines have their turn


def moments(watched: Iterable[tuple[str, Watched]]) -> list[Moment]:
    """Those of some lines, by name; the newest first."""
    found = []
    for name, each in watched:
        offset = time.time_ns() - each.line.tap().clock()
        for frozen in each.recorder.frozen.values():
            when = (frozen.time + offset) / 1e9
            found.append(Moment(name, frozen.number, frozen.cause, when, partial(_packets, each, frozen, offset)))
    return sorted(found, key=lambda moment: moment.time, reverse=True)


async def _packets(watched: Watched, frozen: Frozen, offset: int) -> bytes:
    """The bytes of a file; times are nanoseconds on the tap's clock, plus `offset` since the epoch."""
    capture = capture_of(watched.line)
    parts = [capture.head()]
    for start in range(0, len(frozen.records), _AT_ONCE):
        portion = frozen.records[start : start + _AT_ONCE]
        parts.append(capture.feed([(record.time + offset, record) for record in portion], 0))
        await asyncio.sleep(0)
    return b"".join((*parts, capture.finish()))
