"""socat: a pseudo-terminal on this machine for a raw port of the gateway."""

import asyncio
import os
import random
import shutil
import subprocess
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nportpy.port.loopback import Cable
from tests.support.serving import plan, raw, serving, until

pytestmark = [pytest.mark.peer, pytest.mark.real, pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")]


@asynccontextmanager
async def socat(*addresses: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec("socat", *addresses, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_virtual_port_both_ways(tmp_path: Path) -> None:
    cable = Cable()
    link = tmp_path / "tty"
    async with (
        serving(plan("cable", raw()), cables=[cable]) as served,
        socat(f"PTY,link={link},raw,echo=0", f"TCP:127.0.0.1:{served.port()},nodelay"),
    ):
        await until(lambda: link.exists() and served.service().clients)
        terminal = os.open(link, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(terminal)
        try:
            sent = random.Random(6).randbytes(100_000)

            def write_all() -> None:
                view = memoryview(sent)
                while view:
                    view = view[os.write(terminal, view) :]

            def read_all() -> bytes:
                heard = b""
                while len(heard) < len(sent):
                    heard += os.read(terminal, 4096)
                return heard

            reading = asyncio.get_running_loop().run_in_executor(None, read_all)
            cable.far.write(sent[::-1])
            await asyncio.to_thread(write_all)
            assert await reading == sent[::-1]
            await until(lambda: len(cable.heard) == len(sent))
            assert cable.heard == sent
        finally:
            os.close(terminal)


async def test_half_close() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(half_close=1.0)), cables=[cable]) as served:
        async with socat("-t5", "-", f"TCP:127.0.0.1:{served.port()}") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"request")
            process.stdin.close()
            await until(lambda: cable.heard == b"request")
            await asyncio.sleep(0.5)
            cable.far.write(b"answer")
            assert await process.stdout.read() == b"answer"
            assert await process.wait() == 0
        assert served.results() == {"accepted": 1, "closed": 1}
