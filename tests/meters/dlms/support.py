"""Both simulated meters on a wire with time, and clients for them."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.client import DlmsClient
from nportpy.meters.dlms.settings import Authentication, DlmsSettings, Referencing
from nportpy.meters.dlms.transport import OverLine
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.meter import Meter
from nportpy.simulator.cosem.mt880 import PASSWORD, Mt880Settings, mt880
from nportpy.simulator.cosem.script import parse as parse_script
from nportpy.simulator.cosem.zmd import ZmdSettings, zmd
from tests.meters.iec62056.meter import run
from tests.support.wired import WiredLine

ZONE = ZoneInfo("Europe/Bratislava")
LN = DlmsSettings(client=1, lower=59, authentication=Authentication.LOW, secret=PASSWORD, zone=ZONE)
SN = DlmsSettings(referencing=Referencing.SHORT, zone=ZONE)
PUBLIC = replace(LN, client=16, authentication=Authentication.NONE, secret=b"")
T = TypeVar("T")


def fault(kind: str, **keys: object) -> str:
    lines = [f'kind = "{kind}"', *(f"{key} = {value!r}".replace("'", '"') for key, value in keys.items())]
    return "[[fault]]\n" + "\n".join(lines) + "\n"


def wired(*meters: Meter, script: str = "", echo: bool = False, character: float = 10 / 9600) -> WiredLine:
    """A line with these meters; without any, an MT880."""
    spoils = parse_script(script.encode()) if script else None
    line = MeterLine(meters or [mt880()], character=character, spoils=spoils)
    return WiredLine(line, LineSettings(9600), echo=echo)


def conversing(
    line: WiredLine, conversation: Callable[[DlmsClient], Coroutine[Any, Any, T]], settings: DlmsSettings = LN
) -> T:
    """What comes of a conversation with one meter, on virtual time; the client is closed behind it."""

    async def converse() -> T:
        client = DlmsClient(settings, OverLine(line.lease), "meter")
        try:
            return await conversation(client)
        finally:
            await client.close()

    return run(converse)


def frames(line: WiredLine, kind: str) -> int:
    """How many frames of a kind were sent: snrm, disc, aarq."""
    control = {"snrm": 0x93, "disc": 0x53}.get(kind)
    if control is None:
        return sum(b"\xe6\xe6\x00\x60" in each for each in line.sent_frames)
    return sum(control in (each[3 + width + 1] for width in (1, 2, 4) if len(each) > 4 + width and each[2 + width] & 1)
               and len(each) < 14 for each in line.sent_frames)  # fmt: skip


__all__ = ["LN", "PUBLIC", "SN", "Mt880Settings", "ZmdSettings", "conversing", "fault", "frames", "mt880", "wired"]
__all__ += ["zmd"]
