"""nportpy capture and extcap beside tshark: through a pipe, as an interface, into files; and nportpy monitor."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nportpy.accounts import changing
from nportpy.accounts.roles import Extra, Role
from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.modbus.settings import BusSettings
from nportpy.network.tls_settings import SELF, KeyPair, TlsSettings
from nportpy.port.loopback import Cable
from nportpy.protocols.capture.pcapng import Packet, Reader
from nportpy.services.http_base import HttpSettings
from tests.peers.test_console import once
from tests.support.asking import Client, read
from tests.support.bus import Units, reply
from tests.support.serving import Served, plan, raw, serving

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real("uvloop"),  # programs read what was written: one loop is enough
    pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark here"),
]

OURS = (sys.executable, "-m", "nportpy")
LIMIT = 60.0


class Polled:
    """A gateway one of whose lines is polled all the time."""

    def __init__(self, served: Served) -> None:
        service, http = served.gateway._http._service, served.gateway._settings.http
        assert service is not None
        assert http is not None
        self.served = served
        self.url = f"http{'s' if http.tls else ''}://{service.addresses[0]}"
        self.answers = 0

    async def poll(self) -> None:
        bus = self.served.gateway._ports["bus"].bus
        assert bus is not None
        client = Client(bus)
        while True:
            client.ask(read(1000, 2), unit=5)
            await client.ended()
            self.answers += 1
            await asyncio.sleep(0.02)


@asynccontextmanager
async def polled(
    capture: CaptureSettings | None = None, http: HttpSettings | None = None, **more: Any
) -> AsyncIterator[Polled]:
    cable = Cable("bus")
    Units(cable, lambda data: [(0.01, reply(data))])
    async with (
        serving(
            plan("bus", raw(), bus=BusSettings()),
            cables=[cable],
            http=http or HttpSettings((("127.0.0.1", 0),)),
            capture=capture or CaptureSettings(),
            **more,
        ) as served,
        asyncio.TaskGroup() as tasks,
    ):
        found = Polled(served)
        polling = tasks.create_task(found.poll())
        yield found
        polling.cancel()


async def ran(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """How a program ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=PIPE, stderr=PIPE, env=os.environ | environment, start_new_session=True
    )
    try:
        async with asyncio.timeout(LIMIT):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_c21_a_pipe_to_tshark_shows_requests_as_they_come() -> None:
    async with polled() as at:
        command = f"{' '.join(OURS)} capture {at.url} bus -w - | tshark -l -i - -Y modbus -c 40"
        code, out, err = await ran("sh", "-c", command)
        assert code == 0, err
        assert out.count("Query") >= 5
        assert out.count("Response") >= 5
        before = at.answers
        await asyncio.sleep(0.3)
        assert at.answers > before


async def test_c21_files_are_whole_whatever_ends_them(tmp_path: Path) -> None:
    async with polled(CaptureSettings(keep=65536)) as at:
        for number, how in enumerate((signal.SIGINT, signal.SIGTERM)):
            path = tmp_path / f"{number}.pcapng"
            process = await asyncio.create_subprocess_exec(
                *OURS, "capture", at.url, "bus", "-w", str(path), stderr=PIPE
            )
            async with asyncio.timeout(LIMIT):
                while not (path.exists() and path.stat().st_size > 3000):  # noqa: ASYNC110 - another's file
                    await asyncio.sleep(0.05)
                process.send_signal(how)
                _, said = await process.communicate()
            assert process.returncode == 0
            assert b"packets" in said
            reader = Reader()
            assert any(isinstance(block, Packet) for block in list(reader.feed(path.read_bytes())))
            assert not reader.incomplete
        ring = tmp_path / "ring.pcapng"
        code, _, err = await ran(
            *OURS, "capture", at.url, "bus", "-w", str(ring), "--for", "3s", "--size", "4KiB", "--ring-files", "2"
        )
        assert code == 0, err
        files = [path for path in map(tmp_path.joinpath, sorted(os.listdir(tmp_path))) if path.stem.startswith("ring-")]
        assert len(files) == 2
        assert any(isinstance(each, Packet) for path in files for each in list(Reader().feed(path.read_bytes())))
        code, _, err = await ran(*OURS, "capture", at.url, "bus", "-w", "/dev/full", "--for", "2s")
        assert code == 1
        assert err.splitlines()[-1] == "Error: /dev/full: No space left on device; what came before is there"
        assert "Traceback" not in err
        code, _, err = await ran(*OURS, "capture", at.url, "bus", "-w", str(tmp_path / "kept.pcapng"), "--kept")
        assert (code, int(err.split()[0]) > 10) == (0, True)


