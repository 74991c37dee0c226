"""Stations, the archive and upstreams in a configuration file: what they become, and what is said of their faults."""

import pytest

from nportpy.config import fault_lines, parse
from nportpy.config.edge_build import topic_of
from nportpy.config.places import state_file
from nportpy.config.profiles import names, profile
from nportpy.edge.settings import (
    SERIAL_GAP,
    TCP_GAP,
    Beyond,
    Confirm,
    Format,
    Limits,
    StationSettings,
    TagSettings,
    place_of,
)
from nportpy.errors import ConfigError
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Action, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.functions import Span, Table
from nportpy.protocols.modbus.values import Kind, Order, ValueType

PORT = '[port.meters]\ndevice = "/dev/null"\n'


def station(text: str, rest: str = PORT) -> StationSettings:
    edge = parse(f'{rest}[station.emon]\nport = "meters"\nevery = "10s"\n{text}', "x").edge
    assert edge is not None
    return edge.stations[0]


def tag(text: str, more: str = "") -> TagSettings:
    """One with these keys, which are not none."""
    return station(f'{more}tags = [{{ name = "a", at = "41009", {text} }}]').tags[0]


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.toml")
    return fault_lines(caught.value)


def test_a_file_without_stations_has_no_second_storey() -> None:
    assert parse(PORT, "x").edge is None


def test_stations_alone_need_no_port() -> None:
    edge = parse('[station.a]\ntarget = "tcp://192.0.2.10"\nevery = "1s"\ntags = [{name="x", at=41001}]', "x").edge
    assert edge is not None
    assert edge.stations[0].to == ServerSettings(Endpoint("192.0.2.10", 502))
    assert edge.stations[0].gap == TCP_GAP


def test_targets_are_servers_or_lines_of_their_own() -> None:
    def to(target: str, more: str = "") -> object:
        text = f'[station.a]\ntarget = "{target}"\n{more}every = "1s"\ntags = [{{name="x", at="41001"}}]'
        edge = parse(text, "x").edge
        assert edge is not None
        return edge.stations[0].to

    serial = LineSettings.parse(19200, "8E1")
    speed = 'baudrate = 19200\nformat = "8E1"\n'
    assert to("rtu+tcp://192.0.2.10:4001", speed) == PortSettings("socket://192.0.2.10:4001", serial)
    assert to("rfc2217://192.0.2.10:5001", speed) == PortSettings("rfc2217://192.0.2.10:5001", serial)
    assert to("/dev/ttyUSB0", speed) == PortSettings("/dev/ttyUSB0", serial)
    assert to("tcp://[fd00::7]:1502") == ServerSettings(Endpoint("fd00::7", 1502))


def test_a_station_shares_the_connection_of_a_route_to_the_same_server() -> None:
    text = '[modbus.plant]\nlisten = 502\ntimeout = "3s"\nroutes = [{ units = "1", to = "tcp://192.0.2.10:502" }]\n'
    settings = parse(
        f'{text}[station.a]\ntarget = "tcp://192.0.2.10:502"\nevery = "1s"\ntags=[{{name="x",at="41001"}}]', "x"
    )
    assert settings.edge is not None
    assert settings.edge.stations[0].to is settings.routers[0].service.routing.routes[0].to


def test_a_tag_is_what_its_manual_says() -> None:
    found = tag('type = "float32", unit = "kW", scale = 0.1, offset = 1, precision = 2, invalid = 0x8000')
    assert place_of(found).span == Span(Table.HOLDING_REGISTERS, 1008, 2)
    assert (place_of(found).kind, place_of(found).order) == (ValueType(Kind.FLOAT32), Order.ABCD)
    assert (found.unit, found.scale, found.offset, found.precision, found.invalid) == ("kW", 0.1, 1, 2, (0x8000,))
    assert place_of(station('tags = [{ name = "a", at = "coil:5" }]').tags[0]).kind == ValueType(Kind.BIT)
    assert place_of(station('numbering = "pdu"\ntags = [{ name = "a", at = 41009 }]').tags[0]).span.address == 41009
    assert place_of(tag('order = "DCBA"', 'order = "CDAB"\ntype = "int32"\n')).order is Order.DCBA
    assert station('tags = [{ name = "a", at = "coil:5" }]').gap == SERIAL_GAP


