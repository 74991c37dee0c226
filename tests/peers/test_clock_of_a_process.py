"""S10: a gateway whose process has another time, by libfaketime: OpenSSL asks the clock itself."""

import asyncio
import contextlib
import glob
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.free_ports import free_port
from tests.support.serving import until
from tests.support.tls import Pair, Plant, context_of, secured

pytestmark = [pytest.mark.peer, pytest.mark.real("asyncio")]

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), "")
UNSYNCHRONISED = (
    "from nportpy import wallclock; wallclock.disciplined = lambda: False; from nportpy.cli import main; main()"
)
"""The gateway, on a machine that nobody tells the time: this one's kernel may know it."""

CONFIGURATION = """
[http]
listen = false
[port.cable]
device = "loop://"
[port.cable.raw]
listen = "127.0.0.1:{port}"
tls = "plant"
[tls.plant]
cert_file = "{pair.certificate}"
key_file = "{pair.key}"
ca_file = "{ca}"
"""


@contextlib.asynccontextmanager
async def _gateway(folder: Path, plant: Plant, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Its clock is what the file `clock` says."""
    file = folder / "nportpy.toml"
    file.write_text(CONFIGURATION.format(port=port, pair=plant.pair("gateway"), ca=plant.ca))
    faked = {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"), "FAKETIME_NO_CACHE": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UNSYNCHRONISED, "serve", "-c", str(file)),
        env={**os.environ, **faked, "DONT_FAKE_MONOTONIC": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _says(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stderr is not None
    heard = []
    async with asyncio.timeout(20):
        while text.encode() not in (line := await process.stderr.readline()):
            heard.append(line.decode())
            assert line, f"it ended: {''.join(heard)}"


async def _is_let_in(port: int, plant: Plant, pair: Pair) -> bool:
    """Whether it stays: with TLS 1.3 who is refused hears of it after the handshake."""
    try:
        client = await secured(port, context_of(plant, pair))
    except (ssl.SSLError, ConnectionError):
        return False
    client.send(b"echo")  # the line is a loop
    await until(lambda: client.lost or client.heard)
    let_in = not client.lost
    client.transport.abort()
    return let_in


@pytest.mark.skipif(not LIBRARY, reason="no libfaketime here")
@pytest.mark.parametrize("year", [1970, 2099])
async def test_s10_a_process_with_another_time(tmp_path: Path, year: int) -> None:
    plant = Plant(tmp_path)
    good, expired = plant.client("good"), plant.client("expired", days=(-100, -1))
    port = free_port()
    (tmp_path / "clock").write_text(f"@{year}-01-02 00:00:00\n")
    async with _gateway(tmp_path, plant, port) as process:
        await _says(process, "serving")
        assert await _is_let_in(port, plant, good), "nobody is locked out before the clock is known"
        (tmp_path / "clock").write_text("+0\n")
        process.send_signal(signal.SIGHUP)
        await _says(process, "reloaded")
        assert await _is_let_in(port, plant, good)
        assert not await _is_let_in(port, plant, expired), "afterwards dates are looked at"
