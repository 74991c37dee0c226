"""How people name what is read of a meter.

What an address may be:

    1.0.1.8.0.255          an OBIS code, in any of its forms: the value of the object (attribute 2)
    1-0:1.8.0*255
    1.8.0
    1.0.1.6.0.255/5        another attribute of it
    5:1.0.1.4.0.255/3      with the class, for what an object list does not tell
    0x00B8                 a short name: that very attribute, and nothing is looked up

    1.0.1.29.0.255 in 1.0.99.1.0.255    a column of a profile: its rows, as the meter kept them

Spaces around it do not count.
"""

import re
from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.meters.dlms.objects import Attribute
from nportpy.protocols.dlms.obis import Obis

FORMS: Final = "1.0.1.8.0.255, 1-0:1.8.0*255 or 1.8.0, with another attribute 1.8.0/3, or a short name 0x00B8"

_SHORT_NAME: Final = re.compile(r"0[xX]([0-9a-fA-F]{1,4})")
_PLACE: Final = re.compile(r"(?:([0-9]{1,5}):)?([^/\s]+?)(?:/(-?[0-9]{1,3}))?")
_IN: Final = re.compile(r"\s+in\s+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tag's value lies.

    Attributes:
        attribute: of which object.
        profile: the profile whose rows are read, by its logical name; b"": none, the attribute itself is read.
    """

    attribute: Attribute
    profile: bytes = b""

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The place that `text` names.

        Raises:
            ValueError: it names none.
        """
        parts = _IN.split(text.strip())
        if len(parts) > 2:
            raise ValueError(f"{text!r} is in one profile at most")
        attribute = parse(parts[0])
        if len(parts) == 1:
            return cls(attribute)
        if not attribute.obis:
            raise ValueError(f"{text!r}: the columns of a profile have OBIS codes, not short names")
        try:
            return cls(attribute, Obis.parse(parts[1]).code)
        except ProtocolError as error:
            raise ValueError(str(error)) from None


def parse(text: str) -> Attribute:
    """The attribute that `text` names.

    Raises:
        ValueError: it names none.
    """
    given = text.strip()
    if (short := _SHORT_NAME.fullmatch(given)) is not None:
        return Attribute(b"", short_name=int(short[1], 16))
    found = _PLACE.fullmatch(given)
    if found is None:
        raise ValueError(f"{text!r} names nothing in a meter; write {FORMS}")
    class_id, number = int(found[1] or 0), int(found[3] or 2)
    if class_id > 0xFFFF or not -128 <= number <= 127 or not number:
        raise ValueError(f"{text!r}: a class is 1 to 65535, an attribute 1 to 127, or -128 to -1 of a manufacturer")
    try:
        return Attribute(Obis.parse(found[2]).code, number, class_id)
    except ProtocolError as error:
        raise ValueError(str(error)) from None


def name_of(attribute: Attribute) -> str:
    """An attribute as `parse` takes it, in the standard's form."""
    if attribute.short_name is not None:
        return f"0x{attribute.short_name:04X}"
    text = str(Obis(attribute.obis))
    return text if attribute.attribute == 2 else f"{text}/{attribute.attribute}"
