"""Messages of IEC 62056-21 as a meter sends and hears them: 7-bit characters, without parity.

Source: IEC 62056-21:2002, 5.8 (message formats), 6.3 (their definitions), 6.4 (modes), 6.5 (programming).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

SOH, STX, ETX, EOT, ACK, NAK = 0x01, 0x02, 0x03, 0x04, 0x06, 0x15
SPOILT = 0x7F
"""What stands for a character with a wrong parity: one that no message has."""

SPEEDS = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}
"""Of modes C, D and E, by the Z character."""

SPEEDS_B = {"A": 600, "B": 1200, "C": 2400, "D": 4800, "E": 9600, "F": 19200}
"""Of mode B."""

LONGEST = 1024
"""Characters of a message to a meter; what is longer is none."""

_SIGN_ON = re.compile(rb"/\?([0-9A-Za-z ]{0,32})!\r\n")
_OPTION = re.compile(rb"\x06([0-9A-Z])([0-9A-Z])([0-9A-Z])\r\n")
_OPTION_SIZE = 6


@dataclass(frozen=True, slots=True)
class SignOn:
    """`/?address!`: whoever has that address shall answer; empty: whoever hears it."""

    address: str


@dataclass(frozen=True, slots=True)
class Option:
    """The acknowledgement `ACK V Z Y` of an identification: protocol, speed, mode."""

    protocol: str
    speed: str
    mode: str


@dataclass(frozen=True, slots=True)
class Command:
    """A programming command: `R1` with the text between STX and ETX; `good`: the check is right."""

    name: str
    text: str
    good: bool = True


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """ACK alone: good, go on."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """NAK: once more."""


Heard = SignOn | Option | Command | Acknowledge | Repeat


def bcc(data: bytes) -> int:
    """The block check character of what stands after SOH or STX, up to and with ETX or EOT (6.3.2)."""
    return reduce(xor, (byte & 0x7F for byte in data), 0)


def block(text: str, end: int = ETX) -> bytes:
    """A data message: STX, text, ETX (EOT where more follows), check."""
    body = text.encode("ascii", "replace") + bytes((end,))
    return bytes((STX,)) + body + bytes((bcc(body),))


def command(name: str, text: str | None = None) -> bytes:
    """A command message: SOH, name, perhaps STX and text, ETX, check."""
    body = name.encode() + (b"" if text is None else bytes((STX,)) + text.encode()) + bytes((ETX,))
    return bytes((SOH,)) + body + bytes((bcc(body),))


def readout(lines: Sequence[str]) -> bytes:
    """The data message of a readout."""
    return block("".join(f"{line}\r\n" for line in lines) + "!\r\n")


def identification(maker: str, speed: str, text: str) -> bytes:
    """`/XXXZ` and the meter's text, which may begin with a backslash and a digit: what else it can do."""
    return f"/{maker}{speed}{text}\r\n".encode()


class Reader:
    """Finds what the tool says.

    Attributes:
        options: an acknowledgement with option is expected, not ACK alone.
    """

    def __init__(self) -> None:
        """Nothing has come."""
        self.options = False
        self._message = bytearray()

    @property
    def started(self) -> bool:
        """Whether something has begun that is not whole."""
        return bool(self._message)

    def reset(self) -> None:
        """Forget what has begun."""
        self._message.clear()

    def feed(self, data: bytes) -> list[Heard]:
        """What `data` completes."""
        heard = (self._next(byte & 0x7F) for byte in data)
        return [message for message in heard if message]

    def _next(self, byte: int) -> Heard | None:
        message = self._message
        if byte == ord("/") and message[:1] != bytes((SOH,)):
            message[:] = b"/"
            return None
        if not message:
            if byte == NAK:
                return Repeat()
            if byte == ACK and not self.options:
                return Acknowledge()
            if byte in (SOH, ACK):
                message.append(byte)
            return None
        message.append(byte)
        if not self._is_whole() and len(message) < LONGEST:
            return None
        whole = bytes(message)
        message.clear()
        return _parsed(whole)

    def _is_whole(self) -> bool:
        message = self._message
        match message[0]:
            case 0x01:
                return len(message) > 3 and message[-2] in (ETX, EOT)
            case 0x06:
                return len(message) == _OPTION_SIZE
        return message[-1] == ord("\n")


def _parsed(message: bytes) -> Heard | None:
    if message[0] == SOH:
        return _command(message)
    if option := _OPTION.fullmatch(message):
        return Option(*(part.decode() for part in option.groups()))
    if sign_on := _SIGN_ON.fullmatch(message):
        return SignOn(sign_on[1].decode())
    return None


def _command(message: bytes) -> Command:
    body, check = message[1:-1], message[-1]
    name, _, text = body[:-1].partition(bytes((STX,)))
    return Command(name.decode("ascii", "replace"), text.decode("ascii", "replace"), bcc(body) == check)
