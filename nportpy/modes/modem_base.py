"""What a modem is told, apart from what plays it."""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.network.addresses import Destination
from nportpy.network.service import ServiceSettings


class Carrier(StrEnum):
    """Which of our outputs plays a modem's DCD: a serial port has only inputs of that name."""

    DTR = "dtr"  # a null-modem cable leads it to the terminal's DSR, and mostly to its DCD, too
    RTS = "rts"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Number:
    """What may be dialled instead of host and port, by programs that know telephone numbers only.

    Attributes:
        dialled: the number: digits, `*` and `#`.
        to: who is called.
    """

    dialled: str
    to: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemSettings(ServiceSettings):
    """A modem. `max_clients`, `half_close`, `packing` and `direction` mean nothing here.

    There is one call at a time, and it ends when the other side says that it will send no more.

    Attributes:
        listen: where calls come in; nowhere if empty: then it only dials.
        default_port: the TCP port that is called if none was dialled.
        numbers: the telephone book.
        init: AT commands without the AT, such as `E0S0=1`, done at the start, at ATZ and at AT&F: what the modem is
            like if nobody says anything else. Otherwise it is as an NPort is: E1 Q0 V1 &C1 &D2, S0=0 (a call must be
            answered by ATA), S7=3 (seconds that an attempt to call may take), S12=50 (a second around `+++`).
        answer_time: with S0=0: how long a call rings.
        ring_every: how long it is from one RING to the next.
        carrier: the output that plays DCD. A program that hangs up by DTR has it at our DSR input.
    """

    default_port: int = 4001
    numbers: tuple[Number, ...] = ()
    init: str = ""
    answer_time: float = 2.5
    ring_every: float = 1.0
    carrier: Carrier = Carrier.DTR
