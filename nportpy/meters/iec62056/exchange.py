"""One message of a meter, whole: its lines, its block check, and up to three repeats where that is bad."""

from dataclasses import dataclass, field
from typing import Final

from nportpy.meters.iec62056.errors import MeterSilent, MeterUnreadable
from nportpy.meters.iec62056.link import Link
from nportpy.meters.iec62056.settings import Iec62056Settings
from nportpy.protocols.iec62056.datasets import DataSet, Line, Unreadable
from nportpy.protocols.iec62056.messages import REPEAT
from nportpy.protocols.iec62056.reader import (
    Acknowledged,
    Break,
    Check,
    ErrorText,
    Malformed,
    MessageEnd,
    NotAcknowledged,
    PasswordRequest,
)

REPEATS: Final = 3
"""How often a message may be asked for again (IEC 62056-21:2002, 6.3.4)."""


@dataclass(slots=True)
class Message:
    """What a meter said.

    Attributes:
        lines: in their order, those that cannot be read too.
        check: of the block.
        more: it is a part, and another follows once it is acknowledged.
        error: the meter refuses, in these words.
        asks_password: it is in programming mode and may want one.
        broke: it has ended the session.
        agrees: it said ACK (true) or NAK (false) and nothing else; None: neither.
        spoiled: why it cannot be used; empty: it can.
    """

    lines: list[Line | Unreadable] = field(default_factory=list)
    check: Check = Check.ABSENT
    more: bool = False
    error: str = ""
    asks_password: bool = False
    broke: bool = False
    agrees: bool | None = None
    spoiled: str = ""

    @property
    def sets(self) -> list[DataSet]:
        """All data sets."""
        return [each for line in self.lines if isinstance(line, Line) for each in line.sets]


async def hear(link: Link, settings: Iec62056Settings, within: float, *, agrees: bool = False) -> Message | None:
    """The next message, good or spoiled; None: silence, or nothing that a meter would say.

    Args:
        link: to the meter.
        settings: how it is read.
        within: until it begins.
        agrees: ACK or NAK may be all of it; else they are rubbish.

    Raises:
        LineDown: the port is gone.
    """
    message = Message()
    while True:
        event = await link.event(within)
        within = settings.gap
        match event:
            case None:
                return None
            case Line() | Unreadable():
                message.lines.append(event)
            case ErrorText(text):
                message.error = text
            case PasswordRequest():
                message.asks_password = True
            case Break():
                message.broke = True
            case Acknowledged() | NotAcknowledged() if agrees:
                message.agrees = isinstance(event, Acknowledged)
                return message
            case MessageEnd(check, more):
                message.check, message.more = check, more
                if check is Check.BAD and settings.check:
                    message.spoiled = "its block check is wrong"
                return message
            case Malformed(reason):
                return Message(spoiled=reason)
            case _:  # identifications, commands of others, rubbish
                pass


async def whole(
    link: Link, settings: Iec62056Settings, within: float, *, repeats: int = REPEATS, agrees: bool = False
) -> Message:
    """The next message, good; asked for again where it is spoiled.

    Args:
        link: to the meter.
        settings: how it is read.
        within: until it begins.
        repeats: how often it may be asked for again; 0: the mode knows no repeat.
        agrees: see `hear`.

    Raises:
        MeterSilent: nothing came that a meter would say.
        MeterUnreadable: it is spoiled, and so are the repeats.
        LineDown: the port is gone.
    """
    reason, unchecked = "", None
    for attempt in range(repeats + 1):
        message = await hear(link, settings, within, agrees=agrees)
        if message is None and not attempt:
            raise MeterSilent("the meter says nothing")
        if message is None:
            reason = f"{reason}, and it was not repeated"
            break
        if not message.spoiled and (message.check is not Check.ABSENT or message.agrees is not None or not repeats):
            return message
        if not message.spoiled:
            unchecked, message.spoiled = message, "its block check is missing"
        reason = f"the meter's message cannot be used: {message.spoiled}"
        if attempt < repeats:
            await link.send(REPEAT)
            within = settings.response
    if unchecked is not None:  # a meter without block checks
        unchecked.spoiled = ""
        return unchecked
    raise MeterUnreadable(reason)
