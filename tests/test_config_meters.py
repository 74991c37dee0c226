"""Stations that do not speak Modbus in a configuration file: what they become, and what is said of their faults."""

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from nportpy.cli import main
from nportpy.config import fault_lines, parse
from nportpy.config.edge_access import KEYS, TAG_KEYS, AccessKeys, SecretKeys
from nportpy.config.edge_tables import Station, Tag
from nportpy.config.profiles import names, profile
from nportpy.edge.settings import HISTORY_DEPTH, HistorySettings, Protocol, ReadoutPlace, StationSettings
from nportpy.errors import ConfigError
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.objects import Attribute
from nportpy.meters.dlms.places import Place
from nportpy.meters.dlms.settings import (
    WRAPPER_PORT,
    Authentication,
    Bounds,
    Ciphering,
    Deviation,
    DlmsSettings,
    Opening,
    Referencing,
)
from nportpy.meters.iec101.settings import CounterRequest, Iec101Settings
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.iec101.addresses import ObjectAddress
from nportpy.protocols.iec101.asdu import Sizes
from nportpy.protocols.iec62056.messages import Command

PORT = '[port.meters]\ndevice = "/dev/null"\n'
OBIS = 'tags = [{ name = "a", at = "1.8.0", unit = "kWh" }]\n'
DLMS = 'protocol = "dlms"\n'
IEC62056 = 'protocol = "iec62056-21"\n'
IEC101 = 'protocol = "iec101"\n'
ENERGY = b"\x01\x00\x01\x08\x00\xff"
LOAD = b"\x01\x00\x63\x01\x00\xff"


def station(text: str, tags: str = OBIS, where: str = 'port = "meters"') -> StationSettings:
    edge = parse(f'{PORT}[station.mains]\n{where}\nevery = "60s"\n{text}{tags}', "x").edge
    assert edge is not None
    return edge.stations[0]


def faults(text: str, tags: str = OBIS, where: str = 'port = "meters"') -> list[str]:
    with pytest.raises(ConfigError) as caught:
        station(text, tags, where)
    return fault_lines(caught.value)


# What they become.


def test_a_dlms_station_by_default() -> None:
    found = station(DLMS)
    assert found.protocol is Protocol.DLMS
    assert found.access == DlmsSettings()
    assert (found.line, found.history) == (None, None)
    assert found.tags[0].place == Place(Attribute(ENERGY))


def test_every_key_of_a_dlms_station(tmp_path: Path) -> None:
    for name, text in (("password", "geheim\nnot this"), ("ek", bytes(range(16)).hex()), ("ak", "D0" * 16 + "\n")):
        (tmp_path / name).write_text(text)
    found = station(
        f'{DLMS}referencing = "short"\nclient = 32\nserver = "1/17"\nwidth = 4\nopening = "mode_e"\n'
        f'authentication = "sha256"\npassword_file = "{tmp_path}/password"\nsystem_title = "4D4D4D0000000001"\n'
        f'encryption_key_file = "{tmp_path}/ek"\nauthentication_key_file = "{tmp_path}/ak"\n'
        'security = "authenticated"\ngeneral_ciphering = true\npdu_size = 0\ninformation = 250\nwindow = 2\n'
        'long_response = "9s"\n'
        'turnaround = "50ms"\nlists = false\nlist_size = 7\ndeviation = "inverted"\nbounds = "entries"\n'
        'history = "1.0.99.1.0.255"\nhistory_depth = "2d"\ndevice_address = 72211943\nsign_on_baudrate = 600\n'
        'zone = "Europe/Bratislava"\nresponse = "3s"\nframe_gap = "500ms"\ntries = 2\ninactivity = "off"\n'
        'baudrate = 19200\nformat = "8E1"\n'
    )
    line = LineSettings.parse(19200, "8E1")
    assert found.access == DlmsSettings(
        Referencing.SHORT, 32, 1, 17, 4, Opening.MODE_E, line, 600, "72211943", Authentication.SHA256, b"geheim",
        Ciphering(bytes.fromhex("4D4D4D0000000001"), bytes(range(16)), b"\xd0" * 16, encrypted=False, general=True),
        0, 250, 2, 3.0, 9.0, 0.5, 0.05, 2, 0.0, lists=False, list_size=7, zone=ZoneInfo("Europe/Bratislava"),
        deviation=Deviation.INVERTED, bounds=Bounds.ENTRIES,
    )  # fmt: skip
    assert found.history == HistorySettings(LOAD, 2 * 86400.0)
    assert found.line == line


