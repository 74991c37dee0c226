from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import MisuseError
from nportpy.protocols.realcom import messages as m
from nportpy.protocols.realcom.codec import (
    HELLO_SIZE,
    AnswerReader,
    CommandReader,
    decode_command,
    encode_answer,
    encode_command,
)

# As a Linux client was heard to say, and what only others say (10, 11, 13, 15, 16, 24, 25).
COMMANDS: list[tuple[str, m.Command]] = [
    ("2c 08 06 03 01 01 00 00 01 00", m.PortInit(6, 3, dtr=True, rts=True, xon_out=True)),
    ("2c 08 06 03 01 01 00 00 00 00", m.PortInit(6, 3, dtr=True, rts=True)),
    ("2c 08 0a 0e 01 01 01 01 00 00", m.PortInit(10, 14, dtr=True, rts=True, cts=True, rts_flow=True)),
    ("2c 08 0a 0e 01 01 00 00 01 01", m.PortInit(10, 14, dtr=True, rts=True, xon_out=True, xon_in=True)),
    ("2c 0a ff 03 00 01 00 00 00 00 aa bb", m.PortInit(255, 3, dtr=False, rts=True, extra=b"\xaa\xbb")),
    ("10 02 06 03", m.SetLine(6, 3)),
    ("11 04 01 00 00 01", m.SetFlow(cts=True, rts_flow=False, xon_out=False, xon_in=True)),
    ("12 02 00 01", m.LineControl(dtr=False, rts=True)),
    ("13 00", m.LineStatus()),
    ("14 01 02", m.Flush(m.Flushed.BOTH)),
    ("15 00", m.InputQueue()),
    ("16 00", m.OutputQueue()),
    ("17 04 08 07 00 00", m.SetBaudrate(1800)),
    ("18 02 11 13", m.FlowCharacters(0x11, 0x13)),
    ("21 00", m.StartBreak()),
    ("22 00", m.StopBreak()),
    ("24 00", m.StartNotify()),
    ("25 00", m.StopNotify()),
    ("28 01 01", m.Alive(1)),
    ("2f 04 19 00 00 00", m.WaitOutput(25)),
    ("2f 04 4c 1d 00 00", m.WaitOutput(7500)),
    ("30 01 10", m.Fifo(16)),
    ("33 00", m.SetXon()),
    ("34 00", m.SetXoff()),
]
ANSWERS: list[tuple[str, m.Answer]] = [
    ("2c 03 01 01 00", m.ModemStatus(m.Op.PORT_INIT, dsr=True, cts=True, dcd=False)),
    ("13 03 00 01 01", m.ModemStatus(m.Op.LINE_STATUS, dsr=False, cts=True, dcd=True)),
    ("18 4f 4b", m.Acknowledged(m.Op.FLOW_CHARACTERS)),
    ("17 4e 41", m.Acknowledged(m.Op.SET_BAUDRATE, ok=False)),
    ("2f 02 00 00", m.QueueLength(m.Op.WAIT_OUTPUT, 0)),
    ("16 02 34 12", m.QueueLength(m.Op.OUTPUT_QUEUE, 0x1234)),
    ("15 02 ff ff", m.QueueLength(m.Op.INPUT_QUEUE, 65535)),
    ("27 01 01", m.Poll(1)),
    ("26 37 bf 80", m.Notify(m.Event(0x37), m.Modem(0xBF), m.Hold.ALWAYS)),
]
PIECES = st.lists(st.binary(max_size=40), max_size=10)


def test_every_message_has_a_vector() -> None:
    assert {type(command) for _, command in COMMANDS} == set(get_args(m.Command))
    assert {type(answer) for _, answer in ANSWERS} == set(get_args(m.Answer))


@pytest.mark.parametrize(("wire", "message"), COMMANDS)
def test_command_both_ways(wire: str, message: m.Command) -> None:
    assert CommandReader().feed(bytes.fromhex(wire)) == [message]
    assert encode_command(message) == bytes.fromhex(wire)


@pytest.mark.parametrize(("wire", "message"), ANSWERS)
def test_answer_both_ways(wire: str, message: m.Answer) -> None:
    assert AnswerReader().feed(bytes.fromhex(wire)) == [message]
    assert encode_answer(message) == bytes.fromhex(wire)
    assert len(encode_answer(message)) <= 7


@pytest.mark.parametrize(("wire", "message"), COMMANDS)
def test_command_split_at_every_byte_between_others(wire: str, message: m.Command) -> None:
    data = bytes.fromhex("33 00" + wire + "34 00")
    for cut in range(len(data) + 1):
        reader = CommandReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [m.SetXon(), message, m.SetXoff()]


@pytest.mark.parametrize(("wire", "message"), ANSWERS)
def test_answer_split_at_every_byte_between_others(wire: str, message: m.Answer) -> None:
    data = bytes.fromhex("33 4f 4b" + wire + "2f 02 00 00")
    around = (m.Acknowledged(m.Op.SET_XON), m.QueueLength(m.Op.WAIT_OUTPUT, 0))
    for cut in range(len(data) + 1):
        reader = AnswerReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [around[0], message, around[1]]


