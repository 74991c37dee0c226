"""Discovery over sockets: who is answered what, and who is not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.modes.discovery import Budget, Discovery
from nportpy.modes.discovery_base import PORT, DiscoverySettings
from nportpy.network.addresses import Endpoint, address_of, listen_datagrams
from nportpy.network.interfaces import interfaces, network_of, own_mac
from nportpy.protocols import dsci
from nportpy.protocols.dsci import Function
from nportpy.throttle import Throttle
from tests.support import realcom_serving
from tests.support.dsci import Daemon
from tests.support.serving import settle, until

MAC = bytes.fromhex("02 00 00 00 00 07")
LOCALHOST = IPv4Address("127.0.0.1")
SEARCH = dsci.search()


class Asker:
    """A program that asks, from an address of its own."""

    def __init__(self, port: int, source: str = "127.0.0.1", host: str = "127.0.0.1") -> None:
        self.to = (host, port)
        self.heard: list[tuple[bytes, str, int]] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.sock.bind((source, 0))
        asyncio.get_running_loop().add_reader(self.sock.fileno(), self._read)

    def _read(self) -> None:
        data, (host, port, *_) = self.sock.recvfrom(4096)
        self.heard.append((data, host, port))

    def send(self, data: bytes) -> None:
        self.sock.sendto(data, self.to)

    async def ask(self, data: bytes) -> bytes:
        self.heard.clear()
        self.send(data)
        await until(lambda: self.heard)
        return self.heard[0][0]

    async def silence(self, data: bytes) -> None:
        self.heard.clear()
        self.send(data)
        await settle()
        assert not self.heard

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.sock.close()


class Answering:
    """A service that runs."""

    def __init__(self, service: Discovery) -> None:
        self.service = service
        self.askers: list[Asker] = []

    @property
    def port(self) -> int:
        return self.service.endpoints[0].port

    def asker(self, source: str = "127.0.0.1", host: str = "127.0.0.1") -> Asker:
        self.askers.append(Asker(self.port, source, host))
        return self.askers[-1]


@asynccontextmanager
async def answering(
    connections: Callable[[], Iterable[dsci.Entry]] = tuple, where: str = "127.0.0.1", **changes: Any
) -> AsyncIterator[Answering]:
    facts: dict[str, Any] = {"name": "pi-07", "mac": MAC, "serial": 77} | changes
    settings = DiscoverySettings(**facts)
    with listen_datagrams(Endpoint(where, 0)) as sock:
        service = Discovery("gateway", "discovery", settings, [sock], connections, Throttle())
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(service.run())
            await asyncio.sleep(0)
            answers = Answering(service)
            try:
                yield answers
            finally:
                for asker in answers.askers:
                    asker.close()
                service.stop()
                await asyncio.wait([task])


def device(answers: Answering) -> dsci.DeviceId:
    return answers.service.identity.device


@pytest.mark.real
async def test_a_search_finds_it_and_it_tells_what_it_is() -> None:
    async with answering() as answers:
        asker = answers.asker()
        found = dsci.parse_reply(await asker.ask(SEARCH))
        assert found == dsci.Found(bytes(4), dsci.DeviceId(0x4E504F52, 0x5059, MAC), LOCALHOST)
        assert asker.heard[0][1:] == ("127.0.0.1", answers.port)
        name = dsci.parse_reply(await asker.ask(dsci.ask(Function.NAME, device(answers), 5)))
        assert name == dsci.Name(bytes((0, 0, 0, 5)), device(answers), "pi-07")
        kernel = dsci.parse_reply(await asker.ask(dsci.ask(Function.KERNEL, device(answers))))
        assert isinstance(kernel, dsci.Kernel)
        assert (kernel.firmware_text, kernel.serial) == ("0.1.0", 77)
        network = dsci.parse_reply(await asker.ask(dsci.ask(Function.NETWORK, device(answers))))
        assert isinstance(network, dsci.NetworkParameters)
        assert str(network.network.netmask) == "255.0.0.0"
        for function in (Function.ADDRESS, Function.NETMASK, Function.GATEWAY):
            reply = dsci.parse_reply(await asker.ask(dsci.ask(function, device(answers))))
            assert isinstance(reply, dsci.Address)


@pytest.mark.parametrize("where", ["0.0.0.0", "::"])
async def test_answers_come_from_the_address_that_was_asked(where: str) -> None:
    async with answering(where=where) as answers:
        for host in ("127.0.0.1", "127.0.0.9"):
            asker = answers.asker(host=host)
            found = dsci.parse_reply(await asker.ask(SEARCH))
            assert isinstance(found, dsci.Found)
            assert (str(found.address), asker.heard[0][1]) == (host, host)


@pytest.mark.parametrize("where", ["0.0.0.0", "::"])
async def test_a_broadcast_is_answered_from_the_interfaces_own_address(where: str) -> None:
    async with answering(where=where) as answers:
        asker = answers.asker(host="127.255.255.255")
        found = dsci.parse_reply(await asker.ask(SEARCH))
        assert isinstance(found, dsci.Found)
        assert found.address == LOCALHOST
        assert asker.heard[0][1] == "127.0.0.1"


async def test_who_does_not_know_the_device_id_hears_nothing() -> None:
    async with answering() as answers:
        asker = answers.asker()
        other = dsci.DeviceId(1, 2, MAC)
        for function in set(Function) - {Function.SEARCH}:
            await asker.silence(dsci.ask(function, other))
        await asker.silence(b"\x01\x00\x00\x14\x00\x00\x00\x00" + device(answers).encode())  # it says that it knows us
        assert answers.service.ignored == len(Function)


@pytest.mark.parametrize("function", [0x1A, 0x1B, 0x1E, 0x28, 0x29, 0x2C, 0x02, 0x13, 0x7F])
async def test_what_would_set_or_betray_something_is_refused(function: int) -> None:
    async with answering() as answers:
        wire = bytes((function, 0, 0, 20)) + b"\1\2\3\4" + device(answers).encode()
        assert await answers.asker().ask(wire) == bytes((function | 0x80, 4, 0, 20)) + wire[4:]


async def test_connections_are_listed_to_their_own_address_alone() -> None:
    mine = dsci.Entry(LOCALHOST, 40000, LOCALHOST, 950, port=1)
    other = dsci.Entry(IPv4Address("127.0.0.5"), 40000, LOCALHOST, 950, port=1)
    async with answering(lambda: [mine, other]) as answers:
        for function in (Function.NETSTAT, Function.NETSTAT_EXTENDED):
            for source, entries in (("127.0.0.1", (mine,)), ("127.0.0.5", (other,)), ("127.0.0.6", ())):
                wire = await answers.asker(source).ask(dsci.ask(function, device(answers)))
                reply = dsci.parse_reply(wire)
                assert isinstance(reply, dsci.Netstat)
                assert reply.entries == entries


async def test_nobody_unknown_gets_much_more_than_he_sent() -> None:
    async with answering() as answers:
        asker = answers.asker()
        for function in range(1, 0x80):
            ask = bytes((function, 0, 0, 24)) + bytes(4) + device(answers).encode() + b"\x00\xff\x00\x00"
            asker.heard.clear()
            asker.send(ask if function != Function.SEARCH else SEARCH)
            await settle(0.06)
            for data, _, _ in asker.heard:
                assert len(data) <= 3 * (len(SEARCH) if function == Function.SEARCH else len(ask))


async def test_a_flood_is_answered_as_far_as_the_limit_goes_and_then_no_more() -> None:
    async with answering() as answers:
        flooding, polite = answers.asker(), answers.asker("127.0.0.2")
        for _ in range(10):
            for _ in range(100):
                flooding.send(SEARCH)
            await settle(0.01)
        assert 40 <= len(flooding.heard) <= 45
        assert answers.service.results["refused_limit"] == 1000 - len(flooding.heard)
        await polite.ask(SEARCH)
        await settle(2)
        await flooding.ask(SEARCH)


async def test_forged_addresses_do_not_keep_a_client_from_being_answered() -> None:
    client = dsci.Entry(IPv4Address("127.0.0.2"), 40000, LOCALHOST, 950)
    async with answering(lambda: [client]) as answers:
        for number in range(500):
            forged = answers.asker(f"127.1.{number // 250}.{number % 250 + 1}")
            forged.send(SEARCH)
            await settle(0.00001)
        assert answers.service.answered <= 402
        assert answers.service.results["refused_limit"] >= 98
        await answers.asker("127.0.0.2").ask(SEARCH)


async def test_who_is_not_allowed_hears_nothing() -> None:
    async with answering(allow=((ip_network("127.0.0.2/32"),),)) as answers:
        await answers.asker().silence(SEARCH)
        await answers.asker("127.0.0.2").ask(SEARCH)
        assert answers.service.status().results == {"refused_allow": 1}


async def test_garbage_is_ignored() -> None:
    async with answering() as answers:
        asker = answers.asker()
        for data in (b"", b"\1", SEARCH[:7], SEARCH + b"x", b"\x81" + SEARCH[1:], b"\xff" * 600, bytes(8)):
            await asker.silence(data)
        assert answers.service.ignored == 7
        await asker.ask(SEARCH)


async def test_hushed_it_answers_nobody() -> None:
    async with answering() as answers:
        answers.service.hush()
        await answers.asker().silence(SEARCH)
        assert (answers.service.accepted(), answers.service.sessions) == (0, ())


# The driver's watch over a server.


@pytest.mark.parametrize("where", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("answers_at_all", [True, False])
async def test_r1_the_drivers_daemon_stays_where_it_is_answered(answers_at_all: bool, where: str) -> None:
    ipv6 = ":" in where
    async with (
        realcom_serving.serving(poll=0.0, where="::") as served,
        answering(served.service.connections, where="::") as answers,
    ):
        if not answers_at_all:
            answers.service.hush()
        host = await served.host(ipv6=ipv6)
        own = [each.transport.get_extra_info("sockname")[1] for each in (host.data, host.commands)]
        loop = asyncio.get_running_loop()
        daemon = Daemon(served.ports, (own[0], own[1]), loop.time(), ipv6=ipv6)
        asker = answers.asker(where, where)
        end = loop.time() + 300
        while loop.time() < end and not daemon.torn_down:
            daemon.expire(loop.time())
            for datagram in daemon.take_output():
                asker.send(datagram)
            await settle(0.05)
            for data, sender, _ in asker.heard:
                assert sender == where
                daemon.datagram_received(data, dsci.PORT, loop.time())
            asker.heard.clear()
            await asyncio.sleep(max(min(daemon.deadline(), end) - loop.time(), 0.01))
        assert [why for _, why in daemon.torn_down] == ([] if answers_at_all else ["silent"])
        assert daemon.ignored == []
        assert daemon.listed == (set(zip(own, served.ports, strict=True)) if answers_at_all else set())


# By IPv6.

SEARCH_6 = bytes.fromhex("79 00 00 1c 00 00 00 07") + bytes(12) + bytes.fromhex("01 00 00 00 00 01 00 01")
SIX = ip_address("::1")


@pytest.mark.parametrize("where", ["::", "::1"])
async def test_r1_a_search_by_ipv6_is_answered(where: str) -> None:
    async with answering(where=where) as answers:
        asker = answers.asker("::1", "::1")
        own = device(answers).encode()
        reply = await asker.ask(SEARCH_6)
        assert asker.heard[0][1:] == ("::1", answers.port)
        assert reply == bytes.fromhex("f9 00 00 2c 00 00 00 07") + own + SEARCH_6[20:] + SIX.packed
        kernel = await asker.ask(dsci.ask(Function.KERNEL, device(answers), 8))
        assert (kernel[:8], len(kernel)) == (bytes.fromhex("96 00 00 24 00 00 00 08"), 36)
        name = dsci.parse_reply(await asker.ask(dsci.ask(Function.NAME, device(answers))))
        assert isinstance(name, dsci.Name)
        for function in (Function.ADDRESS, Function.NETMASK, Function.GATEWAY, Function.NETWORK, 0x28, 0x7F):
            wire = bytes((function, 0, 0, 22)) + bytes(4) + own + b"\x00\x02"
            assert dsci.parse_reply(await asker.ask(wire)) == dsci.Refused(bytes(4), function, dsci.UNSUPPORTED)
        await asker.silence(SEARCH)
        await asker.silence(SEARCH_6[:8] + b"\1" * 12 + SEARCH_6[20:])


async def test_r1_connections_by_ipv6_are_listed_to_their_own_address_alone() -> None:
    mine = dsci.Entry(SIX, 40000, SIX, 950, port=1)
    other = dsci.Entry(ip_address("2001:db8::5"), 40000, SIX, 950, port=1)
    by_ipv4 = dsci.Entry(LOCALHOST, 40001, LOCALHOST, 950, port=1)
    async with answering(lambda: [other, mine, by_ipv4], where="::") as answers:
        own = device(answers).encode()
        ask = bytes.fromhex("79 00 00 20 00 00 00 09") + own + bytes.fromhex("01 00 00 00 00 02 00 04 00 40 00 00")
        reply = await answers.asker("::1", "::1").ask(ask)
        entry = SIX.packed * 2 + bytes.fromhex("9c 40 03 b6 01 04 00 00")
        assert reply == bytes.fromhex("f9 00 00 48 00 00 00 09") + own + ask[20:28] + b"\0\1\0\0" + entry
        four = dsci.parse_reply(await answers.asker().ask(dsci.ask(Function.NETSTAT, device(answers))))
        assert isinstance(four, dsci.Netstat)
        assert four.entries == (by_ipv4,)
        for function in (Function.NETSTAT, Function.NETSTAT_EXTENDED):  # an empty list keeps a client as well
            six = dsci.parse_reply(await answers.asker("::1", "::1").ask(dsci.ask(function, device(answers))))
            assert isinstance(six, dsci.Netstat)
            assert six.entries == ()


async def test_r1_nobody_unknown_gets_much_more_than_he_sent_by_ipv6() -> None:
    strangers = [dsci.Entry(ip_address(f"2001:db8::{number:x}"), 40000, SIX, 950) for number in range(1, 100)]
    async with answering(lambda: strangers, where="::") as answers:
        asker = answers.asker("::1", "::1")
        own = device(answers).encode()
        asks = [SEARCH_6]
        asks += [SEARCH_6[:8] + own + bytes((1, 0, 0, 0, 0, c, 0, k)) for c in range(4) for k in range(6)]
        asks += [dsci.ask(function, device(answers)) for function in set(Function) - {Function.SEARCH}]
        for ask in asks:
            asker.heard.clear()
            asker.send(ask)
            await settle(0.06)
            assert sum(len(data) for data, _, _ in asker.heard) <= 3 * len(ask)


async def test_r1_a_flood_by_ipv6_is_answered_as_far_as_the_limit_goes() -> None:
    async with answering(where="::") as answers:
        asker = answers.asker("::1", "::1")
        for _ in range(6):
            for _ in range(50):
                asker.send(SEARCH_6)
            await settle(0.01)
        assert 40 <= len(asker.heard) <= 45
        assert answers.service.results["refused_limit"] == 300 - len(asker.heard)


async def test_r1_garbage_by_ipv6_is_ignored() -> None:
    async with answering(where="::") as answers:
        asker = answers.asker("::1", "::1")
        for data in (b"", b"\x79", SEARCH_6[:27], SEARCH_6 + b"x", b"\xf9" + SEARCH_6[1:], b"\x79" * 600, b"\x79" * 28):
            await asker.silence(data)
        assert answers.service.ignored == 7
        await asker.ask(SEARCH_6)


# Limits.


def test_a_budget_comes_back_with_time() -> None:
    budget, address = Budget(burst=3, rate=1.0), ip_address("192.0.2.1")
    assert [budget.spend(address, 10.0) for _ in range(5)] == [True, True, True, False, False]
    assert [budget.spend(address, 11.0) for _ in range(2)] == [True, False]
    assert [budget.spend(address, 99.0) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 0.5)), max_size=300))
def test_a_budget_is_bounded_and_keeps_its_limits(asked: list[tuple[int, float]]) -> None:
    budget = Budget(burst=4, rate=2.0, total=20, most=8)
    now = 0.0
    answered: list[float] = []
    for number, pause in asked:
        now += pause
        if budget.spend(address_of(f"192.0.2.{number}"), now) and budget.spend_for_all(now):
            answered.append(now)
        assert len(budget._spent) <= 8
    for at in answered:
        assert sum(at - 1 < other <= at for other in answered) <= 40


def test_interfaces_of_this_machine() -> None:
    here = {each.name: each for each in interfaces()}
    assert here["lo"].address == LOCALHOST
    assert here["lo"].loopback
    assert str(network_of(LOCALHOST).netmask) == "255.0.0.0"
    assert str(network_of(IPv4Address("203.0.113.9")).netmask) == "0.0.0.0"
    assert len(own_mac()) == 6


def test_settings_know_the_protocol_s_port() -> None:
    assert PORT == dsci.PORT