def test_what_a_dlms_tag_may_be() -> None:
    tags = (
        'tags = [{ name = "a", at = "1-0:1.8.0*255" }, { name = "b", at = "1.0.1.6.0.255/5" },'
        ' { name = "c", at = "0x0B28" }, { name = "d", at = "1.0.1.29.0.255 in 1.0.99.1.0.255" },'
        ' { name = "e", at = "1.7.0", history = "1.0.1.29.0.255" }, { name = "f", at = "32.7.0", history = false }]'
    )
    found = station(f'{DLMS}history = "1.0.99.1.0.255"\n', tags)
    assert [each.place for each in found.tags][:4] == [
        Place(Attribute(ENERGY)),
        Place(Attribute(b"\x01\x00\x01\x06\x00\xff", 5)),
        Place(Attribute(b"", short_name=0x0B28)),
        Place(Attribute(b"\x01\x00\x01\x1d\x00\xff"), LOAD),
    ]
    assert [each.history for each in found.tags] == [None, None, None, None, "1.0.1.29.0.255", ""]
    assert found.history == HistorySettings(LOAD, HISTORY_DEPTH)


def test_an_iec62056_station(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = 'tags = [{ name = "a", at = "1.8.0" }, { name = "b", at = "1.5.0 in P.01" }]'
    assert station(IEC62056, tags).access == Iec62056Settings()
    assert station(IEC62056, tags).tags[0].place == ReadoutPlace("1.8.0")
    monkeypatch.setenv("HEAT_PASSWORD", "12345678")
    found = station(
        f'{IEC62056}reading = "programming"\nhighest_baudrate = 4800\nsoftware_parity = true\nwake_up = true\n'
        'check = false\nreaction = "300ms"\ndelay_before = "150ms"\ndelay_after = "400ms"\nlisten = "2min"\n'
        'device_address = "12345678"\nsign_on_baudrate = 2400\nzone = "UTC"\nresponse = "4s"\nframe_gap = "2s"\n'
        'tries = 5\ninactivity = "1min"\npassword_env = "HEAT_PASSWORD"\nseason = false\nprofile_command = "R6"\n'
        'identify = "4s"\npause = "5s"\nsize = 20000\n',
        tags,
    )
    assert found.access == Iec62056Settings(
        "12345678", Reading.PROGRAMMING, 2400, 4800, True, "12345678", True, False, 0.3, 0.15, 0.4, 4.0, 2.0,
        identify=4.0, tries=5, inactivity=60.0, pause=5.0, listen=120.0, size=20000, zone=UTC, season=False,
        profile_command=Command.READ_PROFILE_PART,
    )  # fmt: skip
    with_profile = station(f'{IEC62056}password_env = "HEAT_PASSWORD"\n', tags).access
    assert with_profile == Iec62056Settings(password="12345678")  # the profile wants it, not the readout


def test_an_iec101_station() -> None:
    tags = 'tags = [{ name = "a", at = 100 }, { name = "b", at = "2/100" }]'
    assert station(IEC101, tags).access == Iec101Settings()
    found = station(
        f'{IEC101}link_address = 300\nlink_size = 2\ncommon_address = 258\nsizes = "2/2/3"\ninterrogate = false\n'
        'interrogate_every = "off"\ngroups = [1, 16]\ncounters = "freeze"\ncounter_groups = 2\n'
        'synchronise_every = "1h"\nburst = 5\nclass1_every = 3\npatience = "20s"\nhold = "2s"\n'
        'zone = "Europe/Bratislava"\nresponse = "1s"\nframe_gap = "200ms"\ntries = 1\n',
        tags,
    )
    assert found.access == Iec101Settings(
        300, 2, 258, Sizes(2, 2, 3), "Europe/Bratislava", False, 0.0, (1, 16), CounterRequest.FREEZE, (2,), 3600.0,
        5, 3, 1.0, 0.2, 0, 20.0, 2.0,
    )  # fmt: skip
    assert [each.place for each in found.tags] == [ObjectAddress(100), ObjectAddress(100, 2)]


@pytest.mark.parametrize(
    ("protocol", "target", "to"),
    [
        ("dlms", "tcp://192.0.2.7", Endpoint("192.0.2.7", WRAPPER_PORT)),
        ("dlms", "192.0.2.7:502", Endpoint("192.0.2.7", 502)),
        ("dlms", "tcp://[fd00::7]:4060", Endpoint("fd00::7", 4060)),
        ("dlms", "raw://192.0.2.7:4001", PortSettings("socket://192.0.2.7:4001", LineSettings())),
        ("dlms", "rfc2217://192.0.2.7:5001", PortSettings("rfc2217://192.0.2.7:5001", LineSettings())),
        ("iec62056-21", "raw://192.0.2.7:4001", PortSettings("socket://192.0.2.7:4001", LineSettings())),
        ("iec101", "/dev/ttyUSB0", PortSettings("/dev/ttyUSB0", LineSettings.parse(9600, "8E1"))),
        ("modbus", "raw://192.0.2.7:4001", PortSettings("socket://192.0.2.7:4001", LineSettings())),
    ],
)
def test_where_a_station_may_be(protocol: str, target: str, to: object) -> None:
    tags = 'tags = [{ name = "a", at = "41001" }]' if protocol == "modbus" else 'tags = [{ name = "a", at = "100.1" }]'
    tags = tags.replace("100.1", "100") if protocol == "iec101" else tags
    assert station(f'protocol = "{protocol}"\n', tags, f'target = "{target}"').to == to


@pytest.mark.parametrize("name", [each for each in names() if profile(each).protocol is not Protocol.MODBUS])
def test_profiles_of_meters_beyond_modbus(name: str) -> None:
    found = station(f'profile = "{name}"\n', "")
    assert found.protocol is Protocol.DLMS
    assert [each.name for each in found.tags] == [each.name for each in profile(name).tags]
    assert isinstance(found.access, DlmsSettings)
    other = station(f'profile = "{name}"\nclient = 32\nserver = "1/20"\nonly = ["energy_import"]\n', "")
    assert isinstance(other.access, DlmsSettings)
    assert (other.access.client, other.access.upper, other.access.lower) == (32, 1, 20)
    assert other.access.referencing is found.access.referencing


def test_the_two_meters_of_the_story_have_profiles() -> None:
    assert {"landis-gyr-zmd405", "iskra-mt880"} <= set(names())


# What is wrong.


@pytest.mark.parametrize(
    ("text", "tags", "said"),
    [
        (DLMS + "unit = 3\n", OBIS,
         'x:7: station.mains.unit: is not for protocol "dlms" (allowed: it is for "modbus")'),
        ('referencing = "short"\n', 'tags = [{ name = "a", at = "41001" }]',
         'x:6: station.mains.referencing: is not for protocol "modbus" (allowed: it is for "dlms")'),
        (IEC101 + 'zone = "UTC"\nhistory = "1.0.99.1.0.255"\n', 'tags = [{ name = "a", at = "1" }]',
         'x:8: station.mains.history: is not for protocol "iec101" (allowed: it is for "dlms")'),
        (DLMS, 'tags = [{ name = "a", at = "1.8.0", type = "uint16" }]',
         'x:7: station.mains.tags[0].type: is not for protocol "dlms" (allowed: it is for "modbus")'),
        (DLMS, 'tags = [{ name = "a", at = "41001x" }]', "x:7: station.mains.tags[0].at: "),
        (DLMS, 'tags = [{ name = "a" }]', "x:7: station.mains.tags[0].at: is missing (allowed: an OBIS code"),
        (DLMS + 'history = "x"\n', OBIS, "x:7: station.mains.history: x is no OBIS code"),
        (DLMS, 'tags = [{ name = "a", at = "1.8.0", history = "x" }]', "x:7: station.mains.tags[0].history: "),
        (IEC101, 'tags = [{ name = "a", at = "1.8.0" }]',
         "x:7: station.mains.tags[0].at: '1.8.0' is no object address"),
        (IEC62056, 'tags = [{ name = "a", at = "1.8.0(" }]', "x:7: station.mains.tags[0].at: '1.8.0(' is no code"),
        (DLMS + 'authentication = "low"\n', OBIS,
         'x:7: station.mains.authentication: "low" goes with a password (allowed: password_file or password_env)'),
        (DLMS + 'password_file = "/nowhere/at/all"\n', OBIS,
         "x:7: station.mains.password_file: cannot be read: No such file or directory"),
        (DLMS + 'password_env = "NPORTPY_NO_SUCH_VARIABLE"\n', OBIS,
         "x:7: station.mains.password_env: there is no such variable, or it is empty"),
        (DLMS + 'password_file = "relative"\n', OBIS, "x:7: station.mains.password_file = \"relative\": is not an abs"),
        (DLMS + 'system_title = "4D4D4D0000000001"\n', OBIS, "x:3: station.mains: ciphering is half of it"),
        (DLMS + 'security = "both"\n', OBIS, "x:7: station.mains.security: is about ciphered messages"),
        (DLMS + 'authentication = "gmac"\n', OBIS, "x:3: station.mains: GMAC needs the keys of ciphering"),
        (DLMS + 'server = "1/200"\nwidth = 2\n', OBIS, "x:3: station.mains: address 1/200 needs 4 bytes, not 2"),
        (DLMS + 'server = "a"\n', OBIS, 'x:7: station.mains.server = "a": is no server address'),
        (DLMS + 'server = "1/20000"\n', OBIS, 'x:7: station.mains.server = "1/20000": is out of range'),
        (DLMS + "width = 3\n", OBIS, "x:7: station.mains.width = 3: is no width of an address"),
        (DLMS + 'zone = "Mars/Olympus"\n', OBIS, 'x:7: station.mains.zone = "Mars/Olympus": is no time zone'),
        (DLMS + 'system_title = "4D"\n', OBIS, 'x:7: station.mains.system_title = "4D": is no system title'),
        (IEC62056 + 'password_file = "/dev/zero"\n', OBIS, "x:7: station.mains.password_file: "),
        (IEC62056 + f'password_file = "{__file__}"\n', OBIS,
         "x:7: station.mains.password_file: would never be sent: a readout needs no password"),
        (IEC62056 + "size = 100\n", OBIS, "x:7: station.mains.size = 100: "),
        (IEC62056 + 'pause = "1d"\n', OBIS, 'x:7: station.mains.pause = "1d": '),
        (IEC62056 + 'identify = "0s"\n', OBIS, 'x:7: station.mains.identify = "0s": '),
        (DLMS + "size = 1000\n", OBIS, 'x:7: station.mains.size: is not for protocol "dlms"'),
        (IEC62056 + 'device_address = "a!"\n', OBIS, 'x:7: station.mains.device_address = "a!": is no device address'),
        (IEC101 + 'sizes = "1/3/2"\n', 'tags = [{ name = "a", at = "1" }]',
         'x:7: station.mains.sizes = "1/3/2": are no sizes'),
        (IEC101 + "link_address = 300\n", 'tags = [{ name = "a", at = "1" }]',
         "x:3: station.mains: link_address 300 is not in 0..254"),
        ('profile = "iskra-mt880"\nprotocol = "iec101"\n', "",
         'x:6: station.mains.profile: is of a meter that speaks "dlms"'),
    ],
)  # fmt: skip
def test_faults_say_what_would_be_right(text: str, tags: str, said: str) -> None:
    found = faults(text, tags)
    assert any(line.startswith(said) for line in found), found


@pytest.mark.parametrize(
    ("protocol", "target", "said"),
    [
        ("iec101", "tcp://192.0.2.7:4001", "is Modbus TCP or DLMS over TCP, not iec101 (allowed: rfc2217://HOST:PORT"),
        ("dlms", "rtu+tcp://192.0.2.7:4001", "is Modbus (allowed: raw://192.0.2.7:4001)"),
    ],
)
def test_targets_that_do_not_fit(protocol: str, target: str, said: str) -> None:
    tags = 'tags = [{ name = "a", at = "100" }]' if protocol == "iec101" else OBIS
    [found] = faults(f'protocol = "{protocol}"\n', tags, f'target = "{target}"')
    assert f"station.mains.target: {said}" in found


def test_no_password_is_ever_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINS_PASSWORD", "GEHEIM-ENV")
    (tmp_path / "password").write_text("GEHEIM-FILE\n")
    (tmp_path / "key").write_text("GEHEIM-KEY-THAT-IS-NONE\n")
    found = station(f'{DLMS}password_env = "MAINS_PASSWORD"\n')
    assert isinstance(found.access, DlmsSettings)
    assert (found.access.secret, found.access.authentication) == (b"GEHEIM-ENV", Authentication.LOW)
    assert "GEHEIM" not in repr(found)
    heat = station(f'{IEC62056}reading = "programming"\npassword_file = "{tmp_path}/password"\n')
    assert "GEHEIM" not in repr(heat)
    for text in (
        f'{DLMS}password_file = "{tmp_path}/password"\nauthentication = "none"\n',
        (
            f'{DLMS}system_title = "4D4D4D0000000001"\nencryption_key_file = "{tmp_path}/key"\n'
            f'authentication_key_file = "{tmp_path}/key"\n'
        ),
        f'{IEC62056}password_file = "{tmp_path}/password"\n',
        f'{DLMS}password_file = "{tmp_path}/password"\npassword_env = "MAINS_PASSWORD"\n',
    ):
        assert "GEHEIM" not in "".join(faults(text))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("link_address = 2\n", None),
        ("", "link_address = 1: is asked by station.one, too"),
        ("common_address = 2\n", "link_address = 1: is asked by station.one, too"),
        ("link_address = 2\nlink_size = 2\n", "link_size = 2: goes not with that of station.one on the same line, 1"),
        ('link_address = 1\nport = "other"\n', None),
    ],
)
def test_outstations_that_cannot_be_on_one_line(second: str, said: str | None) -> None:
    tags = 'tags = [{ name = "a", at = "1" }]\n'
    port = "" if "port" in second else 'port = "meters"\n'
    text = (
        f'{PORT}[port.other]\ndevice = "/dev/zero"\n[station.one]\nport = "meters"\nevery = "1s"\n{IEC101}{tags}'
        f'[station.two]\nevery = "1s"\n{IEC101}{second}{port}{tags}'
    )
    if said is None:
        parse(text, "x")
        return
    with pytest.raises(ConfigError) as error:
        parse(text, "x")
    assert any(f"station.two.{said}" in line for line in fault_lines(error.value)), fault_lines(error.value)


