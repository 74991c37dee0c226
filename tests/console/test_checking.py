"""The configuration's page: what `nportpy check` says, without secrets, by a checker that is a process of its own."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from nportpy.cli.check import check
from nportpy.console import checking
from tests.console.test_api import At, consoled

pytestmark = pytest.mark.real("uvloop")  # the checker is a process: one loop is enough

CANARY = "c4n4ry-7f3a"
WARNED = """
[gateway]
listen = "127.0.0.1"
[http]
listen = "127.0.0.1:9550"
[port.meters]
device = "/dev/not-here"
[port.meters.raw]
listen = 502
allow = ["192.0.2.0/24"]
[port.plc]
device = "/dev/not-here-either"
buffer = "64KiB"
[upstream.plant]
url = "mqtt://broker.example:1883"
user = "anna"
password_file = "/nowhere/password"
[archive]
path = "/var/lib/nportpy/archive.db"
"""
WRONG = f"""
[port.meters]
device = "/dev/not-here"
baudrate = 0
password = "{CANARY}"
raw = {{ listen = 4001, token = "{CANARY}" }}
[upstream.plant]
url = "mqtt://anna:{CANARY}@broker.example:99999"
"""
NO_TOML = f"""
[upstream.plant]
password = {CANARY}
"""


@asynccontextmanager
async def with_file(tmp_path: Path, text: str) -> AsyncIterator[At]:
    path = tmp_path / "nportpy.toml"
    path.write_text(text)
    async with consoled() as at:
        at.served.gateway._desk._file = str(path)
        yield at


async def test_c8_each_warning_and_row_of_check_is_there(tmp_path: Path) -> None:
    async with with_file(tmp_path, WARNED) as at:
        answer = await at.call("/api/v1/check")
        assert answer.status == 200, answer.body
        said = json.loads(CliRunner().invoke(check, ["--json", "-c", str(tmp_path / "nportpy.toml")]).stdout)
        found = answer.json()
        assert (found["ok"], found["faults"]) == (said["ok"], said["faults"]) == (True, [])
        assert found["warnings"] == said["warnings"]
        assert len(found["warnings"]) > 3
        assert found["picture"] == said["picture"]
        assert ["port plc", ""] in found["picture"]


async def test_c8_each_fault_has_its_row_without_secrets(tmp_path: Path) -> None:
    async with with_file(tmp_path, WRONG) as at:
        answer = await at.call("/api/v1/check")
        said = json.loads(CliRunner().invoke(check, ["--json", "-c", str(tmp_path / "nportpy.toml")]).stdout)
        found = answer.json()
        assert not found["ok"]
        assert [(each["line"], each["key"]) for each in found["faults"]] == [
            (each["line"], each["key"]) for each in said["faults"]
        ]
        assert any(each["key"] == "port.meters.baudrate" and each["value"] == "0" for each in found["faults"])
        assert CANARY not in answer.body.decode()


async def test_c8_a_file_that_is_not_toml_gives_lines_and_reasons_alone(tmp_path: Path) -> None:
    async with with_file(tmp_path, NO_TOML) as at:
        answer = await at.call("/api/v1/check")
        assert answer.status == 200, answer.body
        found = [(each["line"], each["reason"], each["allowed"]) for each in answer.json()["faults"]]
        assert (3, "is not TOML: a text stands in quotes", None) in found
        assert CANARY not in answer.body.decode()


async def test_c8_a_file_that_has_gone_is_a_fault_and_none_at_all_is_said(tmp_path: Path) -> None:
    async with with_file(tmp_path, "") as at:
        (tmp_path / "nportpy.toml").unlink()
        (fault,) = (await at.call("/api/v1/check")).json()["faults"]
        assert "No such file" in fault["reason"]
        at.served.gateway._desk._file = None
        found = (await at.call("/api/v1/check")).json()
        assert (found["file"], found["ok"], found["faults"], found["warnings"]) == (None, True, [], [])


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import time; time.sleep(60)", "has not come to an end"),
        ("while True: print('x' * 65536)", "has failed"),
    ],
)
async def test_c8_a_checker_that_fails_hangs_or_floods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, why: str
) -> None:
    monkeypatch.setattr(checking, "_CHECK", (sys.executable, "-c", program))
    monkeypatch.setattr(checking, "PATIENCE", 1.0 if "sleep" in program else 60.0)
    async with with_file(tmp_path, "") as at:
        answer = await at.call("/api/v1/check")
        assert (answer.status, why in answer.json()["detail"]) == (503, True), answer.body


async def test_c24_the_configuration_is_for_this_machine(tmp_path: Path) -> None:
    async with with_file(tmp_path, WARNED) as at:
        assert (await at.call("/api/v1/check", Forwarded="for=192.0.2.1")).status == 403
