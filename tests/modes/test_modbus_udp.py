"""Modbus over UDP."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import Any

import pytest

from nportpy.errors import ListenError
from nportpy.modbus.question import Question
from nportpy.modes.modbus_base import Access
from nportpy.modes.modbus_udp import ModbusUdp
from nportpy.network.addresses import Endpoint, listen_datagrams, local_endpoint, reply_from
from nportpy.network.listener import AlwaysUp
from nportpy.protocols.modbus import mbap, rtu
from nportpy.throttle import Throttle
from tests.support.routers import READ, Answer, Scripted, echoed, later, settings
from tests.support.serving import settle, until


def adu(transaction: int, unit: int = 1, pdu: bytes = READ) -> bytes:
    return mbap.encode(transaction, unit, pdu)


class Sender:
    """A client."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.connect((host, port))  # so that it hears nothing but from there

    def send(self, data: bytes) -> None:
        self.sock.send(data)

    def heard(self) -> list[bytes]:
        heard = []
        while True:
            try:
                heard.append(self.sock.recv(1000))
            except BlockingIOError:
                return heard

    async def hears(self, *answers: bytes) -> None:
        heard: list[bytes] = []

        def look() -> bool:
            heard.extend(self.heard())
            return len(heard) >= len(answers)

        await until(look)
        assert heard == list(answers)


class Asking:
    """A service and its router."""

    def __init__(self, service: ModbusUdp, router: Scripted) -> None:
        self.service = service
        self.router = router
        self.senders: list[Sender] = []

    def client(self, host: str = "127.0.0.1") -> Sender:
        self.senders.append(Sender(self.service.endpoints[0].port, host))
        return self.senders[-1]

    async def asks(self, count: int) -> None:
        await until(lambda: len(self.router.asked) >= count)
        assert len(self.router.asked) == count


@asynccontextmanager
async def asking(
    answer: Answer = echoed, backend: AlwaysUp | None = None, host: str = "127.0.0.1", **changes: Any
) -> AsyncIterator[Asking]:
    router, wanted = Scripted(answer), settings(Access.UDP, **changes)
    sock = listen_datagrams(Endpoint(host, 0))
    service = ModbusUdp(backend or AlwaysUp("plant"), "modbus", wanted, router, [sock], Throttle())
    served = Asking(service, router)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.run())
            try:
                yield served
            finally:
                service.stop()
    finally:
        sock.close()
        for sender in served.senders:
            sender.sock.close()
    assert not service.sessions
    assert all(guest.left for guest in router.guests)


async def test_an_answer_goes_where_its_request_came_from() -> None:
    async with asking(later) as served:
        clients = [served.client() for _ in range(3)]
        for number, client in enumerate(clients):
            client.send(adu(number))
            client.send(adu(100 + number, 2))
        await served.asks(6)
        for question in reversed(served.router.asked):
            question.done(question, READ)
        for number, client in enumerate(clients):
            await client.hears(adu(100 + number, 2), adu(number))
        assert len({question.client for question in served.router.asked}) == 3
        assert [guest.client for guest in served.router.guests] == served.service.sessions


@pytest.mark.real
async def test_on_both_loops() -> None:
    async with asking() as served:
        client = served.client()
        for number in range(200):
            client.send(adu(number))
            await client.hears(adu(number))


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"x",
        adu(1)[:-1],
        adu(1) + b"x",
        adu(1) + adu(2),
        b"\0\1\0\1" + adu(1)[4:],
        b"\0\1\0\0\0\1\1",
        bytes(500),
        bytes(60_000),
        rtu.encode(1, READ),
    ],
    ids=range(10),
)
async def test_what_is_no_frame_is_dropped_and_counted(garbage: bytes) -> None:
    async with asking() as served:
        client = served.client()
        client.send(garbage)
        client.send(adu(5))
        await client.hears(adu(5))
        assert served.service.status().refused == {"malformed": 1}


async def test_garbage_makes_nobody_a_client() -> None:
    async with asking(later, max_clients=1) as served:
        client = served.client()
        client.send(adu(1))
        await served.asks(1)
        served.client().send(b"garbage")
        await until(lambda: served.service.status().refused)
        assert len(served.service.sessions) == 1
        served.router.asked[0].done(served.router.asked[0], READ)
        await client.hears(adu(1))


async def test_who_is_not_allowed_is_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(allow=((IPv4Network("192.0.2.0/24"),),)) as served:
        client = served.client()
        for number in range(5):
            client.send(adu(number))
        await until(lambda: served.service.results["refused_allow"] == 5)
        await settle()
        assert not client.heard()
        assert not served.router.asked
        assert not served.service.sessions
    assert [record.message for record in caplog.records].count("client refused") == 1


async def test_the_client_that_has_been_idle_longest_gives_its_place() -> None:
    async with asking(later, max_clients=2) as served:
        first, second, third = (served.client() for _ in range(3))
        for count, client in enumerate((first, second, first, third), 1):
            client.send(adu(count))
            await served.asks(count)
        guests = served.router.guests
        assert [guest.left for guest in guests] == [False, True, False]
        assert served.service.results == {"accepted": 3, "kicked": 1}
        for question in served.router.asked:
            question.done(question, READ)
        await first.hears(adu(1), adu(3))
        await third.hears(adu(4))
        assert not second.heard()
        assert served.service.accepted() == 0


