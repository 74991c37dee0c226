r"""AT commands: a modem without its telephone line. Pure; time is an argument.

The commands are those of ITU-T V.250 (basic syntax, 5.3) that a dialler needs, the registers and their defaults an
NPort's (its user's manual, "Ethernet Modem Commands"); what a modem of copper does with the rest (speaker, tone or
pulse, modulation) is taken and does nothing, as initialisation strings are full of it.

    IDLE       no call: commands are taken; a call that comes in rings meanwhile
    DIALLING   ATD: until the call is there or has failed; any character gives it up
    ONLINE     the terminal's bytes go to the call; `+++` between two silences leads to ESCAPED
    ESCAPED    commands are taken while the call goes on; ATO leads back, ATH ends it

Whatever comes that is no command is dropped, at most a command line is kept.
"""

import re
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Final

LONGEST_LINE: Final = 300
"""Characters of a command line: a host's name has 253 at most (RFC 1035, 2.3.4)."""

_GUARD_UNIT = 0.02  # seconds, of register S12
_RING_COUNT, _ESCAPE, _CR, _LF, _BS, _WAIT, _GUARD = 1, 2, 3, 4, 5, 7, 12  # registers
_REGISTERS = {0: 0, 1: 0, 2: 43, 3: 13, 4: 10, 5: 8, 6: 2, 7: 3, 8: 2, 9: 6, 10: 14, 11: 100, 12: 50}
_SETTINGS = {"E": 1, "Q": 0, "V": 1, "X": 4, "&C": 1, "&D": 2}
_HIGHEST = {"E": 1, "Q": 1, "V": 1, "X": 4, "&C": 1, "&D": 3}
_NO_ACTION = frozenset(("B", "L", "M", "N", "P", "T", "W", "Y", "&B", "&G", "&H", "&I", "&K", "&L", "&M", "&N")) | {
    *("&P", "&Q", "&R", "&S", "&U", "&Y")
}
_TOKEN = re.compile(r"[Ss](\d{1,3})(=\d{0,3}|\?)|([&%\\]?[A-Za-z])(\d{0,3})")
_PLACE = re.compile(
    r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([\w.-]+))(?::(\d{1,5}))?|([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*)"
)


class State(Enum):
    """See above."""

    IDLE = auto()
    DIALLING = auto()
    ONLINE = auto()
    ESCAPED = auto()


class Result(IntEnum):
    """Result codes, as ATV0 shows them."""

    OK = 0
    CONNECT = 1
    RING = 2
    NO_CARRIER = 3
    ERROR = 4
    BUSY = 7
    NO_ANSWER = 8


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes for the call; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Dial:
    """Call somebody: `connected` or `failed` is to follow.

    Attributes:
        number: what was dialled, as it was written.
        limit: seconds that it may take.
    """

    number: str
    limit: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not call any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The call that rings is answered."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call, or refuse the one that rings."""


Event = Data | Dial | GiveUp | Answer | HangUp


def check_init(commands: str) -> None:
    """See whether `commands`, without the AT, may set a modem up.

    Raises:
        ValueError: one of them is unknown, or does more than to set something.
    """
    AtModem(init=commands)


def place_of(number: str, default_port: int) -> tuple[str, int] | None:
    """Host and port of a number such as `host:4001`, `192.0.2.1` or `[2001:db8::1]:4001`; None if it is none."""
    match = _PLACE.fullmatch(number)
    if match is None:
        return None
    bracketed, host, port, bare = match.groups()
    value = int(port) if port else default_port
    return (bracketed or host or bare, value) if 0 < value < 1 << 16 else None


