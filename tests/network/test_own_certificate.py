"""S9: a console that others can reach has a certificate that the gateway makes for itself."""

import asyncio
import logging
import os
import ssl
import stat
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from nportpy.cli import main
from nportpy.config import parse
from nportpy.network.tls_contexts import fingerprint
from nportpy.network.tls_settings import TlsSettings
from nportpy.port.loopback import Cable
from nportpy.security import own
from nportpy.services.http_base import HttpSettings
from tests.support.free_ports import free_port
from tests.support.serving import plan, raw, serving, settings, until
from tests.support.tls import Plant, secured

pytestmark = pytest.mark.process

WITH_CONSOLE = '[http]\nlisten = "0.0.0.0:9550"\nconsole = "view"\n[port.a]\ndevice = "loop://"\n'


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The state directory of a device that starts for the first time."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


async def _start() -> str:
    """Start as the file says, but for the addresses; the fingerprint that a client sees, and that the status has."""
    found = parse(WITH_CONSOLE, "f")
    http = HttpSettings((("127.0.0.1", 0),), tls=found.http.tls if found.http else "")
    async with serving(plan("cable"), cables=[Cable()], tls=found.tls, http=http) as served:
        port = served.gateway._http._service.endpoints[0].port  # type: ignore[union-attr]
        seen = fingerprint(ssl.PEM_cert_to_DER_cert(await asyncio.to_thread(_certificate_at, port)))
        (table,) = served.gateway.status().tls
        assert (table.name, table.error) == ("self", "")
        assert [each.fingerprint for each in table.certificates] == [seen]
        return seen


def _certificate_at(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)


async def test_s9_the_same_after_a_restart_and_another_on_another_device(
    device: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        first = await _start()
        assert await _start() == first
    said = [record.fingerprint for record in caplog.records if record.message == "certificates read"]  # type: ignore[attr-defined]
    assert said == [first, first]
    assert [record.message for record in caplog.records].count("made a certificate of our own") == 1
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "second device"))
    assert await _start() != first
    assert stat.S_IMODE(os.stat(device / "tls" / "self.key").st_mode) == 0o600


async def test_s9_it_is_for_this_machine_and_who_has_it_believes_it(device: Path) -> None:
    found = parse('[port.a]\ndevice = "loop://"\n[port.a.raw]\nlisten = 4001\ntls = "self"\n', "f")
    cable = Cable()
    async with serving(plan("cable", raw(tls="self")), cables=[cable], tls=found.tls) as served:
        context = ssl.create_default_context(cafile=str(device / "tls" / "self.crt"))
        client = await secured(served.port(), context)
        client.send(b"in")
        await until(lambda: cable.heard == b"in")
        await client.close()


async def test_s9_mdns_says_the_fingerprint_of_what_vouches_for_itself(device: Path) -> None:
    tls = parse(WITH_CONSOLE, "f").tls
    http = HttpSettings((("127.0.0.1", 0),), tls="self")
    async with serving(plan("cable", raw(tls="self")), cables=[Cable()], tls=tls, http=http) as served:
        announcing = served.gateway._announcing
        assert announcing is not None
        offers = {offer.kind: offer for offer in announcing._offers()}
        fingerprint = served.gateway.status().tls[0].certificates[0].fingerprint
        assert len(fingerprint) == 95
        for kind in ("raw", "http"):
            assert (offers[kind].tls, offers[kind].facts) == (True, {"fingerprint": fingerprint})


async def test_s9_commands_on_the_same_machine_believe_it(device: Path) -> None:
    port, file = free_port(), device / "nportpy.toml"
    file.write_text(f'[http]\nlisten = "127.0.0.1:{port}"\ntls = "self"\n[port.a]\ndevice = "loop://"\n')
    found = parse(file.read_text(), str(file))
    async with serving(plan("cable"), cables=[Cable()], tls=found.tls, http=found.http) as served:
        shown = await asyncio.to_thread(CliRunner().invoke, main, ["status", "-c", str(file)])
        assert shown.exit_code == 0, shown.output
        assert served.gateway.status().tls[0].certificates[0].fingerprint in shown.output
        ca = str(device / "tls" / "self.crt")
        url = ["status", "--url", f"https://localhost:{port}"]
        assert (await asyncio.to_thread(CliRunner().invoke, main, [*url, "--ca", ca])).exit_code == 0
        assert (await asyncio.to_thread(CliRunner().invoke, main, url)).exit_code == 1


