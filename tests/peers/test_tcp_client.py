"""TCP client: socat as a host that comes and goes, and nc as one that hangs up."""

import asyncio
import random
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from nportpy.modes.tcp_client_base import ConnectOn, DisconnectOn
from nportpy.network.addresses import Destination
from tests.support.calls import calling
from tests.support.free_ports import free_port
from tests.support.serving import until

pytestmark = [pytest.mark.peer, pytest.mark.real, pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")]


@asynccontextmanager
async def socat(*addresses: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec("socat", *addresses, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def heard(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(10):
        assert await process.stdout.readexactly(len(data)) == data


async def test_a_host_that_comes_and_goes() -> None:
    port = free_port()
    async with calling(Destination("localhost", port), retry_at_most=0.5) as calls:
        await until(lambda: calls.results.get("refused", 0) > 1)
        for times in (1, 2, 3):
            async with socat(f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "-") as host:
                await until(lambda: calls.client.sessions)
                calls.cable.far.write(b"to host %d" % times)
                await heard(host, b"to host %d" % times)
                assert host.stdin is not None
                host.stdin.write(b"%d" % times)
                await until(lambda: len(calls.cable.heard) == times)  # noqa: B023 - awaited in its own round
            await until(lambda: not calls.client.sessions)
        assert calls.cable.heard == b"123"
        assert calls.results["connected"] == calls.results["closed"] == 3


async def test_the_first_character_reaches_a_host_that_comes_later() -> None:
    port = free_port()
    async with calling(
        Destination("127.0.0.1", port),
        connect=ConnectOn.ANY_CHARACTER,
        disconnect=DisconnectOn.INACTIVITY,
        inactivity=0.4,
        retry_at_most=0.2,
    ) as calls:
        for word in (b"\x02first\x03", b"\x02second\x03"):
            calls.cable.far.write(word)
            await until(lambda: calls.results.get("refused"))
            async with socat("-u", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "-") as host:
                output, _ = await host.communicate()  # it ends when we hang up
                assert output == word
            calls.client.results.pop("refused")
        assert calls.results == {"connected": 2, "inactive": 2}


async def test_a_virtual_port_on_the_host(tmp_path: Path) -> None:
    """A program there has the line as a pseudo-terminal."""
    port = free_port()
    link = tmp_path / "tty"
    sent = random.Random(7).randbytes(50_000)
    async with (
        socat(f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,nodelay", f"PTY,link={link},raw,echo=0"),
        calling(Destination("127.0.0.1", port)) as calls,
    ):
        await until(lambda: link.exists() and calls.client.sessions)
        async with socat("-", f"FILE:{link},raw,echo=0") as program:
            calls.cable.far.write(sent)
            await heard(program, sent)
            assert program.stdin is not None
            program.stdin.write(sent[::-1])
            await until(lambda: len(calls.cable.heard) == len(sent))
            assert calls.cable.heard == sent[::-1]


async def test_a_device_that_is_pulled_while_socat_listens() -> None:
    port = free_port()
    async with (
        socat(f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", "SYSTEM:cat") as host,
        calling(Destination("127.0.0.1", port), retry_at_most=0.5) as calls,
    ):
        for times in (1, 2):
            await until(lambda: calls.client.sessions)
            calls.cable.far.write(b"echo")
            await until(lambda: calls.cable.heard == b"echo" * times)  # noqa: B023 - awaited in its own round
            calls.cable.unplug()
            await until(lambda: not calls.client.sessions)
            calls.cable.plug()
        await until(lambda: calls.client.sessions)
        assert host.returncode is None
        assert calls.results["line_down"] == 2


@pytest.mark.skipif(not shutil.which("nc"), reason="no nc here")
async def test_nc_hangs_up_after_what_it_had_to_say() -> None:
    port = free_port()
    async with calling(Destination("127.0.0.1", port, free_port()), retry_at_most=0.2) as calls:
        process = await asyncio.create_subprocess_exec(
            "nc", "-l", "-N", "127.0.0.1", str(port), stdin=PIPE, stdout=PIPE
        )
        await process.communicate(b"all there is")
        await until(lambda: calls.results.get("closed"))
        assert calls.cable.heard == b"all there is"


async def test_a_host_that_takes_the_call_and_reads_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with calling(Destination("127.0.0.1", mute.getsockname()[1]), alive_check=1.0) as calls:
            await until(lambda: calls.client.sessions)
            sent = 0
            while calls.client.status().clients and calls.client.status().clients[0].state != "stalled":
                calls.cable.far.write(bytes(100_000))
                sent += 100_000
                assert sent < 100_000_000
                await asyncio.sleep(0.01)
            await until(lambda: calls.results.get("dead"), within=30)
            await until(lambda: calls.results["connected"] == 2)  # it is called again
