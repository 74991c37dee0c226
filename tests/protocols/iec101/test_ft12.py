"""Frames: every vector whole, cut, among rubbish; and what E5 may mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.iec101.ft12 import MAX_FRAME, SINGLE_CHARACTER, Frame, FrameFinder, parse
from tests.protocols.iec101.vectors import WIRE, link_size

SILENCE, GAP = 0.003, 0.5
RUBBISH = (b"\x00", b"\xff", b"\x10", b"\x68", b"\x68\x09", b"\x68\x09\x09", b"\x16\x16", b"\x10\x40\x01\x41", b"\xe5")


def finder(size: int = 1) -> FrameFinder:
    found = FrameFinder(size, SILENCE, GAP)
    found.begin()
    return found


def all_of(data: bytes, size: int = 1, pieces: int = 0) -> list[Frame]:
    """What is found in `data`, which comes in pieces, and then silence."""
    one, frames = finder(size), list[Frame]()
    for at in range(0, len(data), pieces or len(data) or 1):
        frames += one.feed(data[at : at + (pieces or len(data))], 0.0)
    return frames + one.expire(GAP)


@pytest.mark.parametrize("name", WIRE)
def test_vectors_are_frames_and_are_written_again(name: str) -> None:
    frame = parse(WIRE[name], link_size(name))
    assert frame.encode(link_size(name)) == WIRE[name]
    assert all_of(WIRE[name], link_size(name)) == [frame]
    assert all_of(WIRE[name], link_size(name), pieces=1) == [frame]


@pytest.mark.parametrize("name", WIRE)
def test_vectors_cut_at_every_byte_are_incomplete_and_then_none(name: str) -> None:
    wire, size = WIRE[name], link_size(name)
    for end in range(len(wire)):
        one = finder(size)
        assert one.feed(wire[:end], 1.0) == []
        assert (one.deadline() is None) == (end == 0)
        assert one.expire(1.0 + GAP) == []
        assert one.deadline() is None
        assert one.heard == wire[:end]
        with pytest.raises(ProtocolError):
            parse(wire[:end], size)


@pytest.mark.parametrize("name", sorted(set(WIRE) - {"F6"}))
@pytest.mark.parametrize("before", RUBBISH, ids=bytes.hex)
def test_vectors_are_found_in_rubbish(name: str, before: bytes) -> None:
    size = link_size(name)
    frame = parse(WIRE[name], size)
    for behind in (b"", *RUBBISH):
        for pieces in (0, 1, 3):
            assert all_of(before + WIRE[name] + behind, size, pieces) == [frame]


@pytest.mark.parametrize("name", sorted(set(WIRE) - {"F6"}))
def test_every_wrong_byte_of_a_vector_is_noticed(name: str) -> None:
    wire, size = WIRE[name], link_size(name)
    for at in range(len(wire)):
        assert parse(wire, size) not in all_of(wire[:at] + bytes((wire[at] ^ 0x04,)) + wire[at + 1 :], size)


def test_two_frames_in_a_row_are_two() -> None:
    assert len(all_of(WIRE["F4"] + WIRE["V3"] + WIRE["F11"])) == 3


def test_e5_is_an_answer_only_when_silence_follows() -> None:
    one = finder()
    assert one.feed(b"\xe5", 5.0) == []
    assert one.deadline() == 5.0 + SILENCE
    assert one.expire(5.0 + SILENCE) == [SINGLE_CHARACTER]
    assert one.deadline() is None


def test_e5_among_rubbish_is_none() -> None:
    assert all_of(b"\x00\xe5") == []
    assert all_of(b"\xe5\x00") == []
    assert all_of(b"\xe5\xe5") == []
    assert all_of(WIRE["F11"] + b"\xe5") == [parse(WIRE["F11"], 1)]


def test_as_many_e5_as_the_request_was_sent_may_stand_together() -> None:
    one = FrameFinder(1, 0.003, 0.5)
    one.begin(2)
    assert one.feed(b"\xe5\xe5", 1.0) == []
    assert one.expire(1.003) == [SINGLE_CHARACTER] * 2
    one.begin(2)
    assert one.feed(b"\xe5\xe5\xe5", 2.0) + one.expire(3.0) == []
    one.begin()
    assert one.feed(b"\xe5\xe5", 4.0) + one.expire(5.0) == []


def test_e5_behind_the_echo_of_the_request_is_an_answer() -> None:
    assert all_of(WIRE["F7"] + b"\xe5") == [parse(WIRE["F7"], 1), SINGLE_CHARACTER]


def test_e5_is_new_with_each_request() -> None:
    one = finder()
    one.feed(b"\x00", 0.0)
    one.begin()
    one.feed(b"\xe5", 1.0)
    assert one.expire(2.0) == [SINGLE_CHARACTER]


def test_a_frame_inside_what_seemed_a_longer_one_is_found_after_silence() -> None:
    one = finder()
    assert one.feed(b"\x68\xff\xff\x68" + WIRE["V3"], 0.0) == []
    assert one.expire(GAP) == [parse(WIRE["V3"], 1)]


def test_counts_tell_what_was_wrong() -> None:
    one = finder()
    one.feed(WIRE["F4"] + b"\x10\x00\x01\x02\x16" + b"\x68\x09\x08", 0.0)
    assert (one.counts.frames, one.counts.checksum, one.counts.malformed) == (1, 1, 1)
    one.expire(GAP)
    assert one.counts.dropped == 8


@pytest.mark.parametrize("size", [0, 1, 2])
def test_link_addresses_of_each_size(size: int) -> None:
    top = 256**size - 1
    for data in (b"", b"\x01"):
        frame = Frame(0x08, top, data)
        assert parse(frame.encode(size), size) == frame
    with pytest.raises(ValueError, match="link address"):
        Frame(0x08, top + 1).encode(size)


def test_a_length_below_control_and_address_is_malformed() -> None:
    assert all_of(b"\x68\x01\x01\x68\x08\x08\x16") == []
    assert all_of(b"\x68\x00\x00\x68\x00\x16") == []


def test_the_longest_frame() -> None:
    frame = Frame(0x08, 1, bytes(253))
    assert len(frame.encode(1)) == MAX_FRAME
    assert all_of(frame.encode(1)) == [frame]
    with pytest.raises(ValueError, match="do not fit"):
        Frame(0x08, 1, bytes(254)).encode(1)


@given(st.integers(0, 255), st.integers(0, 2), st.data())
def test_frames_survive_the_wire(control: int, size: int, data: st.DataObject) -> None:
    address = data.draw(st.integers(0, 256**size - 1))
    frame = Frame(control, address, data.draw(st.binary(max_size=254 - size)))
    assert all_of(frame.encode(size), size, data.draw(st.integers(0, 9))) == [frame]


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(0, 2))
def test_anything_ends_and_does_not_grow(pieces: list[bytes], size: int) -> None:
    one = finder(size)
    for number, piece in enumerate(pieces):
        one.feed(piece, float(number))
        assert len(one._data) <= MAX_FRAME
    one.expire(100.0)
    assert one.deadline() is None
