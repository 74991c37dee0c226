"""What is known of a meter and stays the same: its objects, the scalers of its registers, the columns of its profiles.

It is read when it is first needed, and kept for as long as the meter is the same one: at each new association, serial
number, firmware and configuration counter are compared, and if one has changed, everything is forgotten.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.meters.dlms.association import Association
from nportpy.meters.dlms.errors import ServiceRefused
from nportpy.meters.dlms.objects import Attribute, CosemObject
from nportpy.meters.dlms.services import Services, Wanted
from nportpy.meters.dlms.settings import DlmsSettings, Referencing
from nportpy.protocols.dlms import short
from nportpy.protocols.dlms.classes import (
    ASSOCIATION_LN,
    ASSOCIATION_SN,
    CURRENT_ASSOCIATION,
    VALUE,
    object_list,
    scaler_attribute,
    scaler_unit,
    usual_class,
)
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import Refused, Result
from nportpy.protocols.dlms.simple import Value

log = logging.getLogger(__name__)

UNDEFINED: Final = 4
"""The Data-Access-Result of an object that is not there."""

_IDENTITY: Final = tuple(
    Obis.parse(text).code for text in ("0.0.96.1.0.255", "1.0.0.0.0.255", "1.0.0.2.0.255", "0.0.96.2.0.255")
)
"""Serial number, customer's number, firmware, counter of configurations: values of class 1."""

Scaler = tuple[int, int] | None

_MISSING: Final = ProtocolError("it was not asked for")


@dataclass(frozen=True, slots=True)
class Located:
    """An attribute that is known to be somewhere.

    Attributes:
        wanted: how it is asked for.
        scaler: how its scaler is; None: it has none.
        guessed: its class is a guess.
    """

    wanted: Wanted
    scaler: Wanted | None = None
    guessed: bool = False


class Catalogue:
    """See above.

    Attributes:
        generation: how often everything was forgotten; what others know of the meter goes by it.
    """

    def __init__(self, settings: DlmsSettings, association: Association, services: Services) -> None:
        """Nothing is known."""
        self._settings = settings
        self._association = association
        self._services = services
        self._short = settings.referencing is Referencing.SHORT
        self._identity: tuple[Value | Refused, ...] | None = None
        self._objects: list[CosemObject] | None = None
        self._by_name: dict[bytes, list[CosemObject]] = {}
        self._listed_in = 0  # the number of the association in which the list was read
        self._checked_in = 0
        self._unlisted_in = 0  # the same in which the meter refused its list
        self._scalers: dict[Wanted, Scaler] = {}
        self.generation = 0

    async def check(self) -> None:
        """Once in each association: is it the same meter? If not, all that was known is forgotten.

        Raises:
            as `Services.fetch`.
        """
        if self._checked_in == self._association.number:
            return
        if self._short and self._objects is None:
            return  # nobody knows their short names yet; `objects` does it
        found = await self._identify()
        if self._identity is not None and _differ(self._identity, found):
            log.warning("another meter, or another configuration: its objects are read again",
                        extra={"meter": self._association.whom})  # fmt: skip
            self.forget()
        self._identity, self._checked_in = found, self._association.number

    def forget(self) -> None:
        """Everything is to be read again."""
        self._objects = None
        self._by_name.clear()
        self._scalers.clear()
        self.generation += 1

    async def objects(self, *, fresh: bool = False) -> list[CosemObject]:
        """The object list.

        Raises:
            ServiceRefused: the meter does not give it to this client.
            as `Services.get`.
        """
        if self._objects is not None and not fresh:
            return self._objects
        if self._short:
            wanted = Wanted(ASSOCIATION_SN, b"", VALUE, short.OBJECT_LIST)
        else:
            wanted = Wanted(ASSOCIATION_LN, CURRENT_ASSOCIATION.code, VALUE)
        value = await self._services.get(wanted, self._settings.long_response)
        if isinstance(value, Refused):
            raise ServiceRefused(f"{self._association.whom} does not give its object list: {value}")
        self.forget()
        self._objects = [
            CosemObject(each.class_id, each.version, each.name.code, each.base_name) for each in object_list(value)
        ]
        for each in self._objects:
            self._by_name.setdefault(each.obis, []).append(each)
        self._listed_in = self._association.number
        if self._short:
            self._identity = None
            await self.check()
        return self._objects

    async def locate(self, asked: Attribute) -> Located | None:
        """Where an attribute is; None: the meter's list does not have it.

        Raises:
            as `objects`.
        """
        if asked.short_name is not None:
            return Located(Wanted(asked.class_id, b"", asked.attribute, asked.short_name))
        if self._short:
            await self.objects()
        if self._objects is not None:
            listed = self._listed(asked)
            if listed is not None:
                return self._located(listed.class_id, asked, listed.base_name)
            if self._short or not asked.class_id:
                return None
        return self._located(asked.class_id or usual_class(asked.obis), asked, None, guessed=not asked.class_id)

    async def listing_helps(self) -> bool:
        """Whether the object list, read now, may tell what a refusal means; it is read for that.

        Raises:
            LineError, Dissociated: as `Services.get`.
        """
        number = self._association.number
        if number in (self._listed_in, self._unlisted_in):
            return False
        try:
            await self.objects(fresh=True)
        except ServiceRefused:
            self._unlisted_in = number
            return False
        return True

    def learn_scalers(self, wanted: Iterable[Wanted], found: dict[Wanted, Result | ProtocolError]) -> None:
        """Keep what was found of scalers: those that were read, and those that there are none of."""
        for each in wanted:
            value = found.get(each, _MISSING)
            if isinstance(value, ProtocolError) or (isinstance(value, Refused) and not value.permanent):
                continue  # it may be there the next time
            self._scalers[each] = None if isinstance(value, Refused) else scaler_unit(value)

    def knows_scaler(self, wanted: Wanted) -> bool:
        """Whether it need not be asked for."""
        return wanted in self._scalers

    def scaler(self, wanted: Wanted) -> Scaler:
        """Scaler and unit; None: there are none."""
        return self._scalers.get(wanted)

    def _listed(self, asked: Attribute) -> CosemObject | None:
        of_that_name = self._by_name.get(asked.obis, [])
        return next((each for each in of_that_name if asked.class_id in (0, each.class_id)), None)

    def _located(self, class_id: int, asked: Attribute, base: int | None, *, guessed: bool = False) -> Located:
        scaler = scaler_attribute(class_id, asked.attribute)
        return Located(
            _wanted(class_id, asked.obis, asked.attribute, base),
            None if scaler is None else _wanted(class_id, asked.obis, scaler, base),
            guessed,
        )

    async def _identify(self) -> tuple[Value | Refused, ...]:
        located = []
        for obis in _IDENTITY:
            there = await self.locate(Attribute(obis, VALUE, 0 if self._objects is not None else 1))
            located.append(None if there is None else there.wanted)
        found: dict[Wanted, Result | ProtocolError] = {}
        await self._services.fetch([each for each in located if each is not None], found)
        return tuple(_plain(found.get(each)) if each is not None else None for each in located)


def _wanted(class_id: int, obis: bytes, number: int, base: int | None) -> Wanted:
    return Wanted(class_id, obis, number, -1 if base is None else short.attribute_name(base, number))


def _plain(value: Result | ProtocolError | None) -> Value | Refused:
    return None if isinstance(value, ProtocolError) else value


def _differ(one: tuple[Value | Refused, ...], other: tuple[Value | Refused, ...]) -> bool:
    """Whether two meters said that; what one of them did not say tells nothing."""
    return any(
        before != after and before is not None and after is not None for before, after in zip(one, other, strict=True)
    )
