"""A client that reads one DLMS/COSEM meter, by logical or short names, over HDLC or the TCP wrapper.

It owns no line: it is given a way to take a lease on one (or a TCP endpoint), takes it for each call, and gives the
line back in between while the association stays for as long as the meter keeps it.
"""
# ruff: noqa: ARG002 - what its calls take is what drivers and commands are written for

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nportpy.errors import LineUnsupported
from nportpy.meters.dlms.objects import Attribute, CosemObject, Profile, Result
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.transport import OverLine, OverTcp

_UNFINISHED: Final = "this version cannot ask DLMS meters yet: what it needs beneath is there, the client is not"


class DlmsClient:
    """Reads one meter. One call at a time; after any error the next call starts over as far as it must.

    Every call raises, besides what it names itself:
        MeterSilent: nothing answers.
        AssociationRefused, AuthenticationRefused: the meter answers and refuses.
        ServiceRefused: it answers an error to everything that was asked.
        ProtocolError: what it says makes no sense.
        LineError: the lease was refused or has ended, the line is down.
        OSError never: a lost connection is a LineDown.
    """

    def __init__(self, settings: DlmsSettings, transport: OverLine | OverTcp, name: str = "") -> None:
        """Read the meter `settings` describe over `transport`; `name` is for log lines and traces."""

    async def connect(self) -> None:
        """Open and associate now, where that is not done yet; each other call does it by itself."""
        raise LineUnsupported(_UNFINISHED)

    async def read(self, attributes: Sequence[Attribute], *, scaled: bool = True) -> list[Result]:
        """Results in the order of `attributes`; several at once where the meter can.

        `scaled`: with scaler and unit of registers, which are read once and kept. What the meter refuses is a result
        with its reason; an error is raised where nothing at all could be asked.
        """
        raise LineUnsupported(_UNFINISHED)

    async def objects(self, *, fresh: bool = False) -> list[CosemObject]:
        """The objects of this association: read once, and again if the meter was exchanged or `fresh`."""
        raise LineUnsupported(_UNFINISHED)

    async def profile(self, obis: bytes, start: datetime, end: datetime) -> Profile:
        """The rows of profile `obis` from `start` to `end`, both with zone and both within."""
        raise LineUnsupported(_UNFINISHED)

    async def close(self) -> None:
        """End the association, as far as the meter still hears; never raises because it does not."""
