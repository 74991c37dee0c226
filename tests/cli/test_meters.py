"""Commands for DLMS meters against a client by script: what is asked, what is printed, and what every failure says."""

import csv
import io
import json
import os
import pty
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import pytest

from nportpy.cli import main
from nportpy.cli.meters import MeterTarget
from nportpy.errors import LineError
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.errors import AssociationRefused, AuthenticationRefused, MeterSilent
from nportpy.meters.dlms.objects import Attribute, Column, CosemObject, Profile, Result, Row
from nportpy.meters.dlms.searching import Search
from nportpy.meters.dlms.settings import Authentication, DlmsSettings, Opening, Referencing
from nportpy.network.addresses import Endpoint
from nportpy.protocols.dlms.obis import Obis

ENERGY, VOLTAGE, CLOCK, SERIAL, PROFILE = (
    Obis.parse(each).code
    for each in ("1.0.1.8.0.255", "1.0.32.7.0.255", "0.0.1.0.0.255", "0.0.96.1.0.255", "1.0.99.1.0.255")
)
TARGET = "tcp://192.0.2.7"
STAMP = bytes.fromhex("07EA0B1506123A0FFFFFC400")
SECRET = "Geheimnis-7"
OBJECTS = [
    CosemObject(12, 0, bytes((0, 0, 40, 0, 0, 255)), 0xFA00),
    CosemObject(8, 0, CLOCK, 0x1000),
    CosemObject(3, 0, ENERGY, 0x00B0),
    CosemObject(3, 0, VOLTAGE, 0x0100),
    CosemObject(1, 0, SERIAL, 0x0200),
    CosemObject(7, 1, PROFILE, 0x1380),
]


class Meter:
    """Stands in for the client; `made` has all of them."""

    made: list["Meter"]
    error: Exception | None
    answers_to: Any

    def __init__(self, settings: DlmsSettings, transport: object, name: str = "") -> None:
        self.settings, self.transport, self.name = settings, transport, name
        self.closed = False
        self.asked: list[Attribute] = []
        Meter.made.append(self)

    async def connect(self) -> None:
        if Meter.answers_to is not None:
            Meter.answers_to(self.settings)

    async def read(self, attributes: Sequence[Attribute], *, scaled: bool = True) -> list[Result]:
        self._fail()
        self.asked += attributes
        return [self._result(each) for each in attributes]

    async def objects(self, *, fresh: bool = False) -> list[CosemObject]:
        self._fail()
        return OBJECTS

    async def profile(self, obis: bytes, start: datetime, end: datetime) -> Profile:
        self._fail()
        assert start < end
        columns = [Column(8, CLOCK, 2), Column(3, ENERGY, 2, scaler=-1, unit=30), Column(1, SERIAL, 2)]
        at = datetime(2026, 11, 21, 12, tzinfo=UTC)
        rows = [Row(at, False, (STAMP, 10000, b"\x01")), Row(at + timedelta(minutes=15), True, (STAMP, 10012, b"\x02"))]
        return Profile(columns, rows if obis == PROFILE else [], 900)

    async def close(self) -> None:
        self.closed = True

    def _fail(self) -> None:
        if Meter.error is not None:
            raise Meter.error

    def _result(self, asked: Attribute) -> Result:
        if asked.short_name == 0xB8 or (asked.obis, asked.attribute) == (ENERGY, 2):
            return Result(asked, 77160, scaler=0, unit=30, class_id=3)
        if asked.obis == VOLTAGE:
            return Result(asked, 2306, scaler=-1, unit=35, class_id=3)
        if asked.obis == CLOCK:
            return Result(asked, STAMP, class_id=8)
        if asked.obis == SERIAL:
            return Result(asked, b"LGZ1234", class_id=1)
        return Result(asked, code=4)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    Meter.made, Meter.error, Meter.answers_to = [], None, None
    monkeypatch.setattr("nportpy.cli.meters.DlmsClient", Meter)
    monkeypatch.delenv("NPORTPY_PASSWORD", raising=False)
    monkeypatch.setenv("TZ", "Europe/Bratislava")


def run(*arguments: str, **environment: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)


def test_targets() -> None:
    for text in ("192.0.2.7", "tcp://192.0.2.7", "tcp://192.0.2.7:4059", "192.0.2.7:4059"):
        assert MeterTarget.parse(text).place == Endpoint("192.0.2.7", 4059)
    assert MeterTarget.parse("tcp://[2001:db8::1]:502").place == Endpoint("2001:db8::1", 502)
    assert MeterTarget.parse("raw://pi:4001") == MeterTarget("socket://pi:4001", sets_line=False, text="raw://pi:4001")
    assert MeterTarget.parse("socket://pi:4001").place == "socket://pi:4001"
    assert MeterTarget.parse("rfc2217://pi:5001").sets_line
    assert MeterTarget.parse("/dev/ttyAMA0") == MeterTarget("/dev/ttyAMA0", sets_line=True, text="/dev/ttyAMA0")
    for text in ("", "raw://pi", "rtu+tcp://pi:4001", "http://pi", "tcp://pi:70000"):
        with pytest.raises(ValueError, match=r"."):
            MeterTarget.parse(text)


