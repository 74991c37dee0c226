"""Mode E: the sign-on of IEC 62056-21 after which a meter speaks HDLC (annex E).

A meter may confirm the acknowledgement with the same text, before or after it changes its speed, or not at all: so
there is a pause in which whatever comes is heard at the old speed, and forgotten.
"""

from typing import Final

from nportpy.line.lease_base import Leased
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.errors import MeterSilent, NoHdlc
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.iec62056.errors import MeterSilent as NoSignOn
from nportpy.meters.iec62056.link import Link
from nportpy.meters.iec62056.opening import identify
from nportpy.meters.iec62056.settings import Iec62056Settings
from nportpy.protocols.iec62056.identification import C_BAUDRATES, speed_character
from nportpy.protocols.iec62056.messages import Control, Option, acknowledgement

_HIGHEST: Final = 19200
_CONFIRMATION: Final = 0.5  # seconds for it to begin: a reaction of 0.2, and what adapters hold back
_PAUSE: Final = 0.1  # seconds without a character after which it has ended


async def sign_on(leased: Leased, settings: DlmsSettings) -> LineSettings:
    """Sign on, and go to the speed at which HDLC is spoken: that, as 8N1.

    Raises:
        MeterSilent: nothing answers.
        NoHdlc: a meter does, which does not speak it.
        LineUnsupported: the port does not have the speed.
        LineDown: it is gone.
    """
    text = Iec62056Settings(
        device=settings.sign_on_address, baudrate=settings.sign_on_baudrate, tries=settings.tries, gap=0.5
    )
    link = Link(leased, text)
    try:
        found = await identify(link, text)
    except NoSignOn as error:
        raise MeterSilent(str(error)) from None
    if not found.hdlc or found.offer not in C_BAUDRATES:
        raise NoHdlc(
            f"/{found.maker}{found.offer}{found.text} answers the sign-on and offers no HDLC: read it as iec62056"
        )
    speed = speed_character(found.offer, _HIGHEST)
    await link.send(acknowledgement(speed, Option.BINARY, Control.HDLC))
    within = _CONFIRMATION
    while await link.text(within):
        within = _PAUSE
    line = LineSettings(C_BAUDRATES[speed])
    if leased.settings != line:
        await leased.configure(line)
    leased.discard()
    return line
