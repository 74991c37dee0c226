"""UDP: socat as a peer, in a group, and as one that hears broadcasts."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from subprocess import PIPE

import pytest

from nportpy.modes.udp_base import Accept, Range
from nportpy.network.addresses import Endpoint, Group
from tests.support.datagrams import sending
from tests.support.free_ports import free_port
from tests.support.serving import until

pytestmark = [pytest.mark.peer, pytest.mark.real, pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")]

GROUP = ip_address("239.255.77.3")
LOOP = ip_address("127.0.0.1")
EVERYWHERE = (Endpoint("0.0.0.0", 0),)


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


def says(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)


async def bound(port: int) -> None:
    """Wait until a program has a UDP port."""

    def look() -> bool:
        with open("/proc/net/udp") as table:
            return any(line.split()[1].endswith(f":{port:04X}") for line in list(table)[1:])

    await until(look)


async def test_both_ways() -> None:
    port = free_port()
    async with (
        sending(Range(LOOP, LOOP, port), accept=Accept.DESTINATIONS, listen=EVERYWHERE) as udp,
        socat("-", f"UDP:127.0.0.1:{udp.here.port},sourceport={port},bind=127.0.0.1") as peer,
    ):
        await bound(port)
        udp.cable.far.write(b"from the line")
        await heard(peer, b"from the line")
        says(peer, b"to the line")
        await udp.line_hears(b"to the line")
        assert udp.results == {"accepted": 1}


async def test_the_line_answers_socat_that_asks() -> None:
    async with (
        sending(reply_to_last=True, listen=EVERYWHERE) as udp,
        socat("-", f"UDP:127.0.0.1:{udp.here.port}") as peer,
    ):
        says(peer, b"request")
        await udp.line_hears(b"request")
        udp.cable.far.write(b"answer")
        await heard(peer, b"answer")


async def test_a_group_both_ways() -> None:
    port = free_port()
    async with (
        sending(
            Range(GROUP, GROUP, port),
            groups=(Group(GROUP, "lo"),),
            multicast_interface="lo",
            multicast_loop=True,
            listen=EVERYWHERE,
        ) as udp,
        socat("-u", f"UDP-RECVFROM:{port},ip-add-membership={GROUP}:127.0.0.1,fork", "-") as hears,
        socat("-u", "-", f"UDP-DATAGRAM:{GROUP}:{udp.here.port},ip-multicast-if=127.0.0.1") as talks,
    ):
        await bound(port)
        udp.cable.far.write(b"to all")
        await heard(hears, b"to all")
        says(talks, b"from one")
        await udp.line_hears(b"from one")


async def test_a_broadcast_reaches_every_address() -> None:
    """127.255.255.255 is the broadcast address of the loopback network."""
    port = free_port()
    everybody = ip_address("127.255.255.255")
    async with (
        sending(Range(everybody, everybody, port), listen=EVERYWHERE) as udp,
        socat("-u", f"UDP-RECV:{port},broadcast", "-") as peer,
    ):
        await bound(port)
        udp.cable.far.write(b"to everybody")
        await heard(peer, b"to everybody")
        assert not udp.results


async def test_a_peer_that_dies_is_nobodys_matter() -> None:
    ports = free_port(), free_port()
    async with (
        sending(*(Range(LOOP, LOOP, port) for port in ports), listen=EVERYWHERE) as udp,
        socat("-u", f"UDP-RECV:{ports[0]}", "-") as peer,
    ):
        async with socat("-u", f"UDP-RECV:{ports[1]}", "-") as gone:
            await bound(ports[0])
            await bound(ports[1])
            udp.cable.far.write(b"one ")
            await heard(gone, b"one ")
        for word in (b"two ", b"three"):
            udp.cable.far.write(word)
            await asyncio.sleep(0.05)
        await heard(peer, b"one two three")
