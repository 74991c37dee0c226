"""nc of OpenBSD: with -N it half-closes once it has sent its input, and waits for the answer."""

import asyncio
import shutil
import subprocess

import pytest

from nportpy.linesettings import LineSettings
from nportpy.port.loopback import Cable
from tests.support.serving import Served, plan, raw, serving, until

pytestmark = [pytest.mark.peer, pytest.mark.real, pytest.mark.skipif(not shutil.which("nc"), reason="no nc here")]


async def netcat(served: Served, request: bytes) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *("nc", "-N", "127.0.0.1", str(served.port())), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(request)
    process.stdin.close()
    return process


@pytest.mark.parametrize("delay", [0.0, 0.6])
async def test_request_and_answer(delay: float) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(half_close=1.0)), cables=[cable]) as served:
        process = await netcat(served, b"request\n")
        await until(lambda: cable.heard == b"request\n")
        await asyncio.sleep(delay)
        cable.far.write(b"answer\n")
        answer, _ = await process.communicate()
        assert (answer, process.returncode) == (b"answer\n", 0)
        assert served.results() == {"accepted": 1, "closed": 1}


async def test_a_slow_line() -> None:
    """2 KB take a second at 19200, longer than the silence that ends the connection."""
    cable = Cable(paced=True)
    settings = plan("cable", raw(half_close=0.4), line=LineSettings(19200))
    async with serving(settings, cables=[cable]) as served:
        process = await netcat(served, bytes(2000))
        await until(lambda: len(cable.heard) == 2000)
        cable.far.write(b"all of it")
        answer, _ = await process.communicate()
        assert answer == b"all of it"


async def test_one_after_another_on_a_port_for_one() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(max_clients=1)), cables=[cable]) as served:
        for number in range(3):
            process = await netcat(served, b"%d" % number)
            await until(lambda count=number + 1: len(cable.heard) == count)  # type: ignore[misc]
        await process.communicate()
        assert cable.heard == b"012"
        assert served.results() == {"accepted": 3, "closed": 3}
