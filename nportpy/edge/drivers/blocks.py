"""Which registers are read together: by cost, and by what the device was found to take. Pure.

A request costs more than a few registers that nobody wants, so neighbours share one. Some devices refuse a read that
touches what their manual does not list, or say nothing to it. Such a block is parted at its holes, then between its
values, and that is remembered as long as the device is the same.
"""

from collections.abc import Iterable

from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.reads import group


class Blocks:
    """The reads for a station's values."""

    __slots__ = ("_apart", "_gap")

    def __init__(self, gap: int) -> None:
        """Values may share a read over `gap` unwanted registers; nothing is known of the device yet."""
        self._gap = gap
        self._apart: set[Span] = set()  # the first value of each new read, whatever lies before it

    def reads(self, spans: Iterable[Span]) -> list[Span]:
        """The reads that fetch `spans`, none of which is split."""
        found: list[Span] = []
        run: list[Span] = []
        for span in sorted(set(spans)):
            if span in self._apart and run:
                found += group(run, self._gap)
                run = []
            run.append(span)
        return found + group(run, self._gap)

    def part(self, read: Span, spans: Iterable[Span]) -> bool:
        """The device did not take `read`: part it for ever. False where it holds a single value: that one is at fault.

        Where it has holes it is parted there; where it has none, in halves.
        """
        inside = sorted({span for span in spans if within(span, read)})
        starts, end = list[Span](), -1
        for span in inside:
            if span.address > end >= 0:
                starts.append(span)
            end = max(end, span.address + span.quantity)
        starts = [span for span in starts if span not in self._apart]
        joined = [span for span in inside[1:] if span not in self._apart]
        if not starts and joined:
            starts = [joined[len(joined) // 2]]
        self._apart.update(starts)
        return bool(starts)

    def forget(self) -> None:
        """The device may be another one now."""
        self._apart.clear()


def within(part: Span, whole: Span) -> bool:
    """Whether a span lies inside another."""
    end, whole_end = part.address + part.quantity, whole.address + whole.quantity
    return part.table == whole.table and whole.address <= part.address and end <= whole_end