class AtModem:
    """What a terminal on a serial line takes for a modem.

    `take_output` is for the terminal: write it after each call of anything here, and before any later data of the
    call.

    Attributes:
        state: see above.
        ringing: a call waits to be answered.
        speed: the terminal's, which CONNECT tells; 0: unknown.
    """

    def __init__(self, *, init: str = "", answer_time: float = 2.5, ring_every: float = 1.0, about: str = "") -> None:
        """Idle.

        Args:
            init: commands without the AT that make it what it is at the start, and after ATZ and AT&F.
            answer_time: seconds that a call rings if S0 does not answer it.
            ring_every: seconds from one RING to the next.
            about: what ATI says.

        Raises:
            ValueError: see `check_init`.
        """
        self.state = State.IDLE
        self.ringing = False
        self.speed = 0
        self._answer_time = answer_time
        self._ring_every = ring_every
        self._about = about
        self._output = bytearray()
        self._events: list[Event] = []
        self._line = bytearray()  # what was typed after AT
        self._heard = b""  # A, or AT and what follows is in `_line`
        self._overlong = False
        self._last = ""  # the last command line, for A/
        self._next_ring = 0.0
        self._ring_end: float | None = None
        self._last_data = 0.0  # when the terminal last sent something while online
        self._escapes = 0  # how many of the three have come
        self._settings, self._registers = dict(_SETTINGS), dict(_REGISTERS)
        self._set_up(init)
        self._factory = self._profile = (dict(self._settings), dict(self._registers))

    @property
    def carrier(self) -> bool:
        """What DCD shows (&C)."""
        return not self._settings["&C"] or self.state in (State.ONLINE, State.ESCAPED)

    def take_output(self) -> bytes:
        """What the terminal is to be told."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def deadline(self) -> float | None:
        """When to call `expire`; None: not at all."""
        if self.ringing:
            return self._next_ring if self._ring_end is None else min(self._next_ring, self._ring_end)
        if self.state is State.ONLINE and self._escapes == 3:
            return self._last_data + self._guard
        return None

    def expire(self, now: float) -> list[Event]:
        """Time has passed."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        if not self.ringing:
            self._escape()
        elif self._ring_end is not None and now >= self._ring_end:
            self.ringing = False
            self._events.append(HangUp())
        else:
            self._ring(now)
        return self._take_events()

    # What happens to calls.

    def called(self, now: float) -> list[Event]:
        """Somebody calls; only while `state` is IDLE and nobody else rings."""
        self.ringing = True
        self._registers[_RING_COUNT] = 0
        self._ring_end = None if self._registers[0] else now + self._answer_time
        self._ring(now)
        return self._take_events()

    def connected(self, now: float) -> None:
        """The call that was dialled is there."""
        if self.state is State.DIALLING:
            self._go_online(now)

    def failed(self, result: Result) -> None:
        """It is not: NO_CARRIER, BUSY, NO_ANSWER, or ERROR for what is no number."""
        if self.state is State.DIALLING:
            self.state = State.IDLE
            self._say(result)

    def lost(self) -> None:
        """The call was ended by the other side, or it has given up ringing."""
        self.ringing = False
        if self.state in (State.ONLINE, State.ESCAPED):
            self.state = State.IDLE
            self._say(Result.NO_CARRIER)

    def terminal_gone(self) -> list[Event]:
        """The terminal has dropped DTR (&D)."""
        wish = self._settings["&D"]
        if wish == 1 and self.state is State.ONLINE:
            self._escape()
        elif wish >= 2:
            if self.state is not State.IDLE:
                self._end_call()
                self._say(Result.NO_CARRIER)
            if wish == 3:
                self._load(self._profile)
        return self._take_events()

    def reset(self) -> list[Event]:
        """The terminal itself has gone: end everything, without a word, and forget what it had begun to say."""
        if self.ringing or self.state is not State.IDLE:
            self._end_call()
        self.ringing = False
        self._heard, self._overlong = b"", False
        self._line.clear()
        return self._take_events()

    def _ring(self, now: float) -> None:
        self._next_ring = now + self._ring_every
        self._registers[_RING_COUNT] += 1
        self._say(Result.RING)
        if 0 < self._registers[0] <= self._registers[_RING_COUNT]:
            self._answer(now)

    def _answer(self, now: float) -> None:
        self.ringing = False
        self._events.append(Answer())
        self._go_online(now)

    def _go_online(self, now: float) -> None:
        self.state = State.ONLINE
        self._last_data = now
        self._escapes = 0
        self._say(Result.CONNECT)

    def _escape(self) -> None:
        self.state = State.ESCAPED
        self._escapes = 0
        self._say(Result.OK)

    def _end_call(self) -> None:
        self._events.append(GiveUp() if self.state is State.DIALLING else HangUp())
        self.state = State.IDLE

    # From the terminal.

    def feed(self, data: bytes, now: float) -> list[Event]:
        """What the terminal sent. Takes any bytes."""
        position = 0
        while position < len(data):
            if self.state is State.ONLINE:
                self._take_data(data[position:], now)
                break
            octet = data[position]
            position += 1
            if self.state is State.DIALLING:
                if octet > 0x20:  # what programs send after CR gives nothing up
                    self._end_call()
                    self._say(Result.NO_CARRIER)
            else:
                self._take_character(octet, now)
        return self._take_events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    @property
    def _guard(self) -> float:
        return self._registers[_GUARD] * _GUARD_UNIT

    def _take_data(self, data: bytes, now: float) -> None:
        self._events.append(Data(data))
        silence, self._last_data = now - self._last_data, now
        escape = self._registers[_ESCAPE]
        if escape > 127 or data.count(escape) != len(data):
            self._escapes = 0
        elif self._escapes:  # in quick succession
            self._escapes = self._escapes + len(data) if silence < max(self._guard, _GUARD_UNIT) else 0
        else:
            self._escapes = len(data) if silence >= self._guard else 0
        if self._escapes > 3:
            self._escapes = 0

    def _take_character(self, octet: int, now: float) -> None:
        if self._settings["E"]:
            self._output.append(octet)
        if octet == self._registers[_CR]:
            self._take_line(now)
        elif self._heard == b"AT":
            if octet == self._registers[_BS]:
                if self._line:
                    self._line.pop()
            elif len(self._line) >= LONGEST_LINE:
                self._overlong = True
            elif 0x20 <= octet < 0x7F:
                self._line.append(octet)
        else:
            self._heard = _AFTER.get((self._heard, chr(octet).upper()), b"A" if octet in b"Aa" else b"")
            if self._heard == b"A/":
                self._heard = b""
                self._run(self._last, now)

    def _take_line(self, now: float) -> None:
        heard, line, overlong = self._heard, self._line.decode("ascii"), self._overlong
        self._heard, self._overlong = b"", False
        self._line.clear()
        if heard != b"AT":
            return
        if overlong:
            self._say(Result.ERROR)
            return
        self._last = line
        self._run(line, now)

    def _run(self, line: str, now: float) -> None:
        """Obey a command line, as far as it can be obeyed."""
        position = 0
        while position < len(line):
            if line[position] == " ":
                position += 1
                continue
            if line[position] in "Dd":
                self._dial(line[position + 1 :])
                return
            match = _TOKEN.match(line, position)
            if match is None:
                self._say(Result.ERROR)
                return
            position = match.end()
            name, number = (match[3] or "").upper(), int(match[4] or 0)
            if name in ("A", "O"):
                self._take_call(name, now)
                return
            if name == "Z":  # the rest of the line is lost with everything else (V.250, 6.1.1)
                if self.state is State.ESCAPED:
                    self._end_call()
                self._load(self._profile)
                break
            if name == "&F":
                self._load(self._factory)
            elif not (self._set(match) if name not in _DOING else self._do(name, number)):
                self._say(Result.ERROR)
                return
        self._say(Result.OK)

    def _take_call(self, name: str, now: float) -> None:
        if name == "O" and self.state is State.ESCAPED:
            self._go_online(now)
        elif name == "A" and self.ringing:
            self._answer(now)
        else:
            self._say(Result.NO_CARRIER)

    def _dial(self, rest: str) -> None:
        number = rest[1:] if rest[:1] in tuple("TtPp") else rest  # tone or pulse
        number = number.strip().rstrip(";")
        if self.state is not State.IDLE or not number:
            self._say(Result.ERROR)
        elif self.ringing:
            self._say(Result.NO_CARRIER)  # both called at once
        else:
            self.state = State.DIALLING
            self._events.append(Dial(number, float(max(self._registers[_WAIT], 1))))

    def _do(self, name: str, number: int) -> bool:
        """A command that does something at once and lets the line go on."""
        if name == "H":
            if self.state is State.ESCAPED:
                self._end_call()
                self._say(Result.NO_CARRIER)  # as an NPort does; OK follows
        elif name == "I":
            self._show(self._about)
        elif name == "&V":
            self._show(
                " ".join(f"{name}{value}" for name, value in self._settings.items()),
                " ".join(f"S{register}={value}" for register, value in sorted(self._registers.items())),
            )
        else:  # &W: until the program ends
            self._profile = (dict(self._settings), dict(self._registers))
        return number < 10

    def _load(self, profile: tuple[dict[str, int], dict[int, int]]) -> None:
        self._settings, self._registers = dict(profile[0]), dict(profile[1])

    def _set(self, match: re.Match[str]) -> bool:
        """A command that sets something, or shows a register; False if there is none such."""
        register, what, name, number = match.groups()
        if register is not None:
            return self._access(int(register), what)
        name = name.upper()
        value = int(number or 0)
        if name in _SETTINGS and value <= _HIGHEST[name]:
            self._settings[name] = value
            return True
        return name in _NO_ACTION or name[0] in "%\\"

    def _access(self, register: int, what: str) -> bool:
        value = int(what[1:] or 0) if what != "?" else 0
        if register > 99 or value > 255:
            return False
        if what == "?":
            self._show(f"{self._registers.get(register, 0):03}")
        else:
            self._registers[register] = value
        return True

    def _set_up(self, commands: str) -> None:
        position = 0
        text = commands.replace(" ", "")
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match[2] == "?" or not self._set(match):
                raise ValueError(f"{text[position:]!r} sets nothing")
            position = match.end()

    # To the terminal.

    def _say(self, result: Result) -> None:
        if self._settings["Q"]:
            return
        level = self._settings["X"]
        if (result is Result.BUSY and level < 3) or (result is Result.NO_ANSWER and not level):
            result = Result.NO_CARRIER
        if not self._settings["V"]:
            self._output += b"%d%c" % (result, self._registers[_CR])
        elif result is Result.CONNECT and level and self.speed:
            self._write(f"CONNECT {self.speed}")
        else:
            self._write(result.name.replace("_", " "))

    def _show(self, *lines: str) -> None:
        for line in lines:
            self._write(line)

    def _write(self, text: str) -> None:
        end = bytes((self._registers[_CR], self._registers[_LF]))
        self._output += (end if self._settings["V"] else b"") + text.encode("ascii", "replace") + end


_DOING = frozenset(("H", "I", "&V", "&W"))
_AFTER = {(b"A", "T"): b"AT", (b"A", "/"): b"A/"}
