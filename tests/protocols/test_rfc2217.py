from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import MisuseError
from nportpy.linesettings import Flow, ModemLines, Parity, StopBits
from nportpy.protocols import rfc2217
from nportpy.protocols.rfc2217 import (
    Command,
    ControlValue,
    FlowcontrolResume,
    FlowcontrolSuspend,
    LineState,
    Malformed,
    Message,
    ModemState,
    NotifyLinestate,
    NotifyModemstate,
    ParityValue,
    PurgeData,
    PurgeValue,
    SetBaudrate,
    SetControl,
    SetDatasize,
    SetLinestateMask,
    SetModemstateMask,
    SetParity,
    SetStopsize,
    Signature,
    StopsizeValue,
    Unknown,
    decode,
    encode,
    modem_lines,
    modem_state,
    modem_state_change,
)
from nportpy.protocols.telnet import Data, Event, Subnegotiation, TelnetCodec

CTS, DSR, RI, CD = ModemLines.CTS, ModemLines.DSR, ModemLines.RI, ModemLines.CD
DARK = ModemLines(0)

# The table of RFC 2217: what follows the command octet, and the message. The same both ways.
VECTORS: list[tuple[int, bytes, Message]] = [
    (0, b"", Signature()),
    (0, b"nportpy", Signature(b"nportpy")),
    (0, b"\xff\xff", Signature(b"\xff\xff")),
    (1, b"\x00\x00\x00\x00", SetBaudrate(0)),
    (1, b"\x00\x01\xc2\x00", SetBaudrate(115200)),
    (1, b"\x00\x00\xff\x25", SetBaudrate(65317)),
    (1, b"\xff\xff\xff\xff", SetBaudrate(0xFFFFFFFF)),
    (1, b"\x08", SetBaudrate(9600, one_byte=True)),
    (1, b"\x00", SetBaudrate(0, one_byte=True)),
    (2, b"\x08", SetDatasize(8)),
    (2, b"\x09", SetDatasize(9)),
    (3, b"\x03", SetParity(ParityValue.EVEN)),
    (4, b"\x03", SetStopsize(StopsizeValue.ONE_AND_HALF)),
    (5, b"\x0b", SetControl(ControlValue.RTS_ON)),
    (5, b"\x14", SetControl(20)),
    (6, b"\x1f", NotifyLinestate(LineState(31))),
    (7, b"\xb1", NotifyModemstate(ModemState.CD | ModemState.DSR | ModemState.CTS | ModemState.DELTA_CTS)),
    (8, b"", FlowcontrolSuspend()),
    (9, b"", FlowcontrolResume()),
    (10, b"\x00", SetLinestateMask(LineState(0))),
    (11, b"\xff", SetModemstateMask(ModemState(255))),
    (12, b"\x03", PurgeData(PurgeValue.BOTH)),
]


def test_every_command_has_a_vector() -> None:
    assert {type(message) for _, _, message in VECTORS} == set(get_args(Message))
    assert {command for command, _, _ in VECTORS} == set(Command)


@pytest.mark.parametrize(("command", "value", "message"), VECTORS)
def test_vector_both_ways(command: int, value: bytes, message: Message) -> None:
    for offset, from_client in ((0, True), (100, False)):
        payload = bytes((command + offset,)) + value
        assert decode(payload, from_client=from_client) == message
        assert encode(message, to_client=not from_client) == payload


@pytest.mark.parametrize(("command", "value", "message"), VECTORS)
def test_vector_in_telnet_split_at_every_byte(command: int, value: bytes, message: Message) -> None:
    framed = TelnetCodec.encode_subnegotiation(44, encode(message, to_client=False))
    wire = b"before" + framed + b"after"
    for cut in range(len(b"before"), len(wire) - len(b"after") + 1):
        codec = TelnetCodec(us=frozenset(), them=frozenset())
        events: list[Event] = codec.feed(wire[:cut]) + codec.feed(wire[cut:])
        assert events == [Data(b"before"), Subnegotiation(44, bytes((command,)) + value), Data(b"after")]
        assert decode(bytes((command,)) + value, from_client=True) == message


