"""Function 79 of UDP port 4800, the server's end."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.dsci import DeviceId, Entry
from nportpy.protocols.dsci_ipv6 import MAX_ENTRIES, Ask, Request, answer, parse_request

DEVICE = DeviceId(0x80015100, 0x511A, bytes.fromhex("00 90 e8 01 02 03"))
ID = "00 51 01 80 1a 51 00 90 e8 01 02 03"
HERE = IPv6Address("2001:db8::7")
HERE_TEXT = "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 07"
THERE = IPv6Address("2001:db8::9")
SEARCH = f"79 00 00 1c 00 00 00 05 {'00 ' * 12}01 00 00 00 00 01 00 01"
NETSTAT = f"79 00 00 20 00 00 00 06 {ID} 01 00 00 00 00 02 00 04 00 40 00 00"


def entries(count: int) -> list[Entry]:
    return [Entry(THERE, 33000 + number, HERE, 950, port=1) for number in range(count)]


def asked(wire: str, connections: int = 0) -> str | None:
    reply = answer(parse_request(bytes.fromhex(wire)), DEVICE, HERE, entries(connections))
    return None if reply is None else reply.hex(" ")


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (SEARCH, f"f9 00 00 2c 00 00 00 05 {ID} 01 00 00 00 00 01 00 01 {HERE_TEXT}"),
        (NETSTAT, f"f9 00 00 20 00 00 00 06 {ID} 01 00 00 00 00 02 00 04 00 00 00 00"),
        (f"79 00 00 1c 00 00 00 05 {ID} 01 00 00 00 00 02 00 05", f"f9 04 00 14 00 00 00 05 {ID}"),
        (f"79 00 00 1c 00 00 00 05 {'00 ' * 12}01 00 00 00 00 02 00 05", None),
        (NETSTAT.replace(ID, ID[:-2] + "04"), None),
        (NETSTAT.replace(ID, "00 " * 11 + "00"), None),
    ],
)
def test_r1_what_is_answered(request_: str, reply: str | None) -> None:
    assert asked(request_) == reply


def test_r1_connections_are_listed_in_pages() -> None:
    one = asked(NETSTAT, 1)
    there = "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 09"
    entry = f"{there} {HERE_TEXT} 80 e8 03 b6 01 04 00 00"
    assert one == f"f9 00 00 48 00 00 00 06 {ID} 01 00 00 00 00 02 00 04 00 01 00 00 {entry}"
    seen, start = 0, 0
    for _ in range(9):
        reply = bytes.fromhex(asked(NETSTAT[:-5] + start.to_bytes(2, "big").hex(" "), 70) or "")
        count, start = (int.from_bytes(reply[at : at + 2], "big") for at in (28, 30))
        assert count <= MAX_ENTRIES
        assert len(reply) == 32 + 40 * count <= 1232
        seen += count
        if not start:
            break
    assert seen == 70
    few = bytes.fromhex(asked(NETSTAT.replace("00 40 00 00", "00 02 00 01"), 5) or "")
    assert few[28:32] == b"\0\2\0\3"
    assert asked(NETSTAT[:-5] + "ff ff", 5) == asked(NETSTAT)
    assert asked(NETSTAT.replace("00 40 00 00", "00 00 00 00"), 5) == asked(NETSTAT)


def test_r1_whole_requests_alone_are_requests() -> None:
    for wire in (bytes.fromhex(SEARCH), bytes.fromhex(NETSTAT)):
        for size in range(len(wire)):
            with pytest.raises(ProtocolError):
                parse_request(wire[:size])
            cut = wire[:2] + size.to_bytes(2, "big") + wire[4:size]
            if size != 28 or wire[25] != 1:
                with pytest.raises(ProtocolError):
                    parse_request(cut)
    longer = bytearray(bytes.fromhex(NETSTAT) + b"more")
    longer[3] += 4
    assert parse_request(bytes(longer)).kind == Ask.NETSTAT.value
    for at, value in ((0, 0xF9), (0, 0x01), (3, 0x1D), (20, 2)):
        wrong = bytearray(bytes.fromhex(SEARCH))
        wrong[at] = value
        with pytest.raises(ProtocolError):
            parse_request(bytes(wrong))


@given(st.binary(max_size=80), st.integers(0, 40))
def test_r1_any_bytes_are_a_request_or_none(data: bytes, count: int) -> None:
    for wire in (data, b"\x79\0" + (len(data) + 4).to_bytes(2, "big") + data):
        try:
            request = parse_request(wire)
        except ProtocolError:
            continue
        assert isinstance(request, Request)
        reply = answer(request, DEVICE, HERE, entries(count))
        assert reply is None or int.from_bytes(reply[2:4], "big") == len(reply) <= 1232
