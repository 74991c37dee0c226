"""A meter after the Iskraemeco MT880: logical names, a password, segments, blocks and a load profile."""

from dataclasses import dataclass, field, replace

from nportpy.simulator.cosem.acse import Conformance, Context, Mechanism
from nportpy.simulator.cosem.association import Partner, ServerSettings
from nportpy.simulator.cosem.data import double_long_unsigned, long_unsigned, octets, unsigned
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.meter import (
    Meter,
    MeterSettings,
    clock_object,
    hdlc_setup,
    logical_association,
)
from nportpy.simulator.cosem.objects import (
    CosemObject,
    data_object,
    extended_register,
    obis,
    register,
    sap_assignment,
)
from nportpy.simulator.cosem.profile import Column, Profile
from nportpy.simulator.cosem.readings import Readings, counted, counter, current, share, voltage
from nportpy.simulator.cosem.security import Keys

SERIAL = "72211943"
PASSWORD = b"12345678"
LOAD_PROFILE = "1.0.99.1.0"
PUBLIC = 16
TITLE = b"ISK\0" + bytes.fromhex("0044DD67")
KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))

WH, VARH, VOLT, AMPERE, WATT, HERTZ, SECOND, NO_UNIT = 30, 32, 35, 33, 27, 44, 7, 255

CONFORMANCE = (
    Conformance.BLOCKS_GET
    | Conformance.MULTIPLE
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE
    | Conformance.ACTION
)


def lower_address(serial: str) -> int:
    """16 and the last two digits of the serial number."""
    return 16 + int(serial[-2:])


@dataclass(frozen=True, slots=True)
class Mt880Settings:
    """What is particular to this meter.

    Attributes:
        serial: the number on its plate.
        password: of client 1, by LLS.
        meter: what all meters have; the lower address is that of the serial number if it is 0.
        conformance: the services that it has.
        pdu_size: bytes of an APDU.
        configuration: the counter of changes to its configuration.
    """

    serial: str = SERIAL
    password: bytes = field(default=PASSWORD, repr=False)
    meter: MeterSettings = field(default_factory=lambda: MeterSettings(Address(1, 0)))
    conformance: Conformance = CONFORMANCE
    pdu_size: int = 500
    configuration: int = 7


def mt880(settings: Mt880Settings | None = None) -> Meter:
    """Such a meter.

    Clients: 1 with the password; 16, public, may not read the load profile; 3, 4, 5 and 6 by the HLS of that number
    (MD5, SHA-1, GMAC, SHA-256) with the password as the secret, 5 also ciphered.
    """
    ours = settings or Mt880Settings()
    common = ours.meter
    if not common.address.lower:
        common = replace(common, address=replace(common.address, lower=lower_address(ours.serial)))
    server = ServerSettings(Context.LOGICAL, ours.conformance, ours.pdu_size, title=TITLE)
    objects = _objects(ours, common)
    association = logical_association(objects, server)
    denied = frozenset((obis(LOAD_PROFILE),))
    partners: dict[int, Partner] = {
        1: Partner(Mechanism.LOW, ours.password),
        PUBLIC: Partner(denied=denied),
        **{
            mechanism: Partner(mechanism, ours.password, keys=KEYS if mechanism is Mechanism.GMAC else None)
            for mechanism in (Mechanism.MD5, Mechanism.SHA1, Mechanism.GMAC, Mechanism.SHA256)
        },
    }
    return Meter(common, server, partners, [*objects, association])


def _objects(ours: Mt880Settings, common: MeterSettings) -> list[CosemObject]:
    # Another meter, another load: the serial number sets them apart.
    readings = Readings(77_160_000.0 + 1000 * int(ours.serial[-2:]), phase=float(int(ours.serial[-4:]) % 997))
    energies = {
        "1.0.1.8.0": counter(readings.energy),
        "1.0.2.8.0": counter(readings.exported),
        "1.0.3.8.0": counter(readings.reactive),
    }
    objects = [
        data_object("0.0.42.0.0", octets(b"ISK0" + ours.serial.encode())),
        data_object("0.0.96.1.0", octets(ours.serial.encode())),
        data_object("1.0.0.0.0", octets(ours.serial.encode())),
        data_object("1.0.0.2.0", octets(b"MT880 V1.09")),
        data_object("0.0.96.2.0", long_unsigned(ours.configuration)),
        data_object("1.0.0.4.2", long_unsigned(1)),
        data_object("1.0.0.4.3", long_unsigned(1)),
        data_object("0.0.96.14.0", unsigned(1)),
        data_object("0.0.97.97.0", double_long_unsigned(0)),
        sap_assignment([(1, b"ISK0" + ours.serial.encode())]),
        hdlc_setup(common.address, common.link),
        clock_object(common.zone),
    ]
    objects += [register(name, value, 0, VARH if name == "1.0.3.8.0" else WH) for name, value in energies.items()]
    for tariff in range(1, 5):
        objects += [register(f"1.0.1.8.{tariff}", share(readings.energy, tariff), 0, WH)]
    for line in (1, 2, 3):
        objects += [
            register(f"1.0.{12 + 20 * line}.7.0", voltage(readings, line), -1, VOLT),
            register(f"1.0.{11 + 20 * line}.7.0", current(readings, line), -3, AMPERE),
        ]
    objects += [
        register("1.0.1.7.0", lambda moment: counted(readings.power(moment.elapsed)), 0, WATT),
        register("1.0.14.7.0", long_unsigned(5000), -2, HERTZ),
        register("1.0.13.7.0", long_unsigned(930), -3, NO_UNIT),
        extended_register(
            "1.0.1.6.0",
            lambda moment: counted(readings.power(moment.elapsed - moment.elapsed % 900)),
            0,
            WATT,
            lambda moment: octets(common.zone.encode(moment.utc)),
        ),
    ]
    columns = [Column(1, obis("0.0.96.10.1"), 2, lambda _: unsigned(0))]
    columns += [Column(3, obis(name), 2, value) for name, value in energies.items()]
    objects += [
        data_object("0.0.96.10.1", unsigned(0)),
        Profile(LOAD_PROFILE, columns, common.zone, common.profile).cosem_object(),
    ]
    return objects
