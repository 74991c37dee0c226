from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import MisuseError, ProtocolError
from nportpy.protocols.dsci import (
    MAX_ENTRIES,
    MODELS,
    Address,
    DeviceId,
    Entry,
    Found,
    Function,
    Identity,
    Kernel,
    Name,
    Netstat,
    Network,
    NetworkParameters,
    Refused,
    Request,
    answer,
    ask,
    firmware,
    parse_reply,
    parse_request,
    search,
)
from tests.support.dsci import Daemon

DEVICE = DeviceId(0x80015100, 0x511A, bytes.fromhex("00 90 e8 01 02 03"))
ID = "00 51 01 80 1a 51 00 90 e8 01 02 03"
OTHER = DeviceId(0x80015100, 0x511A, bytes.fromhex("00 90 e8 01 02 04"))
IDENTITY = Identity(DEVICE, "pi-07", firmware(1, 1, 31), 1234)
NETWORK = Network(IPv4Address("192.0.2.7"), IPv4Address("255.255.255.0"), IPv4Address("192.0.2.1"))
LOCALHOST = IPv4Address("127.0.0.1")
ENTRIES = [
    Entry(IPv4Address("0.0.0.0"), 33914, LOCALHOST, 950, port=1),
    Entry(IPv4Address("0.0.0.0"), 33915, LOCALHOST, 966, port=1),
]
# Functions that set, unlock or show what is secret, and some that nobody knows.
REFUSED = [0x1A, 0x1B, 0x1E, 0x28, 0x29, 0x2C, 0x02, 0x11, 0x15, 0x17, 0x24, 0x25, 0x27, 0x2A, 0x2B, 0x79, 0x7F]


def asked(wire: str, entries: list[Entry] | None = None) -> str | None:
    reply = answer(parse_request(bytes.fromhex(wire)), IDENTITY, NETWORK, entries or [])
    return None if reply is None else reply.hex(" ")


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("01 00 00 08 00 00 00 00", f"81 00 00 18 00 00 00 00 {ID} c0 00 02 07"),
        (
            f"16 00 00 14 00 00 00 00 {ID}",
            f"96 00 00 24 00 00 00 00 {ID} 00 31 01 01 01 00 02 00 d2 04 00 00 00 00 03 01",
        ),
        (f"14 00 00 16 00 00 00 09 {ID} 80 00", f"94 00 00 18 00 00 00 09 {ID} 00 00 00 00"),
        (f"10 00 00 14 00 00 00 00 {ID}", f"90 00 00 3c 00 00 00 00 {ID} 70 69 2d 30 37" + " 00" * 35),
        (f"21 00 00 14 01 02 03 04 {ID}", f"a1 00 00 18 01 02 03 04 {ID} c0 00 02 07"),
        (f"22 00 00 14 01 02 03 04 {ID}", f"a2 00 00 18 01 02 03 04 {ID} ff ff ff 00"),
        (f"23 00 00 14 01 02 03 04 {ID}", f"a3 00 00 18 01 02 03 04 {ID} c0 00 02 01"),
        (
            f"26 00 00 16 00 00 00 00 {ID} 00 02",
            f"a6 00 00 28 00 00 00 00 {ID} 01 00 00 00 00 00 01 00 c0 00 02 07 ff ff ff 00 c0 00 02 01",
        ),
    ],
)
def test_vector(request_: str, reply: str) -> None:
    assert asked(request_) == reply


def test_netstat_extended() -> None:
    wire = f"1d 00 00 18 00 00 00 12 {ID} 00 ff 00 00"
    assert asked(wire, ENTRIES) == (
        f"9d 00 00 38 00 00 00 12 {ID} 02 00 00 00"
        " 00 00 00 00 7f 00 00 01 7a 84 b6 03 01 04 01 00"
        " 00 00 00 00 7f 00 00 01 7b 84 c6 03 01 04 01 00"
    )


def test_netstat_has_as_many_as_are_wanted() -> None:
    assert asked(f"14 00 00 16 00 00 00 12 {ID} 01 00", ENTRIES) == (
        f"94 00 00 28 00 00 00 12 {ID} 01 00 00 00 00 00 00 00 7f 00 00 01 7a 84 b6 03 01 04 01 00"
    )


def test_netstat_in_pages() -> None:
    many = [Entry(LOCALHOST, 40000 + number, LOCALHOST, 950, port=1) for number in range(2 * MAX_ENTRIES + 1)]
    found: list[Entry] = []
    pages = start = 0
    while pages == 0 or start:
        datagram = answer(parse_request(ask(Function.NETSTAT_EXTENDED, DEVICE, 5, start)), IDENTITY, NETWORK, many)
        assert datagram is not None
        assert len(datagram) <= 1472
        page = parse_reply(datagram)
        assert isinstance(page, Netstat)
        found += page.entries
        start = page.following
        pages += 1
    assert found == many
    assert pages == 3
    datagram = answer(parse_request(ask(Function.NETSTAT, DEVICE)), IDENTITY, NETWORK, many)
    assert datagram is not None
    assert len(datagram) <= 1472


