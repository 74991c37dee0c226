"""Modbus clients on TCP connections: Modbus TCP, and RTU and ASCII frames."""

import asyncio
import logging
import socket
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from nportpy.modbus.question import Question
from nportpy.modbus.settings import RoutingSettings
from nportpy.modes.modbus import PORTION, SESSIONS, ModbusSession
from nportpy.modes.modbus_base import Access
from nportpy.network.addresses import Endpoint, address_of
from nportpy.network.listener import AlwaysUp
from nportpy.protocols.modbus import ascii, mbap, rtu  # noqa: A004 - the standard's name
from nportpy.throttle import Throttle
from tests.support.clock import VirtualLoop
from tests.support.routers import READ, WHOLE, Scripted, Wire, asking, echoed, later, settings
from tests.support.serving import settle, until

COMPLAINT = "not the Modbus that is spoken here"
VENDOR = b"\x64\x01\x02"  # a function whose length nobody knows


def tcp(transaction: int, unit: int = 1, pdu: bytes = READ) -> bytes:
    return mbap.encode(transaction, unit, pdu)


def frames(count: int) -> bytes:
    return b"".join(tcp(number) for number in range(count))


def read(address: int) -> bytes:
    return b"\x03" + address.to_bytes(2) + b"\x00\x01"


# Modbus TCP.


async def test_an_answer_has_the_ids_of_its_request_as_the_client_wrote_them() -> None:
    async with asking() as served:
        client = await served.client()
        client.send(tcp(0xBEEF, 17))
        await client.hears(tcp(0xBEEF, 17))
        assert served.router.written == [(17, READ)]


async def test_requests_cut_anywhere() -> None:
    sent = tcp(1) + tcp(2, 2, b"\x10\x00\x01\x00\x02\x04abcd") + tcp(3)
    async with asking() as served:
        for at in range(1, len(sent)):
            client = await served.client()
            client.send(sent[:at])
            await settle(0.001)
            client.send(sent[at:])
            await client.hears(sent)
            await client.close()


async def test_a_request_that_comes_byte_by_byte() -> None:
    async with asking() as served:
        client = await served.client()
        for byte in tcp(7):
            client.send(bytes((byte,)))
            await settle(0.001)
        await client.hears(tcp(7))


@pytest.mark.real
async def test_nineteen_requests_in_one_segment_are_answered_as_the_answers_come() -> None:
    async with asking(answer=later) as served:
        client = await served.client()
        client.send(frames(19))
        await served.asks(19)
        for question in reversed(served.router.asked):
            question.done(question, question.pdu)
        await client.hears(b"".join(tcp(number) for number in reversed(range(19))))


async def test_a_client_that_never_changes_its_transaction_id() -> None:
    async with asking(answer=later) as served:
        client = await served.client()
        client.send(tcp(0, 1, read(1)) + tcp(0, 1, read(2)))
        await served.asks(2)
        for question in served.router.asked:
            question.done(question, question.pdu)
        await client.hears(tcp(0, 1, read(1)) + tcp(0, 1, read(2)))


@pytest.mark.real
@pytest.mark.parametrize("length", [0, 1, 255, 65535])
async def test_a_length_that_cannot_be_ends_the_connection(length: int, caplog: pytest.LogCaptureFixture) -> None:
    async with asking() as served:
        neighbour, client = await served.client(), await served.client()
        client.send(tcp(1) + b"\x00\x02\x00\x00" + length.to_bytes(2) + b"\x01" + READ + tcp(3))
        await until(lambda: client.lost)
        assert bytes(client.heard) == tcp(1)
        assert served.results()["error"] == 1
        assert served.listener.status().refused == {"malformed": 1}
        neighbour.send(tcp(2))
        await neighbour.hears(tcp(2))
        for _ in range(5):
            client = await served.client()
            client.send(b"\xff" * 100)
            await until(lambda client=client: client.lost)  # type: ignore[misc]  # a default makes it this client
        assert [record.message for record in caplog.records].count(COMPLAINT) == 1