@once
async def test_c22_tshark_captures_from_a_gateway_s_line_as_from_an_interface(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    async with polled() as at:
        code, out, err = await ran(*OURS, "extcap", "--install", "--url", at.url, **home)
        assert code == 0, err
        assert "installed: " in out
        _, out, _ = await ran("tshark", "-D", **home)
        assert "nportpy-127.0.0.1-bus" in out
        code, out, err = await ran("tshark", "-i", "nportpy-127.0.0.1-bus", "-c", "20", **home)
        assert code == 0, err
        assert "Query" in out
        assert "Response" in out
        _, out, _ = await ran(*OURS, "extcap", "--url", at.url, "--extcap-config", "--extcap-interface", "nportpy")
        assert "value {arg=1}{value=bus}" in out


@once
async def test_c22_tshark_captures_with_a_token_by_a_certificate_that_the_gateway_made(tmp_path: Path) -> None:
    """As docs/monitor.md has it, and what is said where a step was left out."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    accounts, pair = str(tmp_path / "accounts.json"), KeyPair(str(tmp_path / "self.crt"), str(tmp_path / "self.key"))
    changing.add(accounts, "anna", Role.ADMIN, [], "correct horse battery")
    tokens = {}
    for name, extra in (("wireshark", [Extra.MONITOR, Extra.CAPTURE]), ("half", [Extra.MONITOR]), ("none", [])):
        tokens[name] = tmp_path / f"{name}.token"
        tokens[name].write_text(changing.add_token(accounts, name, Role.VIEWER, extra, None) + "\n")
    http = HttpSettings((("127.0.0.1", 0),), tls=SELF, accounts=accounts)
    async with polled(http=http, tls=(TlsSettings(SELF, (pair,), made=True),)) as at:

        async def installed(*more: str) -> str:
            code, out, err = await ran(*OURS, "extcap", "--install", "--url", at.url, *more, **home)
            assert code == 0, err
            return out

        believed = ("--ca", pair.certificate)
        assert "certificate verify failed" in await installed("--token-file", str(tokens["wireshark"]))
        assert "log in first; with a token: nportpy user token NAME" in await installed(*believed)
        assert "it takes the right to monitor" in await installed(*believed, "--token-file", str(tokens["none"]))
        capture = ("tshark", "-i", "nportpy-127.0.0.1-bus", "-c", "20")
        assert "nportpy-127.0.0.1-bus" in await installed(*believed, "--token-file", str(tokens["half"]))
        code, _, err = await ran(*capture, **home)
        assert "it takes the right to capture" in err
        assert code
        await installed(*believed, "--token-file", str(tokens["wireshark"]))
        code, out, err = await ran(*capture, **home)
        assert code == 0, err
        assert out.count("Query") >= 5
        assert out.count("Response") >= 5


async def test_the_terminal_shows_rows_and_a_trigger_ends_it() -> None:
    async with polled() as at:
        code, out, err = await ran(
            *OURS, "monitor", at.url, "bus", "--trigger", "kind:answer", "--before", "0", "--after", "3"
        )
        assert code == 0, err
        lines = out.splitlines()
        assert len(lines) == 4
        assert " > " in lines[1]
        assert "read 41001-41002" in lines[1]
        assert "05 03 04 03 e8 03 e9" in lines[2]
        assert "41001: 1000, 41002: 1001" in lines[3]
        code, out, err = await ran(*OURS, "monitor", at.url, "bus", "--count", "kind:answer unit:5", "--for", "1s")
        assert f"kind:answer unit:5: {out.count(' = ')} times" in err
        code, out, _ = await ran(*OURS, "monitor", at.url, "--moments")
        assert (code, out.startswith("bus ")) == (0, True)
        for arguments, says in (
            (("monitor", at.url, "other"), "there is no port 'other'; ports are bus"),
            (("monitor", at.url, "bus", "unit:x"), "unit:x is no number"),
            (("monitor", "127.0.0.1:1"), "does one run? nportpy serve"),
            (("capture", at.url, "bus", "-w", "x", "--ring-files", "3"), "--ring-files wants --size"),
            (("capture", at.url, "bus", "-w", "/dev/null", "--kept"), "set keep in [capture]"),
        ):
            code, _, err = await ran(*OURS, *arguments)
            assert code in (1, 2)
            assert says in err