def test_deadbands_limits_words_and_bits() -> None:
    assert tag("deadband = 0.5").deadband == 0.5
    assert tag('deadband = "2%", range = [0, 400]').deadband == 8.0
    assert tag("limits = { low = 0, high = 300, beyond = 'clamp' }").limits == Limits(0, 300, Beyond.CLAMP)
    assert tag('enum = { 0 = "off", 1 = "on" }').words == ((0, "off"), (1, "on"))
    assert tag('bits = "4-7"').bits == (4, 7)
    assert tag("bits = 3").bits == (3, 3)
    assert tag('max_silence = "off"').max_silence == 0.0
    assert tag("scale = 1", 'max_silence = "1h"\n').max_silence == 3600.0
    assert tag('always_at = "15min", every = "1min", counter = true').always_at == 900.0


def test_the_rules_of_the_ports_service_hold_for_the_poller() -> None:
    rest = PORT + '[port.meters.modbus]\nlisten = 502\nrules = [{ action = "deny", units = "7" }]\n'
    assert [rule.action for rule in station('tags = [{ name = "a", at = "41009" }]', rest).rules] == [Action.DENY]


@pytest.mark.parametrize("name", names())
def test_every_profile_that_is_shipped_loads_and_names_its_source(name: str) -> None:
    found = profile(name)
    assert found.source
    tags = station(f'profile = "{name}"').tags
    assert [each.name for each in tags] == [each.name for each in found.tags]


def test_a_profile_can_be_narrowed_and_changed() -> None:
    found = station('profile = "emon-dmon-3400"\nonly = ["power"]\n'
                    'tags = [{ name = "power", deadband = 0.5 }, { name = "more", at = "41011" }]')  # fmt: skip
    assert [(each.name, each.deadband, each.unit) for each in found.tags] == [("power", 0.5, "kW"), ("more", 0.0, "")]
    assert place_of(found.tags[1]).kind == ValueType(Kind.FLOAT32)  # as the profile has it


def test_upstreams() -> None:
    text = PORT + '[gateway]\nname = "pi.07 west"\n[upstream.plant]\nurl = ["mqtts://a", "mqtts://b:8884"]\n'
    edge = parse(text + 'max_rate = "off"\nconfirm = "host"\nhomeassistant = true\noverlap = "2min"\n', "x").edge
    assert edge is not None
    [found] = edge.upstreams
    assert (found.urls, found.node, found.max_rate) == (("mqtts://a", "mqtts://b:8884"), "pi-07-west", 0.0)
    assert (found.confirm, found.homeassistant, found.overlap_seconds) == (Confirm.HOST, "homeassistant", 120.0)
    edge = parse(PORT + '[upstream.db]\nurl = "influx+http://a:8086"\nkeepalive = "60s"\n', "x").edge
    assert edge is not None
    assert (edge.upstreams[0].format, edge.upstreams[0].overlap_seconds) == (Format.INFLUX, 120.0)


