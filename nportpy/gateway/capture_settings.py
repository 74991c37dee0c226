"""`[capture]`: who may watch the lines, and what is kept of them."""

from dataclasses import dataclass
from typing import Final

from nportpy.network.addresses import AllowList
from nportpy.protocols.capture.records import Cause

_FREEZE_ON: Final = frozenset((Cause.NO_ANSWER, Cause.CRC, Cause.UART, Cause.LINE_DOWN))
_NOBODY: Final = AllowList((), "capture.allow")


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """`[capture]`.

    Attributes:
        allow: who may watch beside this machine.
        keep: bytes that each line's flight recorder keeps; 0: it is off.
        freeze_on: what freezes it.
        directory: where what is recorded is written; empty: nothing is.
        record: whose lines are recorded; empty: all.
        files: files of each line; the oldest is removed.
        size: bytes of a file.
    """

    allow: AllowList = _NOBODY
    keep: int = 0
    freeze_on: frozenset[Cause] = _FREEZE_ON
    directory: str = ""
    record: tuple[str, ...] = ()
    files: int = 8
    size: int = 16 << 20
