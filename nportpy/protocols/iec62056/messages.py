"""What a reading device sends (IEC 62056-21:2002, clauses 5.9, 6.3, 6.5). Nothing here writes to a meter.

Messages are 7-bit characters; a port without parity sends them through `characters.with_parity`.
"""

import re
from enum import StrEnum
from typing import Final

from nportpy.protocols.iec62056.characters import ACK, ETX, NAK, SOH, STX, block_check

ACKNOWLEDGE: Final = bytes((ACK,))
REPEAT: Final = bytes((NAK,))

_DEVICE: Final = re.compile(r"[0-9A-Za-z ]{0,32}")
_TEXT: Final = re.compile(r"[\x20-\x7e]{0,32}")


class Control(StrEnum):
    """V of the acknowledgement: which procedure follows."""

    NORMAL = "0"
    SECONDARY = "1"
    HDLC = "2"


class Option(StrEnum):
    """Y of the acknowledgement: what is asked for."""

    READOUT = "0"
    PROGRAMMING = "1"
    BINARY = "2"


class Command(StrEnum):
    """Messages of the programming mode that read. Those that write or execute are left out on purpose."""

    PASSWORD = "P1"  # noqa: S105 - the name of a message
    PASSWORD_RESULT = "P2"  # noqa: S105 - the same: the operand of P0, worked on as the maker does it
    READ = "R1"
    READ_FORMATTED = "R2"
    READ_PART = "R3"
    READ_FORMATTED_PART = "R4"
    READ_PROFILE = "R5"
    READ_PROFILE_PART = "R6"
    BREAK = "B0"


def sign_on(device: str = "") -> bytes:
    """The request message (6.3.1): every meter answers it, or the one with the address `device` alone.

    Raises:
        ValueError: a device address has up to 32 digits, letters and spaces.
    """
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"{device!r} is no device address: up to 32 digits, letters A-Z a-z and spaces")
    return f"/?{device}!\r\n".encode("ascii")


def acknowledgement(speed: str, option: Option = Option.READOUT, control: Control = Control.NORMAL) -> bytes:
    """The acknowledgement and option select message (6.3.3).

    Args:
        speed: Z, not above the one that the meter offers; 0 stays at 300 baud.
        option: what is asked for.
        control: which procedure follows.

    Raises:
        ValueError: the speed is no digit.
    """
    if len(speed) != 1 or speed not in "0123456789":
        raise ValueError(f"{speed!r} is no speed of mode C: one of 0-9")
    return bytes((ACK,)) + f"{control}{speed}{option}\r\n".encode("ascii")


def command(what: Command, address: str = "", value: str = "") -> bytes:
    """A message of the programming mode (6.3.6, 6.5): SOH, the command, STX, a data set, ETX, the block check.

    Args:
        what: the command; BREAK has no data set.
        address: of the data set.
        value: of it; for `PASSWORD` the password, for profiles `from;to`.

    Raises:
        ValueError: a character that the grammar gives another meaning. The value is not named: it may be a password.
    """
    if what is Command.BREAK:
        body = what.encode("ascii")
    else:
        if not _plain(address, "()/!") or not _plain(value, "()/!*"):
            raise ValueError("addresses, passwords and values are up to 32 printable ASCII characters without ( ) / !")
        body = what.encode("ascii") + bytes((STX,)) + f"{address}({value})".encode("ascii")
    body += bytes((ETX,))
    return bytes((SOH, *body, block_check(body)))


def _plain(text: str, reserved: str) -> bool:
    return _TEXT.fullmatch(text) is not None and not set(reserved) & set(text)