def test_a_page_behind_the_last_is_empty() -> None:
    assert asked(f"1d 00 00 18 00 00 00 12 {ID} 00 ff 99 00", ENTRIES) == f"9d 00 00 18 00 00 00 12 {ID} 00 00 00 00"


@pytest.mark.parametrize("function", REFUSED)
def test_what_is_not_for_everybody_is_refused(function: int) -> None:
    reply = asked(f"{function:02x} 00 00 16 00 00 00 05 {ID} 61 62")
    assert reply == f"{function | 0x80:02x} 04 00 14 00 00 00 05 {ID}"
    assert parse_reply(bytes.fromhex(reply)) == Refused(b"\0\0\0\5", function, 4)


@pytest.mark.parametrize("function", [*REFUSED, *Function])
def test_who_does_not_know_the_device_hears_nothing(function: int) -> None:
    request = Request(function, bytes(4), OTHER, b"\0\0\0\0")
    assert answer(request, IDENTITY, NETWORK, ENTRIES) is None


def test_who_says_that_he_knows_the_device_hears_nothing() -> None:
    assert asked(f"01 00 00 14 00 00 00 00 {ID}") is None


def test_the_same_from_the_clients_side() -> None:
    number = b"\0\0\0\7"
    replies = {
        Function.NAME: Name(number, DEVICE, "pi-07"),
        Function.NETSTAT: Netstat(number, DEVICE, tuple(ENTRIES), 0),
        Function.KERNEL: Kernel(number, DEVICE, 0x01013100, 1234, b"\3\1"),
        Function.NETSTAT_EXTENDED: Netstat(number, DEVICE, tuple(ENTRIES), 0),
        Function.ADDRESS: Address(number, DEVICE, Function.ADDRESS, NETWORK.address),
        Function.NETMASK: Address(number, DEVICE, Function.NETMASK, NETWORK.netmask),
        Function.GATEWAY: Address(number, DEVICE, Function.GATEWAY, NETWORK.gateway),
        Function.NETWORK: NetworkParameters(number, DEVICE, NETWORK),
    }
    assert set(replies) == set(Function) - {Function.SEARCH}
    for function, reply in replies.items():
        datagram = answer(parse_request(ask(function, DEVICE, 7)), IDENTITY, NETWORK, ENTRIES)
        assert datagram is not None
        assert parse_reply(datagram) == reply
    datagram = answer(parse_request(search(7)), IDENTITY, NETWORK)
    assert datagram is not None
    assert parse_reply(datagram) == Found(number, DEVICE, NETWORK.address)


def test_a_search_reply_in_the_other_form() -> None:
    datagram = bytes.fromhex(f"81 00 00 28 00 00 00 00 {ID}") + bytes(20)
    assert parse_reply(datagram) == Found(bytes(4), DEVICE, None)


def test_a_search_is_for_all() -> None:
    with pytest.raises(MisuseError):
        ask(Function.SEARCH, DEVICE)


def test_names_are_cut_between_characters_and_shown_as_text() -> None:
    identity = Identity(DEVICE, "ä" * 30, 0)
    datagram = answer(parse_request(ask(Function.NAME, DEVICE)), identity, NETWORK)
    assert datagram is not None
    assert len(datagram) == 60
    assert datagram.endswith(b"\0\0")
    reply = parse_reply(datagram)
    assert isinstance(reply, Name)
    assert reply.name == "ä" * 19
    reply = parse_reply(datagram[:20] + b"a\x1b[2J\xff".ljust(40, b"\0"))
    assert isinstance(reply, Name)
    assert reply.name == "a�[2J�"


@pytest.mark.parametrize(
    ("version", "number"), [((1, 1, 31), 0x01013100), ((0, 10, 2), 0x00100200), ((1, 2, 345), 0x01029900)]
)
def test_firmware(version: tuple[int, int, int], number: int) -> None:
    assert firmware(*version) == number
    assert Kernel(b"", DEVICE, 0x01013100, 0, b"").firmware_text == "1.1.31"


def test_models() -> None:
    assert DEVICE.model == "NPort 5110A"
    assert DeviceId(1, 2, bytes(6)).model == "00000001/0002"
    assert all(DeviceId(ap, hardware, bytes(6)).model == name for (ap, hardware), name in MODELS.items())


@pytest.mark.parametrize(("ap", "hardware", "mac"), [(0, 1, bytes(6)), (1 << 32, 1, bytes(6)), (1, 1, bytes(5))])
def test_no_device_id(ap: int, hardware: int, mac: bytes) -> None:
    with pytest.raises(ValueError, match="no device id"):
        DeviceId(ap, hardware, mac)


