"""A lease in memory, and what may be at its other end: a script of frames, or outstations that keep FCB and queues."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nportpy.errors import LineDown
from nportpy.linesettings import LineSettings, Parity
from nportpy.protocols.iec101.ft12 import FrameFinder

E5 = b"\xe5"


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


def fixed(control: int, address: int = 1) -> bytes:
    body = bytes((control, address))
    return b"\x10" + body + bytes((sum(body) & 0xFF, 0x16))


def variable(control: int, asdu: bytes, address: int = 1) -> bytes:
    body = bytes((control, address)) + asdu
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((sum(body) & 0xFF, 0x16))


class Wire:
    """A line for whoever holds it: takes its time on the virtual clock. `other` gets each write and answers."""

    def __init__(self, other: Callable[[bytes], bytes], settings: LineSettings | None = None) -> None:
        self.settings = settings or LineSettings(9600, 8, Parity.EVEN)
        self.sent_frames: list[bytes] = []
        self.given_way = 0
        self.down = False
        self.delay = 0.01
        self.pieces = 0  # bytes at a time; 0: all at once
        self._other = other
        self._came: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._busy = 0.0
        self._answering = 0.0  # until then: one answer after the other

    async def configure(self, wish: LineSettings) -> None:
        self.settings = wish

    def write(self, data: bytes, *, secret: bool = False) -> None:
        if self.down:
            raise LineDown("lost")
        loop = asyncio.get_running_loop()
        self.sent_frames.append(data)
        self._busy = max(self._busy, loop.time()) + len(data) * self.settings.character_time
        answer = self._other(data)
        size = self.pieces or len(answer) or 1
        begins = max(self._busy + self.delay, self._answering)
        self._answering = begins + len(answer) * self.settings.character_time
        for start in range(0, len(answer), size):
            piece = answer[start : start + size]
            arrives = begins + (start + len(piece)) * self.settings.character_time
            loop.call_at(arrives, self._arrive, piece)

    async def sent(self) -> None:
        await asyncio.sleep(max(0.0, self._busy - asyncio.get_running_loop().time()))

    async def read(self, within: float) -> bytes:
        if self.down:
            raise LineDown("lost")
        if not self._came and within > 0:
            self._news.clear()
            try:
                async with asyncio.timeout(within):
                    await self._news.wait()
            except TimeoutError:
                return b""
        data = b"".join(self._came)
        self._came.clear()
        return data

    def discard(self) -> None:
        self._came.clear()

    async def give_way(self) -> None:
        self.given_way += 1

    def _arrive(self, data: bytes) -> None:
        self._came.append(data)
        self._news.set()


class Script:
    """Answers in a fixed order, and holds the requests to theirs. None as an answer: it is lost."""

    def __init__(self, *lines: tuple[bytes, bytes | None]) -> None:
        self.left = deque(lines)

    def __call__(self, request: bytes) -> bytes:
        assert self.left, f"nothing more was expected: {request.hex(' ')}"
        expected, answer = self.left.popleft()
        assert request == expected, f"{request.hex(' ')} and not {expected.hex(' ')}"
        return answer or b""


@dataclass
class Station:
    """An outstation: sizes 1/1/2, link address of one byte. Faults by its attributes.

    `lose` answers are lost after it has acted; `deaf` requests are not heard at all.
    """

    address: int = 1
    image: Sequence[bytes] = ()  # ASDUs of an interrogation, cause 20
    class_1: deque[bytes] = field(default_factory=deque)
    class_2: deque[bytes] = field(default_factory=deque)
    lose: int = 0
    deaf: int = 0
    single: bool = False  # E5 where it can
    stuck: bool = False  # ACD always
    busy: int = 0  # answers with DFC
    terminates: bool = True
    refuses: bool = False
    expected: bool | None = None  # FCB of the next new request; None: was not reset
    acted: list[int] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    _last: bytes = b""

    def __call__(self, request: bytes) -> bytes:
        frames = FrameFinder(1, 0.0, 0.0).feed(request, 0.0)
        assert len(frames) == 1
        frame = frames[0]
        if frame.address != self.address:
            return b""
        if self.deaf:
            self.deaf -= 1
            return b""
        if frame.control & 0x10:
            bit = bool(frame.control & 0x20)
            if self.expected is None:
                return b""
            if bit == self.expected:
                self.expected = not bit
                self._last = self._act(frame.control & 0x0F, frame.data)
            answer = self._last
        elif frame.function == 0:
            self.expected = True
            answer = E5 if self.single else self._fixed(0x00)
        else:
            answer = self._fixed(0x0B)
        if self.lose:
            self.lose -= 1
            return b""
        return answer

    def _act(self, function: int, data: bytes) -> bytes:
        self.acted.append(function)
        if function == 3:
            self.received.append(data)
            self._asked(data)
            return E5 if self.single else self._fixed(0x00)
        queue = self.class_1 if function == 10 else self.class_2
        if not queue:
            return E5 if self.single and not self.stuck else self._fixed(0x09)
        data = queue.popleft()
        return variable(0x08 | self._bits(), data, self.address)

    def _asked(self, data: bytes) -> None:
        if data[3] != 1:
            self.class_1.append(data[:2] + b"\x6e" + data[3:])  # an unknown common address, negative
            return
        confirm = data[:2] + bytes((7 | (0x40 if self.refuses else 0),)) + data[3:]
        self.class_1.append(confirm)
        if self.refuses:
            return
        if data[0] == 100:
            self.class_1.extend(self.image)
        if data[0] in (100, 101) and self.terminates:
            self.class_1.append(data[:2] + b"\x0a" + data[3:])

    def _bits(self) -> int:
        bits = 0x20 if self.class_1 or self.stuck else 0
        if self.busy:
            self.busy -= 1
            bits |= 0x10
        return bits

    def _fixed(self, control: int) -> bytes:
        return fixed(control | self._bits(), self.address)


def together(*stations: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Several on one line."""

    def answer(request: bytes) -> bytes:
        return b"".join(each(request) for each in stations)

    return answer
