"""What `nportpy check` shows of the second storey: stations, every tag as it is read, the archive, upstreams."""

import os
from collections.abc import Iterator
from itertools import pairwise

from nportpy.cli.check_modbus import Picture
from nportpy.cli.check_reach import reach_warnings, reached, read_as
from nportpy.config.edge_values import SQLITE
from nportpy.config.values import duration_text, size_text
from nportpy.edge.drivers.blocks import Blocks
from nportpy.edge.settings import (
    ArchiveSettings,
    Backfill,
    Beyond,
    ClockTrust,
    Confirm,
    EdgeSettings,
    Protocol,
    StationSettings,
    TagSettings,
    UpstreamSettings,
    place_of,
)
from nportpy.modbus.settings import ServerSettings
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.addresses import Address
from nportpy.protocols.modbus.reads import holds_bits, request

_MOST_BLOCKS = 12  # of a station, that are told one by one


def edge_picture(edge: EdgeSettings | None) -> Picture:
    """All of it; nothing where there is none."""
    if edge is None:
        return
    for station in edge.stations:
        yield from _station(station)
    yield from _archive(edge.archive)
    for upstream in edge.upstreams:
        yield from _upstream(upstream)


def edge_warnings(edge: EdgeSettings | None) -> Iterator[str]:
    """What is right and probably not meant."""
    if edge is None:
        return
    for upstream in edge.upstreams:
        where = f"upstream.{upstream.name}"
        files = (upstream.password_file, upstream.credentials, upstream.token_file)
        tls = upstream.tls.files if upstream.tls is not None and not upstream.tls.name else ()
        for path in (*files, *tls):
            if path and not os.access(path, os.R_OK):
                yield f"{where}: {path} cannot be read here now"
        if upstream.user and any(url.startswith(("mqtt://", "influx+http://")) for url in upstream.urls):
            yield f"{where}: the password goes over the network as it is; mqtts:// and influx+https:// hide it"
        if upstream.homeassistant and not upstream.urls[0].startswith("mqtt"):
            yield f"{where}: homeassistant has no effect here: Home Assistant listens to MQTT"
    for station in edge.stations:
        yield from reach_warnings(station, edge.stations)
        if station.protocol is not Protocol.MODBUS:
            continue
        for span in dict.fromkeys(place_of(tag).span for tag in station.tags):
            kinds = {str(place_of(tag).kind) for tag in station.tags if place_of(tag).span == span}
            if len(kinds) > 1:
                where = f"station.{station.name}: {Address(span.table, span.address)}"
                yield f"{where} is read as {' and as '.join(sorted(kinds))}"
        yield from _overlaps(station)
    directory = os.path.dirname(edge.archive.path)
    while directory not in ("", "/") and not os.path.exists(directory):
        directory = os.path.dirname(directory)  # it will be made
    if edge.stations and not os.access(directory or ".", os.W_OK):
        yield f"archive: this user cannot write in {directory}"


def _overlaps(station: StationSettings) -> Iterator[str]:
    """Values that lie half in one another: one of both addresses, or types, is wrong."""
    tags = sorted(station.tags, key=lambda tag: place_of(tag).span)
    for one, other in pairwise(tags):
        first, second = place_of(one).span, place_of(other).span
        if first.table == second.table and first != second and second.address < first.address + first.quantity:
            yield (
                f"station.{station.name}: {one.name} ({one.at}, {place_of(one).kind}) and {other.name} "
                f"({other.at}, {place_of(other).kind}) overlap"
            )


def _station(station: StationSettings) -> Picture:
    modbus = station.protocol is Protocol.MODBUS
    unit = f", unit {station.unit}" if modbus else ""
    yield f"station {station.name}", f"{station.protocol}{unit} {_where(station)}"
    priority = f", priority {station.priority.name.lower()}" if modbus else ""
    yield "  read", f"every {duration_text(station.every)}{priority}"
    if station.profile:
        yield "  profile", station.profile
    yield from _requests(station) if modbus else reached(station)
    for tag in station.tags:
        place = _registers(tag) if modbus else read_as(station, tag)
        # A long name parts from what follows, too.
        yield f"  {tag.name} ", ", ".join([f"{tag.at} -> {place}", *_worth(tag), *_when(tag)])


