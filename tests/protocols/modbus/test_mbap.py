from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import MisuseError, ProtocolError
from nportpy.protocols.modbus.mbap import MAX_ADU, Adu, Client, Malformed, Reader, encode, parse_datagram
from tests.protocols.modbus.vectors import PAIRS

# The example of the implementation guide, 4.4.2.1: transaction 0x1501, one register at 4 of unit 255.
EXAMPLE = bytes.fromhex("1501 0000 0006 FF 03 0004 0001")
READ = bytes.fromhex("03 0004 0001")
ANSWER = bytes.fromhex("03 02 1234")


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def read(reader: Reader | Client, *chunks: bytes) -> list[Adu | Malformed]:
    return [event for chunk in chunks for event in reader.feed(chunk)]


def test_the_example_of_the_guide() -> None:
    assert encode(0x1501, 0xFF, READ) == EXAMPLE
    assert read(Reader(), EXAMPLE) == [Adu(0x1501, 0xFF, READ)]
    assert parse_datagram(EXAMPLE) == Adu(0x1501, 0xFF, READ)


@pytest.mark.parametrize("pdu", [pdu for pair in PAIRS for pdu in pair])
def test_frames_split_at_every_byte(pdu: bytes) -> None:
    wire = encode(7, 1, pdu)
    for at in range(len(wire)):
        assert read(Reader(), wire[:at], wire[at:]) == [Adu(7, 1, pdu)]
    assert read(Reader(), *bytewise(wire)) == [Adu(7, 1, pdu)]


def test_many_requests_in_one_segment_and_with_one_transaction_id() -> None:
    events = [Adu(0, unit, READ) for unit in range(19)]
    wire = b"".join(encode(*event) for event in events)
    assert read(Reader(), wire) == read(Reader(), *bytewise(wire)) == events


def test_shortest_and_longest() -> None:
    for pdu in (b"\x07", bytes(253)):
        wire = encode(0xFFFF, 255, pdu)
        assert read(Reader(), wire + wire) == [Adu(0xFFFF, 255, pdu)] * 2
    assert len(encode(0, 0, bytes(253))) == MAX_ADU


def test_another_protocol_is_passed_over() -> None:
    reader = Reader()
    other = bytes.fromhex("0001 0001 0006 01 03 0004 0001")
    assert read(reader, *bytewise(other), EXAMPLE + other, EXAMPLE) == [Adu(0x1501, 0xFF, READ)] * 2
    assert reader.discarded == 2


@pytest.mark.parametrize("header", ["0001 0000 0000", "0001 0000 0001", "0001 0000 00FF", "0001 0001 FFFF"])
def test_a_length_that_cannot_be_ends_it(header: str) -> None:
    for chunks in ([EXAMPLE + bytes.fromhex(header) + EXAMPLE], bytewise(EXAMPLE + bytes.fromhex(header) + EXAMPLE)):
        reader = Reader()
        first, last = read(reader, *chunks)
        assert first == Adu(0x1501, 0xFF, READ)
        assert isinstance(last, Malformed)
        assert read(reader, EXAMPLE) == []


@pytest.mark.parametrize("wire", ["01 03 00 00 00 0A C5 CD", "01 03 03 E8 00 02 44 7B", "01 06 00 01 00 03 98 0B"])
def test_rtu_sent_here_is_never_kept_nor_waited_for(wire: str) -> None:
    reader = Reader()
    events = read(reader, bytes.fromhex(wire) * 100)
    assert len(events) + reader.discarded >= 50 or isinstance(events[-1], Malformed)
    assert len(reader._rest) < MAX_ADU


@pytest.mark.parametrize(
    "datagram",
    ["", "1501 0000 0006 FF", "1501 0000 0001 FF", EXAMPLE[:-1].hex(), EXAMPLE.hex() + "00", "1501 0001 0002 FF 07"],
)
def test_datagrams_that_are_no_frame(datagram: str) -> None:
    with pytest.raises(ProtocolError):
        parse_datagram(bytes.fromhex(datagram))


def test_answers_find_their_requests_in_any_order() -> None:
    client = Client()
    (first, wire), (second, other) = client.request(1, READ), client.request(2, READ)
    assert read(Reader(), wire + other) == [Adu(first, 1, READ), Adu(second, 2, READ)]
    answers = [Adu(second, 2, ANSWER), Adu(first, 1, b"\x83\x02")]
    assert read(client, b"".join(encode(*answer) for answer in answers)) == answers
    assert client.unmatched == 0


@pytest.mark.parametrize(
    "answer",
    [Adu(1, 1, ANSWER), Adu(0, 2, ANSWER), Adu(0, 1, b"\x04\x02\x12\x34"), Adu(0, 1, b"\x03\x04\x12\x34\x56\x78")],
)
def test_what_is_no_answer_is_dropped_and_the_wait_goes_on(answer: Adu) -> None:
    client = Client()
    transaction, _ = client.request(1, READ)
    assert transaction == 0
    assert read(client, encode(*answer)) == []
    assert client.unmatched == 1
    assert read(client, encode(0, 1, ANSWER)) == [Adu(0, 1, ANSWER)]
    assert read(client, encode(0, 1, ANSWER)) == []


def test_late_answers_are_dropped() -> None:
    client = Client()
    transaction, _ = client.request(1, READ)
    client.forget(transaction)
    client.forget(transaction)
    assert read(client, encode(transaction, 1, ANSWER)) == []
    assert client.unmatched == 1
    assert client.request(1, READ)[0] != transaction


def test_transaction_ids_are_unique_among_those_under_way() -> None:
    client = Client(limit=2)
    kept, _ = client.request(1, READ)
    for _ in range(0x10000):
        transaction, _ = client.request(1, READ)
        assert transaction != kept
        client.forget(transaction)
    client.request(1, READ)
    with pytest.raises(MisuseError):
        client.request(1, READ)


def test_a_client_hears_of_a_broken_stream() -> None:
    client = Client()
    (event,) = read(client, bytes(6))
    assert isinstance(event, Malformed)
    read(client, bytes.fromhex("0001 0001 0002 0000"))
    assert client.discarded == 0


def test_a_client_passes_over_other_protocols() -> None:
    client = Client()
    assert read(client, bytes.fromhex("0000 0001 0002 01 07")) == []
    assert client.discarded == 1


FRAMES = st.lists(
    st.builds(encode, st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(min_size=1, max_size=253)), max_size=6
).map(b"".join)


@given(FRAMES, st.binary(max_size=20), st.lists(st.integers(0, 9999), max_size=12))
def test_any_cut_of_the_same_bytes_gives_the_same_requests(frames: bytes, junk: bytes, places: list[int]) -> None:
    whole, pieced = Reader(), Reader()
    assert read(whole, frames + junk) == read(pieced, *cut(frames + junk, places))
    assert whole.discarded == pieced.discarded


@given(st.lists(st.binary(max_size=600), max_size=9))
def test_no_bytes_raise_and_memory_is_bounded(chunks: list[bytes]) -> None:
    reader, client = Reader(), Client()
    client.request(1, READ)
    for chunk in chunks:
        events = reader.feed(chunk)
        client.feed(chunk)
        assert len(reader._rest) < MAX_ADU
        assert not any(isinstance(event, Malformed) for event in events[:-1])
        try:
            parse_datagram(chunk)
        except ProtocolError:
            continue
