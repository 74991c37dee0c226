import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import MisuseError
from nportpy.protocols.telnet import (
    Break,
    Code,
    Command,
    Data,
    Event,
    Malformed,
    Negotiated,
    Option,
    Side,
    Subnegotiation,
    TelnetCodec,
)

BINARY, ECHO, SGA, COM_PORT = 0, 1, 3, 44
EVERY = frozenset(range(256))
NONE: frozenset[int] = frozenset()

IAC_DO_BINARY = b"\xff\xfd\x00"
IAC_DONT_BINARY = b"\xff\xfe\x00"
IAC_WILL_BINARY = b"\xff\xfb\x00"
IAC_WONT_BINARY = b"\xff\xfc\x00"


def binary_codec(**limits: int) -> TelnetCodec:
    """A codec with BINARY on both ways."""
    codec = TelnetCodec(us=frozenset({BINARY}), them=frozenset({BINARY, COM_PORT}), **limits)
    codec.feed(IAC_DO_BINARY + IAC_WILL_BINARY)
    codec.take_output()
    return codec


def nvt_codec() -> TelnetCodec:
    return TelnetCodec(us=NONE, them=NONE)


def joined(events: Iterable[Event]) -> list[Event]:
    """The events with adjacent data in one."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Data) and isinstance(last, Data):
            result[-1] = Data(last.data + event.data)
        else:
            result.append(event)
    return result


def fed(codec: TelnetCodec, chunks: Iterable[bytes]) -> list[Event]:
    return joined(event for chunk in chunks for event in codec.feed(chunk))


def text(events: Iterable[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Data))


VECTORS: list[tuple[bytes, list[Event]]] = [
    (b"abc", [Data(b"abc")]),
    (b"a\xff\xffb", [Data(b"a\xffb")]),
    (b"\xff\xff\xff\xff", [Data(b"\xff\xff")]),
    (b"\xff\xf3", [Break()]),
    (b"\xff\xf1", [Command(Code.NOP)]),
    (b"\xff\xf2", [Command(Code.DM)]),
    (b"\xff\xf4", [Command(Code.IP)]),
    (b"\xff\xf5", [Command(Code.AO)]),
    (b"\xff\xf6", [Command(Code.AYT)]),
    (b"\xff\xf7", [Command(Code.EC)]),
    (b"\xff\xf8", [Command(Code.EL)]),
    (b"\xff\xf9", [Command(Code.GA)]),
    (b"\xff\xf0", [Command(Code.SE)]),
    (b"\xff\x25", [Command(0x25)]),
    (b"\xff\xff\xff\xf6\xff\xff", [Data(b"\xff"), Command(Code.AYT), Data(b"\xff")]),
    (b"\xff\xfb\x2c", [Negotiated(COM_PORT, Side.THEM, True)]),
    (b"\xff\xfb\xff\xff\xff", [Data(b"\xff")]),  # WILL 255 is refused; an option is never doubled
    # SET-BAUDRATE 115200, 65317 (0x0000FF25) and SET-MODEMSTATE-MASK 255 of RFC 2217
    (b"\xff\xfa\x2c\x01\x00\x01\xc2\x00\xff\xf0", [Subnegotiation(COM_PORT, b"\x01\x00\x01\xc2\x00")]),
    (b"\xff\xfa\x2c\x01\x00\x00\xff\xff\x25\xff\xf0", [Subnegotiation(COM_PORT, b"\x01\x00\x00\xff\x25")]),
    (b"\xff\xfa\x2c\x0b\xff\xff\xff\xf0", [Subnegotiation(COM_PORT, b"\x0b\xff")]),
    (b"\xff\xfa\x2c\xff\xf0", [Subnegotiation(COM_PORT, b"")]),
    (b"\xff\xfa\xff\xff\xff\xf0", [Subnegotiation(255, b"")]),
    (b"\xff\xfa\xff\xf0", [Malformed("suboption without an option")]),
    # Somebody forgot to double the 255 of 65317: the suboption is lost, what follows is not.
    (b"\xff\xfa\x2c\x01\x00\x00\xff\x25", [Malformed("suboption of 4 bytes cut short by command 37"), Command(0x25)]),
    (
        b"\xff\xfa\x2c\x01\xff\xfa\x2c\x02\x08\xff\xf0",
        [Malformed("suboption of 2 bytes cut short by command 250"), Subnegotiation(COM_PORT, b"\x02\x08")],
    ),
    (b"\xff\xfa\x2c\xff\xf3", [Malformed("suboption of 1 bytes cut short by command 243"), Break()]),
    (
        b"\xff\xfa\x2c\xff\xfb\x2c",
        [Malformed("suboption of 1 bytes cut short by command 251"), Negotiated(COM_PORT, Side.THEM, True)],
    ),
]


@pytest.mark.parametrize(("wire", "events"), VECTORS)
def test_vector_whole_split_and_surrounded(wire: bytes, events: list[Event]) -> None:
    assert binary_codec().feed(wire) == events
    surrounded = b"before" + wire + b"after"
    expected = joined([Data(b"before"), *events, Data(b"after")])
    assert binary_codec().feed(surrounded) == expected
    assert fed(binary_codec(), (bytes((octet,)) for octet in surrounded)) == expected
    for cut in range(len(surrounded) + 1):
        assert fed(binary_codec(), (surrounded[:cut], surrounded[cut:])) == expected


def test_adjacent_data_comes_in_one_event() -> None:
    assert binary_codec().feed(b"a\xff\xffb\xff\xfd\x63c") == [Data(b"a\xffbc")]


def test_the_same_bytes_object_passes_through() -> None:
    codec = binary_codec()
    data = b"\x01\x03\x00\x00\x00\x0a\xc5\xcd"
    assert codec.plain
    assert codec.plain_out
    [event] = codec.feed(data)
    assert isinstance(event, Data)
    assert event.data is data
    assert codec.encode(data) is data
    assert codec.feed(b"") == []


def test_plain_only_where_the_next_byte_is_data() -> None:
    codec = binary_codec()
    for octet in b"\xff\xfa\x2c\x01\x00\x00\xff\xff\x25\xff":
        codec.feed(bytes((octet,)))
        assert not codec.plain
    codec.feed(b"\xf0")
    assert codec.plain
    codec.feed(b"\xff\xfd")
    assert not codec.plain
    codec.feed(b"\x63")
    assert codec.plain
    codec.feed(IAC_WONT_BINARY)
    assert not codec.plain
    assert codec.plain_out
    codec.feed(IAC_DONT_BINARY)
    assert not codec.plain_out


def test_without_binary_nothing_is_plain() -> None:
    codec = nvt_codec()
    assert not codec.plain
    assert not codec.plain_out


class TestNvt:
    @pytest.mark.parametrize(
        ("wire", "data"),
        [
            (b"\r\0", b"\r"),
            (b"\r\n", b"\r\n"),
            (b"\r\0\n", b"\r\n"),
            (b"\r\0\0", b"\r\0"),
            (b"\r\r\0", b"\r\r"),
            (b"a\r\0b\r\nc\0", b"a\rb\r\nc\0"),
            (b"\0\r", b"\0\r"),
            (b"\r\xff\xff\0", b"\r\xff\0"),
            (b"\r\xff\xf1\0x", b"\rx"),  # a command between the two halves
        ],
    )
    def test_decoding_however_split(self, wire: bytes, data: bytes) -> None:
        for cut in range(len(wire) + 1):
            assert text(fed(nvt_codec(), (wire[:cut], wire[cut:]))) == data
        assert text(fed(nvt_codec(), (bytes((octet,)) for octet in wire))) == data

    def test_a_cr_is_not_kept_back(self) -> None:
        assert nvt_codec().feed(b"\r") == [Data(b"\r")]

    @pytest.mark.parametrize(
        ("data", "wire"),
        [
            (b"\r", b"\r\0"),
            (b"\r\n", b"\r\n"),
            (b"\r\r\n", b"\r\0\r\n"),
            (b"a\rb\n\xff", b"a\r\0b\n\xff\xff"),
        ],
    )
    def test_encoding(self, data: bytes, wire: bytes) -> None:
        assert nvt_codec().encode(data) == wire

    def test_encoding_leaves_what_needs_nothing(self) -> None:
        data = b"no carriage return\n"
        assert nvt_codec().encode(data) is data

    def test_binary_begins_and_ends_where_the_peer_says_so(self) -> None:
        codec = TelnetCodec(us=NONE, them=frozenset({BINARY}))
        wire = b"\r\0" + IAC_WILL_BINARY + b"\r\0" + IAC_WONT_BINARY + b"\r\0"
        assert codec.feed(wire) == [
            Data(b"\r"),
            Negotiated(BINARY, Side.THEM, True),
            Data(b"\r\0"),
            Negotiated(BINARY, Side.THEM, False),
            Data(b"\r"),
        ]

    def test_binary_begins_between_cr_and_nul(self) -> None:
        codec = TelnetCodec(us=NONE, them=frozenset({BINARY}))
        assert text(codec.feed(b"\r" + IAC_WILL_BINARY + b"\0")) == b"\r\0"

    def test_we_stop_binary_at_once_and_the_peer_when_it_answers(self) -> None:
        codec = binary_codec()
        codec.ask_us(BINARY, enable=False)
        codec.ask_them(BINARY, enable=False)
        assert codec.take_output() == IAC_WONT_BINARY + IAC_DONT_BINARY
        assert not codec.us_enabled(BINARY)
        assert codec.encode(b"\r") == b"\r\0"
        assert codec.them_enabled(BINARY)
        assert codec.feed(b"\r\0" + IAC_WONT_BINARY + b"\r\0") == [
            Data(b"\r\0"),
            Negotiated(BINARY, Side.THEM, False),
            Data(b"\r"),
        ]


def test_suboption_encoding_is_one_object() -> None:
    assert TelnetCodec.encode_subnegotiation(COM_PORT, b"\x65\x00\x00\xff\x25") == (
        b"\xff\xfa\x2c\x65\x00\x00\xff\xff\x25\xff\xf0"
    )
    assert TelnetCodec.encode_subnegotiation(255, b"") == b"\xff\xfa\xff\xff\xff\xf0"


class TestSuboptionLimit:
    def test_at_the_limit_and_beyond(self) -> None:
        codec = binary_codec(max_subnegotiation=4)
        assert codec.feed(b"\xff\xfa\x2c1234\xff\xf0") == [Subnegotiation(COM_PORT, b"1234")]
        assert codec.feed(b"\xff\xfa\x2c12345\xff\xf0x") == [Malformed("suboption of more than 4 bytes"), Data(b"x")]
        assert codec.feed(b"\xff\xfa\x2c\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0") == [
            Subnegotiation(COM_PORT, b"\xff" * 4)
        ]

    def test_an_endless_one_is_reported_once_and_costs_no_memory(self) -> None:
        codec = binary_codec()
        codec.feed(b"\xff\xfa\x2c")
        chunk = b"\x00" * 65000 + b"\xff\xff" * 500
        events: list[Event] = []
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(64):  # 4 MB
            events += codec.feed(chunk)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert events == [Malformed("suboption of more than 1024 bytes")]
        assert grown < 10_000
        assert codec.feed(b"\xff\xf0after") == [Data(b"after")]

    def test_an_overlong_one_cut_short_is_reported_once(self) -> None:
        codec = binary_codec(max_subnegotiation=4)
        assert codec.feed(b"\xff\xfa\x2c12345\xff\xf1") == [
            Malformed("suboption of more than 4 bytes"),
            Command(Code.NOP),
        ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("unit", "data"),
    [
        (b"\xff", b"\xff" * 500_000),
        (b"\xff\xff\x00", b"\xff\x00" * 333_334),
        (b"\r\0", b"\r" * 500_000),
        (b"\xff\xff\x00\xff\xf1", b"\xff\x00" * 200_000),
        (b"\xff\xfd\x63", b""),
    ],
)
def test_a_megabyte_of_the_worst_takes_one_pass(unit: bytes, data: bytes) -> None:
    wire = unit * (1_000_000 // len(unit) + 1)
    codec = nvt_codec()
    events: list[Event] = []
    for start in range(0, len(wire), 65536):
        events += codec.feed(wire[start : start + 65536])
    heard = text(events)
    assert heard[: len(data)] == data
    assert len(heard) - len(data) in (0, 1, 2)


class TestNegotiation:
    def test_unknown_options_are_refused(self) -> None:
        codec = nvt_codec()
        assert codec.feed(b"\xff\xfd\x63\xff\xfb\x63") == []
        assert codec.take_output() == b"\xff\xfc\x63\xff\xfe\x63"
        assert codec.take_output() == b""

    def test_willing_options_are_agreed_to_once(self) -> None:
        codec = TelnetCodec(us=frozenset({SGA}), them=frozenset({COM_PORT}))
        assert codec.feed(b"\xff\xfd\x03" * 3 + b"\xff\xfb\x2c" * 3) == [
            Negotiated(SGA, Side.US, True),
            Negotiated(COM_PORT, Side.THEM, True),
        ]
        assert codec.take_output() == b"\xff\xfb\x03\xff\xfd\x2c"
        assert codec.us_enabled(SGA)
        assert codec.them_enabled(COM_PORT)
        assert not codec.us_enabled(COM_PORT)
        assert not codec.them_enabled(SGA)

    def test_the_present_state_is_never_answered(self) -> None:
        codec = TelnetCodec(us=EVERY, them=EVERY)
        assert codec.feed(b"\xff\xfe\x03\xff\xfc\x03") == []
        assert codec.take_output() == b""

    def test_an_answer_to_our_request_is_not_answered(self) -> None:
        codec = TelnetCodec(us=EVERY, them=EVERY)
        codec.ask_us(BINARY)
        codec.ask_us(BINARY)
        codec.ask_them(BINARY)
        assert codec.take_output() == IAC_WILL_BINARY + IAC_DO_BINARY
        assert codec.feed(IAC_DO_BINARY + IAC_WILL_BINARY) == [
            Negotiated(BINARY, Side.US, True),
            Negotiated(BINARY, Side.THEM, True),
        ]
        assert codec.take_output() == b""
        assert codec.plain
        assert codec.plain_out

    def test_a_refusal_is_reported_and_not_answered(self) -> None:
        codec = TelnetCodec(us=EVERY, them=EVERY)
        codec.ask_us(COM_PORT)
        codec.take_output()
        assert codec.feed(b"\xff\xfe\x2c") == [Negotiated(COM_PORT, Side.US, False)]
        assert codec.take_output() == b""

    def test_the_peer_switches_off(self) -> None:
        codec = binary_codec()
        assert codec.feed(IAC_DONT_BINARY + IAC_WONT_BINARY) == [
            Negotiated(BINARY, Side.US, False),
            Negotiated(BINARY, Side.THEM, False),
        ]
        assert codec.take_output() == IAC_WONT_BINARY + IAC_DONT_BINARY

    def test_a_change_of_mind_waits_for_the_answer(self) -> None:
        codec = TelnetCodec(us=EVERY, them=EVERY)
        codec.ask_them(SGA)
        codec.ask_them(SGA, enable=False)
        assert codec.take_output() == b"\xff\xfd\x03"
        assert codec.feed(b"\xff\xfb\x03") == []
        assert codec.take_output() == b"\xff\xfe\x03"
        assert codec.feed(b"\xff\xfc\x03") == [Negotiated(SGA, Side.THEM, False)]
        assert codec.take_output() == b""

    def test_a_change_of_mind_and_back(self) -> None:
        codec = TelnetCodec(us=EVERY, them=EVERY)
        codec.ask_them(SGA)
        codec.ask_them(SGA, enable=False)
        codec.ask_them(SGA)
        codec.take_output()
        assert codec.feed(b"\xff\xfb\x03") == [Negotiated(SGA, Side.THEM, True)]
        assert codec.take_output() == b""

    def test_off_and_on_again(self) -> None:
        codec = binary_codec()
        codec.ask_us(BINARY, enable=False)
        codec.ask_us(BINARY)
        assert codec.take_output() == IAC_WONT_BINARY
        assert not codec.plain_out
        assert codec.feed(IAC_DONT_BINARY) == []
        assert codec.take_output() == IAC_WILL_BINARY
        assert codec.feed(IAC_DO_BINARY) == [Negotiated(BINARY, Side.US, True)]
        assert codec.plain_out

    @pytest.mark.parametrize(("again", "enabled"), [(False, False), (True, True)])
    def test_off_answered_with_on(self, again: bool, enabled: bool) -> None:
        codec = binary_codec()
        codec.ask_them(BINARY, enable=False)
        if again:
            codec.ask_them(BINARY)
        codec.take_output()
        assert codec.feed(IAC_WILL_BINARY) == [Negotiated(BINARY, Side.THEM, enabled)]
        assert codec.take_output() == b""
        assert codec.them_enabled(BINARY) is enabled

    def test_one_cannot_ask_for_what_one_would_refuse(self) -> None:
        codec = nvt_codec()
        with pytest.raises(MisuseError):
            codec.ask_us(ECHO)
        with pytest.raises(MisuseError):
            codec.ask_them(ECHO)
        codec.ask_us(ECHO, enable=False)
        assert codec.take_output() == b""

    def test_the_opening_of_a_known_server(self) -> None:
        """ser2net 4.3 opens with WILL 3, DO 3, WILL 1, DONT 1, DO 0, WILL 0, DO 44 (observed)."""
        opening = bytes.fromhex("fffb03fffd03fffb01fffe01fffd00fffb00fffd2c")
        client = TelnetCodec(us=frozenset({BINARY, SGA, COM_PORT}), them=frozenset({BINARY, SGA, ECHO}))
        client.feed(opening)
        assert client.take_output() == bytes.fromhex("fffd03fffb03fffd01fffb00fffd00fffb2c")
        assert client.plain
        assert client.us_enabled(Option.COM_PORT_OPTION)

    def test_state_is_per_connection(self) -> None:
        binary_codec()
        assert not TelnetCodec(us=EVERY, them=EVERY).us_enabled(BINARY)


asks = st.lists(st.tuples(st.sampled_from(list(Side)), st.sampled_from([0, 1, 3, 44]), st.booleans()), max_size=12)
willing = st.frozensets(st.sampled_from([0, 1, 3, 44]))


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5, 6])
def test_b2_a_data_mark_throws_no_data_away(cut: int) -> None:
    wire = b"AB\xff\xf2CD"
    telnet = nvt_codec()
    events = telnet.feed(wire[:cut]) + telnet.feed(wire[cut:])
    assert b"".join(event.data for event in events if isinstance(event, Data)) == b"ABCD"
    assert [event for event in events if not isinstance(event, Data)] == [Command(Code.DM)]


@given(a_us=willing, a_them=willing, b_us=willing, b_them=willing, a_asks=asks, b_asks=asks, at_once=st.booleans())
def test_two_codecs_always_come_to_terms(
    a_us: frozenset[int],
    a_them: frozenset[int],
    b_us: frozenset[int],
    b_them: frozenset[int],
    a_asks: list[tuple[Side, int, bool]],
    b_asks: list[tuple[Side, int, bool]],
    at_once: bool,
) -> None:
    a, b = TelnetCodec(us=a_us, them=a_them), TelnetCodec(us=b_us, them=b_them)
    exchanged = 0

    def exchange() -> None:
        nonlocal exchanged
        while True:
            from_a, from_b = a.take_output(), b.take_output()
            if not from_a and not from_b:
                return
            exchanged += len(from_a) + len(from_b)
            assert exchanged <= 3 * 4 * (len(a_asks) + len(b_asks))
            a.feed(from_b)
            b.feed(from_a)

    for codec, wishes in ((a, a_asks), (b, b_asks)):
        for side, option, enable in wishes:
            if side is Side.US and (option in (a_us if codec is a else b_us) or not enable):
                codec.ask_us(option, enable=enable)
            elif side is Side.THEM and (option in (a_them if codec is a else b_them) or not enable):
                codec.ask_them(option, enable=enable)
            if not at_once:
                exchange()
    exchange()
    for option in (0, 1, 3, 44):
        assert a.us_enabled(option) == b.them_enabled(option)
        assert b.us_enabled(option) == a.them_enabled(option)


# Bytes that mean something, often, and all others.
hostile = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\xff", b"\xff\xff", b"\xff\xfa\x2c", b"\xff\xf0", b"\r", b"\0", b"\r\0", b"\n", b"\xff\xf3"]
        ),
        st.builds(lambda verb, option: bytes((255, verb, option)), st.integers(251, 254), st.sampled_from([0, 44, 9])),
        st.binary(max_size=6),
    ),
    max_size=30,
).map(b"".join)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(wire=hostile, cuts=st.lists(st.integers(0, 200), max_size=20), binary=st.booleans())
def test_any_split_gives_the_same(wire: bytes, cuts: list[int], binary: bool) -> None:
    def codec() -> TelnetCodec:
        return binary_codec(max_subnegotiation=8) if binary else TelnetCodec(us=EVERY, them=EVERY, max_subnegotiation=8)

    whole, split = codec(), codec()
    assert fed(split, cut(wire, cuts)) == joined(whole.feed(wire))
    assert split.take_output() == whole.take_output()
    assert (split.plain, split.plain_out) == (whole.plain, whole.plain_out)


@given(wire=hostile)
def test_answers_are_never_longer_than_what_asked_and_data_is_merged(wire: bytes) -> None:
    codec = TelnetCodec(us=frozenset({BINARY}), them=frozenset({BINARY, COM_PORT}))
    events = codec.feed(wire)
    assert joined(events) == events
    assert len(codec.take_output()) <= len(wire)
    assert len(text(events)) <= len(wire)
    assert all(event.data for event in events if isinstance(event, Data))


@given(chunks=st.lists(st.lists(st.sampled_from(b"\r\n\0\xffa")).map(bytes), max_size=8), binary=st.booleans())
def test_data_comes_back(chunks: list[bytes], binary: bool) -> None:
    sender, receiver = (binary_codec(), binary_codec()) if binary else (nvt_codec(), nvt_codec())
    wire = [sender.encode(chunk) for chunk in chunks]
    assert text(fed(receiver, wire)) == b"".join(chunks)
    assert text(receiver.feed(b"")) == b""
    if binary:
        assert receiver.plain


@given(option=st.integers(0, 255), payload=st.binary(max_size=64), around=st.binary(max_size=8))
def test_suboptions_come_back(option: int, payload: bytes, around: bytes) -> None:
    codec = binary_codec()
    wire = codec.encode(around) + codec.encode_subnegotiation(option, payload) + codec.encode(around)
    data: list[Event] = [Data(around)] if around else []
    assert codec.feed(wire) == [*data, Subnegotiation(option, payload), *data]