def test_read() -> None:
    done = run("read", TARGET, "1.8.0", "1-0:32.7.0*255", "0.0.1.0.0.255", "0.0.96.1.0.255", "--protocol", "dlms")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["1.0.1.8.0.255", "77160", "Wh"],
        ["1.0.32.7.0.255", "230.6", "V"],
        ["0.0.1.0.0.255", "2026-11-21T18:58:15+01:00"],
        ["0.0.96.1.0.255", "LGZ1234"],
    ]
    assert (done.stderr, done.exit_code) == ("", 0)
    assert Meter.made[0].closed
    assert len(Meter.made[0].asked) == 4


def test_read_as_json_and_csv() -> None:
    done = run("read", TARGET, "32.7.0", "0xB8", "9.9.9", "--protocol=dlms", "--json")
    found = json.loads(done.stdout)
    assert [(each["address"], each["value"], each["unit"]) for each in found] == [
        ("1.0.32.7.0.255", 230.6, "V"), ("0x00B8", 77160, "Wh"), ("1.0.9.9.9.255", None, "")]  # fmt: skip
    assert "result 4" in found[2]["error"]
    assert done.exit_code == 1
    done = run("read", "--csv", TARGET, "32.7.0", "--protocol", "dlms")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert (rows[0]["value"], rows[0]["unit"]) == ("230.6", "V")


def test_an_unknown_obis_says_so_and_the_others_are_there() -> None:
    done = run("read", TARGET, "1.8.0", "9.9.9", "--protocol", "dlms")
    assert done.stdout.split() == ["1.0.1.8.0.255", "77160", "Wh"]
    assert "Error: 1.0.9.9.9.255: result 4, object undefined: the meter has no such object or attribute" in done.stderr
    assert done.exit_code == 1


def test_read_names_and_wide_rows_in_a_file(tmp_path: Path) -> None:
    target = tmp_path / "v.csv"
    words = ["U=32.7.0", "energy=1.8.0", "none=9.9.9", "--wide", "--output", str(target), "--every", "100ms"]
    done = run("read", TARGET, *words, "--count", "2", "--protocol", "dlms", "--plot")
    rows = list(csv.reader(target.read_text().splitlines()))
    assert rows[0] == ["time", "U", "energy", "none"]
    assert [row[1:] for row in rows[1:]] == [["230.6", "77160", ""]] * 2
    assert "Error: none: result 4" in done.stderr
    assert [line.split() for line in done.stderr.splitlines()[-4:]] == [
        ["U", "230.6", "230.6", "230.6", "2", "0"],
        ["energy", "77160", "77160", "77160", "2", "0"],
        ["none", "-", "-", "-", "0", "2"],
        ["4", "values", "read,", "2", "failed,", "in", "2", "rounds"],
    ]
    assert done.stdout.endswith("3 none\n")
    assert done.exit_code == 1


def test_read_names_in_csv_and_json() -> None:
    done = run("read", TARGET, "U=32.7.0", "1.8.0", "--csv", "--protocol", "dlms")
    head, first, second = done.stdout.splitlines()
    assert head == "time,name,address,value,unit,error"
    assert (first.split(",")[1:4], second.split(",")[1]) == (["U", "1.0.32.7.0.255", "230.6"], "1.0.1.8.0.255")
    done = run("read", TARGET, "U=32.7.0", "--json", "--protocol", "dlms")
    assert [(each["name"], each["value"]) for each in json.loads(done.stdout)] == [("U", 230.6)]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MeterSilent("no answer from 1/17, client 16"), "nportpy scan tcp://192.0.2.7 --protocol dlms"),
        (AuthenticationRefused("the password is wrong"), "Error: the password is wrong"),
        (AssociationRefused("context not supported"), "Error: context not supported"),
        (LineError("the lease has ended"), "Error: the lease has ended"),
    ],
)
@pytest.mark.parametrize("command", [["read", TARGET, "1.8.0", "--protocol", "dlms"], ["objects", TARGET],
                                     ["profile", TARGET, "1.0.99.1.0.255"]])  # fmt: skip