async def test_too_many_under_way_are_refused() -> None:
    async with asking(later, outstanding=2) as served:
        client, neighbour = served.client(), served.client()
        for number in range(3):
            client.send(adu(number))
        await client.hears(adu(2, 1, b"\x83\x06"))
        assert served.service.status().refused == {"queue_full": 1}
        neighbour.send(adu(9))
        await served.asks(3)
        for question in tuple(served.router.asked):
            question.done(question, READ)
        client.send(adu(4))
        await served.asks(4)


async def test_an_empty_answer_is_none() -> None:
    async with asking(lambda _: b"") as served:
        client = served.client()
        client.send(adu(1))
        await served.asks(1)
        await settle()
        assert not client.heard()
        assert served.service.accepted() == 0


async def test_hushed_it_answers_what_it_was_asked_though_its_sockets_are_closed() -> None:
    async with asking(later) as served:
        client = served.client()
        client.send(adu(1))
        await served.asks(1)
        served.service.hush()
        for sock in served.service._sockets:
            sock.close()
        client.send(adu(2))
        await settle()
        assert served.service.accepted() == 1
        served.router.asked[0].done(served.router.asked[0], READ)
        await client.hears(adu(1))
        assert served.service.accepted() == 0


async def test_a_service_that_gets_no_descriptor_serves_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_sock: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "dup", none_left)
    async with asking() as served:
        client = served.client()
        client.send(adu(1))
        await client.hears(adu(1))


async def test_clients_wait_until_the_device_was_tried() -> None:
    tried = asyncio.Event()
    async with asking(backend=AlwaysUp("line", tried)) as served:
        client = served.client()
        client.send(adu(1))
        await settle(1.0)
        assert not served.router.asked
        tried.set()
        await client.hears(adu(1))
        assert served.service.status().port == "line"


async def test_nothing_that_sending_meets_ends_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(later) as served:
        gone, client = served.client(), served.client()
        for sender in (gone, client):
            sender.send(adu(1))
        await served.asks(2)
        gone.sock.close()
        first, second = served.router.asked
        for _ in range(3):  # nobody is there any more: the network says so of the next
            served.service._answered(first, READ)
            await settle()
        second.done(second, READ)
        await client.hears(adu(1))

        class Failing:
            def sendmsg(self, *_args: object) -> int:
                raise OSError(errno.ENOBUFS, "No buffer space available")

        client.send(adu(2))
        await served.asks(3)
        question: Any = served.router.asked[2]
        question.sock = Failing()
        question.done(question, READ)
        assert served.service.unsent == 1
        client.send(adu(3))
        await served.asks(4)


async def test_a_bug_costs_one_request(caplog: pytest.LogCaptureFixture) -> None:
    def answer(question: Question) -> bytes:
        if question.pdu != READ:
            raise ZeroDivisionError
        return READ

    async with asking(answer) as served:
        client = served.client()
        client.send(adu(1, 1, b"\x03\x00\x00\x00\x02"))
        client.send(adu(2))
        await client.hears(adu(2))
    assert [record.message for record in caplog.records] == ["a datagram failed"]


async def test_status() -> None:
    async with asking() as served:
        client = served.client()
        client.send(adu(1))
        await client.hears(adu(1))
        status = served.service.status()
        assert status.listen == (f"127.0.0.1:{served.service.endpoints[0].port}",)
        (seen,) = status.clients
        assert (seen.address, seen.port) == client.sock.getsockname()
        assert (seen.received, seen.sent, seen.state) == (12, 12, "open")
    assert served.service.results == {"accepted": 1, "shutdown": 1}


# Sockets.


@pytest.mark.parametrize(("listening", "asked"), [("0.0.0.0", "127.0.0.5"), ("::", "127.0.0.5"), ("::", "::1")])
async def test_an_answer_comes_from_the_address_that_was_asked(listening: str, asked: str) -> None:
    async with asking(host=listening) as served:
        client = served.client(asked)  # connected: it would not hear another
        client.send(adu(1))
        await client.hears(adu(1))
        assert served.service.status().clients[0].address.rpartition(":")[2] in ("127.0.0.1", "127.0.0.5", "1")


def test_no_answer_leaves_from_a_multicast_address() -> None:
    group = socket.inet_pton(socket.AF_INET6, "ff02::1") + bytes(4)
    assert reply_from([(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, group)]) == []
    assert reply_from([]) == []
    local = socket.inet_pton(socket.AF_INET6, "fe80::1") + b"\x02\0\0\0"
    assert reply_from([(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local)])[0][2] == local


def test_a_port_is_ours_alone() -> None:
    with listen_datagrams(Endpoint("127.0.0.1", 0)) as sock:
        endpoint = local_endpoint(sock)
        with pytest.raises(ListenError, match="in use"):
            listen_datagrams(endpoint)
        with listen_datagrams(Endpoint("0.0.0.0", endpoint.port), beside=[sock]), pytest.raises(ListenError):
            listen_datagrams(endpoint)


def test_an_address_that_is_not_there_yet_can_be_bound() -> None:
    for host in ("192.0.2.77", "2001:db8::77"):
        with listen_datagrams(Endpoint(host, 0)) as sock:
            assert local_endpoint(sock).host == host
