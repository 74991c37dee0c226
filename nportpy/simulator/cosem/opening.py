r"""Mode E: a meter that wants to be signed on to by text before it speaks HDLC (IEC 62056-21, annex E).

    client                      meter                                   line
    /?!                                                                 300 7E1
                                /LGZ4\2ZMD4054407.B31
    ACK 2 Z 2
                                ACK 2 Z 2, where it confirms
    SNRM, and so on                                                     Z's speed, 8N1

After DISC, or when the inactivity time has passed, it waits for the next sign-on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from nportpy.linesettings import LineSettings
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.device import Answer
from nportpy.simulator.uart import received

SIGN_ON = LineSettings.parse(300, "7E1")
ZMD_IDENTIFICATION = b"/LGZ4\\2ZMD4054407.B31\r\n"
MT880_IDENTIFICATION = b"/ISK5\\2MT880-1\r\n"

_SPEEDS = {b"0": 300, b"1": 600, b"2": 1200, b"3": 2400, b"4": 4800, b"5": 9600, b"6": 19200}
_ACK = b"\x06"
_MAX_TEXT = 64
_WAIT = 2.2
"""Seconds for which it waits for the client's choice."""


class Confirms(StrEnum):
    """What a meter says to the client's choice."""

    NO = "no"
    SLOW = "slow"
    """The same, before it changes its speed."""
    FAST = "fast"
    """The same, as 7E1 after it has changed its speed."""


@dataclass(frozen=True, slots=True)
class OpeningSettings:
    r"""How a meter is signed on to.

    Attributes:
        identification: its answer, with `\2` for HDLC and the digit of the speed that it offers.
        device_address: what a request may name besides nothing.
        confirms: what it says to the client's choice.
        reaction: seconds before its answers.
        inactivity: seconds after which it waits for the next sign-on.
    """

    identification: bytes = ZMD_IDENTIFICATION
    device_address: bytes = b""
    confirms: Confirms = Confirms.NO
    reaction: float = 0.2
    inactivity: float = 120.0


class ModeE:
    """A `Device`: a line of meters behind a sign-on, where nobody knows the client's speed.

    Attributes:
        settings: its speed and format now.
    """

    def __init__(self, line: MeterLine, opening: OpeningSettings) -> None:
        """Waiting for a sign-on."""
        self.settings = SIGN_ON
        self._line = line
        self._opening = opening
        self._text = bytearray()
        self._offered_at: float | None = None  # when it told who it is
        self._heard = 0.0
        self._next: tuple[float, LineSettings] | None = None  # when it changes, and to what

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Characters came, at the right speed; with parity in the eighth bit or without."""
        self._settle(now)
        self._heard = now
        if self.settings == SIGN_ON:
            return [answer for byte in data for answer in self._read(byte & 0x7F, now)]
        connected = self._connected()
        answers = [replace(answer, settings=self._told(self.settings)) for answer in self._line.feed(data, now)]
        if connected and not self._connected():
            self._change(now, SIGN_ON, answers)
        return answers

    def silence(self, now: float) -> Sequence[Answer]:  # noqa: ARG002 - text and frames end by what they are
        """Nothing."""
        return ()

    def counts(self) -> Mapping[str, int]:
        """Those of the line."""
        return self._line.counts()

    def _connected(self) -> bool:
        return any(meter.link.client is not None for meter in self._line.meters)

    def _settle(self, now: float) -> None:
        """Be at the speed that it has by now."""
        if self._next and now >= self._next[0]:
            self.settings, self._next = self._next[1], None
        if self.settings != SIGN_ON and now - self._heard > self._opening.inactivity:
            self.settings, self._offered_at = SIGN_ON, None
        if self._offered_at is not None and now - self._offered_at > _WAIT:
            self._offered_at = None

    def _read(self, byte: int, now: float) -> list[Answer]:
        self._text.append(byte)
        del self._text[:-_MAX_TEXT]
        if not self._text.endswith(b"\r\n"):
            return []
        text = bytes(self._text)
        self._text.clear()
        if (start := text.rfind(b"/?")) >= 0:
            return self._identify(text[start + 2 : -2], now)
        if self._offered_at is not None and (start := text.rfind(_ACK)) >= 0:
            return self._choose(text[start:], now)
        return []

    def _identify(self, asked: bytes, now: float) -> list[Answer]:
        address = asked.removesuffix(b"!")
        if not asked.endswith(b"!") or address.lstrip(b"0") not in (b"", self._opening.device_address.lstrip(b"0")):
            return []
        told = Answer(self._opening.identification, self._opening.reaction, settings=self._told(SIGN_ON))
        self._offered_at = now + self._opening.reaction + len(told.data) * SIGN_ON.character_time
        return [told]

    def _choose(self, chosen: bytes, now: float) -> list[Answer]:
        """ACK, protocol 2, a speed, mode 2: anything else is not for HDLC and is not answered here."""
        self._offered_at = None
        speed = _SPEEDS.get(chosen[2:3])
        if chosen[1:2] != b"2" or chosen[3:] != b"2\r\n" or speed is None:
            return []
        there = LineSettings.parse(speed, "8N1")
        match self._opening.confirms:
            case Confirms.NO:
                answers = []
            case Confirms.SLOW:
                answers = [Answer(chosen, self._opening.reaction, settings=self._told(SIGN_ON))]
            case Confirms.FAST:
                fast = LineSettings.parse(speed, "7E1")
                answers = [Answer(chosen, self._opening.reaction, settings=self._told(fast))]
        self._change(now, there, answers)
        return answers

    def _change(self, now: float, settings: LineSettings, answers: Sequence[Answer]) -> None:
        """Change the speed when the answers are out."""
        for part in answers:
            now += part.delay + len(part.data) * (part.settings or self.settings).character_time
        self._next = (now, settings)

    def _told(self, settings: LineSettings) -> LineSettings | None:  # noqa: ARG002
        """What an answer says of its speed: nothing, where nobody knows the client's."""
        return None


class TunedModeE(ModeE):
    """A `TunedDevice`: the same on a wire that knows what the client's UART is set to."""

    def hear(self, data: bytes, sent: LineSettings, now: float) -> Sequence[Answer]:
        """Characters passed; what has a wrong parity or stop bit is not heard."""
        self._settle(now)
        heard, wrong = received(data, sent, self.settings)
        good = bytes(byte for place, byte in enumerate(heard) if place not in wrong)
        return self.feed(good, now) if good else ()

    def deadline(self) -> float | None:
        """It needs no waking: what it is by a time, it finds out when it hears something."""
        return None

    def expire(self, now: float) -> Sequence[Answer]:  # noqa: ARG002
        """Nothing."""
        return ()

    def _told(self, settings: LineSettings) -> LineSettings | None:
        return settings
