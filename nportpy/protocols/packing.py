"""Packing: which bytes of a line go to the network together. Names and meanings are those of an NPort's settings.

    segments = packer.feed(data, now)   # what is to be sent, each piece by itself
    when = packer.deadline()            # call expire() then, unless feed() was called before; None: no need to
    segments = packer.expire(now)

Nothing is lost, added or put in another order; with `Delimiting.STRIP` delimiters are left out. What is kept waits
for a delimiter, for more bytes or for silence, and is never more than `BUFFER` bytes.

Silence is counted in characters, but bytes come as the receiver hands them over: a UART collects 8 or 16 in its FIFO,
an adapter more. While a FIFO fills, a line that talks cannot be told from a silent one. So after less than half a FIFO
(which a UART hands over because the line has become silent) the gap is waited for, and otherwise as long as the next
hand-over could take, and the gap. How long that is, and how much a silent line leaves, is learned: when bytes come
behind a pause that were on the wire all the time. It takes one frame that was cut by mistake.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from fastcrc import crc16

from nportpy.protocols.modbus.functions import NEED_MORE, UNKNOWN, answer_length, request_length
from nportpy.protocols.modbus.rtu import MAX_FRAME, MIN_FRAME

BUFFER: Final = 1024
"""What is kept at most, in bytes; a full buffer is sent. An NPort has as much."""

MAX_LENGTH: Final = 1024
"""The longest packing length, in bytes."""

_FIFO = 8  # a UART that hands over fewer bytes does so because the line has become silent, until it is seen not to
_HELD = 16  # characters that pass until it hands over the next, until it is seen to take longer: half of a PL011's FIFO
_MOST_HELD = 64  # a pause longer than so many characters is not the receiver's
_FIFO_TIMEOUT = 4  # characters of silence after which a UART hands over what is in its FIFO
_MOST_JUNK = BUFFER - MAX_FRAME  # with the beginning of a frame behind it
_OVERHEAD = 3  # of a Modbus frame: unit and CRC
_PENDING = 0
_REFUTED = -1


class Packing(StrEnum):
    """How bytes are put together."""

    IMMEDIATE = "immediate"  # as they come, but for length, delimiters and force transmit
    GAP = "gap"  # what comes between two silences
    RTU = "rtu"  # Modbus RTU frames, with their last byte; what is none by the gap


class Delimiting(StrEnum):
    """What is done about a delimiter."""

    KEEP = "keep"  # the segment ends with it
    PLUS_1 = "+1"  # and with the byte behind it
    PLUS_2 = "+2"  # and with the two bytes behind it, which may be a checksum
    STRIP = "strip"  # the segment ends before it, and it is left out


_BEHIND = {Delimiting.PLUS_1: 1, Delimiting.PLUS_2: 2}


@dataclass(frozen=True, slots=True)
class PackingSettings:
    """How bytes are put together.

    Attributes:
        packing: the way.
        length: bytes of a segment; 0: any number.
        delimiters: one byte, or two that have to come one after the other; none: no delimiter.
        delimiting: what is done about them.
        force_transmit: seconds without a byte after which the rest is sent; 0: never. A packing length or delimiter
            without it keeps the rest until the end.
        gap: characters of silence that end a segment, for `GAP` and `RTU`.
        latency: seconds by which bytes may come late, at least: that of an adapter, or of the machine's timers.
    """

    packing: Packing = Packing.IMMEDIATE
    length: int = 0
    delimiters: bytes = b""
    delimiting: Delimiting = Delimiting.KEEP
    force_transmit: float = 0.0
    gap: float = 2.0
    latency: float = 0.001

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ValueError: a value is out of its range, or two of them exclude each other.
        """
        if not 0 <= self.length <= MAX_LENGTH:
            raise ValueError(f"a packing length of {self.length} is not in 0..{MAX_LENGTH}")
        if len(self.delimiters) > 2:
            raise ValueError(f"{len(self.delimiters)} delimiters are more than two")
        if self.length and self.delimiters:
            raise ValueError("a packing length and delimiters exclude each other")
        if self.packing is not Packing.IMMEDIATE and (self.length or self.delimiters or self.force_transmit):
            raise ValueError(f"packing {self.packing} excludes packing length, delimiters and force transmit")
        if not (0 < self.gap < math.inf and 0 <= self.force_transmit < math.inf and 0 <= self.latency < math.inf):
            raise ValueError("gap, force transmit and latency are times")