# The tables themselves.


def test_every_key_is_somebodys() -> None:
    theirs = {*AccessKeys.model_fields, *SecretKeys.model_fields}
    assert theirs == frozenset().union(*(KEYS[each] for each in Protocol if each is not Protocol.MODBUS))
    assert set(KEYS[Protocol.MODBUS]) <= set(Station.model_fields)
    assert frozenset().union(*TAG_KEYS.values()) <= set(Tag.model_fields)


def test_words_are_those_of_the_settings() -> None:
    kinds = {
        "referencing": Referencing, "opening": Opening, "authentication": Authentication, "deviation": Deviation,
        "bounds": Bounds, "reading": Reading, "counters": CounterRequest,
    }  # fmt: skip
    shapes = AccessKeys.model_json_schema()["properties"]
    for key, kind in kinds.items():
        assert set(shapes[key]["enum"]) == {str(word) for word in kind}


def test_check_shows_how_each_is_reached_and_where_each_tag_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINS_PASSWORD", "GEHEIM")
    path = tmp_path / "nportpy.toml"
    path.write_text(
        f'{PORT}[archive]\npath = "{tmp_path}/a.db"\n[station.mains]\nport = "meters"\nevery = "60s"\n{DLMS}'
        'server = "1/17"\nhistory = "1.0.99.1.0.255"\npassword_env = "MAINS_PASSWORD"\n'
        'tags = [{ name = "a", at = "1-0:1.8.0*255" }, { name = "b", at = "0x0B28" },'
        ' { name = "c", at = "1.29.0 in 1.0.99.1.0.255" }]\n'
        f'[station.heat]\nport = "meters"\nevery = "15min"\n{IEC62056}tags = [{{ name = "a", at = "1.8.0" }}]\n'
        f'[station.rtu]\nport = "meters"\nbaudrate = 1200\nevery = "1s"\n{IEC101}'
        'tags = [{ name = "a", at = "2/7" }]\n'
        '[station.net]\ntarget = "tcp://192.0.2.7"\nevery = "1s"\nprofile = "iskra-mt880"\nonly = ["clock"]\n'
    )
    done = CliRunner().invoke(main, ["check", "-c", str(path)])
    assert done.exit_code == 0, done.output
    for line in (
        "logical names, client 16, server 1/17, width of addresses found out, direct HDLC, authentication low",
        "filled from profile 1.0.99.1.0.255, up to 7d back",
        "1-0:1.8.0*255 -> 1.0.1.8.0.255 attribute 2, class by the meter's list",
        "0x0B28 -> short name 0x0B28",
        "1.29.0 in 1.0.99.1.0.255 -> 1.0.1.29.0.255 attribute 2, class by the meter's list, in profile 1.0.99.1.0.255",
        "1.8.0 -> OBIS 1.0.1.8.0.255",
        "2/7 -> common address 2, object address 7",
        "link address 1 (1 byte), common address 1, sizes 1/1/2, clock shows UTC",
        "iec101 on port meters, held at 1200 8E1",
        "dlms at tcp://192.0.2.7:4059 (TCP wrapper)",
    ):
        assert line in done.output, done.output
    assert "GEHEIM" not in done.output


