"""AT commands: what a modem says and does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.at import (
    LONGEST_LINE,
    Answer,
    AtModem,
    Data,
    Dial,
    Event,
    GiveUp,
    HangUp,
    Result,
    State,
    check_init,
    place_of,
)


class Terminal:
    """Somebody who types, on a clock of his own."""

    def __init__(self, init: str = "E0") -> None:
        self.modem = AtModem(init=init, about="us")
        self.modem.speed = 9600
        self.now = 100.0

    def types(self, text: str, *, after: float = 0.0) -> list[Event]:
        self.now += after
        return self.modem.feed(text.encode("latin-1"), self.now)

    def waits(self, seconds: float) -> list[Event]:
        """Time passes, and whatever it brings."""
        end = self.now + seconds
        events: list[Event] = []
        while (deadline := self.modem.deadline()) is not None and deadline <= end:
            self.now = deadline
            events += self.modem.expire(self.now)
        self.now = end
        return events

    def is_in(self, state: State) -> bool:
        return self.modem.state is state

    def sees(self) -> str:
        return self.modem.take_output().decode("ascii")

    def is_told(self, text: str) -> str:
        """The answer to a command that leads to nothing else."""
        assert self.types(text) == []
        return self.sees()

    def online(self) -> None:
        self.types("ATD h\r")
        self.modem.connected(self.now)
        assert self.modem.state is State.ONLINE
        self.sees()


OK, ERROR, NO_CARRIER = "\r\nOK\r\n", "\r\nERROR\r\n", "\r\nNO CARRIER\r\n"


@pytest.mark.parametrize(
    "command",
    [
        *("AT", "at", "aT", "AT E0V1Q0", "ATE0 V1 X4 &C1&D2 S0=0", "ATS7=60S12=20", "ATL1M0", "ATN1W2", "ATP", "ATT"),
        *("AT&K3\\N3%C0", "ATZ", "ATZ0 nonsense", "AT&F", "AT&W", "ATH", "ATH0", "ATH1", "ATX", "ATS0=", "xxAT", "AAT"),
        *("\x80\xff\0AT", "A A T AT"),
    ],
)
def test_commands_that_are_taken(command: str) -> None:
    assert Terminal().is_told(command + "\r") == OK


@pytest.mark.parametrize(
    "command",
    [
        *("ATC", "ATE2", "ATV9", "ATX5", "AT&C2", "AT&D4", "ATS100=1", "ATS0=256", "ATS", "ATS0", "AT+MS=1", "AT?"),
        *("AT&", "AT1", "ATD", "ATDT", "ATD;", "ATV1J", "AT\\", "ATI99"),
    ],
)
def test_commands_that_are_not(command: str) -> None:
    assert Terminal().is_told(command + "\r").endswith(ERROR)


@pytest.mark.parametrize("noise", ["", "\r", "hello\r", "A\r", "T\r", "ATZ", "OK\r", "RING\r\n", "A/", "BAT"])
def test_what_is_no_command_line_has_no_answer(noise: str) -> None:
    assert Terminal().is_told(noise) in ("", OK if noise == "A/" else "")


def test_commands_up_to_the_wrong_one_are_obeyed() -> None:
    terminal = Terminal()
    assert terminal.is_told("ATS7=9 E7 S7=5\r") == ERROR
    assert terminal.is_told("ATS7?\r") == "\r\n009\r\n" + OK


def test_echo() -> None:
    terminal = Terminal("")
    assert terminal.is_told("ATx\b\r") == "ATx\b\r" + OK
    assert terminal.is_told("ATE0\r") == "ATE0\r" + OK
    assert terminal.is_told("ATE1\r") == OK
    assert terminal.is_told("garbage") == "garbage"


def test_codes_as_numbers_and_none() -> None:
    terminal = Terminal()
    assert terminal.is_told("ATV0\r") == "0\r"
    assert terminal.is_told("ATE9\r") == "4\r"
    assert terminal.is_told("ATS7?\r") == "003\r\n0\r"
    assert terminal.is_told("ATQ1\r") == ""
    assert terminal.is_told("ATE9\r") == ""
    assert terminal.is_told("ATQ0V1\r") == OK


def test_backspace_takes_the_last_character_back() -> None:
    terminal = Terminal()
    assert terminal.is_told("ATE9\b\b\b\bS7?\r") == "\r\n003\r\n" + OK


def test_registers() -> None:
    terminal = Terminal()
    assert [terminal.is_told(f"ATS{n}?\r")[2:5] for n in range(13)] == [
        *("000", "000", "043", "013", "010", "008", "002", "003", "002", "006", "014", "100", "050")
    ]
    assert terminal.is_told("ATS3=64S4=36\r") == "@$OK@$"
    assert terminal.is_told("ATS3=13@") == "\r$OK\r$"


def test_information() -> None:
    terminal = Terminal()
    assert terminal.is_told("ATI\r") == "\r\nus\r\n" + OK
    assert terminal.is_told("AT&V\r").startswith("\r\nE0 Q0 V1 X4 &C1 &D2\r\n\r\nS0=0 ")


def test_what_is_kept_and_what_is_not() -> None:
    terminal = Terminal("E0S0=3")
    assert terminal.is_told("ATS0=1S7=9\r") == OK
    assert terminal.is_told("ATZ\r") == OK
    assert terminal.is_told("ATS0?S7?\r") == "\r\n003\r\n\r\n003\r\n" + OK
    assert terminal.is_told("ATS0=1&W\r") == OK
    assert terminal.is_told("ATS0=2\r") == OK
    assert terminal.is_told("ATZ\r") == OK
    assert terminal.is_told("ATS0?\r") == "\r\n001\r\n" + OK
    assert terminal.is_told("AT&FS0?\r") == "\r\n003\r\n" + OK


def test_once_again() -> None:
    terminal = Terminal("")
    assert terminal.is_told("ATS7?\r") == "ATS7?\r\r\n003\r\n" + OK
    assert terminal.is_told("A/") == "A/\r\n003\r\n" + OK
    assert terminal.is_told("a/") == "a/\r\n003\r\n" + OK


@pytest.mark.parametrize("init", ["", "E0", "E0 S0=1 &C0", "q1v0x0&d0\\N3"])
def test_initial_commands(init: str) -> None:
    check_init(init)


@pytest.mark.parametrize("init", ["ATE0", "E7", "D1", "A", "Z", "H", "I", "S0?", "S0", "+", "&F", "O", "?"])
def test_commands_that_set_nothing_are_no_initial_ones(init: str) -> None:
    with pytest.raises(ValueError, match="sets nothing"):
        check_init(init)


# Dialling.


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("ATD192.0.2.1:4001", "192.0.2.1:4001"),
        ("ATDT 192.0.2.1:4001", "192.0.2.1:4001"),
        ("atdpPi-07.Example:23 ", "Pi-07.Example:23"),
        ("ATD terminal:1", "terminal:1"),
        ("ATE0S7=3D+49 (0) 555-1234;", "+49 (0) 555-1234"),
        ("ATDT[2001:db8::1]:4001", "[2001:db8::1]:4001"),
    ],
)
def test_a_number_is_dialled(command: str, number: str) -> None:
    terminal = Terminal()
    assert terminal.types(command + "\r\n") == [Dial(number, 3.0)]
    assert terminal.sees() == ""
    assert terminal.is_in(State.DIALLING)
    assert not terminal.modem.carrier
    terminal.modem.connected(terminal.now)
    assert terminal.sees() == "\r\nCONNECT 9600\r\n"
    assert terminal.modem.carrier


@pytest.mark.parametrize(
    ("setting", "codes"),
    [
        ("X4", (NO_CARRIER, "\r\nBUSY\r\n", "\r\nNO ANSWER\r\n", ERROR)),
        ("X1", (NO_CARRIER, NO_CARRIER, "\r\nNO ANSWER\r\n", ERROR)),
        ("X0", (NO_CARRIER, NO_CARRIER, NO_CARRIER, ERROR)),
        ("V0", ("3\r", "7\r", "8\r", "4\r")),
        ("Q1", ("", "", "", "")),
    ],
)
def test_a_call_that_fails(setting: str, codes: tuple[str, ...]) -> None:
    terminal = Terminal("E0" + setting)
    results = (Result.NO_CARRIER, Result.BUSY, Result.NO_ANSWER, Result.ERROR)
    for result, code in zip(results, codes, strict=True):
        assert terminal.types("ATD1\r") == [Dial("1", 3.0)]
        terminal.modem.failed(result)
        assert terminal.sees() == code
        assert terminal.is_in(State.IDLE)


@pytest.mark.parametrize(
    ("setting", "code"), [("X0", "\r\nCONNECT\r\n"), ("X1", "\r\nCONNECT 9600\r\n"), ("V0", "1\r")]
)
def test_a_call_that_is_answered(setting: str, code: str) -> None:
    terminal = Terminal("E0" + setting)
    terminal.types("ATD1\r")
    terminal.modem.connected(terminal.now)
    assert terminal.sees() == code


def test_any_character_gives_a_call_up() -> None:
    terminal = Terminal()
    assert terminal.types("ATD1\r\r\n \0") == [Dial("1", 3.0)]
    assert terminal.types("x") == [GiveUp()]
    assert terminal.sees() == NO_CARRIER
    terminal.modem.connected(terminal.now)
    terminal.modem.failed(Result.BUSY)
    assert terminal.sees() == ""
    assert terminal.is_in(State.IDLE)


def test_places() -> None:
    assert place_of("192.0.2.1:23", 4001) == ("192.0.2.1", 23)
    assert place_of("pi-07.example", 4001) == ("pi-07.example", 4001)
    assert place_of("[2001:db8::1]:23", 4001) == ("2001:db8::1", 23)
    assert place_of("[fe80::1%eth0]", 4001) == ("fe80::1%eth0", 4001)
    assert place_of("2001:db8::1", 4001) == ("2001:db8::1", 4001)
    for number in ("", ":23", "host:", "host:0", "host:65536", "host:x", "a b", "[::1", "host:1:2:x", "h/x"):
        assert place_of(number, 4001) is None


# Calls that come in.


def test_a_call_rings_three_times_and_is_refused() -> None:
    terminal = Terminal()
    assert terminal.modem.called(terminal.now) == []
    assert terminal.sees() == "\r\nRING\r\n"
    assert terminal.waits(2.4) == []
    assert terminal.sees() == "\r\nRING\r\n" * 2
    assert terminal.is_told("ATS1?\r") == "\r\n003\r\n" + OK
    assert terminal.waits(0.2) == [HangUp()]
    assert terminal.sees() == ""
    assert terminal.modem.deadline() is None
    assert terminal.is_told("ATA\r") == NO_CARRIER


def test_a_call_is_answered_by_hand() -> None:
    terminal = Terminal()
    terminal.modem.called(terminal.now)
    terminal.sees()
    assert terminal.types("ATAx\rhello") == [Answer(), Data(b"hello")]
    assert terminal.sees() == "\r\nCONNECT 9600\r\n"
    assert terminal.modem.deadline() is None


def test_a_call_is_answered_by_itself() -> None:
    terminal = Terminal("E0S0=1")
    assert terminal.modem.called(terminal.now) == [Answer()]
    assert terminal.sees() == "\r\nRING\r\n\r\nCONNECT 9600\r\n"
    terminal = Terminal("E0S0=5")
    assert terminal.modem.called(terminal.now) == []
    assert terminal.waits(3.9) == []
    assert terminal.waits(0.2) == [Answer()]
    assert terminal.sees() == "\r\nRING\r\n" * 5 + "\r\nCONNECT 9600\r\n"


def test_a_caller_who_gives_up_is_no_longer_told_of() -> None:
    terminal = Terminal()
    terminal.modem.called(terminal.now)
    terminal.sees()
    assert terminal.is_told("ATD1\r") == NO_CARRIER
    terminal.modem.lost()
    assert terminal.waits(5) == []
    assert terminal.sees() == ""
    assert terminal.is_told("ATA\r") == NO_CARRIER


# Online.


def test_bytes_go_to_the_call_as_they_are() -> None:
    terminal = Terminal()
    terminal.online()
    everything = bytes(range(256)).decode("latin-1")
    assert terminal.types(everything + "ATH\r") == [Data((everything + "ATH\r").encode("latin-1"))]
    assert terminal.types("+++", after=0.5) == [Data(b"+++")]
    assert terminal.waits(5) == []
    assert terminal.is_in(State.ONLINE)


@pytest.mark.parametrize("pieces", [["+++"], ["+", "+", "+"], ["++", "+"]])
def test_the_escape_comes_between_silences(pieces: list[str]) -> None:
    terminal = Terminal()
    terminal.online()
    terminal.types("data")
    assert terminal.types(pieces[0], after=1.1) == [Data(pieces[0].encode())]
    for piece in pieces[1:]:
        terminal.types(piece, after=0.3)
    assert terminal.waits(0.9) == []
    assert terminal.is_in(State.ONLINE)
    assert terminal.waits(0.2) == []
    assert terminal.sees() == OK
    assert terminal.is_in(State.ESCAPED)
    assert terminal.modem.carrier
    assert terminal.types("ATO\rmore") == [Data(b"more")]
    assert terminal.sees() == "\r\nCONNECT 9600\r\n"


@pytest.mark.parametrize(
    ("before", "pieces"),
    [(0.9, ["+++"]), (1.1, ["++++"]), (1.1, ["+++", "+"]), (1.1, ["++", "x", "+"]), (1.1, ["+++x"]), (1.1, ["++"])],
)
def test_what_is_no_escape(before: float, pieces: list[str]) -> None:
    terminal = Terminal()
    terminal.online()
    terminal.types("data")
    terminal.now += before
    for piece in pieces:
        terminal.types(piece, after=0.01)
    assert terminal.waits(5) == []
    assert terminal.is_in(State.ONLINE)


def test_the_escape_comes_in_quick_succession() -> None:
    terminal = Terminal()
    terminal.online()
    for _ in range(3):
        terminal.types("+", after=1.1)
    terminal.waits(5)
    assert terminal.is_in(State.ONLINE)


def test_another_escape_character_another_guard_or_none() -> None:
    terminal = Terminal("E0S2=47S12=100")
    terminal.online()
    terminal.types("+++", after=5)
    terminal.types("///", after=2.1)
    terminal.waits(1.9)
    assert terminal.is_in(State.ONLINE)
    terminal.waits(0.2)
    assert terminal.is_in(State.ESCAPED)
    terminal = Terminal("E0S2=128")
    terminal.online()
    terminal.types("\x80\x80\x80", after=5)
    terminal.waits(5)
    assert terminal.is_in(State.ONLINE)
    terminal = Terminal("E0S12=0")
    terminal.online()
    terminal.types("x+++")
    terminal.types("+++")
    terminal.waits(0)
    assert terminal.is_in(State.ESCAPED)


def escaped() -> Terminal:
    terminal = Terminal()
    terminal.online()
    terminal.types("+++", after=2)
    terminal.waits(2)
    assert terminal.sees() == OK
    return terminal


def test_hanging_up() -> None:
    for command, told in (("ATH", NO_CARRIER + OK), ("ATZ", OK), ("ATHE0", NO_CARRIER + OK)):
        terminal = escaped()
        assert terminal.types(command + "\r") == [HangUp()]
        assert terminal.sees() == told
        assert not terminal.modem.carrier
        assert terminal.is_told("ATO\r") == NO_CARRIER
    assert escaped().is_told("ATD1\r") == ERROR
    assert escaped().is_told("ATA\r") == NO_CARRIER


def test_the_other_side_hangs_up() -> None:
    for terminal in (escaped(), Terminal()):
        if terminal.is_in(State.IDLE):
            terminal.online()
        terminal.modem.lost()
        assert terminal.sees() == NO_CARRIER
        assert terminal.is_in(State.IDLE)
        terminal.modem.lost()
        assert terminal.sees() == ""


def test_the_terminal_drops_dtr() -> None:
    for wish, state, events, told in (
        (0, State.ONLINE, [], ""),
        (1, State.ESCAPED, [], OK),
        (2, State.IDLE, [HangUp()], NO_CARRIER),
        (3, State.IDLE, [HangUp()], NO_CARRIER),
    ):
        terminal = Terminal()
        terminal.types(f"AT&D{wish}S7=9\r")
        terminal.online()
        assert terminal.modem.terminal_gone() == events
        assert terminal.is_in(state)
        assert terminal.sees() == told
        if wish == 3:
            assert terminal.is_told("ATS7?\r") == "\r\n003\r\n" + OK
    terminal = Terminal()
    assert terminal.modem.terminal_gone() == []
    terminal.types("ATD1\r")
    assert terminal.modem.terminal_gone() == [GiveUp()]


def test_carrier_that_is_always_shown() -> None:
    terminal = Terminal("E0&C0")
    assert terminal.modem.carrier


def test_a_terminal_that_was_pulled_out() -> None:
    terminal = Terminal()
    assert terminal.modem.reset() == []
    terminal.types("ATE")
    terminal.modem.called(terminal.now)
    assert terminal.modem.reset() == [HangUp()]
    terminal.sees()
    assert terminal.is_told("9\rAT\r") == OK
    terminal.types("ATD1\r")
    assert terminal.modem.reset() == [GiveUp()]
    terminal.online()
    assert terminal.modem.reset() == [HangUp()]
    assert terminal.sees() == ""


# Garbage.


def test_an_endless_line_is_an_error_and_takes_no_memory() -> None:
    terminal = Terminal()
    terminal.types("AT" + "E" * 100_000)
    assert len(terminal.modem._line) == LONGEST_LINE
    assert terminal.is_told("\r") == ERROR
    assert terminal.is_told("AT\r") == OK


_PIECES = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=10),
    st.sampled_from(
        ("AT", "A/", "\r", "ATD1\r", "ATA\r", "+++", "ATH\r", "ATO\r", "S0=1", "&F", "Z", "E1", "ATQ0V1\r")
    ),
    st.sampled_from(("called", "connected", "failed", "lost", "gone", "reset", "wait")),
)


@given(st.lists(_PIECES, max_size=40))
def test_nothing_brings_it_out_of_its_states(pieces: list[str]) -> None:
    terminal = Terminal()
    modem = terminal.modem
    calls = 0  # those that its user would have
    for piece in pieces:
        events: list[Event] = []
        before = modem.state
        match piece:
            case "called" if modem.state is State.IDLE and not modem.ringing:
                calls += 1
                events = modem.called(terminal.now)
            case "connected":
                calls += modem.state is State.DIALLING
                modem.connected(terminal.now)
            case "failed":
                modem.failed(Result.NO_ANSWER)
            case "lost":
                calls = 0
                modem.lost()
            case "gone":
                events = modem.terminal_gone()
            case "reset":
                events = modem.reset()
            case "wait":
                events = terminal.waits(1.5)
            case text:
                events = terminal.types(text)
        calls -= sum(isinstance(event, HangUp) for event in events)
        assert calls == (modem.ringing or modem.state in (State.ONLINE, State.ESCAPED)), (before, piece)
        assert len(modem.take_output()) < 2000
    modem.reset()
    terminal.types("\r")
    terminal.sees()
    terminal.types("AT&F\r")
    assert OK in terminal.sees() or modem.state is not State.IDLE or modem._registers[3] != 13


_TYPED = st.sampled_from(("AT", "E0", "V0", "S7?", "\r", "\b", "Z", "D1", "x", "A/", "&V", "\n"))


@given(st.lists(_TYPED, max_size=30), st.lists(st.integers(0, 60), max_size=4))
def test_any_split_of_what_is_typed_means_the_same(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    whole, split = Terminal(""), Terminal("")
    events = whole.types(text)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    assert [event for a, b in pairwise(bounds) for event in split.types(text[a:b])] == events
    assert split.sees() == whole.sees()