class Packer(Protocol):
    """What all packers do."""

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """The segments that `data`, which just came from the line, completes; none of them empty."""

    def deadline(self) -> float | None:
        """When to call `expire` unless something comes before; None while silence means nothing."""

    def expire(self, now: float) -> list[bytes]:
        """The segments that the silence since the last byte completes."""

    def finish(self) -> list[bytes]:
        """What was kept: nothing more will come, or what comes now has other settings."""

    def set_character_time(self, seconds: float) -> None:
        """The line has another speed or format; what was kept counts as if it had come with it."""


def packer(settings: PackingSettings, character_time: float) -> Packer:
    """The packer for a line whose characters take `character_time` seconds."""
    match settings.packing:
        case Packing.RTU:
            return RtuPacker(settings, character_time)
        case Packing.GAP:
            return GapPacker(settings, character_time)
        case Packing.IMMEDIATE if settings.length or settings.delimiters or settings.force_transmit:
            return SizePacker(settings)
        case _:
            return Immediate()


class Immediate:
    """Everything as it comes."""

    __slots__ = ()

    def feed(self, data: bytes, now: float) -> list[bytes]:  # noqa: ARG002 - as all do
        """See `Packer`."""
        return [data] if data else []

    def deadline(self) -> float | None:
        """See `Packer`."""
        return None

    def expire(self, now: float) -> list[bytes]:  # noqa: ARG002 - as all do
        """See `Packer`."""
        return []

    def finish(self) -> list[bytes]:
        """See `Packer`."""
        return []

    def set_character_time(self, seconds: float) -> None:
        """See `Packer`."""


class SizePacker:
    """Segments by packing length or delimiters, and by force transmit.

    Cost: each byte is passed over once by a search in C.
    """

    __slots__ = ("_behind", "_delimiters", "_force", "_heard_at", "_limit", "_rest", "_searched", "_strip")

    def __init__(self, settings: PackingSettings) -> None:
        """Nothing was heard yet."""
        self._limit = settings.length or BUFFER
        self._delimiters = settings.delimiters
        self._behind = _BEHIND.get(settings.delimiting, 0)
        self._strip = settings.delimiting is Delimiting.STRIP
        self._force = settings.force_transmit
        self._rest = b""
        self._searched = 0  # up to here no delimiter begins in the rest
        self._heard_at = 0.0

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """See `Packer`."""
        self._heard_at = now
        rest = self._rest + data
        segments: list[bytes] = []
        start, size = 0, len(rest)
        while start < size:
            at = self._find(rest, start)
            end = at + len(self._delimiters) + self._behind
            if at >= 0 and end - start <= self._limit:
                if end > size:
                    self._searched = at - start
                    break
                if not self._strip:
                    segments.append(rest[start:end])
                elif at > start:
                    segments.append(rest[start:at])
            elif size - start >= self._limit:
                end = start + self._limit
                segments.append(rest[start:end])
            else:
                break
            start = end
            self._searched = 0
        self._rest = rest[start:]
        return segments

    def _find(self, rest: bytes, start: int) -> int:
        """Where in `rest` the next delimiter begins; -1: there is none."""
        if not self._delimiters:
            return -1
        at = rest.find(self._delimiters, start + self._searched)
        if at < 0:
            self._searched = max(len(rest) - start - len(self._delimiters) + 1, 0)
        return at

    def deadline(self) -> float | None:
        """See `Packer`."""
        return self._heard_at + self._force if self._rest and self._force else None

    def expire(self, now: float) -> list[bytes]:
        """See `Packer`."""
        due = self.deadline()
        return [] if due is None or now < due else self.finish()

    def finish(self) -> list[bytes]:
        """See `Packer`."""
        rest, self._rest = self._rest, b""
        self._searched = 0
        return [rest] if rest else []

    def set_character_time(self, seconds: float) -> None:
        """See `Packer`."""


