"""DTR/DSR flow control on virtual time, before a UART that has a buffer of its own."""

import asyncio
from typing import cast

import pytest

from nportpy.linesettings import LineSettings, ModemLines
from nportpy.port.base import Port
from nportpy.port.dsrdtr import DsrGate


class Uart:
    """A driver's queue, a UART's buffer that it empties into, and the wire."""

    def __init__(self, baudrate: int, buffer: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.settings = LineSettings(baudrate)
        self.lines: ModemLines | None = ModemLines.DSR
        self.queue = bytearray()
        self.taken = bytearray()  # in the UART's buffer
        self.wire: list[tuple[float, int]] = []  # when the last bit of each byte was out
        self.moved: list[bool | None] = []
        self.asked = 0
        self.calls: list[str] = []
        self.gate = DsrGate(
            self.loop,
            cast(Port, self),
            self.put,
            full=lambda: self.calls.append("full"),
            room=lambda: self.calls.append("room"),
        )
        self._buffer = buffer
        self._busy = False

    def modem_lines(self) -> ModemLines | None:
        self.asked += 1
        return self.lines

    def set_modem_lines(self, *, dtr: bool | None = None) -> None:
        self.moved.append(dtr)

    def unsent(self) -> int:
        return len(self.queue) + self.gate.waiting

    def put(self, data: bytes) -> None:
        assert data
        self.queue += data
        self._fetch()

    def _fetch(self) -> None:
        room = self._buffer - len(self.taken)
        self.taken += self.queue[:room]
        del self.queue[:room]
        if self.taken and not self._busy:
            self._busy = True
            self.loop.call_later(self.settings.character_time, self._shift)

    def _shift(self) -> None:
        self._busy = False
        self.wire.append((self.loop.time(), self.taken.pop(0)))
        self._fetch()

    @property
    def sent(self) -> bytes:
        return bytes(byte for _, byte in self.wire)


@pytest.mark.parametrize("baudrate", [1200, 9600, 115200])
@pytest.mark.parametrize("buffer", [1, 64])
async def test_the_wire_is_kept_busy_and_a_falling_dsr_is_followed(baudrate: int, buffer: int) -> None:
    uart = Uart(baudrate, buffer)
    character = uart.settings.character_time
    data = bytes(range(256)) * max(1, int(2 / character / 256))
    uart.gate.write(data)
    fell = uart.loop.time() + 1.0
    await asyncio.sleep(1.0)
    uart.lines = ModemLines.CTS
    expected = 1.0 / character
    assert len(uart.wire) >= 0.97 * expected - 6
    await asyncio.sleep(1.0)
    late = [when for when, _ in uart.wire if when > fell]
    assert max(late, default=fell) - fell <= max(0.015, 2 * character) + 1e-6
    assert data.startswith(uart.sent)
    uart.lines = ModemLines.DSR
    await asyncio.sleep(3.0)
    assert uart.sent == data


async def test_nobody_looks_while_nothing_waits() -> None:
    uart = Uart(9600, 16)
    uart.gate.write(b"x")
    await asyncio.sleep(0.02)
    before = uart.asked
    await asyncio.sleep(10)
    assert uart.asked == before <= 2


@pytest.mark.long
async def test_too_much_is_told_and_over_when_it_is_over() -> None:
    uart = Uart(4_000_000, 16)
    uart.lines = ModemLines(0)
    uart.gate.write(b"x" * 60_000)
    assert uart.calls == []
    uart.gate.write(b"x" * 10_000)
    uart.gate.write(b"x" * 10_000)
    assert uart.calls == ["full"]
    uart.lines = ModemLines.DSR
    await asyncio.sleep(1)
    assert uart.calls == ["full", "room"]
    assert uart.sent == b"x" * 80_000


async def test_what_is_thrown_away_is_not_sent() -> None:
    uart = Uart(9600, 16)
    uart.lines = ModemLines(0)
    uart.gate.write(b"x" * 70_000)
    uart.gate.clear()
    assert uart.gate.waiting == 0
    assert uart.calls == ["full", "room"]
    uart.lines = ModemLines.DSR
    uart.gate.write(b"y")
    await asyncio.sleep(0.1)
    assert uart.sent == b"y"


async def test_closing_gives_back_what_waits() -> None:
    uart = Uart(9600, 16)
    uart.lines = ModemLines(0)
    uart.gate.write(b"abc")
    assert uart.gate.close() == b"abc"
    assert uart.gate.close() == b""
    uart.lines = ModemLines.DSR
    before = uart.asked
    await asyncio.sleep(1)
    assert uart.asked == before
    assert not uart.sent


async def test_a_line_without_modem_lines_is_not_held_up() -> None:
    uart = Uart(9600, 16)
    uart.lines = None
    uart.gate.write(b"x" * 1000)
    assert uart.gate.waiting == 0


async def test_dtr_holds_the_far_end() -> None:
    uart = Uart(9600, 16)
    uart.gate.hold_far_end()
    uart.gate.release_far_end()
    assert uart.moved == [False, True]
