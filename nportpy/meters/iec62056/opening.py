"""From silence to the point where a meter sends: wake-up, sign-on, acknowledgement, change of speed.

A  data at once, at the first speed       C, E  after the acknowledgement, at the speed that it chooses
B  data at once, at the meter's speed     D     by itself
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from nportpy.meters.iec62056.errors import MeterSilent, MeterUnreadable, WrongSpeed
from nportpy.meters.iec62056.exchange import REPEATS, Message, hear, whole
from nportpy.meters.iec62056.link import Link
from nportpy.meters.iec62056.settings import Iec62056Settings
from nportpy.protocols.iec62056.identification import (
    C_BAUDRATES,
    SIGN_ON_BAUDRATE,
    Identification,
    Mode,
    speed_character,
)
from nportpy.protocols.iec62056.messages import REPEAT, Option, acknowledgement, sign_on
from nportpy.protocols.iec62056.reader import Identified

_WAKE_UP: Final = 2.2
_AWAKE: Final = 1.6
_LONGEST_IDENTIFICATION: Final = 2.0  # seconds: 60 characters at 300 baud
_TEXT: Final = 16  # characters that are enough to tell text from rubbish
_LONGEST_DRAIN: Final = 64 * 1024 * 10 / SIGN_ON_BAUDRATE


@dataclass(frozen=True, slots=True)
class Opened:
    """A meter that has said who it is and begins to send.

    Attributes:
        identification: what it said.
        mode: how it goes on.
        baudrate: at which it is heard now.
        message: what it has sent already, if that had to be heard to know the speed.
    """

    identification: Identification
    mode: Mode
    baudrate: int
    message: Message | None = None


async def identify(link: Link, settings: Iec62056Settings) -> Identification:
    """Sign on.

    Raises:
        MeterSilent: nothing answers.
        LineUnsupported: the port does not have the speed.
        LineDown: it is gone.
    """
    await link.configure(settings.first_baudrate)
    if settings.wake_up:
        await link.write(bytes(round(_WAKE_UP * settings.first_baudrate / 10)))
        await asyncio.sleep(_AWAKE)
    rubbish = 0
    for _ in range(settings.tries):
        link.forget()
        await link.send(sign_on(settings.device))
        found = await _identification(link, settings.identify)
        if found is not None:
            link.reaction = settings.reaction or found.reaction
            return found
        rubbish += link.rubbish
    whom = f"meter {settings.device}" if settings.device else "a meter"
    if rubbish:
        raise MeterSilent(
            f"no identification of {whom}, but {rubbish} bytes of rubbish: speed, parity or another talker"
        )
    raise MeterSilent(f"{whom} does not answer the sign-on at {settings.first_baudrate} baud")


async def listen(link: Link, settings: Iec62056Settings) -> Opened:
    """Wait for a meter that sends by itself (mode D).

    Raises:
        MeterSilent: none did.
        LineUnsupported: the port does not have the speed.
        LineDown: it is gone.
    """
    await link.configure(settings.first_baudrate)
    found = await _identification(link, settings.listen, patient=True)
    if found is None:
        raise MeterSilent(f"no meter sends by itself at {settings.first_baudrate} baud")
    return Opened(found, Mode.D, settings.first_baudrate)


async def open_meter(link: Link, settings: Iec62056Settings, option: Option, highest: int) -> Opened:
    """Sign on and go to the speed at which the meter sends; what it sends is the caller's to hear.

    Args:
        link: to the meter.
        settings: how it is read.
        option: what is asked for in modes C and E.
        highest: baud, not above.

    Raises:
        MeterSilent: nothing answers the sign-on.
        LineUnsupported: the port does not have the speed.
        LineDown: it is gone.
    """
    found = await identify(link, settings)
    if found.mode is Mode.A:
        return Opened(found, Mode.A, settings.first_baudrate)
    if found.mode is Mode.B:
        await link.configure(found.baudrate, bare=True)
        return Opened(found, Mode.B, found.baudrate)
    speed = speed_character(found.offer, highest)
    await asyncio.sleep(settings.delay_before)
    await link.send(acknowledgement(speed, option))
    await asyncio.sleep(settings.delay_after)
    if C_BAUDRATES[speed] != settings.first_baudrate:
        await link.configure(C_BAUDRATES[speed])
    return Opened(found, found.mode, C_BAUDRATES[speed])


async def first_message(link: Link, settings: Iec62056Settings, opened: Opened) -> tuple[Message, int]:
    """What the meter sends after it was opened, and the speed at which it does.

    A meter that has not heard the acknowledgement sends its readout at the first speed; its beginning is lost by the
    time that this is seen, so it is heard to its end and asked for again.

    Raises:
        WrongSpeed: nothing readable came, and a lower speed may help.
        MeterSilent: the same, and there was no change of speed.
        MeterUnreadable: it came, and is spoiled.
        LineDown: the port is gone.
    """
    repeats = REPEATS if opened.mode in (Mode.C, Mode.E) else 0
    try:
        return await whole(link, settings, settings.response, repeats=repeats), opened.baudrate
    except MeterSilent:
        if opened.baudrate == settings.first_baudrate:
            raise MeterSilent("the meter answers the sign-on and then sends nothing") from None
    except MeterUnreadable as error:  # rubbish may look like messages
        if opened.baudrate == settings.first_baudrate or not repeats:
            raise
        raise WrongSpeed(f"nothing readable at {opened.baudrate} baud: {error}") from None
    if repeats and await _sends_slowly(link, settings):
        await link.send(REPEAT)
        message = await hear(link, settings, settings.response)
        if message is not None and not message.spoiled:
            return message, settings.first_baudrate
    raise WrongSpeed(f"nothing readable at {opened.baudrate} baud: the change of speed went wrong")


async def _identification(link: Link, within: float, *, patient: bool = False) -> Identification | None:
    """The next; `patient`: it may come after the end of a message whose beginning was missed."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within + (0.0 if patient else _LONGEST_IDENTIFICATION)
    while (left := end - loop.time()) > 0:
        event = await link.event(min(left, within))
        if isinstance(event, Identified):
            return event.identification
        if event is None:
            if not patient:
                return None
            link.overlook_rubbish()
    return None


async def _sends_slowly(link: Link, settings: Iec62056Settings) -> bool:
    """Whether text comes at the first speed; heard until there is silence."""
    await link.configure(settings.first_baudrate)
    loop = asyncio.get_running_loop()
    end = loop.time() + _LONGEST_DRAIN
    seen = text = 0
    while loop.time() < end and (data := await link.text(settings.response if not seen else settings.gap)):
        seen += len(data)
        text += sum(each >= 0x20 or each in b"\r\n" for each in data)
    return text >= _TEXT and text > 0.9 * seen