def test_check_warns_of_what_does_nothing_and_of_files_that_all_can_read(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("GEHEIM\n")
    password.chmod(0o644)
    path = tmp_path / "nportpy.toml"
    path.write_text(
        f'{PORT}[archive]\npath = "{tmp_path}/a.db"\n[station.mains]\nport = "meters"\nevery = "60s"\n{DLMS}'
        f'password_file = "{password}"\nhistory_depth = "2d"\n'
        'tags = [{ name = "a", at = "1.8.0", history = "1.0.1.29.0.255" }]\n'
        '[station.emon]\nport = "meters"\nevery = "1s"\nbaudrate = 19200\ntags = [{ name = "a", at = "41001" }]\n'
        f'[station.heat]\ntarget = "raw://192.0.2.7:4001"\nevery = "15min"\n{IEC62056}{OBIS}'
        f'[station.fixed]\ntarget = "raw://192.0.2.7:4002"\nevery = "15min"\nhighest_baudrate = 300\n{IEC62056}{OBIS}'
        f'[station.any]\nport = "meters"\nevery = "15min"\n{IEC62056}{OBIS}'
        f'[station.named]\nport = "meters"\nevery = "15min"\ndevice_address = 12345678\n{IEC62056}{OBIS}'
    )
    done = CliRunner().invoke(main, ["check", "-c", str(path)])
    assert done.exit_code == 0, done.output
    warnings = "".join(line for line in done.output.splitlines(keepends=True) if line.startswith("warning"))
    for said in (
        "station.mains.history_depth",
        "station.mains.tags[0].history",
        "station.emon.baudrate",
        f"anybody on this machine can read {password}; chmod 640 {password}",
        "station.heat: nobody sets the speed behind a raw port, and the meter will go to another one",
        "station.any: has no device_address, so every meter of its line will answer, those of station.named among them",
    ):
        assert said in warnings, done.output
    password.chmod(0o640)
    done = CliRunner().invoke(main, ["check", "--json", "-c", str(path)])
    assert "anybody" not in done.output
    assert b"GEHEIM".hex(" ") not in done.output
    assert "GEHEIM" not in done.output
    assert "not shown" in done.output


def test_check_says_that_keys_need_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ek", "ak"):
        (tmp_path / name).write_text(bytes(range(16)).hex())
        (tmp_path / name).chmod(0o600)
    path = tmp_path / "nportpy.toml"
    path.write_text(
        f'{PORT}[archive]\npath = "{tmp_path}/a.db"\n[station.mains]\nport = "meters"\nevery = "60s"\n{DLMS}'
        f'authentication = "gmac"\nsystem_title = "4D4D4D0000000001"\nencryption_key_file = "{tmp_path}/ek"\n'
        f'authentication_key_file = "{tmp_path}/ak"\ntags = [{{ name = "a", at = "1.8.0" }}]\n'
    )
    monkeypatch.setattr("nportpy.cli.check_reach.find_spec", lambda name: None)
    done = CliRunner().invoke(main, ["check", "-c", str(path)])
    assert "pip install 'nportpy[dlms]'" in done.output
    monkeypatch.setattr("nportpy.cli.check_reach.find_spec", lambda name: name)
    done = CliRunner().invoke(main, ["check", "-c", str(path)])
    assert "nportpy[dlms]" not in done.output


def test_sha256_counts_the_system_title_in_and_needs_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINS_PASSWORD", "12345678")
    found = station(
        f'{DLMS}authentication = "sha256"\npassword_env = "MAINS_PASSWORD"\nsystem_title = "4D4D4D0000000001"\n'
    ).access
    assert isinstance(found, DlmsSettings)
    assert (found.system_title, found.ciphering) == (bytes.fromhex("4D4D4D0000000001"), None)