def test_errors_say_which(command: list[str], error: Exception, says: str) -> None:
    Meter.error = error
    done = run(*command)
    assert says in done.stderr
    assert str(error) in done.stderr
    assert done.exit_code == 1
    assert done.stdout == ""
    assert Meter.made[0].closed


@pytest.mark.parametrize(
    "arguments",
    [
        ["read", TARGET, "x", "--protocol", "dlms"],
        ["read", TARGET, "--protocol", "dlms"],
        ["read", "http://x", "1.8.0", "--protocol", "dlms"],
        ["read", TARGET, "1.8.0", "--protocol", "knx"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--json", "--csv"],
        ["read", TARGET, "U=1.8.0", "U=2.8.0", "--protocol", "dlms"],
        ["read", TARGET, "1.8.0", "1-0:1.8.0*255", "--protocol", "dlms", "--wide"],
        ["read", TARGET, "=1.8.0", "--protocol", "dlms"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--plot"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--server", "1/2/3"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--server", "1/200", "--width", "2"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--client", "128"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--authentication", "low"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--password-file", "/nowhere"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--zone", "Nowhere"],
        ["read", TARGET, "1.8.0", "--protocol", "dlms", "--password", "x"],
        ["objects", TARGET, "--json", "--csv"],
        ["profile", TARGET, "0x1380"],
        ["profile", TARGET, "1.0.99.1.0.255", "--from", "now", "--to", "1h"],
        ["scan", TARGET, "--protocol", "dlms", "--clients", "200"],
        ["scan", TARGET, "--protocol", "dlms", "--servers", "x"],
        ["scan", TARGET, "--protocol", "dlms", "--baudrates", "9600"],
    ],
)
def test_bad_usage_asks_nobody(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr
    assert not Meter.made


def test_the_defaults_are_those_that_most_meters_take() -> None:
    run("objects", TARGET)
    settings = Meter.made[0].settings
    assert (settings.referencing, settings.client, settings.upper, settings.lower, settings.width) == (
        Referencing.LOGICAL, 16, 1, 0, 0)  # fmt: skip
    assert settings.authentication is Authentication.NONE
    assert (settings.response, settings.long_response) == (2.0, 5.0)
    assert str(settings.zone) == "Europe/Bratislava"


def test_options_reach_the_client(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\nnot this\n")
    run("objects", TARGET, "--referencing", "short", "--client", "32", "--server", "1/59", "--width", "4", "--opening",
        "mode-e", "--password-file", str(file), "--timeout", "3s", "--zone", "UTC")  # fmt: skip
    settings = Meter.made[0].settings
    assert settings.secret == SECRET.encode()
    assert settings.authentication is Authentication.LOW
    assert settings.opening is Opening.MODE_E
    assert (settings.client, settings.lower, settings.width, settings.response) == (32, 59, 4, 3.0)
    assert settings.referencing is Referencing.SHORT
    file.write_text("\n")
    assert run("objects", TARGET, "--password-file", str(file)).exit_code == 2


def test_a_password_of_the_environment_is_never_shown() -> None:
    Meter.error = AuthenticationRefused("the password is wrong")
    done = run("objects", TARGET, "--authentication", "md5", NPORTPY_PASSWORD=SECRET)
    assert Meter.made[0].settings.secret == SECRET.encode()
    assert Meter.made[0].settings.authentication is Authentication.MD5
    assert SECRET not in done.output + done.stderr + repr(Meter.made[0].settings)
    Meter.made.clear()
    run("objects", TARGET, "--authentication", "none", NPORTPY_PASSWORD=SECRET)
    assert Meter.made[0].settings.secret == b""


def test_objects_with_values() -> None:
    done = run("objects", TARGET, "--referencing", "short")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["obis", "class", "version", "short", "name", "value", "unit"]
    assert ["1.0.1.8.0.255", "register", "0", "0x00B0", "77160", "Wh"] in lines
    assert ["1.0.99.1.0.255", "profile", "generic", "1", "0x1380"] in lines
    assert done.exit_code == 0
    assert {each.obis for each in Meter.made[0].asked} == {CLOCK, ENERGY, VOLTAGE, SERIAL}
    assert all(each.class_id for each in Meter.made[0].asked)
    listed = json.loads(run("objects", TARGET, "--json", "--no-values").stdout)
    assert [each["obis"] for each in listed][1] == "0.0.1.0.0.255"
    assert not Meter.made[-1].asked
    rows = list(csv.DictReader(io.StringIO(run("objects", TARGET, "--csv").stdout)))
    assert rows[3]["value"] == "230.6"


def test_objects_shows_what_there_was_when_the_meter_went() -> None:
    async def gone(self: Meter, attributes: Sequence[Attribute], *, scaled: bool = True) -> list[Result]:
        raise MeterSilent("gone")

    original, Meter.read = Meter.read, gone  # type: ignore[method-assign]
    try:
        done = run("objects", TARGET)
    finally:
        Meter.read = original  # type: ignore[method-assign]
    assert len(done.stdout.splitlines()) == len(OBJECTS) + 1
    assert "Error: gone" in done.stderr
    assert done.exit_code == 1


def test_profile() -> None:
    done = run("profile", TARGET, "1.0.99.1.0.255", "--from", "2026-11-21", "--to", "2026-11-22")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["time", "1.0.1.8.0.255", "[Wh]", "0.0.96.1.0.255", "doubt"],
        ["2026-11-21T13:00:00+01:00", "1000.0", "01"],
        ["2026-11-21T13:15:00+01:00", "1001.2", "02", "the", "meter's", "clock", "doubts", "it"],
    ]
    found = json.loads(run("profile", TARGET, "P.01", "--json").stdout)
    assert found[1]["1.0.1.8.0.255 [Wh]"] == 1001.2
    done = run("profile", TARGET, "1.0.99.2.0.255")
    assert "no rows" in done.stderr
    assert done.exit_code == 1


def test_a_device_that_is_not_there_says_so() -> None:
    for command in (["objects", "/dev/nowhere"], ["scan", "/dev/nowhere", "--protocol", "dlms"]):
        done = run(*command)
        assert "/dev/nowhere" in done.stderr
        assert done.exit_code == 1


# Scan: field row 2.


def only(**wanted: object) -> Any:
    """A meter that answers where the settings are so, and is silent elsewhere."""

    def answer(settings: DlmsSettings) -> None:
        if any(getattr(settings, key) != value for key, value in wanted.items()):
            raise MeterSilent("nothing")
        if settings.client == 48:
            raise AuthenticationRefused("authentication required")
        if settings.referencing is Referencing.LOGICAL:
            raise AssociationRefused("context not supported")

    return answer


@pytest.fixture
def device() -> Any:
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_field_2_scan_walks_openings_speeds_addresses_and_clients(device: str) -> None:
    Meter.answers_to = only(lower=17, width=4, opening=Opening.DIRECT, line=LineSettings.parse(19200, "8N1"))
    done = run("scan", device, "--protocol", "dlms", "--json")
    found = json.loads(done.stdout)
    assert [(each["client"], each["answer"], each["referencing"]) for each in found] == [
        (16, "associated", "short"), (1, "associated", "short"), (32, "associated", "short"),
        (48, "authentication required", None)]  # fmt: skip
    assert all(each["server"] == "1/17" and each["width"] == 4 for each in found)
    assert found[0]["line"] == "19200 8N1"
    expected = "--referencing short --server 1/17 --client 16 --width 4 --baudrate 19200"
    assert f"next: nportpy objects {device} {expected}" in done.stderr
    assert all(meter.closed for meter in Meter.made)
    tried = [(meter.settings.opening, meter.settings.line) for meter in Meter.made]
    assert (Opening.MODE_E, LineSettings.parse(9600, "8N1")) not in tried
    assert not any(meter.settings.secret for meter in Meter.made)


def test_field_2_mode_e_comes_after_direct(device: str) -> None:
    Meter.answers_to = only(opening=Opening.MODE_E, lower=0, width=1)
    done = run("scan", device, "--protocol", "dlms")
    assert "mode-e" in done.stdout
    assert "--opening mode-e" in done.stderr
    assert done.exit_code == 0


def test_field_2_nobody_is_said_with_what_was_tried(device: str) -> None:
    Meter.answers_to = only(client=99)
    done = run("scan", device, "--protocol", "dlms", "--baudrates", "9600", "--clients", "16", "--servers", "1")
    assert "nobody answers (6 ways tried)" in done.stderr
    assert done.stdout == ""
    assert done.exit_code == 1


def test_field_2_over_tcp_there_are_only_addresses_and_clients() -> None:
    Meter.answers_to = only(lower=16)
    done = run("scan", TARGET, "--protocol", "dlms")
    assert done.exit_code == 0
    assert "--server 1/16 --client 16\n" in done.stderr
    assert {(meter.settings.opening, meter.settings.line, meter.settings.width) for meter in Meter.made} == {
        (Opening.DIRECT, None, 0)}  # fmt: skip


def test_a_search_is_bounded() -> None:
    lines = [LineSettings.parse(rate, "8N1") for rate in (9600, 19200)]
    search = Search((Opening.DIRECT, Opening.MODE_E), lines)
    trials = list(search.trials())
    assert len(trials) == len(set(trials)) == 3 * (3 + 2 + 2 + 2) * 4
    assert all(trial.tries == 1 and trial.response == 0.5 for trial in trials)