@pytest.mark.parametrize(
    "wire",
    [
        "",
        "01",
        "01 00 00 08 00 00 00",
        "01 00 00 09 00 00 00 00",
        "01 00 00 08 00 00 00 00 00",
        "01 00 00 0c 00 00 00 00 00 00 00 00",
        "00 00 00 08 00 00 00 00",
        "80 00 00 08 00 00 00 00",
        "81 00 00 08 00 00 00 00",
        "16 00 00 08 00 00 00 00",
        "16 00 00 14 00 00 00 00 00 00 00 00 1a 51 00 90 e8 01 02 03",
        f"14 00 00 14 00 00 00 00 {ID}",
        f"1d 00 00 16 00 00 00 00 {ID} 00 ff",
        f"96 00 00 14 00 00 00 00 {ID}",
    ],
)
def test_garbage_is_no_request(wire: str) -> None:
    with pytest.raises(ProtocolError):
        parse_request(bytes.fromhex(wire))


@pytest.mark.parametrize(
    "wire",
    [
        "",
        "81 00 00 08 00 00 00 00",
        f"16 00 00 14 00 00 00 00 {ID}",
        f"96 00 00 14 00 00 00 00 {ID}",
        f"94 00 00 18 00 00 00 00 {ID} 01 00 00 00",
        f"94 00 00 14 00 00 00 00 {ID}",
        f"a1 00 00 16 00 00 00 00 {ID} 00 00",
        f"f7 00 00 14 00 00 00 00 {ID}",
    ],
)
def test_garbage_is_no_reply(wire: str) -> None:
    with pytest.raises(ProtocolError):
        parse_reply(bytes.fromhex(wire))


# Well-formed headers get further than plain noise.
DATAGRAMS = st.one_of(
    st.binary(max_size=100),
    st.builds(
        lambda function, result, number, device, body: (
            bytes((function, result)) + (8 + len(device + body)).to_bytes(2, "big") + number + device + body
        ),
        st.one_of(st.sampled_from([f | reply for f in Function for reply in (0, 0x80)]), st.integers(0, 255)),
        st.integers(0, 5),
        st.binary(min_size=4, max_size=4),
        st.one_of(st.just(DEVICE.encode()), st.binary(max_size=12)),
        st.binary(max_size=60),
    ),
)


@given(DATAGRAMS)
def test_whatever_comes_is_a_request_or_a_protocol_error(datagram: bytes) -> None:
    try:
        request = parse_request(datagram)
    except ProtocolError:
        return
    reply = answer(request, IDENTITY, NETWORK, ENTRIES)
    if reply is not None:
        assert reply[0] == datagram[0] | 0x80
        assert reply[4:8] == datagram[4:8]
        assert int.from_bytes(reply[2:4], "big") == len(reply)
        parse_reply(reply)


@given(DATAGRAMS)
def test_whatever_comes_is_a_reply_or_a_protocol_error(datagram: bytes) -> None:
    try:
        parse_reply(datagram)
    except ProtocolError:
        return
    with pytest.raises(ProtocolError):
        parse_request(datagram)


# The Linux daemon, which closes what it is not told of (real-com.md, 4.3 and 6.2).

LISTENING = [Entry(IPv4Address(0), 0, LOCALHOST, port, state=1, port=1) for port in (950, 966)]


def watched(entries: list[Entry], seconds: float, *, silent: bool = False, port: int = 4800) -> Daemon:
    """What the daemon makes of the answers; nothing is said on the line meanwhile."""
    daemon = Daemon((950, 966), (33914, 33915), 1000.0)
    now = 1000.0
    while (due := daemon.deadline()) <= 1000.0 + seconds:
        now = max(now, due)
        daemon.expire(now)
        for datagram in daemon.take_output():
            reply = answer(parse_request(datagram), IDENTITY, NETWORK, entries)
            if reply is not None and not silent:
                daemon.datagram_received(reply, port, now + 0.001)
    return daemon


@pytest.mark.parametrize("entries", [[], ENTRIES, ENTRIES + LISTENING])
def test_the_daemon_stays(entries: list[Entry]) -> None:
    daemon = watched(entries, 3600)
    assert not daemon.torn_down
    assert not daemon.ignored


@pytest.mark.parametrize("port", [0, 4800])
def test_the_daemon_leaves_who_is_silent(port: int) -> None:
    daemon = watched([], 3600, silent=port == 4800, port=port)
    assert daemon.torn_down == [(1060.0, "silent")]


@pytest.mark.parametrize("entries", [LISTENING, LISTENING + ENTRIES[:1]])
def test_the_daemon_leaves_when_its_connections_are_not_listed(entries: list[Entry]) -> None:
    ((at, why),) = watched(entries, 3600).torn_down
    assert why == "not listed"
    assert 1020 < at < 1021
