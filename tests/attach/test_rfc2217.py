"""The client's side of RFC 2217, in bytes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.attach.rfc2217 import NEGOTIATION_TIME, Rfc2217Session
from nportpy.attach.session import Arrived, Event, Garbage, Learned, RawSession, Received, Refused, Settled, Suspended
from nportpy.attach.wish import Wish
from nportpy.linesettings import Flow, Parity, StopBits
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.rfc2217 import Message
from nportpy.protocols.telnet import Option, TelnetCodec

BINARY = {Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD}
FULL = Wish(19200, 7, Parity.EVEN, StopBits.TWO, Flow.RTSCTS, Flow.RTSCTS)


class Server:
    """The other end: agrees to what it knows, and keeps what it was asked."""

    def __init__(
        self, session: Rfc2217Session, us: frozenset[int] = frozenset(BINARY), *, com_port: bool = True
    ) -> None:
        self.session = session
        them = frozenset({*us, Option.COM_PORT_OPTION} if com_port else us)
        self.codec = TelnetCodec(us=us, them=them)
        self.heard: list[Message | bytes] = []
        self.told: list[Event] = []

    def exchange(self) -> None:
        """Carry bytes both ways until there are none."""
        while output := self.session.take_output():
            for event in self.codec.feed(output):
                if isinstance(event, telnet.Subnegotiation):
                    message = rfc2217.decode(event.payload, from_client=True)
                    assert not isinstance(message, rfc2217.Unknown | rfc2217.Malformed)
                    self.heard.append(message)
            self.told += self.session.feed(self.codec.take_output())

    def says(self, message: Message) -> list[Event]:
        payload = rfc2217.encode(message, to_client=True)
        return self.session.feed(self.codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload))

    def take(self) -> list[Any]:
        """What was asked since the last time."""
        self.exchange()
        heard, self.heard = self.heard, []
        return heard


def connected(us: frozenset[int] = frozenset(BINARY), *, com_port: bool = True) -> tuple[Rfc2217Session, Server]:
    session = Rfc2217Session()
    assert session.begin(100.0) == []
    server = Server(session, us, com_port=com_port)
    server.exchange()
    return session, server


def test_everything_is_agreed_on() -> None:
    session, server = connected()
    assert server.told == [Settled()]
    assert session.settled
    assert session.plain_in
    assert session.plain_out
    assert session.deadline() is None
    assert server.take() == []


def test_a_server_without_rfc2217_is_told_apart() -> None:
    session, server = connected(com_port=False)
    (settled,) = server.told
    assert isinstance(settled, Settled)
    assert "RFC 2217" in settled.complaint
    session.set_line(FULL)
    session.set_modem_lines(on=True)
    session.purge(received=True, unsent=True)
    assert not session.ask_arrival()
    assert session.take_output() == b""


def test_a_server_that_offers_the_option_itself_has_it() -> None:
    session = Rfc2217Session()
    session.begin(0.0)
    session.take_output()
    session.feed(b"\xff\xfb\x2c\xff\xfd\x00\xff\xfb\x00")  # WILL COM-PORT, DO BINARY, WILL BINARY
    assert session.settled
    session.set_line(Wish(300))
    assert b"\x2c\x01\x00\x00\x01\x2c" in session.take_output()


def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    session = Rfc2217Session()
    session.begin(100.0)
    assert session.deadline() == 100.0 + NEGOTIATION_TIME
    assert session.expire(100.0) == []
    (settled,) = session.expire(103.0)
    assert isinstance(settled, Settled)
    assert settled.complaint
    assert session.deadline() is None
    session.take_output()
    assert session.encode(b"\r\xff") == b"\r\0\xff\xff"
    # An agreement that comes late is still one.
    session.feed(b"\xff\xfd\x2c")
    session.set_line(Wish(300))
    assert b"\x2c\x01\x00\x00\x01\x2c" in session.take_output()


def test_a_server_without_binary_gets_its_text() -> None:
    session, server = connected(us=frozenset())
    (settled,) = server.told
    assert isinstance(settled, Settled)
    assert "binary" in settled.complaint
    assert session.encode(b"a\r") == b"a\r\0"


def test_settings_are_asked_for_once_and_only_what_changed() -> None:
    session, server = connected()
    server.take()
    session.set_line(FULL)
    assert server.take() == [
        rfc2217.SetBaudrate(19200),
        rfc2217.SetDatasize(7),
        rfc2217.SetParity(3),
        rfc2217.SetStopsize(2),
        rfc2217.SetControl(3),
    ]
    session.set_line(FULL)
    assert server.take() == []
    session.set_line(Wish(9600, 7, Parity.EVEN, StopBits.TWO, Flow.NONE, Flow.XONXOFF))
    assert server.take() == [rfc2217.SetBaudrate(9600), rfc2217.SetControl(1), rfc2217.SetControl(15)]
    session.set_line(Wish(9600, flow=Flow.NONE, flow_in=Flow.NONE))
    assert server.take() == [rfc2217.SetControl(14)]
    session.set_line(Wish(0))
    assert server.take() == []


def test_modem_lines_and_break() -> None:
    session, server = connected()
    server.take()
    session.set_modem_lines(on=True)
    session.set_modem_lines(on=True)
    session.set_break(on=True)
    session.set_break(on=False)
    session.set_modem_lines(on=False)
    assert [message.value for message in server.take()] == [8, 11, 5, 6, 9, 12]


@pytest.mark.parametrize(("received", "unsent", "value"), [(True, False, 1), (False, True, 2), (True, True, 3)])
def test_purge(received: bool, unsent: bool, value: int) -> None:
    session, server = connected()
    server.take()
    session.purge(received=received, unsent=unsent)
    assert server.take() == [rfc2217.PurgeData(value)]
    session.purge(received=False, unsent=False)
    assert server.take() == []


def test_what_the_server_has_is_learned_and_not_asked_for_again() -> None:
    session, server = connected()
    server.take()
    session.ask_line()
    assert len(server.take()) == 6
    assert server.says(rfc2217.SetParity(3)) == []  # half an answer is not worth telling
    assert server.says(rfc2217.SetBaudrate(19200)) == [Learned(Wish(19200, None, Parity.EVEN))]
    (learned,) = server.says(rfc2217.SetControl(2))
    assert isinstance(learned, Learned)
    assert learned.wish.flow is Flow.XONXOFF
    session.set_line(Wish(19200, parity=Parity.EVEN, flow=Flow.XONXOFF))
    assert server.take() == []


def test_a_refusal_is_told_and_not_tried_again() -> None:
    session, server = connected()
    server.take()
    session.set_line(Wish(250000, parity=Parity.MARK))
    server.take()
    assert server.says(rfc2217.SetBaudrate(230400)) == [Refused("speed", "250000", "230400")]
    assert server.says(rfc2217.SetParity(1)) == [Refused("parity", "mark", "none")]
    session.set_line(Wish(250000, parity=Parity.MARK))
    assert server.take() == []


def test_what_somebody_else_changed_is_asked_for_again() -> None:
    session, server = connected()
    session.set_line(Wish(9600))
    server.take()
    assert server.says(rfc2217.SetBaudrate(9600)) == []
    assert server.says(rfc2217.SetBaudrate(300)) == []
    session.set_line(Wish(9600))
    assert server.take() == [rfc2217.SetBaudrate(9600)]


def test_the_server_may_suspend() -> None:
    _, server = connected()
    assert server.says(rfc2217.FlowcontrolSuspend()) == [Suspended(True)]
    assert server.says(rfc2217.FlowcontrolResume()) == [Suspended(False)]


def test_arrival_is_told_when_all_questions_about_the_speed_are_answered() -> None:
    session, server = connected()
    session.set_line(Wish(9600))
    assert session.ask_arrival()
    assert server.take()[-1] == rfc2217.SetBaudrate(0)
    assert server.says(rfc2217.SetBaudrate(9600)) == []
    assert server.says(rfc2217.SetBaudrate(9600)) == [Arrived()]
    assert server.says(rfc2217.SetBaudrate(9600)) == []


def test_garbage_is_told_and_passed_over() -> None:
    session, server = connected()
    (garbage,) = session.feed(b"\xff\xfa\x2c\x65\x01\x02\xff\xf0")
    assert isinstance(garbage, Garbage)
    assert server.says(rfc2217.SetControl(200)) == []
    assert session.feed(b"\xff\xfa\x2c\xc8\xff\xf0") == []
    assert session.feed(b"data\xff\xff") == [Received(b"data\xff")]
    session.feed(b"\xff\xf6")
    assert session.take_output() == b"\xff\xf1"


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    session, server = connected()
    server.take()
    for piece in pieces:
        session.feed(b"\xff\xfa\x2c" + piece + b"\xff\xf0")
        session.feed(piece)
    session.set_line(FULL)
    session.ask_line()
    session.expire(1e9)
    assert isinstance(session.take_output(), bytes)


def test_a_raw_session_has_nothing_to_say() -> None:
    session = RawSession()
    assert session.begin(0.0) == [Settled()]
    session.set_line(FULL)
    session.ask_line()
    session.set_modem_lines(on=True)
    session.set_break(on=True)
    session.purge(received=True, unsent=True)
    assert not session.ask_arrival()
    assert session.deadline() is None
    assert session.expire(0.0) == []
    assert session.take_output() == b""
    assert session.feed(b"\xff\xf0") == [Received(b"\xff\xf0")]
    assert session.feed(b"") == []
    assert session.encode(b"\r\xff") == b"\r\xff"