async def test_s9_it_is_made_at_a_reload_too(device: Path) -> None:
    tls = parse('[port.a]\ndevice = "loop://"\n[port.a.raw]\nlisten = 4001\ntls = "self"\n', "f").tls
    async with serving(plan("cable", raw()), cables=[Cable()]) as served:
        await served.gateway.reload(settings(plan("cable", raw(tls="self")), tls=tls))
        assert not served.gateway.status().tls[0].error
        before = (device / "tls" / "self.crt").read_bytes()
        await served.gateway.reload(settings(plan("cable", raw(tls="self")), tls=tls))
        assert (device / "tls" / "self.crt").read_bytes() == before


@pytest.mark.parametrize("why", ["no folder", "no cryptography", "no python"])
async def test_s9_without_one_nobody_comes_in_and_log_and_status_say_why(
    device: Path, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if why == "no folder":
        (device / "tls").write_bytes(b"a file is in the way")
        reason = "File exists"
    elif why == "no cryptography":
        (device / "cryptography.py").write_text("raise ImportError")
        monkeypatch.setenv("PYTHONPATH", str(device))
        reason = "pip install 'nportpy[tls]'"
    else:
        monkeypatch.setattr(sys, "executable", "/none/python")
        reason = "No such file"
    async with serving(plan("cable", raw(tls="self")), cables=[Cable()], tls=_own_table()) as served:
        status = served.gateway.status()
        assert not status.ready
        for told in (status.missing[0].reason, status.tls[0].error):
            assert reason in told
            assert "cannot be made" in told
        served.gateway._certificates.look()
    said = [record.reason for record in caplog.records if "nobody can connect" in record.message]  # type: ignore[attr-defined]
    assert len(said) == 1
    assert reason in said[0]


def _own_table() -> tuple[TlsSettings, ...]:
    return parse('[port.a]\ndevice = "loop://"\n[port.a.raw]\nlisten = 4001\ntls = "self"\n', "f").tls


class Tries:
    """Takes the place of the process that makes one: says `reason`, at once or when it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
        self.reason = reason
        self.times: list[float] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        monkeypatch.setattr(own, "_made", self._made)

    async def _made(self, *_: object) -> str:
        self.times.append(asyncio.get_running_loop().time())
        await self.goes_on.wait()
        return self.reason


async def test_s9_what_cannot_be_made_is_tried_less_and_less_and_holds_no_reload_up(
    device: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = Tries(monkeypatch, "Read-only file system")
    plans, tls = [plan("cable", raw(tls="self")), plan("other", raw())], _own_table()
    async with serving(*plans, cables=[Cable("cable"), Cable("other")], tls=tls) as served:
        await asyncio.sleep(3600)
        apart = [round(after - before) for before, after in pairwise(tries.times)]
        assert apart[:5] == [10, 20, 40, 80, 160]
        assert set(apart[5:]) <= {300, 310}
        tries.goes_on.clear()
        count = len(tries.times)
        await until(lambda: len(tries.times) > count, within=400)
        monkeypatch.setattr(own, "_made", Tries(monkeypatch, "No space left on device")._made)
        async with asyncio.timeout(1):
            await served.gateway.reload(settings(*plans, tls=tls))
        (table,) = served.gateway.status().tls
        assert "No space left on device" in table.error
        tries.goes_on.set()
    said = [record for record in caplog.records if "nobody can connect" in record.message]
    assert [record.reason.partition("(")[2].partition(")")[0] for record in said[:2]] == [  # type: ignore[attr-defined]
        *("Read-only file system", "No space left on device"),
    ]


@pytest.mark.real("asyncio")
async def test_s9_a_gateway_that_stops_waits_for_no_certificate(
    device: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await own.OwnCertificates().make(_own_table())
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - began < 30


async def test_s9_a_process_that_does_not_end_is_ended(
    device: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\necho $$ > pid\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(slow))
    making = own.OwnCertificates()
    await making.make(_own_table(), patience=0.5)
    assert making.trouble == "it takes more than 0.5 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_s9_what_is_there_is_left_alone(device: Path) -> None:
    plant = Plant(device)
    pair = plant.pair("of somebody")
    before = Path(pair.certificate).read_bytes()
    table = parse(WITH_CONSOLE, "f").tls[0]
    table = table.__class__("self", (pair.files,), made=True)
    asyncio.run(own.OwnCertificates().make([table]))
    assert Path(pair.certificate).read_bytes() == before