class GapPacker:
    """Segments by silence."""

    __slots__ = ("_came", "_character", "_due", "_gap", "_heard_at", "_held", "_latency", "_rest", "_short")

    def __init__(self, settings: PackingSettings, character_time: float) -> None:
        """Nothing was heard yet."""
        self._gap = settings.gap
        self._latency = settings.latency
        self._character = character_time
        self._rest = b""
        self._came = 0  # how many bytes the receiver handed over last
        self._heard_at = self._due = -math.inf
        self._held = _HELD  # characters that pass until it hands over the next, in a stream without gaps
        self._short = _FIFO  # fewer than so many bytes at a time come when the line has become silent

    def set_character_time(self, seconds: float) -> None:
        """See `Packer`."""
        self._character = seconds
        self._due = self._heard_at + self._quiet()

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """See `Packer`."""
        if not data:
            return []
        pause = now - self._heard_at
        silence = pause - len(data) * self._character
        gap = self._gap * self._character
        segments: list[bytes] = []
        if silence < gap < pause:
            self._learn(pause)
        elif self._rest and now >= self._due:  # whoever should have called `expire` is late
            segments = self.finish()
        self._rest += data
        self._came = len(data)
        self._heard_at = now
        self._due = now + self._quiet()
        return segments + self._split()

    def deadline(self) -> float | None:
        """See `Packer`."""
        return self._due if self._rest else None

    def expire(self, now: float) -> list[bytes]:
        """See `Packer`."""
        return self.finish() if self._rest and now >= self._due else []

    def finish(self) -> list[bytes]:
        """See `Packer`."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []

    def _split(self) -> list[bytes]:
        """The segments that need not wait for silence."""
        rest = self._rest
        end = len(rest) - len(rest) % BUFFER
        self._rest = rest[end:]
        return [rest[at : at + BUFFER] for at in range(0, end, BUFFER)]

    def _quiet(self) -> float:
        """Seconds without a byte that mean silence, after what came last."""
        sure = self._came < self._short
        characters = self._gap if sure else self._held + max(self._gap, _FIFO_TIMEOUT)
        return max(characters * self._character, self._latency)

    def _learn(self, pause: float) -> None:
        """The receiver needed so long to hand over what came without a gap."""
        self._held = max(self._held, min(round(pause / self._character), _MOST_HELD))
        self._short = min(self._short, self._came)


class RtuPacker(GapPacker):
    """Segments that are Modbus RTU frames, requests or answers, and what is between them.

    The lengths that a frame claims as a request and as an answer are tried, and the CRC decides, so a frame goes with
    its last byte. Place by place, as in modbus/rtu_request.py; a frame whose length nothing tells ends by the gap.
    """

    __slots__ = ("_at",)

    def __init__(self, settings: PackingSettings, character_time: float) -> None:
        """Nothing was heard yet."""
        super().__init__(settings, character_time)
        self._short = 0  # a frame says itself when it is whole, so there is time to be sure of silence
        self._at = 0  # before this place of the rest no frame begins

    def _split(self) -> list[bytes]:
        return self._search(silent=False)

    def finish(self) -> list[bytes]:
        """See `Packer`."""
        return self._search(silent=True)

    def _search(self, *, silent: bool) -> list[bytes]:
        rest, start, at = self._rest, 0, self._at
        segments: list[bytes] = []
        while at < len(rest):
            size = _judge(rest, at, begins=at == start, silent=silent)
            if size > 0:
                segments += [rest[start:at], rest[at : at + size]] if at > start else [rest[at : at + size]]
                start = at = at + size
            elif size == _PENDING:
                break
            else:
                at += 1
                if at - start >= _MOST_JUNK:
                    segments.append(rest[start:at])
                    start = at
        if silent and start < len(rest):
            segments.append(rest[start:])
            start = at = len(rest)
        self._rest = rest[start:]
        self._at = at - start
        return segments


def _judge(rest: bytes, at: int, *, begins: bool, silent: bool) -> int:
    """What stands at `rest[at]`: the size of a frame, or one of the verdicts above.

    Args:
        rest: what came.
        at: the place.
        begins: silence or a frame is right before it, so that a frame of unknown length may begin here.
        silent: nothing more belongs to it.
    """
    have = len(rest) - at
    if have < 2:
        return _REFUTED if silent else _PENDING
    verdict = _REFUTED
    lengths = (answer_length(rest, at + 1), request_length(rest, at + 1))
    for length in lengths:
        if length == NEED_MORE or length + _OVERHEAD > have:
            verdict = _PENDING
        elif length > 0 and crc16.modbus(rest[at : at + length + _OVERHEAD]) == 0:
            return length + _OVERHEAD
    if not silent:
        unknown = lengths == (UNKNOWN, UNKNOWN) and begins and have < MAX_FRAME
        return _PENDING if unknown else verdict
    if begins and MIN_FRAME <= have <= MAX_FRAME and crc16.modbus(rest[at:]) == 0:
        return have
    return _REFUTED
