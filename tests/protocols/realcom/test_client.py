import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import Flow, LineSettings, ModemLines, UartCounters
from nportpy.protocols.realcom import messages as m
from nportpy.protocols.realcom import values
from nportpy.protocols.realcom.client import Answered, Client, Event, Stray, Unanswered
from nportpy.protocols.realcom.session import Session, SessionSettings
from tests.protocols.realcom.talk import CD, CTS, DSR, RI, SlowLine

OK = m.Acknowledged(m.Op.SET_XON)


def wire(client: Client) -> list[str]:
    return [data.hex(" ") for data in client.take_output()]


def heard(client: Client, data: str, now: float = 0.0) -> list[Event]:
    return client.feed(bytes.fromhex(data), now)


def test_one_command_is_under_way_at_a_time() -> None:
    client = Client()
    client.send(m.SetXon(), now=0.0)
    client.send(m.SetXoff(), now=0.0)
    assert wire(client) == ["33 00"]
    assert heard(client, "33 4f") == []
    assert wire(client) == []
    assert heard(client, "4b") == [Answered(m.SetXon(), OK)]
    assert wire(client) == ["34 00"]
    assert not client.idle
    assert heard(client, "34 4e 41") == [Answered(m.SetXoff(), m.Acknowledged(m.Op.SET_XOFF, ok=False))]
    assert client.idle
    assert client.deadline() is None


def test_several_commands_in_one_write() -> None:
    client = Client()
    client.send(m.PortInit(6, 3, dtr=True, rts=True), m.Fifo(16), m.LineControl(dtr=True, rts=True), now=0.0)
    assert wire(client) == ["2c 08 06 03 01 01 00 00 00 00 30 01 10 12 02 01 01"]
    events = heard(client, "2c 03 01 01 00 30 4f 4b 12 4f 4b")
    assert [type(event) for event in events] == [Answered] * 3
    assert client.idle
    assert client.modem == CTS | DSR


def test_polls_are_answered() -> None:
    client = Client()
    client.send(m.SetXon(), now=0.0)
    client.take_output()
    assert heard(client, "27 01 05") == []
    assert wire(client) == ["28 01 05"]
    assert not client.idle


def test_modem_lines() -> None:
    client = Client()
    heard(client, "26 20 f0 80")
    assert client.modem == CTS | DSR | CD | RI
    heard(client, "26 01 00 80")
    assert client.modem == CTS | DSR | CD | RI, "without bit 20 it says nothing of them"
    assert heard(client, "2c 03 00 01 00") == [Stray(m.ModemStatus(m.Op.PORT_INIT, dsr=False, cts=True, dcd=False))]
    assert client.modem == CTS | RI


def test_what_nobody_asked_for() -> None:
    client = Client()
    client.send(m.SetXoff(), now=0.0)
    assert heard(client, "33 4f 4b 00 34 4f 4b") == [
        Stray(OK),
        m.Garbage(b"\0"),
        Answered(m.SetXoff(), m.Acknowledged(m.Op.SET_XOFF)),
    ]


def test_the_hello_comes_first() -> None:
    client = Client(hello=True)
    client.send(m.SetXon(), now=0.0)
    assert wire(client) == [" ".join(["00"] * 16)]
    heard(client, "aa" * 15)
    assert wire(client) == []
    heard(client, "aa")
    assert wire(client) == ["33 00"]


@pytest.mark.parametrize(
    ("command", "until"), [(m.SetXon(), 15.0), (m.WaitOutput(100), 15.0), (m.WaitOutput(30000), 37.0)]
)
def test_a_server_that_does_not_answer_is_lost(command: m.Command, until: float) -> None:
    client = Client()
    client.send(command, now=5.0)
    client.send(m.SetXon(), now=5.0)
    client.take_output()
    assert client.deadline() == until
    assert client.expire(until - 0.1) == []
    assert client.expire(until) == [Unanswered(command)]
    assert client.lost
    assert client.deadline() is None
    assert wire(client) == []


SETTINGS = st.builds(
    LineSettings.parse,
    st.sampled_from([50, 134, 1200, 1800, 9600, 100000, 921600]),
    st.sampled_from(["8N1", "7E2", "5O1.5", "6S1", "8M2"]),
    st.sampled_from([Flow.NONE, Flow.XONXOFF, Flow.RTSCTS]),
)


@given(st.lists(SETTINGS, max_size=6), st.integers(1, 7), st.booleans())
def test_what_a_client_wants_the_server_does(wishes: list[LineSettings], cut: int, ipv6: bool) -> None:
    line = SlowLine()
    session, client = Session(line, SessionSettings(), 0.0, hello=ipv6), Client(hello=ipv6)
    events: list[Event] = []

    def talk() -> None:
        while said := b"".join(client.take_output()):
            for at in range(0, len(said), cut):
                session.feed(said[at : at + cut], 0.0)
            for answer in session.take_output():
                events.extend(client.feed(answer, 0.0))

    for wish in wishes:
        client.send(*values.commands(wish, dtr=True, rts=True), now=0.0)
        client.send(m.LineStatus(), now=0.0)
        talk()
        assert line.settings == wish
        assert client.idle
        assert client.modem == CTS | DSR
    line.lines = CD
    session.line_changed(ModemLines.CD, UartCounters(), 1.0)
    for answer in session.take_output():
        events += client.feed(answer, 1.0)
    assert not wishes or client.modem == CD
    assert not [event for event in events if isinstance(event, Stray | Unanswered | m.Garbage)]


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_whatever_a_server_says(pieces: list[bytes]) -> None:
    client = Client()
    client.send(m.SetXon(), now=0.0)
    for piece in pieces:
        client.feed(piece, 0.0)
        assert all(data[0] in (0x28, 0x33) for data in client.take_output())