def test_255_is_doubled_by_telnet_alone() -> None:
    payload = encode(SetBaudrate(65317), to_client=True)
    assert payload == b"\x65\x00\x00\xff\x25"
    assert TelnetCodec.encode_subnegotiation(44, payload) == b"\xff\xfa\x2c\x65\x00\x00\xff\xff\x25\xff\xf0"


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        (b"", None),
        (b"\x01", Command.SET_BAUDRATE),
        (b"\x01\x00\x00", Command.SET_BAUDRATE),
        (b"\x01\x00\x00\x00", Command.SET_BAUDRATE),
        (b"\x01\x00\x00\x00\x00\x00", Command.SET_BAUDRATE),
        (b"\x02", Command.SET_DATASIZE),
        (b"\x02\x08\x08", Command.SET_DATASIZE),
        (b"\x03", Command.SET_PARITY),
        (b"\x04", Command.SET_STOPSIZE),
        (b"\x05", Command.SET_CONTROL),
        (b"\x06\x00\x00", Command.NOTIFY_LINESTATE),
        (b"\x07\x00\x00", Command.NOTIFY_MODEMSTATE),
        (b"\x08\x00", Command.FLOWCONTROL_SUSPEND),
        (b"\x09\x00", Command.FLOWCONTROL_RESUME),
        (b"\x0a", Command.SET_LINESTATE_MASK),
        (b"\x0b\x00\x00", Command.SET_MODEMSTATE_MASK),
        (b"\x0c", Command.PURGE_DATA),
    ],
)
def test_a_wrong_length_is_malformed(payload: bytes, command: Command | None) -> None:
    outcome = decode(payload, from_client=True)
    assert isinstance(outcome, Malformed)
    assert outcome.command is command
    assert outcome.reason


def test_the_reason_names_the_command() -> None:
    assert decode(b"\x02\x08\x08", from_client=True) == Malformed(
        Command.SET_DATASIZE, "SET_DATASIZE with a value of 2 bytes"
    )


@pytest.mark.parametrize(
    ("payload", "from_client"),
    [
        (b"\x0d", True),
        (b"\x32\x01", True),
        (b"\x65\x00", True),
        (b"\xff", True),
        (b"\x01\x08", False),
        (b"\x71", False),
    ],
)
def test_what_nobody_has_defined_for_this_direction(payload: bytes, from_client: bool) -> None:
    assert decode(payload, from_client=from_client) == Unknown(payload[0], payload[1:])


def test_a_client_asks_for_the_state_with_or_without_bits() -> None:
    """pyserial's poll_modem sends the command alone."""
    assert decode(b"\x06", from_client=True) == NotifyLinestate(None)
    assert decode(b"\x07", from_client=True) == NotifyModemstate(None)
    assert encode(NotifyModemstate(), to_client=False) == b"\x07"
    assert isinstance(decode(b"\x6b", from_client=False), Malformed)


class TestCiscoForm:
    @pytest.mark.parametrize(
        ("code", "speed"),
        list(
            zip(
                range(3, 16),
                (300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 115200, 230400),
                strict=True,
            )
        ),
    )
    def test_codes(self, code: int, speed: int) -> None:
        message = SetBaudrate(speed, one_byte=True)
        assert decode(bytes((1, code)), from_client=True) == message
        assert encode(message, to_client=True) == bytes((101, code))

    @pytest.mark.parametrize("code", [0, 1, 2, 16, 255])
    def test_an_unknown_code_asks(self, code: int) -> None:
        assert decode(bytes((1, code)), from_client=True) == SetBaudrate(0, one_byte=True)

    def test_a_speed_without_a_code_goes_in_four_bytes(self) -> None:
        assert encode(SetBaudrate(250000, one_byte=True), to_client=True) == b"\x65\x00\x03\xd0\x90"

    def test_the_form_does_not_stick(self) -> None:
        assert encode(SetBaudrate(9600, one_byte=True), to_client=True) == b"\x65\x08"
        assert encode(SetBaudrate(9600), to_client=True) == b"\x65\x00\x00\x25\x80"


@pytest.mark.parametrize(
    "message",
    [SetBaudrate(1 << 32), SetBaudrate(-1), SetDatasize(256), SetControl(-1), SetLinestateMask(LineState(256))],
)
def test_what_does_not_fit_is_misuse(message: Message) -> None:
    with pytest.raises(MisuseError):
        encode(message, to_client=True)


octets = st.integers(0, 255)
line_states = octets.map(LineState)
modem_states = octets.map(ModemState)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Signature, st.binary()),
    st.builds(SetBaudrate, st.integers(0, 0xFFFFFFFF)),
    st.builds(SetBaudrate, st.sampled_from([0, 300, 9600, 230400]), st.just(True)),
    st.builds(SetDatasize, octets),
    st.builds(SetParity, octets),
    st.builds(SetStopsize, octets),
    st.builds(SetControl, octets),
    st.builds(NotifyLinestate, line_states),
    st.builds(NotifyModemstate, modem_states),
    st.just(FlowcontrolSuspend()),
    st.just(FlowcontrolResume()),
    st.builds(SetLinestateMask, line_states),
    st.builds(SetModemstateMask, modem_states),
    st.builds(PurgeData, octets),
)


