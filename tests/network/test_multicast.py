"""Multicast: groups that UDP mode hears, and how its multicast leaves."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from nportpy.modes.udp_base import Range
from nportpy.network import multicast
from nportpy.network.addresses import Endpoint, Group, listen_datagrams, local_endpoint
from nportpy.throttle import Throttle
from tests.support.datagrams import Peer, peers, sending
from tests.support.serving import settle, until

GROUP = ip_address("239.255.77.1")
GROUP6 = ip_address("ff15::4d01")


@asynccontextmanager
async def listening_in(group: Any, interface: str) -> AsyncIterator[Peer]:
    """A peer that hears a group."""
    peer = Peer("::" if group.version == 6 else "0.0.0.0")
    joined = multicast.Multicast(
        [peer.sock], [Group(group, interface)], multicast.Leaving(interface, 1, True), Throttle()
    )
    try:
        yield peer
    finally:
        joined.close()
        peer.sock.close()


def grouped(group: Any, interface: str, host: str) -> dict[str, Any]:
    return {
        "groups": (Group(group, interface),),
        "multicast_interface": interface,
        "multicast_loop": True,
        "listen": (Endpoint(host, 0),),
    }


@pytest.mark.real
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_group_is_heard_and_sent_to(host: str) -> None:
    async with (
        listening_in(GROUP, "lo") as peer,
        sending(Range(GROUP, GROUP, peer.port), **grouped(GROUP, "lo", host)) as udp,
    ):
        udp.cable.far.write(b"to all")
        await peer.hears(b"to all")
        peer.send(b"from one", udp.here, str(GROUP))
        await udp.line_hears(b"from one")
        peer.send(b"x", udp.here, "239.255.77.2")
        peer.send(b"y", udp.here, "127.0.0.1")
        await udp.line_hears(b"from oney")


async def test_a_group_of_ipv6() -> None:
    for _, interface in socket.if_nameindex():
        with Peer("::").sock as sock:
            try:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
                sock.sendto(b"", (str(GROUP6), 9))
            except OSError:
                continue
        break
    else:
        pytest.skip("no network interface has IPv6 multicast")
    async with (
        listening_in(GROUP6, interface) as peer,
        sending(Range(GROUP6, GROUP6, peer.port), **grouped(GROUP6, interface, "::")) as udp,
    ):
        udp.cable.far.write(b"to all")
        await peer.hears(b"to all")
        peer.send(b"from one", udp.here, str(GROUP6))
        await udp.line_hears(b"from one")


async def test_our_own_multicast_does_not_come_back_to_the_line() -> None:
    with listen_datagrams(Endpoint("0.0.0.0", 0)) as sock:
        port = local_endpoint(sock).port
    changes = grouped(GROUP, "lo", "0.0.0.0") | {"listen": (Endpoint("0.0.0.0", port),)}
    async with peers() as (peer,), sending(Range(GROUP, GROUP, port), **changes) as udp:
        udp.cable.far.write(b"out")
        await settle()
        peer.send(b"in", udp.here, "127.0.0.1")
        await udp.line_hears(b"in")


async def test_an_interface_that_is_not_there_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    look_up = socket.if_nametoindex
    there = False

    def late(name: str) -> int:
        if name == "late0" and there:
            return look_up("lo")
        return look_up(name)

    monkeypatch.setattr(socket, "if_nametoindex", late)
    async with (
        listening_in(GROUP, "lo") as peer,
        sending(Range(GROUP, GROUP, peer.port), **grouped(GROUP, "late0", "0.0.0.0")) as udp,
    ):
        await settle(30)
        peer.send(b"early", udp.here, str(GROUP))
        await settle()
        there = True
        await settle(6)
        peer.send(b"heard", udp.here, str(GROUP))
        await udp.line_hears(b"heard")
        udp.cable.far.write(b"sent")
        await peer.hears(b"sent")
    assert [record.message for record in caplog.records] == ["multicast cannot be had yet, trying on"] * 2


async def test_stopped_while_it_waits_for_an_interface() -> None:
    async with sending(**grouped(GROUP, "no-such-0", "0.0.0.0")):
        await settle(12)


async def test_a_service_that_ends_leaves_its_groups() -> None:
    """Its socket may go on in other hands."""
    leaving = multicast.Leaving("lo", 1, False)
    with listen_datagrams(Endpoint("0.0.0.0", 0)) as sock:
        for _ in range(3):
            joined = multicast.Multicast([sock], [Group(GROUP, "lo")], leaving, Throttle())
            with pytest.raises(OSError, match="in use"):
                joined._join(sock, Group(GROUP, "lo"))
            joined.close()
        joined = multicast.Multicast([sock], [Group(GROUP, "lo")], leaving, Throttle())
        for undo in joined._undo:  # as if the interface went, and the membership with it
            undo()
        joined.close()
    async with sending(**grouped(GROUP, "lo", "0.0.0.0")) as udp:
        udp.mode.stop()
        await until(lambda: not udp.line.stream.clients)
        multicast.Multicast([], [], leaving, Throttle())._join(udp.mode._sockets[0], Group(GROUP, "lo"))


def test_how_multicast_leaves_is_set_for_both_kinds() -> None:
    async def check() -> None:
        with listen_datagrams(Endpoint("::", 0)) as sock:
            multicast.Multicast([sock], [], multicast.Leaving("", 7, True), Throttle()).close()
            assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 7
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 7
            assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == 1
        with listen_datagrams(Endpoint("::1", 0)) as sock:
            multicast.Multicast([sock], [], multicast.Leaving("", 255, False), Throttle()).close()
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 255
            assert list(multicast.versions(sock)) == [6]

    asyncio.run(check())
