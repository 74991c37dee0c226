"""What a simulated meter of IEC 62056-21 is like."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from nportpy.simulator.iec62056.messages import SPEEDS, SPEEDS_B


class Mode(StrEnum):
    """The protocol mode (6.4). Mode E is C with an identification that has more to offer."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


class Confirm(StrEnum):
    """Where a meter of mode E confirms the change to HDLC with the six characters that it heard."""

    NO = "no"
    BEFORE = "before"  # at 300
    AFTER = "after"  # at the new speed


def reversed_operand(operand: str) -> str:
    """What P2 must say here: as W9 and W11 have it, the operand backwards."""
    return operand[::-1]


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """One meter.

    Attributes:
        address: its device address; a sign-on without one is answered, too.
        maker: three letters; the last one in lower case: it answers after 20 ms.
        text: of the identification.
        mode: A, B, C or D.
        speed: the character that stands for the speed in mode B or C.
        enhanced: announces HDLC.
        confirm: how it confirms the change.
        password: of P1; empty: reading needs none, and any will do.
        operand: of P0.
        algorithm: what P2 must be for that operand.
        repeats_code: an answer to R1 names the code again.
        reaction: seconds until an answer; None: the shortest that is allowed.
        inactivity: seconds after which a session ends by itself.
        blocked: seconds for which a wrong password locks programming.
        patience: seconds that a meter of mode C waits for an acknowledgement before it sends its readout at 300.
        wakes: has a battery, and must be woken by two seconds of NUL.
        every: seconds between two messages of mode D; 0: only when its button is pressed.
        strict: does not hear what comes earlier than the reaction time allows.
        block_lines: lines of a partial block, as R6 reads them.
    """

    address: str = "12345678"
    maker: str = "SIM"
    text: str = "4071"
    mode: Mode = Mode.C
    speed: str = "5"
    enhanced: bool = False
    confirm: Confirm = Confirm.NO
    password: str = "00000000"  # noqa: S105 - what meters have from the factory
    operand: str = "12345678"
    algorithm: Callable[[str], str] = reversed_operand
    repeats_code: bool = False
    reaction: float | None = None
    inactivity: float = 60.0
    blocked: float = 60.0
    patience: float = 2.0
    wakes: bool = False
    every: float = 0.0
    strict: bool = False
    block_lines: int = 8

    def __post_init__(self) -> None:
        """Refuse what no such meter says.

        Raises:
            ValueError: the speed is none of its mode.
        """
        known = {Mode.B: SPEEDS_B, Mode.C: SPEEDS}.get(self.mode)
        if known and self.speed not in known:
            raise ValueError(f"{self.speed!r} is no speed of mode {self.mode}: " + ", ".join(known))

    @property
    def shortest_reaction(self) -> float:
        """Seconds between two messages at least (6.4.3.3)."""
        return 0.02 if self.maker[-1:].islower() else 0.2

    @property
    def answers_after(self) -> float:
        """Seconds until an answer."""
        return self.shortest_reaction if self.reaction is None else self.reaction

    @property
    def speed_character(self) -> str:
        """The character in the identification: of mode A it is none of the others', of mode D always 3."""
        return {Mode.A: " ", Mode.D: "3"}.get(self.mode, self.speed)
