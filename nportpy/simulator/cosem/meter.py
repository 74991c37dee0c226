"""What simulated meters have in common: a clock, HDLC, a logical device, and its fixed objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from nportpy.simulator.cosem.association import Partner, ServerSettings
from nportpy.simulator.cosem.clock import SUMMER_TIME, Zone
from nportpy.simulator.cosem.data import (
    Data,
    Tag,
    array,
    enum,
    integer,
    long,
    long_unsigned,
    octets,
    structure,
    unsigned,
)
from nportpy.simulator.cosem.frames import Address, Frame
from nportpy.simulator.cosem.link import Link, LinkSettings
from nportpy.simulator.cosem.objects import CosemObject, Moment, obis
from nportpy.simulator.cosem.profile import ProfileSettings
from nportpy.simulator.cosem.server import ASSOCIATION, Server
from nportpy.simulator.cosem.short import ASSOCIATION as SHORT_ASSOCIATION

START = datetime(2026, 11, 21, 17, 58, 15, tzinfo=UTC)
"""What a meter's clock says when it starts, if not told otherwise."""

THINKS = 0.02
"""Seconds that a meter takes for an answer."""

_READABLE = 1


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """What all meters of this kind have.

    Attributes:
        address: where it is on the line.
        narrow: it takes an address of two bytes as well as one of four; else only its own form.
        start: its clock's time at `started`, UTC.
        started: the driver's time at which it started.
        zone: where it is.
        link: HDLC.
        profile: its load profile.
        delay: seconds that it takes for an answer.
        gap: seconds without a character after which it drops a frame that has begun.
    """

    address: Address
    narrow: bool = True
    start: datetime = START
    started: float = 0.0
    zone: Zone = field(default_factory=Zone)
    link: LinkSettings = field(default_factory=LinkSettings)
    profile: ProfileSettings = field(default_factory=ProfileSettings)
    delay: float = THINKS
    gap: float = 0.025


class Meter:
    """A meter on HDLC, or behind the TCP wrapper.

    Attributes:
        settings: what it is.
        server: its logical device.
        link: its HDLC connection.
        objects: what it holds.
    """

    def __init__(
        self,
        settings: MeterSettings,
        server: ServerSettings,
        partners: Mapping[int, Partner],
        objects: Sequence[CosemObject],
    ) -> None:
        """A meter that holds `objects`."""
        self.settings = settings
        self.objects = objects
        self.server = Server(server, partners, objects, self.moment)
        self.link = Link(settings.link, self._serve, self.server.close)

    def moment(self, now: float) -> Moment:
        """What its clock says."""
        elapsed = now - self.settings.started
        return Moment(self.settings.start + timedelta(seconds=elapsed), elapsed)

    def is_for(self, frame: Frame) -> bool:
        """Whether a frame is addressed to it, by a client that it knows."""
        ours, asked = self.settings.address, Address.decode(frame.destination)
        if asked.size != ours.size and not (self.settings.narrow and (asked.size > 1 or not ours.lower)):
            return False
        return (asked.upper, asked.lower) == (ours.upper, ours.lower) and self.server.knows(frame.client)

    def _serve(self, apdu: bytes, now: float) -> bytes | None:
        client = self.link.client
        return None if client is None else self.server.serve(apdu, client, now)


def clock_object(zone: Zone) -> CosemObject:
    """Class 8."""

    def summer(moment: Moment) -> bool:
        return zone.ahead(moment.utc) > zone.offset

    def change(month: int) -> Data:  # the last Sunday at 02:00 or 03:00
        hour = 2 if month == 3 else 3
        return octets(bytes((0xFF, 0xFF, month, 0xFE, 7, hour, 0, 0, 0, 0x80, 0, 0)))

    return CosemObject(
        8,
        obis("0.0.1.0.0"),
        {
            2: lambda moment: octets(zone.encode(moment.utc)),
            3: long(-zone.offset),
            4: lambda moment: unsigned(SUMMER_TIME * summer(moment)),
            5: change(3),
            6: change(10),
            7: integer(60),
            8: Data(Tag.BOOLEAN, zone.summer),
            9: enum(1),
        },
    )


def logical_association(objects: Sequence[CosemObject], server: ServerSettings) -> CosemObject:
    """Class 15, with the list of all objects, itself among them."""
    own = CosemObject(15, ASSOCIATION, {2: array(), 3: array(), 4: array(), 5: array(), 6: array(), 8: array()}, 1)
    context, mechanism = (bytes.fromhex(f"6085740508{part}") for part in ("0101", "0200"))
    return replace(
        own,
        attributes={
            2: array(*(_with_rights(held) for held in (*objects, own))),
            3: structure(integer(16), long_unsigned(1)),
            4: octets(context),
            5: structure(
                Data(Tag.BIT_STRING, f"{int(server.conformance):024b}"),
                long_unsigned(server.pdu_size),
                long_unsigned(server.pdu_size),
                unsigned(6),
                integer(0),
                octets(b""),
            ),
            6: octets(mechanism),
            8: enum(2),
        },
    )


def _with_rights(held: CosemObject) -> Data:
    numbers = (1, *((2,) if held.buffer else ()), *held.attributes)
    selectors = array(integer(1), integer(2)) if held.buffer else Data(Tag.NULL)
    attributes = (
        structure(integer(number), enum(_READABLE), selectors if number == 2 else Data(Tag.NULL))
        for number in sorted(numbers)
    )
    return structure(
        long_unsigned(held.class_id),
        unsigned(held.version),
        octets(held.obis),
        structure(array(*attributes), array()),
    )


def short_association(objects: Sequence[CosemObject]) -> CosemObject:
    """Class 12 at FA00, with the list of all objects, itself among them."""
    own = CosemObject(12, ASSOCIATION, {}, 3, base_name=SHORT_ASSOCIATION)
    listed = (
        structure(
            long(held.base_name - (held.base_name >> 15 << 16)),
            long_unsigned(held.class_id),
            unsigned(held.version),
            octets(held.obis),
        )
        for held in (*objects, own)
    )
    return replace(own, attributes={2: array(*listed)})


def hdlc_setup(address: Address, link: LinkSettings) -> CosemObject:
    """Class 23 of the port that it is read through."""
    return CosemObject(
        23,
        obis("0.0.22.0.0"),
        {
            2: enum(5),
            3: unsigned(link.window),
            4: unsigned(link.window),
            5: long_unsigned(link.information),
            6: long_unsigned(link.information),
            7: long_unsigned(25),
            8: long_unsigned(int(link.inactivity)),
            9: long_unsigned(address.lower),
        },
        version=1,
    )
