"""A meter of IEC 62056-21: sign-on at 300 baud, readout, programming, modes A to D, and the way into HDLC.

asleep --NULs--> idle --sign-on--> identified --option--> read | programming | hdlc
read, programming, hdlc --end, or inactivity--> idle (asleep)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Protocol

from nportpy.linesettings import LineSettings
from nportpy.simulator.device import Answer, Device
from nportpy.simulator.iec62056.contents import LINES, PROFILE, Registers
from nportpy.simulator.iec62056.messages import (
    ACK,
    SPEEDS,
    SPEEDS_B,
    SPOILT,
    Acknowledge,
    Command,
    Heard,
    Option,
    Reader,
    Repeat,
    SignOn,
    command,
    identification,
    readout,
)
from nportpy.simulator.iec62056.profile import Profile
from nportpy.simulator.iec62056.programming import Programming, Reply
from nportpy.simulator.iec62056.settings import Confirm, MeterSettings, Mode
from nportpy.simulator.uart import received

CHARACTER_GAP = 1.5
"""Seconds between two characters of a message, at most (6.4.3.3)."""

HEARS_COMMANDS = 0.6
"""Seconds after the identification in which a meter of mode A or B hears whether programming begins."""

MAX_REPEATS = 3
"""Times that a message is sent again on NAK."""

FALLS_ASLEEP = 10.0
"""Seconds for which a meter with a battery stays awake after it was woken or spoken to."""

AWAKE_NULS, AWAKE_PAUSE = (2.0, 2.5), (1.4, 1.8)
"""Seconds of NUL that wake it, and of the pause behind them; 2.1 to 2.3 and 1.5 to 1.7, with a margin."""


class State(Enum):
    """Where a session is."""

    IDLE = auto()
    IDENTIFIED = auto()
    READ = auto()
    PROGRAMMING = auto()
    HDLC = auto()


class Kind(Enum):
    """What a message of the meter is: faults choose by it."""

    IDENTIFICATION = "identification"
    READOUT = "readout"
    OPERAND = "operand"
    ANSWER = "answer"


class Spoils(Protocol):
    """What goes wrong with a meter; `faults.py` has one."""

    @property
    def struck(self) -> int:
        """How often anything has."""

    def deaf(self) -> bool:
        """Whether the meter hears nothing of this message."""

    def speed(self, settings: MeterSettings, chosen: str) -> int | None:
        """The speed at which it goes on after `chosen` was acknowledged; None: that."""

    def answers(self, kind: Kind, answer: Answer) -> list[Answer]:
        """What is sent instead."""


class Meter:
    """A `TunedDevice`: one meter.

    Attributes:
        settings: what it is like.
        registers: what it holds.
        state: where the session is.
        counted: sign-ons, readouts, commands, wrong checks, what came too early, and the like.
    """

    def __init__(
        self,
        settings: MeterSettings | None = None,
        *,
        lines: Sequence[str] = LINES,
        profile: Profile = PROFILE,
        spoils: Spoils | None = None,
        hdlc: Device | None = None,
        started: float = 0.0,
    ) -> None:
        """A meter that holds `lines` and `profile`.

        Args:
            settings: what it is like.
            lines: of its readout.
            profile: its load profile.
            spoils: what goes wrong.
            hdlc: who answers after mode E has changed to HDLC; None: it answers with a readout instead.
            started: when it began, for mode D.
        """
        self.settings = settings or MeterSettings()
        self.registers = Registers(lines)
        self.state = State.IDLE
        self.counted: Counter[str] = Counter()
        self._spoils = spoils
        self._hdlc = hdlc
        self._programming = Programming(self.settings, self.registers, profile)
        self._reader = Reader()
        self._rest = LineSettings.parse(2400 if self.settings.mode is Mode.D else 300, "7E1")
        self._line = self._rest
        self._sent_until = float("-inf")
        self._heard_until = float("-inf")
        self._fresh = False  # nothing has been heard since the last message
        self._last: tuple[Kind, bytes] | None = None
        self._repeats = 0
        self._nuls: tuple[float, float] | None = None  # from when until when
        self._awake_until = float("-inf")
        self._deadline = started + self.settings.every if self.settings.every else None

    @property
    def line(self) -> LineSettings:
        """What its UART is set to."""
        return self._line

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Characters at its own speed."""
        return self.hear(data, self._line, now)

    def silence(self, now: float) -> Sequence[Answer]:  # noqa: ARG002 - messages end by their characters
        """Nothing."""
        return ()

    def deadline(self) -> float | None:
        """When its patience or the session ends, or it has something to say."""
        return self._deadline

    def counts(self) -> Mapping[str, int]:
        """What it has counted."""
        return {**self.counted, **({"struck": self._spoils.struck} if self._spoils else {})}

    def hear(self, data: bytes, sent: LineSettings, now: float) -> Sequence[Answer]:
        """Characters that were sent so."""
        begin = now - len(data) * sent.character_time
        if begin < self._sent_until - 1e-6:
            self.counted["talked_over"] += 1
            return ()
        if self._fresh:
            self._fresh = False
            early = begin < self._sent_until + self.settings.shortest_reaction - 1e-6
            self.counted["too_early"] += early
            if early and self.settings.strict:
                return ()
        if begin - self._heard_until > CHARACTER_GAP:
            self._reader.reset()
        self._heard_until = now
        heard, wrong = received(data, sent, self._line)
        if self.state is State.HDLC and self._hdlc:
            self._deadline = now + self.settings.inactivity
            return self._sent(self._hdlc.feed(heard, now), now) if heard else ()
        self.counted["spoilt_characters"] += len(wrong)
        heard = bytes(SPOILT if place in wrong else byte for place, byte in enumerate(heard))
        if not self._is_awake(heard, begin, now):
            return ()
        return [answer for message in self._reader.feed(heard) for answer in self._obey(message, now)]

    def expire(self, now: float) -> Sequence[Answer]:
        """Its deadline has come."""
        self._deadline = None
        if self.state is State.IDENTIFIED and self._reader.started and now - self._heard_until < CHARACTER_GAP:
            self._deadline = now + CHARACTER_GAP
            return ()
        if self.state is State.IDENTIFIED:
            return self._read(now, 0.0)
        if self.state is State.IDLE and self.settings.mode is Mode.D:
            return self.push(now)
        self._end()
        return ()

    def push(self, now: float) -> Sequence[Answer]:
        """The button is pressed: a message of mode D, which has neither STX nor check."""
        self._deadline = now + self.settings.every if self.settings.every else None
        text = "".join(f"{line}\r\n" for line in self.registers.lines)
        return self._say(Kind.READOUT, self._identification() + f"\r\n{text}!\r\n".encode(), now, 0.0)

    # What it does.

    def _obey(self, message: Heard, now: float) -> Sequence[Answer]:
        if self._spoils and self._spoils.deaf():
            return ()
        match message, self.state:
            case SignOn(address), State.IDLE | State.IDENTIFIED | State.READ if self.settings.mode is not Mode.D:
                return self._identify(now) if self._is_mine(address) else ()
            case Option() as option, State.IDENTIFIED:
                return self._choose(option, now)
            case Command() as asked, State.IDENTIFIED if self.settings.mode in (Mode.A, Mode.B):
                self._enter(State.PROGRAMMING)
                return self._program(asked, now)
            case Command() as asked, State.PROGRAMMING:
                return self._program(asked, now)
            case Repeat(), State.READ | State.PROGRAMMING:
                return self._repeat(now)
            case Acknowledge(), State.READ:
                self._end()
            case Acknowledge(), State.PROGRAMMING:
                return self._reply(self._programming.go_on(), now)
        return ()

    def _identify(self, now: float) -> Sequence[Answer]:
        self.counted["sign_ons"] += 1
        self._line = self._rest
        self._enter(State.IDENTIFIED)
        answers = self._say(Kind.IDENTIFICATION, self._identification(), now, self.settings.answers_after)
        if self.settings.mode is Mode.C:
            self._deadline = self._sent_until + self.settings.patience
        else:
            # What the tool may send instead has to have begun by then.
            self._deadline = self._sent_until + max(self.settings.answers_after, HEARS_COMMANDS)
        if self.settings.mode is Mode.B:
            self._tune(SPEEDS_B[self.settings.speed])
        return answers

    def _identification(self) -> bytes:
        mine = self.settings
        return identification(mine.maker, mine.speed_character, ("\\2" if mine.enhanced else "") + mine.text)

    def _choose(self, option: Option, now: float) -> Sequence[Answer]:
        """The tool chooses speed and mode; a speed above the one offered, or an unknown one, leaves 300."""
        mine = self.settings
        known = mine.mode is Mode.C and option.speed in SPEEDS and option.speed <= mine.speed
        before, speed = self._line, SPEEDS[option.speed] if known else 300
        spoilt = self._spoils.speed(mine, option.speed) if self._spoils else None
        speed = speed if spoilt is None else spoilt
        self._tune(speed)
        if option.mode == "1":
            self._enter(State.PROGRAMMING)
            self._programming.begin()
            return self._say(Kind.OPERAND, command("P0", f"({mine.operand})"), now, mine.answers_after)
        if option.protocol == "2" and option.mode == "2" and mine.enhanced and self._hdlc:
            self._enter(State.HDLC)
            self._deadline = now + mine.inactivity
            self._line = LineSettings.parse(speed, "8N1")
            return self._confirm(option, before, speed, now)
        return self._read(now, mine.answers_after)

    def _confirm(self, option: Option, before: LineSettings, speed: int, now: float) -> Sequence[Answer]:
        if self.settings.confirm is Confirm.NO:
            return ()
        after = self.settings.confirm is Confirm.AFTER
        sent = LineSettings.parse(speed, "7E1") if after else before
        data = bytes((ACK,)) + f"{option.protocol}{option.speed}{option.mode}\r\n".encode()
        return self._sent([Answer(data, self.settings.answers_after, settings=sent)], now)

    def _read(self, now: float, delay: float) -> Sequence[Answer]:
        self.counted["readouts"] += 1
        self._enter(State.READ)
        answers = self._say(Kind.READOUT, readout(self.registers.lines), now, delay)
        # Nobody has to acknowledge it: after the longest reaction time it is over.
        self._deadline = self._sent_until + CHARACTER_GAP + 0.5
        return answers

    def _program(self, asked: Command, now: float) -> Sequence[Answer]:
        self.counted["commands"] += 1
        self.counted["wrong_checks"] += not asked.good
        reply = self._programming.obey(asked, now)
        if reply is None:
            self._end()
            return ()
        return self._reply(reply, now)

    def _reply(self, reply: Reply | None, now: float) -> Sequence[Answer]:
        return self._say(Kind.ANSWER, reply, now, self.settings.answers_after) if reply else ()

    def _repeat(self, now: float) -> Sequence[Answer]:
        self._repeats += 1
        if self._last is None or self._repeats > MAX_REPEATS:
            self._end()
            return ()
        self.counted["repeats"] += 1
        kind, data = self._last
        repeats = self._repeats
        answers = self._say(kind, data, now, self.settings.answers_after)
        self._repeats = repeats
        if self.state is State.READ:
            self._deadline = self._sent_until + CHARACTER_GAP + 0.5
        return answers

    def _say(self, kind: Kind, data: bytes, now: float, delay: float) -> Sequence[Answer]:
        self._last, self._repeats = (kind, data), 0
        answer = Answer(data, delay, settings=self._line)
        answers = self._spoils.answers(kind, answer) if self._spoils else [answer]
        sent = self._sent(answers, now)
        if self.state is State.PROGRAMMING:
            self._deadline = self._sent_until + self.settings.inactivity
        return sent

    def _sent(self, answers: Sequence[Answer], now: float) -> Sequence[Answer]:
        """These leave now; until the last has, it hears nothing."""
        tuned = [Answer(one.data, one.delay, one.sender, one.settings or self._line) for one in answers]
        for one in tuned:
            now += one.delay + len(one.data) * (one.settings or self._line).character_time
        if tuned:
            self._sent_until, self._fresh = now, True
        self._awake_until = now + FALLS_ASLEEP
        return tuned

    def _tune(self, speed: int) -> None:
        self._line = LineSettings.parse(speed, "7E1")

    def _enter(self, state: State) -> None:
        self.state = state
        self._deadline = None
        self._reader.options = state is State.IDENTIFIED
        self._reader.reset()

    def _end(self) -> None:
        """The session is over."""
        self._enter(State.IDLE)
        self._line = self._rest
        self._last = None

    def _is_mine(self, address: str) -> bool:
        return not address or address.lstrip("0") == self.settings.address.lstrip("0")

    def _is_awake(self, data: bytes, begin: float, now: float) -> bool:
        """Whether a meter with a battery hears: it counts the NULs that wake it."""
        if not self.settings.wakes or self.state is not State.IDLE or begin < self._awake_until:
            return True
        if not data.strip(b"\x00"):
            running = self._nuls and begin - self._nuls[1] < 0.1
            self._nuls = (self._nuls[0] if self._nuls and running else begin, now)
            return False
        if self._nuls:
            length, pause = self._nuls[1] - self._nuls[0], begin - self._nuls[1]
            self._nuls = None
            if AWAKE_NULS[0] <= length <= AWAKE_NULS[1] and AWAKE_PAUSE[0] <= pause <= AWAKE_PAUSE[1]:
                self._awake_until = now + FALLS_ASLEEP
                return True
        self.counted["asleep"] += 1
        return False
