"""A meter in memory at the other end of a held line: it hears and is heard at its own speed only, and can misbehave."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from nportpy.linesettings import LineSettings
from tests.support.clock import VirtualLoop
from tests.support.leased import HeldLine

SPEEDS = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}
B_SPEEDS = {"A": 600, "B": 1200, "C": 2400, "D": 4800, "E": 9600, "F": 19200}
LINES = "0.0.0(12345678)\r\n1.8.0(000077.160*kWh)\r\n1.6.1(0012.3*kW)(2611210945)\r\n32.7(230.6*V)\r\n"

T = TypeVar("T")


def run(conversation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(conversation())


def framed(data: str, start: str = "\x02", end: str = "\x03", head: str = "") -> bytes:
    """With a block check, computed here and by hand."""
    body = (head + start if head else "") + data + end
    check = 0
    for each in body.encode("ascii"):
        check ^= each
    return (("\x01" if head else start) + body).encode("ascii") + bytes((check,))


class Meter:
    """Mode A, B, C or D by its identification.

    Attributes:
        identification: what it answers the sign-on, without `/` and line end.
        readout: the lines of its readout.
        device: its address; another one is not answered.
        bare: no STX, ETX and block check.
        deaf: sign-ons that are not heard.
        ignores_ack: it never hears the acknowledgement, and sends at 300.
        keeps_300: it hears the acknowledgement of a speed above this, and sends at 300 all the same.
        spoiled: messages of data that have a wrong check.
        no_check: no block check follows ETX.
        registers: answers to R1, by address, in brackets.
        password: what P1 has to bring; refused: with this text.
        naks: commands that are answered by NAK.
        parts: answers to R6, R5.
        broken: it takes no NAK.
        commands: what it understood.
    """

    def __init__(self, identification: str = "ISK5MT880-123", readout: str = LINES) -> None:
        self.identification = identification
        self.readout = readout
        self.device = ""
        self.bare = False
        self.deaf = 0
        self.ignores_ack = False
        self.works_up_to = 38400
        self.spoiled = 0
        self.no_check = False
        self.registers: dict[str, str] = {}
        self.password = ""
        self.refused = "(ER01)"
        self.naks = 0
        self.parts: list[bytes] = []
        self.broken = False
        self.hears_nak_after = True
        self.commands: list[str] = []
        self.sign_ons: list[float] = []
        self.baudrate = 300
        self.inactivity = 60.0
        self.wire = HeldLine(self._written, LineSettings(9600))
        self._busy = 0.0
        self._last = b""
        self._acknowledging = False
        self._session = 0
        self._programming = False
        self._parts: list[bytes] = []
        self._forget: asyncio.TimerHandle | None = None

    def with_echo(self) -> "Meter":
        self.wire = HeldLine(self._written, LineSettings(9600), echo=True)
        return self

    @property
    def reaction(self) -> float:
        return 0.02 if self.identification[2].islower() else 0.2

    def _written(self, data: bytes, settings: LineSettings) -> tuple[tuple[float, bytes], ...]:
        if settings.baudrate != self.baudrate:
            return ()
        if settings.data_bits == 8:
            assert all(each.bit_count() % 2 == 0 for each in data), "even parity"
        text = bytes(each & 0x7F for each in data)
        now = asyncio.get_running_loop().time()
        if text.strip(b"\0"):
            assert now - self._busy >= self.reaction, "too early for the meter"
            self._hear(text.strip(b"\0").decode("ascii"))
        return ()

    def _hear(self, text: str) -> None:
        if self._forget is not None:
            self._forget.cancel()
        self._forget = asyncio.get_running_loop().call_later(self.inactivity, self.reset)
        if text.startswith("/?"):
            self._signed_on(text)
        elif text[0] == "\x06" and len(text) == 6 and self._acknowledging:
            self._option(text)
        elif text[0] == "\x06" and self._parts:
            self.say(self._parts.pop(0))
        elif text[0] == "\x15" and self._last and not self.broken:
            self.commands.append("NAK")
            self.say(self._last)
        elif text[0] == "\x01":
            self._command(text)

    def reset(self) -> None:
        self.baudrate = 300
        self._programming = False

    def _signed_on(self, text: str) -> None:
        assert text.endswith("!\r\n")
        address = text[2:-3]
        self.sign_ons.append(asyncio.get_running_loop().time())
        if self.deaf or address not in ("", self.device):
            self.deaf -= self.deaf > 0
            return
        offer = self.identification[3]
        end = self.say(f"/{self.identification}\r\n".encode())
        self._acknowledging = offer in SPEEDS and not self.ignores_ack
        if offer not in SPEEDS or self.ignores_ack:
            asyncio.get_running_loop().call_at(
                end + (1.0 if offer in SPEEDS else 0.3), self._send_by_itself, B_SPEEDS.get(offer, 300)
            )

    def _send_by_itself(self, baudrate: int) -> None:
        if not self._programming:
            self.baudrate = baudrate
            asyncio.get_running_loop().call_at(self._send_readout(0.0), self.reset)

    def _option(self, text: str) -> None:
        self._acknowledging = False
        speed, option = text[2], text[3]
        assert text[1] == "0"
        assert text[4:] == "\r\n"
        assert speed <= self.identification[3]
        self.commands.append(f"ACK 0{speed}{option}")
        baudrate = SPEEDS[speed]
        self.baudrate = baudrate if baudrate <= self.works_up_to else 300
        if option == "1":
            self._programming = True
            self.say(framed("(12345678)", head="P0"))
        else:
            asyncio.get_running_loop().call_at(self._send_readout(self.reaction) + 8.0, self._readout_over)

    def _readout_over(self) -> None:
        if not self._programming:
            self.baudrate = 300

    def _send_readout(self, delay: float) -> float:
        data = f"{self.readout}!\r\n"
        return self.say(data.encode("ascii") if self.bare else framed(data), delay)

    def _command(self, text: str) -> None:
        what, rest = text[1:3], text[4:-2]
        check = 0
        for each in text[1:-1].encode():
            check ^= each
        assert check == ord(text[-1])
        self.commands.append(what + rest)
        if self.naks:
            self.naks -= 1
            self.say(b"\x15")
        elif what == "P1":
            right = rest == f"({self.password})"
            self.say(b"\x06" if right else framed(self.refused) if self.refused else b"\x15")
        elif what == "B0":
            self.reset()
        elif what == "R1":
            address = rest.partition("(")[0]
            self._programming = True
            if address in self.registers:
                self.say(framed(self.registers[address]))
        elif what in ("R5", "R6"):
            self._parts = list(self.parts)
            self.say(self._parts.pop(0))

    def say(self, data: bytes, delay: float | None = None) -> float:
        """Send at its own speed; when the last character is out."""
        if len(data) > 1 and data[0] in (1, 2) and not data.startswith(b"\x01P0"):
            self._last = data
            if self.spoiled:
                self.spoiled -= 1
                data = data[:-1] + bytes((data[-1] ^ 0x11,))
            if self.no_check:
                data = data[:-1]
        loop = asyncio.get_running_loop()
        begin = max(self._busy, loop.time() + (self.reaction if delay is None else delay))
        time = 10 / self.baudrate
        for index, each in enumerate(data):
            loop.call_at(begin + (index + 1) * time, self._sent, each, self.baudrate)
        self._busy = begin + len(data) * time
        return self._busy

    def _sent(self, character: int, baudrate: int) -> None:
        settings = self.wire.settings
        if settings.baudrate == baudrate:
            if settings.data_bits == 8:
                character |= character.bit_count() % 2 << 7
            self.wire._hear(bytes((character,)))
        elif settings.baudrate > baudrate:
            self.wire._hear(bytes((0x00, 0xF8, character * 7 & 0xFF | 0x80)))
        elif character % 3 == 0:
            self.wire._hear(bytes((character * 5 & 0xFF | 0x80,)))
