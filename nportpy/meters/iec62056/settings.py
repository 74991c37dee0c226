"""How an IEC 62056-21 meter is reached, and how it is read: frozen, parsed once by those above. Times are seconds.

Source: IEC 62056-21:2002; field reports are named where a setting exists because of them. Tags of a station name
values by EDIS or OBIS code in any form of `protocols/iec62056/codes.py`, or by the text that the meter prints.
"""

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum

from nportpy.protocols.iec62056.identification import PUSH_BAUDRATE, SIGN_ON_BAUDRATE
from nportpy.protocols.iec62056.messages import Command, command, sign_on


class Reading(StrEnum):
    """How values are fetched.

    Attributes:
        READOUT: the meter is asked for its readout, which holds what the meter was told to put there (modes A-C, E).
        PROGRAMMING: each register by its address, in the programming mode (R1), where the readout lacks it.
        LISTEN: the meter sends its readout by itself (mode D).
    """

    READOUT = "readout"
    PROGRAMMING = "programming"
    LISTEN = "listen"


@dataclass(frozen=True, slots=True)
class Iec62056Settings:
    """How a meter is reached and read. The defaults are those of an optical head or current loop with one meter.

    Attributes:
        device: the meter's device address, often its serial number; empty: any. On a bus of several meters it has to
            be given, as all answer otherwise.
        reading: how values are fetched.
        baudrate: at which the conversation begins; 0: 300, and 2400 where the meter sends by itself.
        highest: the highest speed to go to, though the meter offers more; 300: stay there, the safest.
        software_parity: the port is fixed at 8N1: parity is computed and checked here. A port that refuses 7E1 is
            found out without it.
        password: sent as P1, by `programming` alone; from a file or the environment, never shown. Empty: none is sent.
        wake_up: begin with 2.2 s of NUL characters and a pause of 1.6 s, for meters on a battery.
        check: go by block check characters; some meters have them wrong.
        reaction: pause before each message of ours; 0: as the meter's identification says, 0.2 or 0.02.
        delay_before: a further pause before the acknowledgement that changes the speed, for slow adapters.
        delay_after: between the end of that acknowledgement and our own change of speed, for adapters and gateways
            that hold bytes in buffers. The meter begins 0.2 s after it at the earliest, or 0.02 s.
        response: until an answer begins.
        gap: silence that ends a message.
        identify: until an identification begins, after the sign-on.
        tries: of the sign-on.
        inactivity: after which a meter forgets a session that was not ended. Waited for when it stays silent to a
            sign-on after such a one.
        pause: between a session that failed after the change of speed and the next one, at a lower speed.
        listen: how long a meter that sends by itself is waited for.
        size: bytes that a readout may have, as far as the time is reckoned for which the line is held.
        zone: where the meter's clock lives, for stamps.
        season: profile requests have the season's digit before their stamps (VDEW).
        profile_command: R5, or R6 for meters that send profiles in parts.
    """

    device: str = ""
    reading: Reading = Reading.READOUT
    baudrate: int = 0
    highest: int = 38400
    software_parity: bool = False
    password: str = field(default="", repr=False)
    wake_up: bool = False
    check: bool = True
    reaction: float = 0.0
    delay_before: float = 0.0
    delay_after: float = 0.0
    response: float = 2.5
    gap: float = 1.5
    identify: float = 2.5
    tries: int = 3
    inactivity: float = 120.0
    pause: float = 15.0
    listen: float = 60.0
    size: int = 8192
    zone: tzinfo = UTC
    season: bool = True
    profile_command: Command = Command.READ_PROFILE

    def __post_init__(self) -> None:
        """Refuse what no meter can be reached by.

        Raises:
            ValueError: which, and what would be right; a password is not in it.
        """
        sign_on(self.device)
        try:
            command(Command.PASSWORD, "", self.password)
        except ValueError:
            raise ValueError("the password has characters that IEC 62056-21 does not carry: ( ) / ! *") from None
        if not 1 <= self.tries <= 10:
            raise ValueError(f"tries {self.tries} is not in 1..10")
        if self.baudrate < 0 or self.highest < SIGN_ON_BAUDRATE:
            raise ValueError("speeds are 300 baud at least")
        if self.profile_command not in (Command.READ_PROFILE, Command.READ_PROFILE_PART):
            raise ValueError(f"profiles are read by R5 or R6, not {self.profile_command}")

    @property
    def first_baudrate(self) -> int:
        """At which the conversation begins."""
        return self.baudrate or (PUSH_BAUDRATE if self.reading is Reading.LISTEN else SIGN_ON_BAUDRATE)

    @property
    def hold(self) -> float:
        """For how long the line may be held: the worst that can be. Between two sessions it is given way.

        A readout of `size` bytes at 300 baud, four times because of bad checks (8 KB: 273 s each); the sign-on's tries
        before each of three sessions at falling speeds; a meter that has to forget a session first.
        """
        readout = self.size * 10 / SIGN_ON_BAUDRATE + self.response + self.gap
        opening = self.tries * (self.identify + self.gap + 2) + 4.0
        return 4 * readout + 4 * (opening + self.pause) + 2 * self.inactivity + self.listen
