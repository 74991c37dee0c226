"""A client that reads one DLMS/COSEM meter, by logical or short names, over HDLC or the TCP wrapper.

It owns no line: it is given a way to take a lease on one (or a TCP endpoint), takes it for each call, and gives the
line back in between while the association stays for as long as the meter keeps it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from nportpy.errors import LineError, ProtocolError
from nportpy.meters.dlms.association import Association
from nportpy.meters.dlms.catalogue import UNDEFINED, Catalogue, Located
from nportpy.meters.dlms.errors import AssociationRefused, ConnectionLost, Dissociated
from nportpy.meters.dlms.objects import Attribute, CosemObject, Profile, Result
from nportpy.meters.dlms.profiles import Profiles
from nportpy.meters.dlms.services import Services, Wanted
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.transport import OverLine, OverTcp
from nportpy.protocols.dlms.results import Refused
from nportpy.protocols.dlms.results import Result as Value

FAREWELL: Final = 3.0
"""Seconds for which the end of an association may take the line."""

_WRONG_PLACE: Final = frozenset((4, 9, 11, 12))  # results of an attribute that may be elsewhere, or of another class
_T = TypeVar("_T")
Found = dict[Wanted, Value | ProtocolError]
"""What was read, by how it was asked for."""


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
        self._channel = transport.channel(settings, name)
        self._association = Association(settings, self._channel)
        self._services = Services(settings, self._association)
        self._catalogue = Catalogue(settings, self._association, self._services)
        self._profiles = Profiles(settings, self._services, self._catalogue)
        self._turn = asyncio.Lock()

    async def connect(self) -> None:
        """Open and associate now, where that is not done yet; each other call does it by itself."""

        async def nothing() -> None:
            return

        await self._ask(nothing)

    async def read(self, attributes: Sequence[Attribute], *, scaled: bool = True) -> list[Result]:
        """Results in the order of `attributes`; several at once where the meter can.

        `scaled`: with scaler and unit of registers, which are read once and kept. What the meter refuses is a result
        with its reason; an error is raised where nothing at all could be asked.
        """
        found: Found = {}  # survives a new association

        async def read() -> list[Result]:
            await self._catalogue.check()
            places = {each: await self._catalogue.locate(each) for each in dict.fromkeys(attributes)}
            await self._fetch(places.values(), found, scaled=scaled)
            doubtful = [each for each, place in places.items() if _may_be_elsewhere(place, found)]
            if doubtful and await self._catalogue.listing_helps():
                places |= {each: await self._catalogue.locate(each) for each in doubtful}
                for each in doubtful:
                    if (place := places[each]) is not None:
                        found.pop(place.wanted, None)
                await self._fetch(places.values(), found, scaled=scaled)
            return [self._result(each, places[each], found, scaled=scaled) for each in attributes]

        return await self._ask(read)

    async def objects(self, *, fresh: bool = False) -> list[CosemObject]:
        """The objects of this association: read once, and again if the meter was exchanged or `fresh`."""

        async def objects() -> list[CosemObject]:
            await self._catalogue.check()
            return list(await self._catalogue.objects(fresh=fresh))

        return await self._ask(objects)

    async def profile(self, obis: bytes, start: datetime, end: datetime) -> Profile:
        """The rows of profile `obis` from `start` to `end`, both with zone and both within."""

        async def profile() -> Profile:
            await self._catalogue.check()
            return await self._profiles.read(obis, start, end)

        return await self._ask(profile)

    async def close(self) -> None:
        """End the association, as far as the meter still hears; never raises because it does not."""
        self._association.open = False
        if not self._channel.connected:
            self._channel.abandon()
            return
        try:
            async with asyncio.timeout(FAREWELL), self._turn, self._channel.hold():
                await self._channel.disconnect()
        except (TimeoutError, LineError):
            pass  # it forgets us by itself

    async def _ask(self, what: Callable[[], Awaitable[_T]]) -> _T:
        """Do `what` within an association: the one there is, or a new one.

        A connection or association that turns out to be gone is made again, once: meters forget them, and a lost one
        costs a repeat and not a poll.
        """
        async with self._turn, self._channel.hold():
            await self._associate()
            try:
                return await what()
            except (ConnectionLost, Dissociated):
                await self._associate(anew=True)
                return await what()

    async def _associate(self, *, anew: bool = False) -> None:
        """Be in an association; what was said to no avail is not said again."""
        if self._association.open and self._channel.connected and not anew:
            return
        self._association.open = False
        await self._channel.connect()
        try:
            await self._association.associate()
        except AssociationRefused:
            await self._channel.disconnect()  # others may want to be connected
            raise

    async def _fetch(self, places: Iterable[Located | None], found: Found, *, scaled: bool) -> None:
        """What is there, and its scalers where they are not known yet."""
        there = [place for place in places if place is not None]
        scalers = [place.scaler for place in there if scaled and place.scaler is not None]
        unknown = [each for each in dict.fromkeys(scalers) if not self._catalogue.knows_scaler(each)]
        await self._services.fetch([*(place.wanted for place in there), *unknown], found)
        self._catalogue.learn_scalers(unknown, found)

    def _result(self, asked: Attribute, place: Located | None, found: Found, *, scaled: bool) -> Result:
        if place is None:
            reason = f"{Refused(UNDEFINED)}; its list for this client has none"
            return Result(asked, reason=reason, code=UNDEFINED, class_id=asked.class_id)
        value, class_id = found[place.wanted], place.wanted.class_id
        if isinstance(value, ProtocolError):
            return Result(asked, reason=str(value), class_id=class_id)
        if isinstance(value, Refused):
            return Result(asked, reason=str(value), code=value.code, class_id=class_id)
        if not scaled or place.scaler is None:
            return Result(asked, value, class_id=class_id)
        if not self._catalogue.knows_scaler(place.scaler):
            return Result(asked, reason=f"its scaler cannot be read: {_why(found, place.scaler)}", class_id=class_id)
        scaler, unit = self._catalogue.scaler(place.scaler) or (None, None)
        return Result(asked, value, scaler=scaler, unit=unit, class_id=class_id)


def _why(found: Found, wanted: Wanted) -> str:
    value = found.get(wanted)
    return str(value) if isinstance(value, Refused | ProtocolError) else "it was not asked for"


def _may_be_elsewhere(place: Located | None, found: Found) -> bool:
    """Whether a refusal may come from a class that was guessed, or from a short name that is another's by now."""
    if place is None or not (place.guessed or place.wanted.name >= 0) or not place.wanted.obis:
        return False
    value = found.get(place.wanted)
    return isinstance(value, Refused) and value.code in _WRONG_PLACE
