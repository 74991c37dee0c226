"""pcapng: what is written is read again, whatever it is cut into, and what is damaged is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.capture.pcapng import (
    Block,
    Flags,
    Interface,
    LinkType,
    Packet,
    Reader,
    Section,
    Statistics,
    encode,
)

BLOCKS: list[Block] = [
    Section("nportpy 1.0", "a comment, äöü"),
    Interface(LinkType.RTAC_SERIAL, "bus", "serial line", 9600),
    Interface(LinkType.UPPER_PDU, "bus-modbus"),
    Packet(0, 1_800_000_000_123_456_789, b"\x01\x02\x03", ("one", "two"), Flags.INBOUND | Flags.CRC_ERROR),
    Packet(1, 1, b""),
    Statistics(0, 1_800_000_000_123_456_789, 7),
]
FILE = b"".join(map(encode, BLOCKS))


def test_c20_blocks_are_read_as_they_were_written() -> None:
    assert list(Reader().feed(FILE)) == BLOCKS


@given(st.integers(1, 40))
def test_c20_in_whatever_pieces(size: int) -> None:
    reader = Reader()
    assert [block for at in range(0, len(FILE), size) for block in reader.feed(FILE[at : at + size])] == BLOCKS
    assert not reader.incomplete


def test_blocks_have_whole_words_and_both_lengths() -> None:
    for block in BLOCKS:
        data = encode(block)
        assert len(data) % 4 == 0
        assert data[4:8] == data[-4:] == len(data).to_bytes(4, "little")


def test_a_big_endian_file_and_unknown_blocks_are_read() -> None:
    head = bytes.fromhex("0A0D0D0A 0000001C 1A2B3C4D 0001 0000 FFFFFFFFFFFFFFFF 0000001C")
    unknown = bytes.fromhex("00000BAD 00000010 12345678 00000010")
    interface = bytes.fromhex("00000001 00000014 00FA 0000 00000000 00000014")
    packet = bytes.fromhex("00000006 00000024 00000000 00000000 00000002 00000001 00000001 41000000 00000024")
    found = list(Reader().feed(head + unknown + interface + packet))
    assert found == [Section(), Interface(LinkType.RTAC_SERIAL), Packet(0, 2000, b"A")]  # microseconds without option


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_damage_raises_our_error_and_nothing_else(at: int, flip: int) -> None:
    data = bytearray(FILE)
    data[at] ^= flip
    try:
        list(Reader().feed(bytes(data)))
    except ProtocolError as error:
        assert "pcapng" in str(error)  # noqa: PT017 - some damage is in what is passed over


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", bytes(64), FILE[28:]])
def test_what_is_no_pcapng_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="no pcapng"):
        list(Reader().feed(data))
