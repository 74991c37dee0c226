"""What must and should be done for a client, most of it said by the strict client on a line that takes its time."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.linesettings import Flow, LineSettings, ModemLines, UartCounters
from nportpy.protocols.realcom.messages import Unknown
from nportpy.protocols.realcom.session import MAX_WAITING, Session, SessionSettings
from tests.protocols.realcom.talk import CD, CTS, DSR, RI, SlowLine, Talk
from tests.support.realcom import HELLO, Driver

OK = "4f 4b"
RAW = bytes.fromhex("06 03 01 01 00 00 00 00")
LINES_UP = bytes.fromhex("26 20 33 80")  # what follows the first PORT_INIT with CTS and DSR up


def said(talk: Talk) -> list[str]:
    return [data.hex(" ") for data in talk.output]


def asked(talk: Talk) -> list[str]:
    return [data.hex(" ") for data in talk.commands]


def bare(line: SlowLine | None = None, config: SessionSettings | None = None) -> tuple[Session, SlowLine]:
    """A session that has just begun, at time 0."""
    line = line or SlowLine()
    return Session(line, config or SessionSettings(), 0.0), line


def tell(session: Session, wire: str, now: float = 0.0) -> list[str]:
    session.feed(bytes.fromhex(wire), now)
    return [data.hex(" ") for data in session.take_output()]


# Section 6.1: what was seen on the wire.


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_open(cut: int) -> None:
    talk = Talk(cut=cut)
    assert talk.call(talk.driver.open()) == ""
    assert asked(talk) == ["2c 08 06 03 01 01 00 00 01 00", "18 02 11 13", "30 01 10"]
    assert said(talk) == ["2c 03 01 01 00", "26 20 33 80", "18 4f 4b", "30 4f 4b"]
    assert talk.line.calls == [("configure", "9600 8N1 xonxoff out"), ("lines", True, True), ("characters", 17, 19)]
    assert talk.driver.modem == 0x30
    assert not talk.driver.faults


VECTORS = [
    (["2c 08 06 03 01 01 00 00 00 00"], ["2c 03 01 01 00"], "9600 8N1"),
    (
        ["2f 04 19 00 00 00", "2c 08 0a 0e 01 01 00 00 00 00"],
        ["2f 02 00 00", "2c 03 01 01 00"],
        "115200 7E2",
    ),
    (["2c 08 0a 0e 01 01 01 01 00 00"], ["2c 03 01 01 00"], "115200 7E2 rtscts"),
    (
        ["2c 08 0a 0e 01 01 00 00 01 01", "18 02 11 13"],
        ["2c 03 01 01 00", "18 4f 4b"],
        "115200 7E2 xonxoff",
    ),
    (["2c 08 ff 03 01 01 00 00 00 00", "17 04 08 07 00 00"], ["2c 03 01 01 00", "17 4f 4b"], "1800 8N1"),
    (["12 02 00 01", "12 02 01 01"], ["12 4f 4b", "12 4f 4b"], ""),
    (["21 00", "22 00"], ["21 4f 4b", "22 4f 4b"], ""),
    (["14 01 02"], ["14 4f 4b"], ""),
    (["34 00", "33 00"], ["34 4f 4b", "33 4f 4b"], ""),
    (["30 01 01"], ["30 4f 4b"], ""),
    (
        ["2f 04 4c 1d 00 00", "2f 04 4b 1d 00 00", "2f 04 48 1d 00 00", "2f 04 45 1d 00 00", "14 01 02"],
        ["2f 02 00 00", "2f 02 00 00", "2f 02 00 00", "2f 02 00 00", "14 4f 4b"],
        "",
    ),
    (
        ["2c 08 06 03 01 01 00 00 00 00 30 01 10 12 02 01 01"],
        ["2c 03 01 01 00", "30 4f 4b", "12 4f 4b"],
        "9600 8N1",
    ),
    (["28 01 01"], [], ""),
]


def opened() -> tuple[Session, SlowLine]:
    session, line = bare()
    tell(session, "2c 08 06 03 01 01 00 00 01 00")
    session.expire(1.0)
    session.take_output()
    return session, line


def converse(session: Session, pieces: list[bytes]) -> list[str]:
    """Each piece 50 ms after the other, and as much again for what waits."""
    output = []
    now = 1.0
    for piece in pieces:
        session.feed(piece, now)
        for _ in range(5):
            now += 0.01
            session.expire(now)
        output += session.take_output()
    return [data.hex(" ") for data in output]


@pytest.mark.parametrize(("asked", "answered", "effect"), VECTORS)
def test_vector(asked: list[str], answered: list[str], effect: str) -> None:
    session, line = opened()
    assert converse(session, [bytes.fromhex(command) for command in asked]) == answered
    assert not effect or str(line.settings) == effect
    assert not session.malformed
    assert not session.take_unknown()


@pytest.mark.parametrize(("asked", "answered", "effect"), VECTORS)
def test_vector_in_one_piece(asked: list[str], answered: list[str], effect: str) -> None:
    session, line = opened()
    output = []
    session.feed(bytes.fromhex(" ".join(asked)), 1.0)
    for step in range(20):
        session.expire(1.0 + step * 0.1)
        output += session.take_output()
    assert [data.hex(" ") for data in output] == answered
    assert not effect or str(line.settings) == effect


@pytest.mark.parametrize(("asked", "answered", "effect"), VECTORS)
def test_vector_split_at_every_byte(asked: list[str], answered: list[str], effect: str) -> None:
    wire = bytes.fromhex(" ".join(asked))
    for cut in range(1, len(wire)):
        session, line = opened()
        assert converse(session, [wire[:cut], wire[cut:]]) == answered
        assert not effect or str(line.settings) == effect


@pytest.mark.parametrize(("asked", "answered", "effect"), VECTORS)
def test_vector_between_garbage(asked: list[str], answered: list[str], effect: str) -> None:
    """Unknown commands are acknowledged, wrong lengths are not, and neither harms its neighbours."""
    session, _ = opened()
    garbage = bytes.fromhex("77 02 01 02 12 01 01")
    pieces = [garbage, *(bytes.fromhex(command) for command in asked), garbage]
    assert converse(session, pieces) == ["77 4f 4b", *answered, "77 4f 4b"]
    assert session.malformed == 2
    assert session.take_unknown() == [Unknown(0x77, b"\x01\x02")]
    assert not session.take_unknown()


def test_a_whole_day_of_the_strict_client() -> None:
    talk = Talk()
    driver = talk.driver
    talk.open()
    talk.run(0.2)
    assert talk.call(driver.tcsetattr(RAW)) == ""
    assert talk.call(driver.tcsetattr(bytes.fromhex("0a 0e 01 01 01 01 00 00"), drain=True)) == ""
    assert talk.call(driver.tcsetattr(bytes.fromhex("ff 03 01 01 00 00 00 00"), 1800)) == ""
    assert talk.line.settings == LineSettings.parse(1800, "8N1")
    assert talk.call(driver.tiocmset(dtr=False, rts=True)) == ""
    assert talk.call(driver.tcsendbreak()) == ""
    assert talk.call(driver.tcflush()) == ""
    assert talk.call(driver.tcflow(on=False)) == ""
    assert talk.call(driver.tcflow(on=True)) == ""
    talk.change(CTS | DSR | CD | RI, UartCounters(frame=1, overrun=1, parity=1, breaks=1))
    assert said(talk)[-1] == "26 37 f8 80"
    assert driver.received == b"\0"
    assert talk.call(driver.close()) == ""
    assert driver.closed
    assert driver.wait_answers[-4:] == [0, 0, 0, 0]
    assert asked(talk)[-5:] == [
        "2f 04 4c 1d 00 00",
        "2f 04 49 1d 00 00",  # ten milliseconds for being quiet, and the client's own ten
        "2f 04 44 1d 00 00",
        "2f 04 3f 1d 00 00",
        "14 01 02",
    ]
    assert not driver.faults


def test_every_vector_by_ipv6_begins_with_a_hello() -> None:
    talk = Talk(driver=Driver(ipv6=True), cut=3)
    assert talk.output == [HELLO]
    assert talk.call(talk.driver.open()) == ""
    assert not talk.driver.faults


def test_on_ipv4_there_is_no_hello() -> None:
    session, _ = bare()
    assert all(len(bytes.fromhex(piece)) <= 7 for piece in tell(session, HELLO.hex()))


# MUST 3: order, several commands in a read, one answer each.


def test_commands_wait_for_the_data_connection_but_the_hello_does_not() -> None:
    line = SlowLine()
    session = Session(line, SessionSettings(), 0.0, hello=True, ready=False)
    assert tell(session, HELLO.hex() + "30 01 10 12 02 01 01") == [HELLO.hex(" ")]
    assert session.deadline() is None
    session.connect_data(1.0)
    assert [data.hex(" ") for data in session.take_output()] == ["30 4f 4b", "12 4f 4b"]


def test_the_recovery_write_is_answered_in_order() -> None:
    talk = Talk()
    talk.open()
    talk.call(talk.driver.tcsetattr(bytes.fromhex("ff 03 01 00 00 00 01 01"), 1800))
    talk.forget()
    talk.driver.disconnected()
    talk.session.end()
    talk.connect(recover=True)
    assert asked(talk) == ["2c 08 ff 03 01 00 00 00 01 01 17 04 08 07 00 00 18 02 11 13 30 01 10 12 02 01 00"]
    assert [piece.split()[0] for piece in said(talk)] == ["2c", "26", "17", "18", "30", "12"]
    assert not talk.driver.recovering
    assert not talk.driver.faults
    assert talk.line.settings.baudrate == 1800


def test_a_flood_is_worked_off_in_portions() -> None:
    session, _ = bare()
    session.feed(bytes.fromhex("33 00") * 5000, 0.0)
    answers = session.take_output()
    assert len(answers) == 64
    assert session.congested
    rounds = 0
    while (when := session.deadline()) is not None and when <= 0.0:
        session.expire(0.0)
        answers += session.take_output()
        rounds += 1
    assert answers == [bytes.fromhex("33 4f 4b")] * 5000
    assert not session.congested
    assert rounds < 5000 / 60


def test_congested_while_something_waits() -> None:
    session, line = bare()
    line.write(b"x" * 1000)
    session.feed(bytes.fromhex("2f 04 ff ff 00 00") + bytes.fromhex("33 00") * MAX_WAITING, 0.0)
    assert session.congested
    assert session.take_output() == []


# MUST 4 and 5.


@pytest.mark.parametrize("op", ["26", "27"])
def test_what_would_be_read_as_something_else_is_not_acknowledged(op: str) -> None:
    session, _ = bare()
    assert tell(session, f"{op} 00") == []


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_any_bytes_are_answered_in_short_pieces(wire: bytes, shared: bool, control: bool) -> None:
    session, line = bare(config=SessionSettings(shared=shared, control=control, alive=0.0))
    line.write(b"abc")
    output: list[bytes] = []
    now = 0.0
    session.feed(wire, now)
    while (when := session.deadline()) is not None:
        now = max(now, when)
        line.advance(now)
        session.expire(now)
        output += session.take_output()
    output += session.take_output()
    assert now < 8 * 40, "every wait has its end"
    assert all(len(piece) in (3, 4, 5) for piece in output)
    assert not any(piece == b"\x2c\x03\xff\xff\xff" for piece in output)


def test_unchanged_settings_touch_nothing() -> None:
    talk = Talk()
    talk.open()
    talk.call(talk.driver.tcsetattr(RAW))
    talk.written(b"x" * 100)
    talk.run(0.01)
    talk.forget()
    before = talk.now
    talk.call(talk.driver.tcsetattr(RAW))
    assert talk.line.calls == []
    assert talk.now == before


def test_flow_control_is_changed_at_once() -> None:
    """It may be what the bytes before it wait for."""
    talk = Talk()
    talk.open()
    talk.line.stopped = True
    talk.written(b"x" * 100)
    talk.run(0.01)
    talk.forget()
    before = talk.now
    talk.call(talk.driver.tcsetattr(RAW))
    assert talk.line.settings.flow is Flow.NONE
    assert talk.now == before


@pytest.mark.parametrize("rate", ["31 00 00 00", "01 10 0e 00", "00 00 00 00", "ff ff ff ff"])
def test_a_speed_that_nobody_has_is_refused(rate: str) -> None:
    session, line = bare(SlowLine(LineSettings(50)))
    assert tell(session, f"17 04 {rate}") == ["17 4e 41"]
    assert line.settings.baudrate == 50


def test_a_speed_that_the_driver_does_not_take_is_refused() -> None:
    session, line = bare()
    line.refuses = 1800
    assert tell(session, "17 04 08 07 00 00") == ["17 4e 41"]
    assert tell(session, "2c 08 ff 03 01 01 00 00 00 00")[0] == "2c 03 01 01 00"


# MUST 6: nothing overtakes bytes.


@pytest.mark.parametrize("late", [0.0, 0.0005, 0.001, 0.009])
@pytest.mark.parametrize("hz", [100, 250, 1000])
def test_tcdrain_waits_for_bytes_that_it_overtook(late: float, hz: int) -> None:
    talk = Talk(SlowLine(LineSettings(115200)), late=late, driver=Driver(hz=hz))
    talk.open()
    talk.call(talk.driver.tcsetattr(bytes.fromhex("0a 03 01 01 00 00 00 00")))
    talk.driver.write(b"x" * 500)
    assert talk.call(talk.driver.tcdrain()) == ""
    assert talk.driver.wait_answers == [0]
    assert len(talk.line.wire) == 500
    assert not talk.driver.faults


@pytest.mark.parametrize("hz", [100, 250, 1000])
def test_a_drain_that_takes_longer_is_answered_before_the_client_gives_up(hz: int) -> None:
    talk = Talk(driver=Driver(hz=hz))
    talk.open()
    talk.driver.write(b"x" * 500)
    before = talk.now
    assert talk.call(talk.driver.tcdrain()) == ""
    assert 0.08 < talk.now - before < 0.1
    (left,) = talk.driver.wait_answers
    assert 400 < left < 500
    assert not talk.driver.faults


@pytest.mark.parametrize("late", [0.0, 0.001])
def test_tcsadrain_sends_what_was_written_at_the_old_speed(late: float) -> None:
    talk = Talk(late=late)
    talk.open()
    talk.driver.write(b"x" * 300)
    assert talk.call(talk.driver.tcsetattr(bytes.fromhex("02 03 01 01 00 00 00 00"), drain=True)) == ""
    assert talk.line.settings.baudrate == 1200, "and returns when it has been sent"
    talk.written(b"y")
    talk.run(1)
    assert {setting for byte, setting in talk.line.wire if byte == ord("x")} == {"9600 8N1"}
    assert talk.line.wire[-1] == (ord("y"), "1200 8N1")
    assert len(talk.line.wire) == 301
    assert not talk.driver.faults


def test_a_change_that_has_to_wait_for_long_is_answered_and_made_later() -> None:
    talk = Talk(SlowLine(LineSettings(1200)))
    talk.open()
    talk.call(talk.driver.tcsetattr(bytes.fromhex("02 03 01 01 00 00 00 00")))
    talk.driver.write(b"x" * 4096)
    talk.run(0.01)
    before = talk.now
    assert talk.call(talk.driver.tcsetattr(bytes.fromhex("06 03 01 01 00 00 00 00"), drain=True)) == ""
    assert 5 <= talk.now - before < 5.2
    assert talk.line.settings.baudrate == 1200
    assert talk.session.hold_data
    talk.written(b"y" * 10)
    talk.run(1)
    assert talk.line.unread() == 10
    talk.run(40)
    assert not talk.session.hold_data
    assert [setting for _, setting in talk.line.wire] == ["1200 8N1"] * 4096 + ["9600 8N1"] * 10
    assert not talk.driver.faults


def test_commands_after_a_change_that_is_late_build_on_it() -> None:
    talk = Talk(SlowLine(LineSettings(1200)))
    talk.open()
    talk.call(talk.driver.tcsetattr(bytes.fromhex("02 03 01 01 00 00 00 00")))
    talk.driver.write(b"x" * 2000)
    talk.run(0.01)
    talk.call(talk.driver.tcsetattr(bytes.fromhex("06 03 01 01 00 00 00 00")))
    talk.forget()
    before = talk.now
    talk.call(talk.driver.tiocmset(dtr=False, rts=True))
    talk.call(talk.driver.tcsetattr(bytes.fromhex("06 03 00 01 01 01 00 00")))
    assert talk.now == before
    assert ("configure", "9600 8N1 rtscts") not in talk.line.calls
    talk.run(20)
    assert talk.line.settings == LineSettings.parse(9600, "8N1", Flow.RTSCTS)
    assert {setting for _, setting in talk.line.wire} == {"1200 8N1"}


def test_a_line_that_is_stuck_does_not_hold_a_change_back() -> None:
    talk = Talk()
    talk.open()
    talk.line.stopped = True
    talk.written(b"x" * 100)
    talk.run(10)
    before = talk.now
    talk.call(talk.driver.tcsetattr(bytes.fromhex("02 03 01 01 00 00 00 00")))
    assert 1 < talk.now - before < 1.3
    assert talk.line.settings.baudrate == 1200


def test_a_break_comes_after_the_bytes_before_it() -> None:
    talk = Talk()
    talk.open()
    talk.driver.write(b"x" * 400)
    talk.call(talk.driver.tcsendbreak())
    begun, ended = (call for call in talk.line.calls if call[0] == "break")
    assert begun[1:3] == (True, 400)
    assert ended[1] is False
    assert float(str(ended[3])) - float(str(begun[3])) == pytest.approx(0.25)
    assert not talk.driver.faults


def test_a_client_that_goes_on_waits_for_its_drain_no_longer() -> None:
    session, line = bare()
    line.write(b"x" * 10000)
    assert tell(session, "2f 04 30 75 00 00") == []
    session.expire(1.0)
    assert session.take_output() == []
    assert tell(session, "33 00", 1.0) == ["2f 02 0f 27", "33 4f 4b"]


@pytest.mark.parametrize(("timeout", "answered"), [(0, 0.09), (100, 0.09), (1000, 0.99), (7500, 7.49), (30000, 8.0)])
def test_until_when_a_drain_is_answered(timeout: int, answered: float) -> None:
    session, line = bare()
    line.write(b"x")
    line.stopped = True
    now = 0.0
    assert tell(session, "2f 04 " + timeout.to_bytes(4, "little").hex()) == []
    while not (output := session.take_output()):
        when = session.deadline()
        assert when is not None
        now = max(when, now)
        session.expire(now)
    assert now == pytest.approx(answered)
    assert output == [bytes.fromhex("2f 02 01 00")], "a byte in the UART counts"


def test_the_count_saturates() -> None:
    session, line = bare()
    line.write(b"x" * 70000)
    line.in_socket = 5
    assert tell(session, "16 00") == ["16 02 ff ff"]
    line.delivering = 0x1234
    assert tell(session, "15 00") == ["15 02 34 12"]
    tell(session, "2f 04 00 00 00 00")
    session.expire(0.09)
    assert session.take_output() == [bytes.fromhex("2f 02 ff ff")]


def test_unread_bytes_of_the_data_connection_count() -> None:
    session, line = bare()
    line.in_socket = 7
    assert tell(session, "16 00") == ["16 02 07 00"]
    tell(session, "2f 04 19 00 00 00")
    session.expire(0.09)
    assert session.take_output() == [bytes.fromhex("2f 02 07 00")]


def test_bytes_that_keep_coming_put_the_answer_off() -> None:
    session, _ = bare()
    assert tell(session, "2f 04 e8 03 00 00") == []
    for step in range(1, 10):
        session.data_received(1, step * 0.009)
        session.expire(step * 0.009)
        assert session.take_output() == []
    session.expire(0.0815)
    session.expire(0.092)
    assert session.take_output() == [bytes.fromhex("2f 02 00 00")]


# FLUSH, and what a close leaves.


@pytest.mark.parametrize(("what", "received", "unsent"), [(0, True, False), (1, False, True), (2, True, True)])
def test_flush_honours_the_direction(what: int, received: bool, unsent: bool) -> None:
    session, line = bare()
    assert tell(session, f"14 01 0{what}") == ["14 4f 4b"]
    assert line.calls == [("purge", received, unsent)]


def test_a_flush_of_nothing() -> None:
    session, line = bare()
    assert tell(session, "14 01 07") == ["14 4f 4b"]
    assert line.calls == []


@pytest.mark.parametrize("late", [0.0, 0.001])
@pytest.mark.parametrize("hz", [100, 250, 1000])
@pytest.mark.parametrize("size", [1, 100, 4096])
def test_nothing_is_lost_when_a_program_writes_and_closes_at_once_at_1200_baud(size: int, hz: int, late: float) -> None:
    """4096 bytes take longer than the 30 s that the client waits."""
    talk = Talk(SlowLine(LineSettings(1200)), late=late, driver=Driver(hz=hz))
    talk.open()
    talk.call(talk.driver.tcsetattr(bytes.fromhex("02 03 01 01 00 00 00 00")))
    data = bytes(i % 251 for i in range(size))
    talk.driver.write(data)
    assert talk.call(talk.driver.close()) == ""
    assert talk.driver.closed
    talk.session.end()
    talk.line.advance(talk.now + 40)
    assert talk.line.sent == data
    assert not talk.driver.faults


def test_a_flush_that_is_no_close_is_obeyed_after_all() -> None:
    for carry_on in ("33 00", "data"):
        session, line = bare()
        line.write(b"x" * 10000)
        tell(session, "2f 04 30 75 00 00")
        line.advance(8.0)
        session.expire(8.0)
        assert session.take_output() == [b"\x2f\x02" + line.unsent().to_bytes(2, "little")]
        assert tell(session, "14 01 02", 8.0) == ["14 4f 4b"]
        assert line.calls == [("purge", True, False)]
        if carry_on == "data":
            session.data_received(1, 8.1)
        else:
            tell(session, carry_on, 8.1)
        assert line.calls[1:] == [("purge", False, True)]


def test_what_came_before_the_flush_of_a_close_is_no_sign_that_the_client_goes_on() -> None:
    session, line = bare()
    line.write(b"x" * 10000)
    line.in_socket = 100
    tell(session, "2f 04 30 75 00 00")
    line.advance(8.0)
    session.expire(8.0)
    assert tell(session, "14 01 02", 8.0)[-1] == "14 4f 4b"
    for _ in range(10):
        session.data_received(10, 8.1)
    assert line.calls == [("purge", True, False)]
    session.data_received(1, 8.2)
    assert line.calls[1:] == [("purge", False, True)]


@pytest.mark.parametrize("baudrate", [1200, 9600, 115200])
@pytest.mark.parametrize("size", [1, 500, 4000])
@pytest.mark.parametrize("first", ["commands", "both"])
def test_r2_a_program_that_closes_without_waiting_loses_nothing(first: str, size: int, baudrate: int) -> None:
    talk = Talk(SlowLine(LineSettings(baudrate)))
    talk.open()
    data = bytes(i % 251 for i in range(size))
    talk.line.settings = LineSettings(baudrate)
    talk.written(data)
    talk.run(0.002)
    assert talk.call(talk.driver.close(nonblocking=True), 0.001) == ""
    talk.run(0.002)
    if first == "commands":
        talk.session.commands_ended()
        talk.run(0.5)
    talk.session.end()
    talk.line.advance(talk.now + 60)
    assert talk.line.sent == data
    assert not talk.driver.faults


def flushed(what: int = 2) -> tuple[Session, SlowLine]:
    """A flush on a line that is not through with what it was given, at 0 s."""
    session, line = bare()
    line.write(b"x" * 500)
    assert tell(session, f"14 01 0{what}") == ["14 4f 4b"]
    assert line.calls == ([] if what == 1 else [("purge", True, False)])
    line.calls.clear()
    return session, line


@pytest.mark.parametrize("what", [1, 2])
def test_r2_a_flush_is_obeyed_when_nothing_comes_behind_it(what: int) -> None:
    session, line = flushed(what)
    assert session.deadline() == pytest.approx(0.02)
    session.expire(0.019)
    assert line.calls == []
    session.expire(0.02)
    assert line.calls == [("purge", False, True)]
    assert session.deadline() == 40.0
    session.end()
    assert session.patience is None


@pytest.mark.parametrize("what", [1, 2])
@pytest.mark.parametrize("command", ["2f 04 19 00 00 00", "16 00", "14 01 00", "12 02 01 01", "24 00", "77 00"])
def test_r2_a_flush_is_obeyed_before_the_next_command(command: str, what: int) -> None:
    session, line = flushed(what)
    tell(session, command, 0.001)
    assert line.calls[0] == ("purge", False, True)
    assert line.unsent() == 0


def test_r2_a_flush_in_one_write_with_the_next_command_is_obeyed() -> None:
    session, line = bare()
    line.write(b"x" * 500)
    assert tell(session, "14 01 01 16 00") == ["14 4f 4b", "16 02 00 00"]
    assert line.calls == [("purge", False, True)]


def test_r2_a_sign_of_life_is_no_sign_that_a_program_goes_on() -> None:
    session, line = flushed()
    tell(session, "28 01 01", 0.001)
    assert line.calls == []
    session.end()
    session.expire(1.0)
    assert line.calls == []


def test_r2_a_flush_is_obeyed_before_the_next_data() -> None:
    session, line = flushed()
    session.data_received(1, 0.001)
    assert line.calls == [("purge", False, True)]


def test_r2_a_flush_that_comes_with_the_end_is_not_obeyed() -> None:
    """The commands end while one of them waits, and the flush is only reached then."""
    session, line = bare()
    line.write(b"x" * 50)
    tell(session, "2c 08 0a 03 01 01 00 00 00 00 14 01 02")
    session.commands_ended()
    line.advance(1.0)
    line.write(b"y" * 50)
    session.expire(1.0)
    assert ("purge", False, True) not in line.calls
    assert ("purge", True, True) not in line.calls
    assert line.unsent() == 49


def test_r2_on_slow_networks_the_end_is_waited_for_longer() -> None:
    session, line = bare(config=SessionSettings(grace=0.1))
    line.write(b"x" * 500)
    tell(session, "14 01 02")
    assert session.deadline() == pytest.approx(0.2)


def test_r2_what_a_flush_left_behind_waits_for_no_line_that_stands_still() -> None:
    session, line = flushed()
    session.end()
    assert session.patience == pytest.approx(1.0 + 128 * line.settings.character_time)


@pytest.mark.parametrize("flow", [Flow.RTSCTS, Flow.DSRDTR])
@pytest.mark.parametrize("since", [0.5, 1.5])
def test_r2_a_line_that_flow_control_has_long_stopped_is_flushed_at_once(flow: Flow, since: float) -> None:
    session, line = bare()
    line.settings = replace(line.settings, flow=flow, flow_in=flow)
    line.write(b"x" * 500)
    session.line_changed(CD, UartCounters(), 10.0)
    tell(session, "14 01 02", 10.0 + since)
    assert line.calls == [("purge", True, since > 1)]


def test_r2_a_client_that_stopped_the_line_itself_means_its_flush() -> None:
    session, line = bare()
    line.write(b"x" * 500)
    tell(session, "34 00")
    line.calls.clear()
    tell(session, "14 01 02", 0.1)
    assert line.calls == [("purge", True, True)]


def test_r2_a_close_that_found_the_line_stopped_is_flushed_at_once() -> None:
    talk = Talk()
    talk.open()
    talk.line.stopped = True
    talk.written(b"x" * 500)
    talk.run(0.01)
    assert talk.call(talk.driver.close()) == ""
    assert talk.line.unsent() == 0
    assert not talk.driver.faults


def test_the_end_undoes_what_only_the_client_could() -> None:
    session, line = bare()
    tell(session, "21 00 34 00")
    session.end()
    assert [call[:2] for call in line.calls] == [("break", True), ("hold", True), ("break", False), ("hold", False)]
    session.end()
    assert len(line.calls) == 4


# Notifications.


def test_nobody_is_notified_before_port_init() -> None:
    session, line = bare()
    session.line_changed(CD, UartCounters(frame=1), 0.0)
    assert session.deadline() == 40.0
    assert session.take_output() == []
    line.lines = CD
    assert tell(session, "2c 08 06 03 01 01 00 00 00 00") == ["2c 03 00 00 01", "26 20 88 80"]


def test_an_answer_alone_says_it_when_all_lines_are_low() -> None:
    session, line = bare()
    line.lines = ModemLines.DTR
    assert tell(session, "2c 08 06 03 01 01 00 00 00 00") == ["2c 03 00 00 00"]


def test_start_and_stop_notify() -> None:
    session, line = bare()
    line.lines = DSR
    assert tell(session, "24 00") == ["24 4f 4b", "26 20 22 80"]
    assert tell(session, "25 00") == ["25 4f 4b"]
    session.line_changed(CTS, UartCounters(), 1.0)
    assert session.take_output() == []
    line.lines = CTS
    assert tell(session, "13 00", 1.0) == ["13 03 00 01 00"]
    assert tell(session, "24 00", 2.0) == ["24 4f 4b", "26 20 13 80"]


def test_port_init_does_not_bring_back_what_was_stopped() -> None:
    session, line = opened()
    tell(session, "25 00", 1.0)
    line.lines = CD
    assert tell(session, "2c 08 06 03 01 01 00 00 00 00", 1.0) == ["2c 03 00 00 01"]


def test_changes_are_merged_and_told_every_100_ms() -> None:
    talk = Talk()
    talk.open()
    talk.run(0.2)
    talk.forget()
    talk.change(CTS | DSR | CD)
    assert said(talk) == ["26 20 b8 80"]
    for step in range(9):
        talk.run(0.01)
        talk.change(CTS if step % 2 else CTS | DSR | CD, UartCounters(parity=step == 3))
    assert len(said(talk)) == 1
    talk.run(0.2)
    assert said(talk)[1:] == ["26 21 ba 80"], "a line that came back has changed nevertheless"
    assert not talk.driver.faults
    assert talk.driver.errors[1] == 1


def test_a_client_that_does_not_ask_hears_of_every_level() -> None:
    talk = Talk()
    talk.open()
    for lines in (CTS, CTS | RI, RI, ModemLines(0), CTS | DSR | CD | RI):
        talk.run(0.1)
        talk.change(lines)
        assert talk.driver.modem == sum(
            bit for line, bit in ((CTS, 0x10), (DSR, 0x20), (RI, 0x40), (CD, 0x80)) if lines & line
        )
    assert not talk.driver.faults


def test_errors_do_not_change_the_lines() -> None:
    talk = Talk()
    talk.open()
    talk.run(0.2)
    talk.change(errors=UartCounters(buffer_overrun=3))
    assert said(talk)[-1] == "26 08 30 80"
    assert talk.driver.modem == 0x30


def test_what_holds_sending_up() -> None:
    talk = Talk()
    talk.open()
    talk.call(talk.driver.tcsetattr(bytes.fromhex("06 03 01 01 01 01 00 00")))
    talk.call(talk.driver.tcflow(on=False))
    talk.run(0.2)
    talk.change(DSR)
    assert said(talk)[-1] == "26 20 21 89"


# Signs of life.


def test_a_silent_client_is_polled_and_answers() -> None:
    talk = Talk()
    talk.open()
    talk.run(39.9)
    assert talk.driver.polls == []
    talk.run(0.2)
    assert said(talk)[-1] == "27 01 01"
    assert asked(talk)[-1] == "28 01 01"
    talk.run(300)
    assert talk.driver.polls == list(range(1, 9))
    assert not talk.session.dead
    assert not talk.driver.faults


def test_a_dead_client_is_noticed() -> None:
    session, _ = bare()
    polled = []
    while not session.dead:
        when = session.deadline()
        assert when is not None
        session.expire(when)
        polled += [(when, data.hex(" ")) for data in session.take_output()]
    assert polled == [(at, "27 01 01") for at in (40.0, 43.0, 46.0, 49.0)]
    assert when == 52.0
    assert session.deadline() is None


@pytest.mark.parametrize("sign", ["28 01 07", "33 00", "data"])
def test_any_byte_is_a_sign_of_life(sign: str) -> None:
    session, _ = bare()
    session.expire(40.0)
    session.take_output()
    if sign == "data":
        session.data_received(1, 41.0)
    else:
        tell(session, sign, 41.0)
    assert session.deadline() == 81.0
    session.expire(81.0)
    assert session.take_output() == [bytes.fromhex("27 01 02")]


def test_poll_numbers_leave_zero_out() -> None:
    session, _ = bare(config=SessionSettings(alive=1.0))
    numbers = []
    for step in range(1, 300):
        session.expire(step)
        (poll,) = session.take_output()
        numbers.append(poll[2])
        tell(session, "28 01 00", step)
    assert numbers == [*range(1, 256), *range(1, 45)]


def test_no_polls() -> None:
    session, _ = bare(config=SessionSettings(alive=0.0))
    assert session.deadline() is None


# Several clients.


@pytest.mark.parametrize("wire", ["2c 08 0a 03 00 00 01 01 00 00", "10 02 0a 03", "11 04 01 01 00 00", "12 02 00 00"])
def test_without_control_a_command_succeeds_and_does_nothing(wire: str) -> None:
    session, line = bare(config=SessionSettings(shared=True, control=False))
    line.write(b"somebody else's")
    assert len(tell(session, wire)) >= 1
    assert tell(session, "17 04 00 00 00 00 18 02 01 02 21 00 22 00 34 00 33 00 14 01 02") == [
        f"{op} {OK}" for op in ("17", "18", "21", "22", "34", "33", "14")
    ]
    assert line.calls == []


def test_with_several_clients_nobody_waits_for_the_others_bytes() -> None:
    session, line = bare(config=SessionSettings(shared=True))
    line.write(b"x" * 1000)
    assert tell(session, "2f 04 4c 1d 00 00 14 01 02") == ["2f 02 00 00", "14 4f 4b"]
    assert line.calls == []


def test_the_last_one_to_ask_sets_the_lines_of_a_shared_port() -> None:
    line = SlowLine()
    first, second = (Session(line, SessionSettings(shared=True), 0.0) for _ in range(2))
    for session, wire in ((first, "12 02 00 01"), (second, "12 02 01 01"), (first, "12 02 00 01")):
        tell(session, wire)
    assert line.calls[-1] == ("lines", False, True)
    assert len(line.calls) == 3


# Section 6.2: the strict client finds the faults of a server that has them.


def test_the_strict_client_finds_faults() -> None:
    for wire, fault in (
        ("2c 03 ff ff ff", "the kernel crashes"),
        ("2c 03", "in pieces"),
        ("2c 03 01 01 00 2c 03 01 01 00", "nobody asked"),
        ("18 4f 4b", "nobody asked"),
        ("99 4f 4b", "swallows"),
        ("26 20 30 80", "before PORT_INIT"),
        ("27 01 00", "no poll"),
    ):
        driver = Driver()
        driver.connected(0.0)
        driver.call(driver.open(), 0.0)
        driver.command_received(bytes.fromhex(wire), 0.0)
        assert [text for text in driver.faults if fault in text], wire
    driver = Driver()
    driver.connected(0.0)
    driver.call(driver.open(), 0.0)
    driver.command_received(bytes.fromhex("2c 03 01 01 00") + bytes.fromhex("27 01 01") * 26, 0.0)
    assert not driver.faults
    driver.command_received(bytes.fromhex("27 01 01") * 28, 0.0)
    assert "lost at the end of the buffer" in driver.faults[0]


def test_the_strict_client_gives_an_open_up_that_is_not_answered() -> None:
    driver = Driver()
    driver.connected(0.0)
    driver.call(driver.open(), 0.0)
    driver.command_received(bytes.fromhex("2c 03 01 01 00"), 0.0)
    assert driver.deadline() == 10.0
    driver.expire(10.0)
    assert driver.result == "EIO"
    assert driver.closed


def test_the_strict_client_asks_on_while_bytes_are_left() -> None:
    driver = Driver()
    driver.connected(0.0)
    driver.call(driver.close(), 0.0)
    answers = ["2f 02 00 00", *["2f 02 10 00"] * 6, *["2f 02 00 00"] * 3]
    now = 0.0
    for answer in answers:
        assert driver.take_commands()[0][0] == 0x2F
        driver.command_received(bytes.fromhex(answer), now)
        now += 0.01
        driver.expire(now)
    assert driver.take_commands() == [bytes.fromhex("14 01 02")]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["write", "drain", "attr", "fast", "lines", "break", "flush", "news", "pause"])))
def test_the_strict_client_never_finds_a_fault(steps: list[str]) -> None:
    talk = Talk()
    talk.open()
    driver = talk.driver
    for step in steps:
        match step:
            case "write":
                talk.written(b"0123456789" * 20)
            case "drain":
                talk.call(driver.tcdrain())
            case "attr":
                talk.call(driver.tcsetattr(bytes.fromhex("06 03 01 01 00 00 01 01"), drain=True))
            case "fast":
                talk.call(driver.tcsetattr(bytes.fromhex("ff 03 01 00 01 01 00 00"), 100000))
            case "lines":
                talk.call(driver.tiocmset(dtr=False, rts=True))
            case "break":
                talk.call(driver.tcsendbreak())
            case "flush":
                talk.call(driver.tcflush())
            case "news":
                talk.change(talk.line.lines ^ CD, UartCounters(breaks=1))
            case "pause":
                talk.run(0.05)
    assert talk.call(driver.close()) == ""
    assert not driver.faults
