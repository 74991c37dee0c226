"""A meter after the Landis+Gyr ZMD405C: short names, a long object list by segments, a demand register."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from nportpy.simulator.cosem.acse import Conformance, Context, Mechanism
from nportpy.simulator.cosem.association import Partner, ServerSettings
from nportpy.simulator.cosem.data import Data, double_long_unsigned, long_unsigned, octets, unsigned
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.meter import Meter, MeterSettings, clock_object, hdlc_setup, short_association
from nportpy.simulator.cosem.objects import (
    CosemObject,
    Demand,
    Moment,
    data_object,
    demand_register,
    extended_register,
    obis,
    register,
    sap_assignment,
)
from nportpy.simulator.cosem.profile import Column, Profile
from nportpy.simulator.cosem.readings import Readings, counted, counter, current, share, voltage
from nportpy.simulator.cosem.short import DEVICE_NAME, SAP_LIST

SERIAL = "94407512"
PASSWORD = b"00000000"
LOAD_PROFILE = "1.0.99.1.0"
FIRST_NAME = 0x00B0
"""The base name of the first object: a register of energy."""

PERIOD = 900
CONFORMANCE = Conformance.READ | Conformance.WRITE | Conformance.MULTIPLE | Conformance.PARAMETERISED
WH, VARH, VOLT, AMPERE, WATT, HERTZ, NO_UNIT = 30, 32, 35, 33, 27, 44, 255

_METHODS = {3: 0x28, 4: 0x38, 5: 0x58, 7: 0x78, 8: 0x90, 17: 0x10, 23: 0x48}
"""The size of an object among the short names: its attributes and methods, 8 apart."""

_BILLED = 15
"""Stored billing values of each energy."""


@dataclass(frozen=True, slots=True)
class ZmdSettings:
    """What is particular to this meter.

    Attributes:
        serial: the number on its plate.
        password: of client 32, by LLS.
        meter: what all meters have.
        blocks: it has block transfer with Read; else long answers come in segments only.
        zero_pdu_only: it accepts a client's PDU size of 0 alone.
        first_name: the base name from which its objects lie: another firmware, other names.
        configuration: the counter of changes to its configuration.
    """

    serial: str = SERIAL
    password: bytes = field(default=PASSWORD, repr=False)
    meter: MeterSettings = field(default_factory=lambda: MeterSettings(Address(1, 0)))
    blocks: bool = False
    zero_pdu_only: bool = False
    first_name: int = FIRST_NAME
    configuration: int = 3


def zmd(settings: ZmdSettings | None = None) -> Meter:
    """Such a meter. Clients: 16 without a password, 32 with one."""
    ours = settings or ZmdSettings()
    conformance = CONFORMANCE | (Conformance.BLOCKS_GET if ours.blocks else Conformance(0))
    server = ServerSettings(Context.SHORT, conformance, zero_pdu_only=ours.zero_pdu_only)
    objects = _named(_objects(ours), ours.first_name)
    objects += [
        replace(sap_assignment([(1, _device_name(ours))]), base_name=SAP_LIST),
        replace(data_object("0.0.42.0.0", octets(_device_name(ours))), base_name=DEVICE_NAME),
    ]
    partners = {16: Partner(), 32: Partner(Mechanism.LOW, ours.password)}
    return Meter(ours.meter, server, partners, [*objects, short_association(objects)])


def _device_name(ours: ZmdSettings) -> bytes:
    return b"LGZ" + ours.serial.encode()


def _named(objects: Sequence[CosemObject], first: int) -> list[CosemObject]:
    """The objects at their short names, one after another."""
    named, at = [], first
    for held in objects:
        named.append(replace(held, base_name=at))
        at += _METHODS.get(held.class_id, 8 * (1 + max(held.attributes)))
    return named


def _objects(ours: ZmdSettings) -> list[CosemObject]:
    readings = Readings(77_160_000.0 + int(ours.serial[-3:]), phase=float(int(ours.serial[-4:]) % 997))
    zone = ours.meter.zone
    energies = {
        "1.0.1.8.0": (counter(readings.energy), WH),
        "1.0.2.8.0": (counter(readings.exported), WH),
        "1.0.3.8.0": (counter(readings.reactive), VARH),
    }
    objects = [register(name, value, 0, unit) for name, (value, unit) in energies.items()]
    objects += [register(f"1.0.1.8.{n}", share(readings.energy, n), 0, WH) for n in range(1, 5)]
    for line in (1, 2, 3):
        objects += [
            register(f"1.0.{12 + 20 * line}.7.0", voltage(readings, line), -1, VOLT),
            register(f"1.0.{11 + 20 * line}.7.0", current(readings, line), -3, AMPERE),
        ]
    objects += [
        register("1.0.14.7.0", long_unsigned(5000), -2, HERTZ),
        register("1.0.13.7.0", long_unsigned(930), -3, NO_UNIT),
        register("1.0.1.7.0", lambda moment: counted(readings.power(moment.elapsed)), 0, WATT),
        demand_register("1.0.1.4.0", _demand(ours, readings), 0, WATT),
        extended_register(
            "1.0.1.6.0",
            lambda moment: counted(readings.power(_period_start(moment))),
            0,
            WATT,
            lambda moment: octets(zone.encode(moment.utc)),
        ),
        clock_object(zone),
        data_object("0.0.96.1.0", octets(ours.serial.encode())),
        data_object("1.0.0.0.0", octets(ours.serial.encode())),
        data_object("1.0.0.2.0", octets(b"B31")),
        data_object("0.0.96.2.0", long_unsigned(ours.configuration)),
        data_object("1.0.0.4.2", long_unsigned(1)),
        data_object("1.0.0.4.3", long_unsigned(1)),
        data_object("0.0.97.97.0", double_long_unsigned(0)),
        data_object("0.0.96.10.1", unsigned(0)),
        hdlc_setup(ours.meter.address, ours.meter.link),
    ]
    columns = [Column(1, obis("0.0.96.10.1"), 2, lambda _: unsigned(0))]
    columns += [Column(3, obis(name), 2, value) for name, (value, _) in energies.items()]
    objects.append(Profile(LOAD_PROFILE, columns, zone, ours.meter.profile).cosem_object())
    return objects + _billing(readings)


def _billing(readings: Readings) -> list[CosemObject]:
    """What makes the list of such a meter long: the stored values of each energy and tariff."""
    return [
        register(f"1.0.{kind}.8.{tariff}.{stored}", _stored(readings, tariff, stored), 0, VARH if kind == 3 else WH)
        for kind in (1, 2, 3)
        for tariff in range(4)
        for stored in range(1, _BILLED + 1)
    ]


def _stored(readings: Readings, tariff: int, stored: int) -> Data:
    return counted(readings.base * (4 - tariff) / 10 - 1_000_000 * stored)


def _period_start(moment: Moment) -> float:
    """When the demand period began, in seconds since the meter's start."""
    return moment.elapsed - moment.utc.timestamp() % PERIOD


def _demand(ours: ZmdSettings, readings: Readings) -> Demand:
    """The average power of the running period and of the last one."""

    def average(begin: float, end: float) -> Data:
        return counted(3600 * (readings.energy(end) - readings.energy(begin)) / max(end - begin, 1.0))

    def stamp(moment: Moment) -> Data:
        seconds = moment.utc.timestamp() % PERIOD
        return octets(ours.meter.zone.encode(moment.utc - timedelta(seconds=seconds)))

    return Demand(
        current=lambda moment: average(_period_start(moment), moment.elapsed),
        last=lambda moment: average(_period_start(moment) - PERIOD, _period_start(moment)),
        captured=stamp,
        started=stamp,
        period=double_long_unsigned(PERIOD),
    )
