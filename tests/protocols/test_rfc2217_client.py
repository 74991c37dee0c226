"""RFC 2217 as its client: what is said at the beginning, what is asked for, what is made of answers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.rfc2217 import ControlValue, LineState, Message, ModemState
from nportpy.protocols.rfc2217_client import (
    NEGOTIATION_TIME,
    Arrived,
    BreakHeard,
    BreakIs,
    Event,
    Garbage,
    InputsAre,
    LineIs,
    Received,
    Refused,
    Rfc2217Client,
    Settled,
    Suspended,
)
from nportpy.protocols.telnet import Option

ALL = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION})


class Server:
    """The other end of a client, without what is between."""

    def __init__(self, knows: frozenset[Option] = ALL) -> None:
        self.client = Rfc2217Client()
        self.codec = telnet.TelnetCodec(us=knows, them=knows)
        self.client.begin(100.0)
        self.events: list[Event] = []
        self.talk()

    def talk(self) -> list[Message]:
        """Exchange what there is to say; requests that came."""
        requests: list[Message] = []
        while output := self.client.take_output():
            for event in self.codec.feed(output):
                if isinstance(event, telnet.Subnegotiation):
                    message = rfc2217.decode(event.payload, from_client=True)
                    assert not isinstance(message, rfc2217.Unknown | rfc2217.Malformed)
                    requests.append(message)
            self.events += self.client.feed(self.codec.take_output())
        return requests

    def say(self, *messages: Message) -> list[Event]:
        payloads = [rfc2217.encode(message, to_client=True) for message in messages]
        return self.client.feed(b"".join(self.codec.encode_subnegotiation(44, payload) for payload in payloads))


def test_it_begins_by_agreeing_on_the_options() -> None:
    client = Rfc2217Client()
    assert client.take_output() == b""
    client.begin(100.0)
    assert client.take_output() == b"\xff\xfb\0\xff\xfb\x03\xff\xfb\x2c\xff\xfd\0\xff\xfd\x03"
    assert not client.settled
    assert client.deadline() == 100.0 + NEGOTIATION_TIME
    assert client.feed(b"\xff\xfd\0\xff\xfd\x03\xff\xfb\0") == []
    assert client.feed(b"\xff\xfd\x2c") == [Settled(com_port=True, binary=True)]
    assert client.settled
    assert client.plain_in
    assert client.plain_out
    assert client.deadline() is None
    assert client.expire(200.0) == []


def test_a_server_that_knows_less_is_settled_with_when_it_has_said_so() -> None:
    assert Server(ALL - {Option.COM_PORT_OPTION}).events == [Settled(com_port=False, binary=True)]
    assert Server(frozenset({Option.COM_PORT_OPTION})).events == [Settled(com_port=True, binary=False)]


def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    client = Rfc2217Client()
    client.begin(100.0)
    assert client.expire(100.0 + NEGOTIATION_TIME - 0.01) == []
    assert client.expire(100.0 + NEGOTIATION_TIME) == [Settled(com_port=False, binary=False)]
    client.take_output()
    client.set_line(LineSettings())
    client.set_dtr(on=True)
    client.ask_states()
    assert client.take_output() == b""


OFFERS = b"\xff\xfb\0\xff\xfb\x03\xff\xfb\x2c\xff\xfd\0\xff\xfd\x03"


@pytest.mark.parametrize("step", [1, 2, 4, 15, 100])
@pytest.mark.parametrize("before", [b"", b"hello\r\0"])
def test_a5_an_echo_is_no_agreement(before: bytes, step: int) -> None:
    client = Rfc2217Client()
    client.begin(100.0)
    client.take_output()
    wire = before + OFFERS + b"data"
    events = [event for at in range(0, len(wire), step) for event in client.feed(wire[at : at + step])]
    assert [event for event in events if isinstance(event, Settled)] == [Settled(com_port=False, binary=False)]
    data = b"".join(event.data for event in events if isinstance(event, Received))
    assert data == before.replace(b"\r\0", b"\r") + b"data"
    assert not client.telnet
    client.set_line(LineSettings())
    client.set_dtr(on=True)
    client.ask_states()
    assert client.take_output() == b""


@pytest.mark.parametrize("size", range(1, len(OFFERS)))
def test_a5_what_only_begins_like_an_echo_is_an_answer(size: int) -> None:
    client = Rfc2217Client()
    client.begin(100.0)
    client.take_output()
    wire = OFFERS[:size] + b"\xff\xf1" + b"data"
    events = client.feed(OFFERS[:size]) + client.feed(wire[size:])
    codec = telnet.TelnetCodec(us=ALL, them=ALL)
    expected = b"".join(event.data for event in codec.feed(wire) if isinstance(event, telnet.Data))
    assert b"".join(event.data for event in events if isinstance(event, Received)) == expected
    late = Rfc2217Client()
    late.begin(100.0)
    late.take_output()
    late.feed(OFFERS[:size])
    late.expire(103.0)
    assert late.settled
    assert late.telnet is (size >= 3)


def test_a5_a_server_that_refuses_all_speaks_telnet() -> None:
    server = Server(frozenset())
    assert server.events == [Settled(com_port=False, binary=False)]
    assert server.client.telnet


def test_what_the_server_has_is_told_and_bytes_arrive() -> None:
    server = Server()
    server.client.ask_line()
    assert len(server.talk()) == 6
    told = server.say(rfc2217.SetParity(3), rfc2217.SetBaudrate(19200))
    assert told == [LineIs(19200, None, Parity.EVEN, None, None, None)]
    assert server.client.ask_arrival()
    assert server.talk() == [rfc2217.SetBaudrate(0)]
    assert server.say(rfc2217.SetBaudrate(19200))[-1] == Arrived()
    server.client.purge(received=True, unsent=True)
    assert server.talk() == [rfc2217.PurgeData(3)]


def test_what_is_set_already_is_not_asked_for_again() -> None:
    server = Server()
    settings = LineSettings(1200, 7, Parity.EVEN, StopBits.TWO)
    server.client.set_line(settings)
    assert server.talk() == [
        rfc2217.SetBaudrate(1200),
        rfc2217.SetDatasize(7),
        rfc2217.SetParity(3),
        rfc2217.SetStopsize(2),
        rfc2217.SetControl(1),
    ]
    server.client.set_line(settings)
    assert server.talk() == []
    server.client.set_line(LineSettings(1200, 7, Parity.EVEN, StopBits.TWO, Flow.XONXOFF, Flow.NONE))
    assert server.talk() == [rfc2217.SetControl(2), rfc2217.SetControl(14)]
    server.client.set_line(LineSettings(1200, 5, Parity.EVEN, StopBits.ONE_AND_HALF, Flow.XONXOFF, Flow.XONXOFF))
    assert server.talk() == [
        rfc2217.SetDatasize(5),
        rfc2217.SetStopsize(3),
        rfc2217.SetControl(2),
    ]
    for on in (True, True, False):
        server.client.set_dtr(on=on)
        server.client.set_rts(on=on)
    assert server.talk() == [rfc2217.SetControl(value) for value in (8, 11, 9, 12)]


def test_what_somebody_else_has_changed_is_asked_for_again() -> None:
    server = Server()
    server.client.set_line(LineSettings(1200))
    server.talk()
    assert server.say(rfc2217.SetBaudrate(1200), rfc2217.SetBaudrate(300)) == []
    server.client.set_line(LineSettings(1200))
    assert server.talk() == [rfc2217.SetBaudrate(1200)]


def test_an_answer_that_is_not_what_was_asked_for_is_told() -> None:
    server = Server()
    server.client.set_line(LineSettings(1200))
    server.client.set_dtr(on=True)
    server.talk()
    assert server.say(rfc2217.SetBaudrate(9600), rfc2217.SetControl(9)) == [
        Refused("baudrate", 1200, 9600),
        Refused("DTR", 8, 9),
    ]


def test_only_the_last_of_several_answers_counts() -> None:
    server = Server()
    server.client.set_line(LineSettings(1200))
    server.client.set_line(LineSettings(300))
    server.talk()
    assert server.say(rfc2217.SetBaudrate(1200), rfc2217.SetBaudrate(300)) == []


def test_modem_lines_and_breaks_are_told() -> None:
    server = Server()
    server.client.ask_states()
    assert server.talk() == [
        rfc2217.SetModemstateMask(ModemState(255)),
        rfc2217.SetLinestateMask(LineState.BREAK_DETECT),
    ]
    told = server.say(
        rfc2217.SetModemstateMask(ModemState(255)),
        rfc2217.NotifyModemstate(ModemState.CTS | ModemState.DELTA_CTS | ModemState.RI),
        rfc2217.SetLinestateMask(LineState.BREAK_DETECT),
        rfc2217.NotifyLinestate(LineState.BREAK_DETECT),
        rfc2217.NotifyLinestate(LineState.FRAMING_ERROR),
        rfc2217.NotifyModemstate(ModemState(255)),
    )
    assert told == [InputsAre(ModemLines.CTS | ModemLines.RI), BreakHeard(), InputsAre(ModemLines.INPUTS)]


def test_masks_that_come_back_as_states_are_no_states() -> None:
    """ser2net 4.3 answers masks with 106 and 107."""
    server = Server()
    server.client.ask_states()
    server.talk()
    echoes = rfc2217.NotifyModemstate(ModemState(255)), rfc2217.NotifyLinestate(LineState.BREAK_DETECT)
    assert server.say(*echoes) == []
    assert server.say(*echoes) == [InputsAre(ModemLines.INPUTS), BreakHeard()]


def test_a_break_is_on_when_the_server_says_so() -> None:
    server = Server()
    server.client.set_break(on=True)
    assert server.talk() == [rfc2217.SetControl(ControlValue.BREAK_ON)]
    assert server.say(rfc2217.SetControl(ControlValue.BREAK_ON)) == [BreakIs(True)]
    server.client.set_break(on=False)
    server.talk()
    assert server.say(rfc2217.SetControl(ControlValue.BREAK_OFF)) == [BreakIs(False)]


def test_the_rest_that_a_server_may_say() -> None:
    server = Server()
    assert server.say(rfc2217.FlowcontrolSuspend(), rfc2217.FlowcontrolResume()) == [Suspended(True), Suspended(False)]
    assert server.say(rfc2217.Signature(b"us"), rfc2217.PurgeData(3), rfc2217.SetControl(77)) == []
    assert server.client.feed(b"\xff\xfa\x2c\x65\0\xff\xf0") == []  # a code for a speed, which nobody asked for
    assert server.client.feed(b"\xff\xfa\x2c\x66\0\0\xff\xf0") == [Garbage("SET_DATASIZE with a value of 2 bytes")]
    assert server.client.feed(b"\xff\xfa\x2c\xff\xf6 \xff\xf1\xff\xf3") == [
        Garbage("suboption of 1 bytes cut short by command 246"),
        Received(b" "),
    ]
    assert server.client.take_output() == b"\xff\xf1"  # to the AYT in the middle


@given(st.binary(max_size=400))
def test_data_arrives_as_it_was_sent(data: bytes) -> None:
    server = Server()
    assert server.codec.feed(server.client.encode(data)) == ([telnet.Data(data)] if data else [])
    heard = server.client.feed(server.codec.encode(data))
    assert heard == ([Received(data)] if data else [])


_PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from((b"\xff\xfa\x2c", b"\xff\xf0", b"\xff", b"\xff\xfd\x2c", b"\xff\xfe\0", b"\xff\xfb\0")),
    st.binary(max_size=6).map(lambda body: b"\xff\xfa\x2c" + body.replace(b"\xff", b"\xff\xff") + b"\xff\xf0"),
)


@given(st.lists(_PIECES, max_size=20), st.lists(st.integers(0, 300), max_size=5))
def test_any_split_of_anything_means_the_same_and_raises_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    whole, split = Server(), Server()
    for server in (whole, split):
        server.client.set_line(LineSettings(1200))
        server.client.ask_states()
        server.client.take_output()
    events = _joined(whole.client.feed(stream))
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    parts = [event for a, b in pairwise(bounds) for event in split.client.feed(stream[a:b])]
    assert _joined(parts) == events
    assert whole.client.take_output() == split.client.take_output()


def _joined(events: list[Event]) -> list[Event]:
    """Adjacent data in one."""
    joined: list[Event] = []
    for event in events:
        if isinstance(event, Received) and joined and isinstance(joined[-1], Received):
            joined[-1] = Received(joined[-1].data + event.data)
        else:
            joined.append(event)
    return joined
