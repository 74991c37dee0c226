"""The support bundle: everything that somebody else needs, and no secret."""

import asyncio
import io
import json
import logging
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.console import bundle, redacting
from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.protocols.capture.pcapng import Packet, Reader
from tests.console.test_api import At, consoled
from tests.console.test_description import asked

CANARY = "c4n4ry-7f3a"
FILE = f"""
[archive]
path = "/x/archive.db"
[upstream.plant]
url = "mqtts://user:{CANARY}@broker.example:8883"
password = "{CANARY}"
token = "{CANARY}"
password_file = "/etc/nportpy/password"
[[users.anna]]
hash = "{CANARY}"
keys = ["{CANARY}"]
# {CANARY}
"""


async def test_c10_the_bundle_has_everything_but_secrets(tmp_path: Path) -> None:
    path = tmp_path / "nportpy.toml"
    path.write_text(FILE)
    async with consoled() as at:
        at.served.gateway._desk._file = str(path)
        logging.getLogger("nportpy.test").warning("trying", extra={"url": f"tls://u:{CANARY}@h?token={CANARY}"})
        answer = await at.call("/api/v1/bundle")
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.body)) as file:
            parts = {name.rpartition("/")[2]: file.read(name).decode() for name in file.namelist()}
    names = ("version.json", "status.json", "verdicts.json", "metrics.txt", "log.ndjson", "configuration.json")
    assert parts.keys() == {*names, "captures.json"}
    assert not [name for name, text in parts.items() if CANARY in text]
    assert json.loads(parts["configuration.json"])["upstream"]["plant"]["password_file"] == "/etc/nportpy/password"
    assert json.loads(parts["configuration.json"])["archive"]["path"] == "/x/archive.db"
    assert json.loads(parts["status.json"])["name"] == "test"
    assert "nportpy_line_up" in parts["metrics.txt"]


@given(st.text(min_size=6, alphabet=st.characters(categories=("L", "N"))), st.sampled_from(
    ("password", "PASSWORD", "auth_key", "api_token", "client_secret", "hash", "community", "psk")))  # fmt: skip
def test_c10_no_secret_whatever_it_is_in(secret: str, name: str) -> None:
    nested = {
        "a": [{name: secret}, {name: [secret, {"x": secret}]}],
        "b": f"mqtt://u:{secret}@h",
        "c": f"x?{name}={secret}",
    }
    assert f'"{secret}"' not in json.dumps(redacting.redacted(nested), ensure_ascii=False)
    assert f":{secret}@" not in json.dumps(redacting.redacted(nested), ensure_ascii=False)


# Captures.


async def unanswered(at: At, *units: int) -> None:
    """Have the flight recorder freeze a moment for each of them."""
    await asked(at, *units)
    await asyncio.sleep(2)


async def bundled(at: At, query: str = "") -> dict[str, bytes]:
    """The parts, by their names within the folder."""
    answer = await at.call(f"/api/v1/bundle{query}")
    assert answer.status == 200
    with zipfile.ZipFile(io.BytesIO(answer.body)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


async def test_c10_frozen_captures_are_in_it_and_listed() -> None:
    async with consoled(capture=CaptureSettings(keep=65536)) as at:
        await unanswered(at, 3, 4)
        parts = await bundled(at)
        listed = json.loads(parts["captures.json"])
        assert [(each["port"], each["cause"]) for each in listed] == [
            ("cable", "no_answer unit 4"),
            ("cable", "no_answer unit 3"),
        ]
        for each in listed:
            packets = [packet for packet in Reader().feed(parts[each["file"]]) if isinstance(packet, Packet)]
            assert any(b"\x03\xe8" in packet.data for packet in packets)
            same = await at.call(f"/api/v1/ports/cable/capture.pcapng?frozen={each['number']}")
            assert len(list(Reader().feed(same.body))) == len(list(Reader().feed(parts[each["file"]])))
        without = await bundled(at, "?captures=0")
        assert not [name for name in without if "capture" in name]


async def test_c10_captures_are_bounded_and_those_that_are_not_in_it_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle, "MOST_CAPTURED", 100)
    async with consoled(capture=CaptureSettings(keep=65536)) as at:
        await unanswered(at, 3, 4, 5)
        listed = json.loads((await bundled(at))["captures.json"])
        assert [bool(each["file"]) for each in listed] == [True, False, False]
        assert listed[0]["cause"] == "no_answer unit 5"