async def test_frames_of_another_protocol_are_passed_over() -> None:
    async with asking() as served:
        client = await served.client()
        client.send(b"\x00\x01\x00\x07\x00\x03abc" + tcp(2))
        await client.hears(tcp(2))
        assert served.router.written == [(1, READ)]
        assert served.listener.status().refused == {"malformed": 1}


@pytest.mark.parametrize(
    ("spoken", "sent", "kind"),
    [
        (Access.TCP, rtu.encode(1, b"\x03\x03\xe8\x00\x02"), "RTU"),
        (Access.TCP, ascii.encode(1, READ), "ASCII"),
        (Access.RTU, 30 * tcp(1), None),
        (Access.RTU, 30 * ascii.encode(1, READ), "ASCII"),
        (Access.ASCII, tcp(1), "Modbus TCP"),
        (Access.ASCII, rtu.encode(1, READ), "RTU"),
        (Access.TCP, b"GET / HTTP/1.1\r\n\r\n", None),
    ],
)
async def test_who_came_to_the_wrong_service_is_seen_in_the_log(
    spoken: Access, sent: bytes, kind: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with asking(spoken) as served:
        client = await served.client()
        for _ in range(3):
            client.send(sent)
            await settle(1.0)
        assert served.listener.status().refused["malformed"]
        assert not served.router.asked
        assert not client.heard
        (record,) = [record for record in caplog.records if record.message == COMPLAINT]
        assert getattr(record, "looks_like", None) == kind


async def test_an_empty_answer_is_none() -> None:
    async with asking(answer=lambda question: b"" if question.pdu == read(1) else question.pdu) as served:
        client = await served.client()
        client.send(tcp(1, 1, read(1)) + tcp(2, 1, read(2)))
        await client.hears(tcp(2, 1, read(2)))


async def test_too_many_under_way_are_refused_until_some_are_answered() -> None:
    async with asking(answer=later, outstanding=2) as served:
        client = await served.client()
        client.send(frames(4))
        await client.hears(tcp(2, 1, b"\x83\x06") + tcp(3, 1, b"\x83\x06"))
        assert served.listener.status().refused == {"queue_full": 2}
        for question in tuple(served.router.asked):
            question.done(question, question.pdu)
        client.send(tcp(5))
        await served.asks(3)


async def test_what_one_client_has_under_way_does_not_count_for_another() -> None:
    async with asking(answer=later, outstanding=1) as served:
        for _ in range(3):
            (await served.client()).send(tcp(1))
        await served.asks(3)
        assert not served.listener.status().refused


@pytest.mark.real
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_answers_for_a_client_that_has_gone_are_dropped(how: str) -> None:
    async with asking(answer=later) as served:
        client = await served.client()
        client.send(frames(3))
        await served.asks(3)
        await (client.reset() if how == "reset" else client.close())
        await until(lambda: served.router.guests[0].left or how == "close")
        for question in served.router.asked:
            question.done(question, READ)
        await until(lambda: not served.listener.sessions)
        assert served.router.guests[0].left


@pytest.mark.real
async def test_a_half_closed_client_gets_what_is_outstanding() -> None:
    async with asking(answer=later) as served:
        client = await served.client()
        client.send(frames(2))
        client.half_close()
        await served.asks(2)
        await settle(0.1)
        assert served.listener.status().clients[0].state == "half-closed"
        first, second = served.router.asked
        first.done(first, READ)
        await client.hears(tcp(0))
        assert not client.lost
        second.done(second, READ)
        await until(lambda: client.lost)
        assert bytes(client.heard) == frames(2)
        await until(lambda: served.results().get("closed") == 1)


@pytest.mark.real
async def test_a_half_closed_client_that_waits_for_nothing_is_closed() -> None:
    async with asking() as served:
        client = await served.client()
        client.half_close()
        await until(lambda: client.lost, within=1.0)


async def test_a_half_closed_client_waits_no_longer_than_that() -> None:
    async with asking(answer=later, half_close=2.0) as served:
        client = await served.client()
        client.send(tcp(1))
        client.half_close()
        await served.asks(1)
        await settle(1.5)
        assert not client.lost
        await until(lambda: client.lost, within=2.0)
        assert served.router.guests[0].left


async def test_who_does_not_half_close_by_the_settings_is_closed_at_once() -> None:
    async with asking(answer=later, half_close=0.0) as served:
        client = await served.client()
        client.send(tcp(1))
        client.half_close()
        await until(lambda: client.lost, within=1.0)


@pytest.mark.real
async def test_a_client_that_does_not_fetch_its_answers_is_not_read() -> None:
    async with asking(answer=lambda _: bytes(250)) as served:
        client = await served.client(reading=False)
        neighbour = await served.client()
        segment = frames(400)
        sent = 0
        while served.listener.sessions[0]._stops == set() and sent < 5000:
            client.send(segment)
            sent += 1
            await settle(0.001)
        assert served.listener.status().clients[0].state == "stalled"
        asked = len(served.router.asked)
        client.send(segment * 10)
        await settle(0.05)
        assert len(served.router.asked) == asked
        neighbour.send(tcp(1, 2))
        await until(lambda: neighbour.heard)
        client.read_on()
        await until(lambda: len(served.router.asked) == (sent + 10) * 400 + 1, within=30)
        await until(lambda: len(client.heard) == (sent + 10) * 400 * (7 + 250), within=30)
        assert not served.listener.sessions[0]._stops


@pytest.mark.real
async def test_a_flood_whose_answers_are_fetched_slowly_is_no_reason_to_drop_the_client() -> None:
    async with asking(answer=lambda _: bytes(250)) as served:
        client = await served.client(reading=False)
        client.send(frames(50_000))
        await until(lambda: served.listener.sessions[0]._held)
        await settle(0.05)
        assert len(served.router.asked) < 50_000
        client.read_on()
        await until(lambda: len(client.heard) == 50_000 * 257, within=60)
        assert not client.lost


@pytest.mark.real
async def test_a_client_for_which_too_much_waits_is_dropped() -> None:
    async with asking(answer=lambda _: bytes(250), allowance=60_000) as served:
        client = await served.client(reading=False)
        sent = 0
        while not client.lost and sent < 5000:
            client.send(frames(400))
            sent += 1
            await settle(0.001)
        await until(lambda: served.results().get("slow") == 1)
        assert served.listener.status().dropped > 60_000


async def test_an_inactive_client_is_one_that_asks_nothing() -> None:
    async with asking(inactivity=8.0) as served:
        active, idle = await served.client(), await served.client()
        for number in range(12):
            active.send(tcp(number))
            await settle(1.0)
        assert idle.lost
        assert not active.lost
        assert served.results()["inactive"] == 1


@pytest.mark.real
async def test_a_flood_is_worked_off_in_portions() -> None:
    async with asking(outstanding=10_000) as served:
        flooding = await served.client()
        count = 40 * PORTION // len(tcp(0))
        most = 0

        async def watch() -> None:
            nonlocal most
            before = 0
            while before < count:
                await asyncio.sleep(0)
                most = max(most, len(served.router.asked) - before)
                before = len(served.router.asked)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            flooding.send(frames(count))
        assert 0 < most <= 2 * (PORTION // len(tcp(0)) + 1)
        await flooding.hears(frames(count))


@pytest.mark.real
async def test_a_flood_whose_sender_half_closes_is_answered_whole() -> None:
    async with asking() as served:
        client = await served.client()
        client.send(frames(5000))
        client.half_close()
        await until(lambda: client.lost)
        assert bytes(client.heard) == frames(5000)


@pytest.mark.real
async def test_a_bug_ends_one_connection_only() -> None:
    def answer(question: Question) -> bytes:
        if question.pdu == read(666):
            raise ZeroDivisionError
        return question.pdu

    async with asking(answer=answer) as served:
        client, neighbour = await served.client(), await served.client()
        client.send(tcp(1, 1, read(666)))
        await until(lambda: client.lost)
        await until(lambda: served.results().get("error") == 1)
        neighbour.send(tcp(2))
        await neighbour.hears(tcp(2))


@pytest.mark.real
async def test_a_service_that_is_hushed_answers_what_it_was_asked() -> None:
    async with asking(answer=later) as served:
        client = await served.client()
        client.send(frames(2))
        await served.asks(2)
        served.listener.hush()
        client.send(tcp(3))
        await settle(0.1)
        assert served.listener.accepted() == 2
        for question in served.router.asked:
            question.done(question, READ)
        assert served.listener.accepted() == 0
        served.listener.stop()
        await until(lambda: client.lost)
        assert bytes(client.heard) == frames(2)
        assert served.results()["shutdown"] == 1


async def test_clients_wait_until_the_device_was_tried_but_not_for_ever() -> None:
    opened = asyncio.Event()
    for succeeds, limit in ((True, 1.0), (False, 3.0)):
        opened.clear()
        async with asking(backend=AlwaysUp("line", opened)) as served, asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(served.client())
            await settle(0.4)
            assert not served.listener.sessions
            if succeeds:
                opened.set()
            async with asyncio.timeout(limit):
                client = await waiting
            client.send(tcp(1))
            await client.hears(tcp(1))


async def test_status() -> None:
    async with asking() as served:
        client = await served.client()
        client.send(frames(3))
        await client.hears(frames(3))
        status = served.listener.status()
        assert (status.port, status.service) == ("plant", "modbus")
        assert (status.clients[0].received, status.clients[0].sent) == (36, 36)
        assert status.clients[0].state == "open"
        assert not status.clients[0].controls
        assert served.router.guests[0].address == address_of("127.0.0.1")


# RTU and ASCII.

ENCODE = {Access.RTU: rtu.encode, Access.ASCII: ascii.encode}
serial = pytest.mark.parametrize("access", ENCODE)


@serial
async def test_serial_requests_cut_anywhere(access: Access) -> None:
    encode = ENCODE[access]
    sent = encode(1, READ) + encode(2, b"\x10\x00\x01\x00\x02\x04abcd") + encode(3, READ)
    async with asking(access) as served:
        for at in range(1, len(sent)):
            client = await served.client()
            client.send(sent[:at])
            await settle(0.001)
            client.send(sent[at:])
            await client.hears(sent)
            await client.close()


@pytest.mark.real
@serial
async def test_nineteen_serial_requests_are_answered_in_their_order(access: Access) -> None:
    encode = ENCODE[access]
    async with asking(access, answer=later) as served:
        client = await served.client()
        sent = b"".join(encode(1, read(number)) for number in range(19))
        client.send(sent)
        await served.asks(19)
        for question in reversed(served.router.asked[1:]):
            question.done(question, question.pdu)
        await settle()
        assert not client.heard
        served.router.asked[0].done(served.router.asked[0], read(0))
        await client.hears(sent)


@serial
async def test_a_serial_request_that_is_not_answered_holds_nothing_up(access: Access) -> None:
    encode = ENCODE[access]
    async with asking(access, answer=later) as served:
        client = await served.client()
        client.send(encode(1, read(1)) + encode(2, read(2)))
        await served.asks(2)
        second, first = reversed(served.router.asked), served.router.asked[0]
        for question in second:
            question.done(question, b"" if question is first else question.pdu)
        await client.hears(encode(2, read(2)))


@serial
async def test_who_asks_anew_has_given_up_what_it_asked_before(access: Access) -> None:
    encode = ENCODE[access]
    async with asking(access, answer=later) as served:
        client = await served.client()
        client.send(encode(1, read(1)))
        await served.asks(1)
        await settle(0.5)
        client.send(encode(1, read(2)))
        await served.asks(2)
        stale, awaited = served.router.asked
        stale.done(stale, b"\x03\x02\x00\x01")
        await settle()
        assert not client.heard
        awaited.done(awaited, b"\x03\x02\x00\x02")
        await client.hears(encode(1, b"\x03\x02\x00\x02"))


@serial
async def test_who_sends_a_stray_byte_still_waits_for_its_answer(access: Access) -> None:
    encode = ENCODE[access]
    async with asking(access, answer=later) as served:
        client = await served.client()
        client.send(encode(1, READ))
        await served.asks(1)
        await settle(0.5)
        client.send(b":")
        await settle(6.0)
        served.router.asked[0].done(served.router.asked[0], READ)
        await client.hears(encode(1, READ))


async def test_a_frame_cut_after_junk_is_no_junk() -> None:
    async with asking(Access.RTU) as served:
        client = await served.client()
        client.send(b"\x00" + rtu.encode(1, READ))
        await client.hears(rtu.encode(1, READ))
        client.send(rtu.encode(2, READ)[:5])
        await settle()
        client.send(rtu.encode(2, READ)[5:])
        await client.hears(rtu.encode(1, READ) + rtu.encode(2, READ))
        assert not served.listener.status().refused


@serial
async def test_nobody_answers_a_broadcast(access: Access) -> None:
    write = b"\x06\x00\x01\x00\x02"
    async with asking(access, answer=lambda _: b"\x86\x0a") as served:
        client = await served.client()
        client.send(ENCODE[access](0, write) + ENCODE[access](1, write))
        await client.hears(ENCODE[access](1, b"\x86\x0a"))
        assert served.router.written == [(0, write), (1, write)]


@serial
async def test_unit_0_is_answered_where_it_stands_for_a_unit(access: Access) -> None:
    async with asking(access, routing=RoutingSettings(WHOLE.routes, unit0=1)) as served:
        client = await served.client()
        client.send(ENCODE[access](0, READ))
        await client.hears(ENCODE[access](0, READ))


@serial
async def test_too_many_serial_requests_are_refused_in_their_order(access: Access) -> None:
    encode = ENCODE[access]
    async with asking(access, answer=later, outstanding=1) as served:
        client = await served.client()
        client.send(encode(1, read(1)) + encode(1, read(2)) + encode(0, read(3)))
        await served.asks(1)
        await settle()
        assert not client.heard
        served.router.asked[0].done(served.router.asked[0], read(1))
        await client.hears(encode(1, read(1)) + encode(1, b"\x83\x06"))


async def test_a_vendors_function_is_known_by_the_silence_after_it() -> None:
    async with asking(Access.RTU) as served:
        client = await served.client()
        client.send(rtu.encode(1, VENDOR))
        await client.hears(rtu.encode(1, VENDOR))
        client.send(rtu.encode(1, VENDOR)[:4])
        await settle(0.2)
        client.send(rtu.encode(1, VENDOR)[4:])
        await client.hears(2 * rtu.encode(1, VENDOR))


@pytest.mark.real
async def test_a_vendors_function_and_no_more_by_the_end() -> None:
    async with asking(Access.RTU, answer=later) as served:
        client = await served.client()
        client.send(rtu.encode(1, VENDOR))
        client.half_close()
        await served.asks(1)
        served.router.asked[0].done(served.router.asked[0], VENDOR)
        await until(lambda: client.lost)
        assert bytes(client.heard) == rtu.encode(1, VENDOR)


async def test_ascii_frames_may_pause() -> None:
    async with asking(Access.ASCII) as served:
        client = await served.client()
        sent = ascii.encode(1, READ)
        client.send(sent[:5])
        await settle(4.5)
        client.send(sent[5:])
        await client.hears(sent)
        client.send(sent[:5])
        await settle(6.0)
        client.send(sent[5:] + sent)
        await client.hears(2 * sent)


async def test_junk_between_rtu_requests() -> None:
    async with asking(Access.RTU) as served:
        client = await served.client()
        client.send(b"\xff\x00" + rtu.encode(1, READ) + b"\x00\x00\x00" + rtu.encode(2, READ))
        await client.hears(rtu.encode(1, READ) + rtu.encode(2, READ))


# Any cut.


def asked_by(access: Access, pieces: Iterable[bytes]) -> tuple[list[tuple[int, bytes]], bytes]:
    """What a connection asks when these bytes come, and what it writes."""

    async def feed() -> tuple[list[tuple[int, bytes]], bytes]:
        router, transport = Scripted(echoed), Wire()
        with socket.socket() as sock:
            peer = Endpoint("192.0.2.1", 1)
            session: ModbusSession = SESSIONS[access](
                router, settings(access, outstanding=9999), Throttle(), sock, peer, address_of(peer.host)
            )
            session.connection_made(transport)
            for piece in pieces:
                session.data_received(piece)
            await asyncio.sleep(1.0)
            session.connection_lost(None)
        return router.written, b"".join(transport.written)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(feed())


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    at = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(at) if end > start]


PDUS = st.one_of(
    st.builds(read, st.integers(0, 65535)),
    st.binary(min_size=2, max_size=2).map(lambda data: b"\x06\x00\x01" + data),
    st.binary(min_size=1, max_size=120).map(lambda data: b"\x10\x00\x01\x00\x01" + bytes((len(data),)) + data),
)
STREAMS = st.lists(st.one_of(st.tuples(st.integers(0, 247), PDUS), st.binary(min_size=1, max_size=9)), max_size=12)


@tried(max_examples=150, deadline=None)
@given(st.sampled_from([Access.TCP, Access.RTU, Access.ASCII]), STREAMS, st.lists(st.integers(0, 2000), max_size=20))
@pytest.mark.long
def test_any_cut_of_the_same_bytes_gives_the_same_questions(
    access: Access, stream: list[tuple[int, bytes] | bytes], places: list[int]
) -> None:
    encode = {Access.TCP: lambda unit, pdu: mbap.encode(7, unit, pdu), **ENCODE}[access]
    data = b"".join(item if isinstance(item, bytes) else encode(*item) for item in stream)
    assert asked_by(access, cut(data, places)) == asked_by(access, [data] if data else [])


@tried(max_examples=100, deadline=None)
@given(st.sampled_from([Access.TCP, Access.RTU, Access.ASCII]), st.lists(st.binary(max_size=600), max_size=10))
@pytest.mark.long
def test_garbage_never_does_more_than_end_its_connection(access: Access, pieces: list[bytes]) -> None:
    logging.disable(logging.WARNING)
    try:
        asked, _ = asked_by(access, [piece for piece in pieces if piece])
    finally:
        logging.disable(logging.NOTSET)
    assert len(asked) <= sum(map(len, pieces)) // 4


async def test_f5_a_request_that_contradicts_itself_is_answered() -> None:
    """The session hands it on; the router answers it with 03 (test_routing.py)."""
    pdus = [b"\x03\x00\x00\x00\x0a\x00", b"\x03\x00\x00", b"\x10\x00\x01\x00\x02\x02\x00\x03", b"\x06\x00\x01"]
    async with asking(Access.RTU, answer=lambda question: bytes((question.pdu[0] | 0x80, 3))) as served:
        client = await served.client()
        for number, pdu in enumerate(pdus):
            client.send(rtu.encode(1, pdu))
            await served.asks(number + 1)
        await client.hears(b"".join(rtu.encode(1, bytes((pdu[0] | 0x80, 3))) for pdu in pdus))
        assert served.router.written == [(1, pdu) for pdu in pdus]