def _requests(station: StationSettings) -> Picture:
    blocks = Blocks(station.gap).reads(place_of(tag).span for tag in station.tags)
    yield "  requests", f"{len(blocks)} a round, over gaps of up to {station.gap}"
    for block in blocks[:_MOST_BLOCKS]:
        what = "bits" if holds_bits(block.table) else "registers"
        yield "", f"  {Address(block.table, block.address)}, {block.quantity} {what}"


def _where(station: StationSettings) -> str:
    to, line = station.to, station.line
    match to:
        case str():
            return f"on port {to}" + (f", held at {line.baudrate} {line.format}" if line is not None else "")
        case ServerSettings():
            return f"at {to.name}"
        case PortSettings():
            return f"on {to.device}, {to.line.baudrate} {to.line.format}"
    return f"at tcp://{to} (TCP wrapper)"


def _registers(tag: TagSettings) -> str:
    place = place_of(tag)
    span, kind = place.span, place.kind
    what = "bit" if holds_bits(span.table) else "register"
    count = f"{span.quantity} {what}{'s' * (span.quantity != 1)}"
    order = "" if kind.width == 1 else f" {place.order}"
    return f"FC{request(span)[0]:02d} {Address(span.table, span.address)}, {count}, {kind}{order}"


def _worth(tag: TagSettings) -> Iterator[str]:
    if tag.bits is not None:
        first, last = tag.bits
        yield f"bit {first}" if first == last else f"bits {first}-{last}"
    if tag.scale != 1.0:
        yield f"x {tag.scale:g}"
    if tag.offset:
        yield f"{tag.offset:+g}"
    if tag.precision is not None:
        yield f"{tag.precision} digits"
    if tag.unit:
        yield tag.unit
    if tag.words:
        yield " ".join(f"{number}={word}" for number, word in tag.words)
    if tag.invalid:
        yield f"none if {', '.join(f'{number:g}' for number in tag.invalid)}"
    if (limits := tag.limits) is not None:
        low, high = ("" if each is None else f"{each:g}" for each in (limits.low, limits.high))
        yield f"{low}..{high} {'clamped' if limits.beyond is Beyond.CLAMP else 'else discarded'}"


def _when(tag: TagSettings) -> Iterator[str]:
    if tag.every:
        yield f"every {duration_text(tag.every)}"
    yield f"a change beyond {tag.deadband:g}" if tag.deadband else "any change"
    if tag.max_silence:
        yield f"at least every {duration_text(tag.max_silence)}"
    if tag.always_at:
        yield f"each {duration_text(tag.always_at)} of the clock"


def _archive(archive: ArchiveSettings) -> Picture:
    yield "archive", archive.path
    age = duration_text(archive.max_age)
    yield "  keeps", f"up to {size_text(archive.max_size)}, up to {age}; the oldest go first"
    yield "  commits", f"every {duration_text(archive.commit)}, which is what a power cut may cost"
    if archive.clock is ClockTrust.TRUSTED:
        yield "  clock", "believed as it is"
    else:
        yield "  clock", "believed once it is synchronised; samples are uncertain until then"


def _upstream(upstream: UpstreamSettings) -> Picture:
    yield f"upstream {upstream.name}", ", ".join(upstream.urls)
    if upstream.urls[0].startswith(SQLITE):
        yield "  stores", f"as site {upstream.site}, node {upstream.node}; docs/collect.md has the tables"
    else:
        yield "  topics", f"nportpy/v1/{upstream.site}/{upstream.node}/..., {upstream.format}"
    if upstream.backfill is Backfill.AUTO:
        rate = f"{upstream.max_rate:g} samples a second at most" if upstream.max_rate else "as fast as it goes"
        overlap = duration_text(upstream.overlap_seconds)
        yield "  gaps", f"sent late by themselves, {overlap} before them too, {rate}"
    else:
        yield "  gaps", f"sent when somebody asks: nportpy archive send {upstream.name} --from TIME"
    word = "whoever stores them says so" if upstream.confirm is Confirm.HOST else "the other side says so"
    yield "  delivered", f"when {word}; keepalive {duration_text(upstream.keepalive)}"