def test_the_recovery_comes_in_one_piece() -> None:
    wire = bytes.fromhex("2c 08 06 03 01 01 00 00 00 00 30 01 10 12 02 01 01")
    assert CommandReader().feed(wire) == [
        m.PortInit(6, 3, dtr=True, rts=True),
        m.Fifo(16),
        m.LineControl(dtr=True, rts=True),
    ]
    reader = AnswerReader()
    assert reader.feed(bytes.fromhex("2c 03 01 01 00 30 4f 4b 12 4f 4b")) == [
        m.ModemStatus(m.Op.PORT_INIT, dsr=True, cts=True, dcd=False),
        m.Acknowledged(m.Op.FIFO),
        m.Acknowledged(m.Op.LINE_CONTROL),
    ]


@pytest.mark.parametrize(("wire", "message"), COMMANDS)
def test_a_wrong_length_is_malformed_and_passed_over(wire: str, message: m.Command) -> None:
    op, payload = bytes.fromhex(wire)[0], bytes.fromhex(wire)[2:]
    wrong = [payload[:-1]] if payload else []
    wrong += [] if isinstance(message, m.PortInit) else [payload + b"\x00"]
    for other in wrong:
        data = bytes((op, len(other))) + other + bytes.fromhex("33 00")
        if isinstance(message, m.PortInit) and len(other) > 8:
            continue
        assert CommandReader().feed(data) == [m.Malformed(m.Op(op), other), m.SetXon()]


def test_what_nobody_knows_is_passed_over_by_its_length() -> None:
    data = bytes.fromhex("77 03 01 02 03 26 00 33 00")
    assert CommandReader().feed(data) == [m.Unknown(0x77, b"\x01\x02\x03"), m.Unknown(0x26, b""), m.SetXon()]


@pytest.mark.parametrize(
    "message",
    [
        m.PortInit(256, 3, dtr=True, rts=True),
        m.PortInit(6, 3, dtr=True, rts=True, extra=bytes(248)),
        m.SetBaudrate(1 << 32),
        m.WaitOutput(-1),
        m.Flush(256),
        m.FlowCharacters(0x11, 300),
    ],
)
def test_what_does_not_fit_is_a_misuse(message: m.Command) -> None:
    with pytest.raises(MisuseError):
        encode_command(message)


def test_an_answer_that_does_not_fit_is_a_misuse() -> None:
    with pytest.raises(MisuseError):
        encode_answer(m.QueueLength(m.Op.WAIT_OUTPUT, 0x10000))
    with pytest.raises(MisuseError):
        encode_answer(m.Poll(256))


def test_hello_comes_first_and_only_by_ipv6() -> None:
    hello = bytes(range(0x20, 0x30))
    data = hello + bytes.fromhex("33 00")
    for cut in range(len(data) + 1):
        server, client = CommandReader(hello=True), AnswerReader(hello=True)
        assert server.feed(data[:cut]) + server.feed(data[cut:]) == [m.Hello(hello), m.SetXon()]
        back = hello + bytes.fromhex("33 4f 4b")
        assert client.feed(back[:cut]) + client.feed(back[cut:]) == [m.Hello(hello), m.Acknowledged(m.Op.SET_XON)]
    assert len(hello) == HELLO_SIZE
    assert m.Hello(hello) not in CommandReader().feed(data)


@pytest.mark.parametrize("junk", ["00", "ff ff ff", "27 02", "2c 04 01", "4f 4b 00", "13 02 00", "2f 03"])
def test_garbage_from_a_server_is_told_and_what_follows_is_found(junk: str) -> None:
    data = bytes.fromhex(junk) + bytes.fromhex("26 20 30 80") + bytes.fromhex("33 4f 4b")
    events = AnswerReader().feed(data)
    assert events[-2:] == [m.Notify(m.Event.MODEM, m.Modem(0x30), m.Hold.ALWAYS), m.Acknowledged(m.Op.SET_XON)]
    assert events[0] == m.Garbage(bytes.fromhex(junk))


@given(st.lists(st.sampled_from([command for _, command in COMMANDS])), st.data())
def test_any_cut_gives_the_same_commands(commands: list[m.Command], data: st.DataObject) -> None:
    wire = b"".join(map(encode_command, commands))
    reader = CommandReader()
    found = []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        found += reader.feed(wire[:size])
        wire = wire[size:]
    assert found == commands


@given(PIECES)
def test_any_bytes_are_commands(pieces: list[bytes]) -> None:
    whole, reader = CommandReader(), CommandReader()
    found = [event for piece in pieces for event in reader.feed(piece)]
    assert found == whole.feed(b"".join(pieces))
    assert len(reader._rest) <= 256


@given(PIECES)
def test_any_bytes_from_a_server_are_told_each_once(pieces: list[bytes]) -> None:
    reader = AnswerReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    told = 0
    for event in events:
        assert not isinstance(event, m.Hello)
        told += len(event.data) if isinstance(event, m.Garbage) else len(encode_answer(event))
    assert told + len(reader._rest) == sum(map(len, pieces))
    assert len(reader._rest) < 5


@given(st.integers(0, 255), st.binary(max_size=20))
def test_decoding_and_encoding_are_inverse(op: int, payload: bytes) -> None:
    message = decode_command(op, payload)
    if isinstance(message, m.Unknown | m.Malformed):
        return
    again = decode_command(op, encode_command(message)[2:])
    assert again == message