@given(message=messages, to_client=st.booleans())
def test_messages_come_back(message: Message, to_client: bool) -> None:
    payload = encode(message, to_client=to_client)
    assert decode(payload, from_client=not to_client) == message
    codec = TelnetCodec(us=frozenset(), them=frozenset())
    assert codec.feed(codec.encode_subnegotiation(44, payload)) == [Subnegotiation(44, payload)]


@given(payload=st.binary(max_size=12), from_client=st.booleans())
def test_no_bytes_raise(payload: bytes, from_client: bool) -> None:
    outcome = decode(payload, from_client=from_client)
    match outcome:
        case Unknown(command, value):
            assert bytes((command,)) + value == payload
        case Malformed(command, reason):
            assert reason
            assert (command is None) == (not payload)
        case SetBaudrate(one_byte=True):
            assert len(payload) == 2
        case _:
            assert encode(outcome, to_client=not from_client) == payload


class TestLineSettings:
    def test_parity(self) -> None:
        assert {rfc2217.parity(value) for value in ParityValue} == set(Parity)
        for parity in Parity:
            assert rfc2217.parity(rfc2217.parity_value(parity)) is parity
        assert rfc2217.parity_value(Parity.ODD) == 2
        assert rfc2217.parity_value(Parity.EVEN) == 3
        assert rfc2217.parity(0) is None
        assert rfc2217.parity(6) is None

    def test_stop_bits(self) -> None:
        assert [rfc2217.stop_bits(value) for value in (0, 1, 2, 3, 4)] == [
            None,
            StopBits.ONE,
            StopBits.TWO,
            StopBits.ONE_AND_HALF,
            None,
        ]
        for stop_bits in StopBits:
            assert rfc2217.stop_bits(rfc2217.stopsize_value(stop_bits)) is stop_bits

    def test_flow(self) -> None:
        outbound = {1: Flow.NONE, 2: Flow.XONXOFF, 3: Flow.RTSCTS, 19: Flow.DSRDTR}
        inbound = {14: Flow.NONE, 15: Flow.XONXOFF, 16: Flow.RTSCTS, 18: Flow.DSRDTR}
        for value in range(256):
            assert rfc2217.flow(value) is outbound.get(value)
            assert rfc2217.inbound_flow(value) is inbound.get(value)
        for flow in Flow:
            assert rfc2217.flow(rfc2217.flow_value(flow)) is flow
            assert rfc2217.inbound_flow(rfc2217.inbound_flow_value(flow)) is flow


class TestModemState:
    def test_levels(self) -> None:
        assert modem_state(CTS | CD) == 16 | 128
        assert modem_state(DSR | RI | ModemLines.DTR | ModemLines.RTS) == 32 | 64
        assert modem_state(DARK) == 0

    @pytest.mark.parametrize(
        ("before", "now", "state"),
        [
            (DARK, CTS, 16 | 1),
            (CTS, DARK, 1),
            (DARK, DSR, 32 | 2),
            (DSR, DARK, 2),
            (DARK, RI, 64),  # the leading edge has no delta
            (RI, DARK, 4),
            (DARK, CD, 128 | 8),
            (CD, DARK, 8),
            (CTS | CD, CTS | CD, 16 | 128),
            (RI | CTS, DSR | CD, 32 | 128 | 1 | 2 | 4 | 8),
            (DARK, ModemLines.DTR | ModemLines.RTS, 0),
        ],
    )
    def test_deltas(self, before: ModemLines, now: ModemLines, state: int) -> None:
        assert modem_state(now, before) == state

    @pytest.mark.parametrize(
        ("before", "now", "mask", "state"),
        [
            (DARK, CTS, 255, 16 | 1),
            (CTS, CTS, 255, None),
            (DARK, RI, 255, 64),
            (RI, DARK, 255, 4),
            (DARK, CTS, 0, None),
            (CTS, CTS | DSR, 16, None),  # a line that the client does not want to hear of
            (CTS, DARK, 16, 0),  # and the fall of the only one that it does
            (CTS, DARK, 1, 1),
            (DARK, RI, 4, None),
            (CTS | DSR, CTS, 0xF0, 16),
            (DARK, ModemLines.RTS, 255, None),
        ],
    )
    def test_what_a_client_hears(self, before: ModemLines, now: ModemLines, mask: int, state: int | None) -> None:
        assert modem_state_change(now, before, ModemState(mask)) == state

    @given(bits=octets)
    def test_lines_come_back(self, bits: int) -> None:
        lines = ModemLines(bits & 0x3F)
        assert modem_lines(modem_state(lines)) == lines & ModemLines.INPUTS
