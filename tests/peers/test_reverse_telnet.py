"""nc of OpenBSD with -t: a telnet client that refuses every option."""

import asyncio
import shutil
import subprocess

import pytest

from nportpy.linesettings import LineSettings
from tests.modes.test_reverse_telnet import console
from tests.support.serving import until

pytestmark = [pytest.mark.peer, pytest.mark.real, pytest.mark.skipif(not shutil.which("nc"), reason="no nc here")]


async def test_what_is_typed_and_what_is_answered() -> None:
    async with console(LineSettings(115200), half_close=1.0) as served:
        process = await asyncio.create_subprocess_exec(
            *("nc", "-t", "-N", "127.0.0.1", str(served.listener.endpoints[0].port)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        greeting = await process.stdout.readexactly(6)  # it shows the options that it answers
        assert greeting == b"\xff\xfb\x01\xff\xfb\x03"
        process.stdin.write(b"show version\r\n")
        await until(lambda: served.cable.heard == b"show version\r")
        served.cable.far.write(b"1.0\r\n> ")
        assert await process.stdout.readexactly(7) == b"1.0\r\n> "
        process.stdin.close()
        await process.wait()
        await until(lambda: served.listener.results["closed"] == 1)
        assert served.cable.heard == b"show version\r"