HEAD = '[station.emon]\nport = "meters"\nevery = "10s"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "tags = []", "x.toml:6: station.emon.tags = []: is empty: nothing would be read"),
        (HEAD, "x.toml:3: station.emon: has no tags (allowed: profile = \"...\" or tags = [...])"),
        (HEAD + 'profile = "nothing"', "x.toml:6: station.emon.profile: there is no such profile here; there are "),
        (HEAD + 'profile = "emon-dmon-3400"\nonly = ["x"]', "x.toml:7: station.emon.only[0]: is no tag of the profile"),
        (HEAD.replace("meters", "other") + 'tags = [{ name = "a", at = "41009" }]',
         'x.toml:4: station.emon.port = "other": there is no such port (allowed: meters)'),
        (HEAD + 'tags = [{ name = "a", at = "51009" }]', "x.toml:6: station.emon.tags[0].at: "),
        (HEAD + 'tags = [{ name = "a" }]', "x.toml:6: station.emon.tags[0].at: is missing"),
        (HEAD + 'tags = [{ name = "a", at = "41001", type = "float" }]',
         'x.toml:6: station.emon.tags[0].type = "float": is no type (allowed: int16'),
        (HEAD + 'tags = [{ name = "a", at = "coil:1", type = "float32" }]',
         "x.toml:6: station.emon.tags[0].type: float32 does not fit: this table has bits, not registers"),
        (HEAD + 'tags = [{ name = "a", at = "41001-41004", type = "float32" }]',
         "x.toml:6: station.emon.tags[0].at: 41001-41004 holds 2 values of type float32"),
        (HEAD + 'tags = [{ name = "a", at = "41001", bits = "14-17" }]',
         "x.toml:6: station.emon.tags[0].bits: uint16 has no such bits"),
        (HEAD + 'tags = [{ name = "a", at = "41001", deadband = "2%" }]',
         "x.toml:6: station.emon.tags[0].deadband: is a share of a range that is not given"),
        (HEAD + 'tags = [{ name = "a", at = "41001", type = "string:4", scale = 2 }]',
         "x.toml:6: station.emon.tags[0].type: string is no number"),
        (HEAD + 'tags = [{ name = "a", at = "41001" }, { name = "a", at = "41002" }]',
         "x.toml:6: station.emon.tags[1].name: is there twice"),
        (HEAD + 'tags = [{ name = "a b", at = "41001" }]',
         'x.toml:6: station.emon.tags[0].name = "a b": is not a name'),
        (HEAD + 'target = "tcp://a"\ntags = [{ name = "a", at = "41001" }]',
         "x.toml:6: station.emon.target: goes not with port"),
        ('[station.emon]\nevery = "1s"\ntags = [{ name = "a", at = "41001" }]',
         "x.toml:3: station.emon: has neither port nor target"),
        (HEAD + 'unit = 250\ntags = [{ name = "a", at = "41001" }]',
         "x.toml:6: station.emon.unit = 250: no unit on a line has it (allowed: 1 to 247)"),
        (HEAD + 'protocol = "knx"\ntags = [{ name = "a", at = "41001" }]',
         'x.toml:6: station.emon.protocol = "knx": is none of the words known here'),
        ('[upstream.a]\nurl = "http://a"', 'x.toml:4: upstream.a.url = "http://a": is no URL of an upstream'),
        ('[upstream.a]\nurl = "mqtt://me:secret@a"', "has a user in it"),
        ('[upstream.a]\nurl = "influx+http://a"\nformat = "json"', "a database takes line protocol only"),
        ('[upstream.a]\nurl = ["mqtt://a", "influx+http://a"]', "leads to brokers and to databases"),
        ('[upstream.a]\nurl = ["mqtt://a", "sqlite:/x/c.db"]', "leads to brokers and to files (allowed: one kind"),
        ('[upstream.a]\nurl = "sqlite:c.db"', 'x.toml:4: upstream.a.url = "sqlite:c.db": names no file (allowed'),
        ('[upstream.a]\nurl = "sqlite:///c.db"', "names no file"),
        ('[upstream.a]\nurl = "sqlite://host/c.db"', "names no file"),
        ('[upstream.a]\nurl = "sqlite:/x/"', "names no file"),
        ('[upstream.a]\nurl = "sqlite:/x/c.db"\nformat = "influx"', "a file takes no line protocol"),
        ('[archive]\npath = "/x/c.db"\n[upstream.a]\nurl = "sqlite:/x/c.db"',
         'x.toml:6: upstream.a.url = "sqlite:/x/c.db": is the file of the archive'),
        ('[upstream.a]\nurl = "sqlite:/x/c.db"\n[upstream.b]\nurl = "sqlite:/x/c.db"', "is the file of upstream.a"),
        ('[upstream.a]\nurl = "mqtts://a"\ncert_file = "/x"', "a certificate goes with its key"),
        ('[upstream."a.b"]\nurl = "mqtts://a"', "cannot be a part of a topic"),
        ('[archive]\npath = "../x"', 'x.toml:4: archive.path = "../x": is no path of a file'),
        ('[archive]\ncommit = "1h"', 'x.toml:4: archive.commit = "1h": is out of range'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    lines = faults(PORT + text)
    assert any(said in line for line in lines), lines


def test_passwords_do_not_reach_a_message() -> None:
    for url in ('"mqtt://me:secret@a"', '["mqtt://b", "nats://c,me:secret@a"]', '"http://me:secret@a"'):
        said = "\n".join(faults(PORT + f"[upstream.a]\nurl = {url}"))
        assert "secret" not in said
        assert "me:***@" in said


def test_all_stations_at_fault_are_told_at_once() -> None:
    text = "".join(
        f'[station.s{n}]\nport = "meters"\nevery = "1s"\ntags = [{{ name = "a", at = "9" }}]\n' for n in range(3)
    )
    assert len(faults(PORT + text)) == 3


def test_where_the_archive_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/run/state:/other")
    assert state_file("archive.db") == "/run/state/archive.db"
    assert state_file("/data/a.db") == "/data/a.db"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
    assert state_file("archive.db") == "/home/me/state/nportpy/archive.db"


def test_a_gateways_name_becomes_a_part_of_topics() -> None:
    assert topic_of("pi.07/west #1") == "pi-07-west--1"
    assert topic_of("") == "node"
