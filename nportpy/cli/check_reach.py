"""What `nportpy check` shows of stations that do not speak Modbus: how each is reached, and every tag's own address.

Passwords and keys are never shown: only that there are some.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from nportpy.cli.check_modbus import Picture
from nportpy.config.values import duration_text
from nportpy.edge.settings import Protocol, StationSettings, TagSettings
from nportpy.port.base import PortSettings

if TYPE_CHECKING:
    from nportpy.meters.dlms.settings import DlmsSettings
    from nportpy.meters.iec101.settings import Iec101Settings
    from nportpy.meters.iec62056.settings import Iec62056Settings


def reached(station: StationSettings) -> Picture:
    """How its device is reached."""
    match station.protocol:
        case Protocol.DLMS:
            yield "  meter", ", ".join(_dlms(station.access))  # type: ignore[arg-type] # the protocol says whose it is
        case Protocol.IEC62056:
            yield "  meter", ", ".join(_iec62056(station.access))  # type: ignore[arg-type]
        case Protocol.IEC101:
            yield "  outstation", ", ".join(_iec101(station.access))  # type: ignore[arg-type]
    if station.history is not None:
        from nportpy.protocols.dlms.obis import Obis

        depth = duration_text(station.history.depth)
        yield "  gaps", f"filled from profile {Obis(station.history.profile)}, up to {depth} back"


def reach_warnings(station: StationSettings, stations: Sequence[StationSettings]) -> Iterator[str]:
    """What is right and probably not meant of a station among all."""
    for path in station.secret_files:
        mode = os.stat(path).st_mode if os.path.exists(path) else 0
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            yield f"station.{station.name}: anybody on this machine can read {path}; chmod 640 {path}"
    if _has_keys(station) and find_spec("cryptography") is None:
        yield (
            f"station.{station.name}: the package cryptography is not installed, so its keys cannot be used: "
            "pip install 'nportpy[dlms]', or apt install python3-cryptography"
        )
    if station.protocol is Protocol.IEC62056:
        yield from _speed_warnings(station, station.access)  # type: ignore[arg-type] # the protocol says whose it is
        yield from _address_warnings(station, [each for each in stations if each.to == station.to])


def _has_keys(station: StationSettings) -> bool:
    return station.protocol is Protocol.DLMS and station.access.ciphering is not None  # type: ignore[union-attr]


def read_as(station: StationSettings, tag: TagSettings) -> str:
    """Where a tag's value lies, by what its protocol counts."""
    match station.protocol:
        case Protocol.DLMS:
            return _cosem(tag)
        case Protocol.IEC62056:
            return _code(tag)
    common = station.access.common_address  # type: ignore[union-attr]
    place = tag.place
    return f"common address {place.common_address or common}, object address {place.address}"  # type: ignore[union-attr]


def _speed_warnings(station: StationSettings, access: "Iec62056Settings") -> Iterator[str]:
    """A connection carries no speed, and the meter changes to another one."""
    far = isinstance(station.to, PortSettings) and station.to.device.startswith("socket:")
    if far and access.highest > access.first_baudrate and access.reading != "listen":
        first = access.first_baudrate
        yield (
            f"station.{station.name}: nobody sets the speed behind a raw port, and the meter will go to another one; "
            f'target = "rfc2217://..." does, or the far port at {first} 7E1 and highest_baudrate = {first} here'
        )


def _address_warnings(station: StationSettings, on_line: Sequence[StationSettings]) -> Iterator[str]:
    """A sign-on without an address is answered by all meters of a line at once."""

    def device(one: StationSettings) -> str:
        return one.access.device  # type: ignore[union-attr] # the protocol says whose it is

    meters = [each for each in on_line if each.protocol is Protocol.IEC62056 and device(each)]
    if meters and not device(station):
        names = ", ".join(f"station.{each.name}" for each in meters)
        yield (
            f"station.{station.name}: has no device_address, so every meter of its line will answer, "
            f"those of {names} among them"
        )


def _dlms(access: "DlmsSettings") -> Iterator[str]:
    yield f"{access.referencing} names"
    yield f"client {access.client}, server {access.upper}/{access.lower}"
    yield f"addresses of {access.width} bytes" if access.width else "width of addresses found out"
    yield "sign-on by mode E" if access.opening == "mode_e" else "direct HDLC"
    yield f"authentication {access.authentication}"
    if access.ciphering is not None:
        yield "ciphered" if access.ciphering.encrypted or access.ciphering.authenticated else "keys for GMAC"


def _iec62056(access: "Iec62056Settings") -> Iterator[str]:
    yield f"by {access.reading}"
    yield f"device address {access.device}" if access.device else "any device address: one meter on the line"
    yield f"begins at {access.first_baudrate} baud 7E1, up to {access.highest}"
    if access.password:
        yield "with a password"


def _iec101(access: "Iec101Settings") -> Iterator[str]:
    sizes = access.sizes
    yield f"link address {access.link_address} ({access.link_size} byte{'s' * (access.link_size != 1)})"
    yield f"common address {access.common_address}"
    yield f"sizes {sizes.cause}/{sizes.common_address}/{sizes.object_address}"
    yield f"clock shows {access.zone}"
    if access.synchronise_every:
        yield f"set every {duration_text(access.synchronise_every)}"


def _cosem(tag: TagSettings) -> str:
    from nportpy.meters.dlms.places import Place
    from nportpy.protocols.dlms.obis import Obis

    place = tag.place
    assert isinstance(place, Place)
    attribute = place.attribute
    if attribute.short_name is not None:
        return f"short name 0x{attribute.short_name:04X}"
    kind = f"class {attribute.class_id}" if attribute.class_id else "class by the meter's list"
    inside = f", in profile {Obis(place.profile)}" if place.profile else ""
    return f"{Obis(attribute.obis)} attribute {attribute.attribute}, {kind}{inside}"


def _code(tag: TagSettings) -> str:
    from nportpy.protocols.iec62056.codes import parse

    code = parse(tag.at)
    return f"OBIS {code}" if code is not None else "the text that the meter prints"
