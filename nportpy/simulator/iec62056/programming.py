"""Programming mode: passwords, reading and writing single values, load profiles, the break.

Source: IEC 62056-21, 5.9 and 6.5. What the errors' numbers mean is the maker's.
"""

import re

from nportpy.simulator.iec62056.contents import Registers
from nportpy.simulator.iec62056.messages import ACK, EOT, ETX, NAK, Command, block
from nportpy.simulator.iec62056.profile import Profile
from nportpy.simulator.iec62056.settings import MeterSettings

Reply = bytes

NO_ACCESS = "(ER01)"
UNKNOWN = "(ER02)"
UNSUPPORTED = "(ER03)"
NO_DATA = "(ER04)"

_OPERAND = re.compile(r"([^()]*)\((.*)\)")


class Programming:
    """A meter's programming mode."""

    def __init__(self, settings: MeterSettings, registers: Registers, profile: Profile) -> None:
        """Of a meter with those settings and contents."""
        self._settings = settings
        self._registers = registers
        self._profile = profile
        self._trusted = False
        self._blocked_until = float("-inf")
        self._blocks: list[str] = []  # of a partial read, those to come

    def begin(self) -> None:
        """A session begins: nobody has given a password."""
        self._trusted = False
        self._blocks = []

    def obey(self, asked: Command, now: float) -> Reply | None:
        """The answer to a command; None: the session is over."""
        if not asked.good:
            return bytes((NAK,))
        self._blocks = []
        if asked.name == "B0":
            return None
        match = _OPERAND.fullmatch(asked.text)
        code, operand = match.groups() if match else (asked.text, "")
        match asked.name:
            case "P1" | "P2":
                return self._trust(asked.name, operand, now)
            case "R1" | "R2" | "R3" | "R4" | "R5" | "R6" if not self._trusted and self._settings.password:
                return block(NO_ACCESS)
            case "W1" | "W2" | "W3" | "W4" | "W5" | "E2" if not self._trusted:
                return block(NO_ACCESS)
            case "R5" | "R6" if code == self._profile.name:
                return self._read_profile(operand, partial=asked.name == "R6")
            case "R1" | "R2" | "R5":
                return self._read(code)
            case "W1" | "W2" | "W5":
                return bytes((ACK,)) if self._registers.write(code, f"({operand})") else block(UNKNOWN)
        return block(UNSUPPORTED)

    def go_on(self) -> Reply | None:
        """The last partial block was good: the next one, if there is one."""
        return self._next() if self._blocks else None

    def _trust(self, name: str, operand: str, now: float) -> Reply:
        """A password, or for P2 the result of the maker's algorithm. A wrong one locks for a while."""
        mine = self._settings
        expected = mine.password if name == "P1" else mine.algorithm(mine.operand)
        right = operand == expected or (name == "P1" and not mine.password)
        if right and now >= self._blocked_until:
            self._trusted = True
            return bytes((ACK,))
        self._trusted = False
        if not right:
            self._blocked_until = now + mine.blocked
        return block(NO_ACCESS)

    def _read(self, code: str) -> Reply:
        values = self._registers.read(code)
        if values is None:
            return block(UNKNOWN)
        return block((code if self._settings.repeats_code else "") + values)

    def _read_profile(self, operand: str, *, partial: bool) -> Reply:
        first, _, last = operand.partition(";")
        try:
            lines = self._profile.lines(first, last)
        except ValueError:
            return block(UNKNOWN)
        if not lines:
            return block(NO_DATA)
        size = self._settings.block_lines if partial else len(lines)
        pieces = (lines[start : start + size] for start in range(0, len(lines), size))
        self._blocks = ["".join(f"{line}\r\n" for line in piece) for piece in pieces]
        return self._next()

    def _next(self) -> Reply:
        text = self._blocks.pop(0)
        return block(text, EOT if self._blocks else ETX)
