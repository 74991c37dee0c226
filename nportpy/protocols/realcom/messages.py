"""What is said on the command connection of Real COM: commands, answers and notifications.

Values are kept as they came, even those without a meaning: what is well formed has to be answered.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag


class Op(IntEnum):
    """Opcodes."""

    SET_LINE = 0x10
    SET_FLOW = 0x11
    LINE_CONTROL = 0x12
    LINE_STATUS = 0x13
    FLUSH = 0x14
    INPUT_QUEUE = 0x15
    OUTPUT_QUEUE = 0x16
    SET_BAUDRATE = 0x17
    FLOW_CHARACTERS = 0x18
    START_BREAK = 0x21
    STOP_BREAK = 0x22
    START_NOTIFY = 0x24
    STOP_NOTIFY = 0x25
    NOTIFY = 0x26
    POLL = 0x27
    ALIVE = 0x28
    PORT_INIT = 0x2C
    WAIT_OUTPUT = 0x2F
    FIFO = 0x30
    SET_XON = 0x33
    SET_XOFF = 0x34


class Flushed(IntEnum):
    """What `Flush` throws away."""

    RECEIVED = 0
    UNSENT = 1
    BOTH = 2


class Event(IntFlag):
    """What a notification tells of."""

    PARITY_ERROR = 0x01
    FRAMING_ERROR = 0x02
    OVERRUN = 0x04
    SOFTWARE_OVERRUN = 0x08
    BREAK = 0x10
    MODEM = 0x20  # without it the client does not look at the lines


class Modem(IntFlag):
    """The modem lines in a notification, as in a 16550's modem status register."""

    DELTA_CTS = 0x01
    DELTA_DSR = 0x02
    TRAILING_EDGE_RI = 0x04
    DELTA_DCD = 0x08
    CTS = 0x10
    DSR = 0x20
    RI = 0x40
    DCD = 0x80


class Hold(IntFlag):
    """What holds the sending up, the last byte of a notification. `ALWAYS` has no meaning that we know, and is set."""

    CTS = 0x01
    DSR = 0x02
    DCD = 0x04
    XOFF = 0x08
    SENT_XOFF = 0x10
    ALWAYS = 0x80


# From the client.


@dataclass(frozen=True, slots=True)
class PortInit:
    """All settings at once, on opening and whenever one changes; `ModemStatus` answers.

    Attributes:
        baud: index of the speed (values.py).
        mode: data bits, stop bits and parity (values.py).
        dtr: level of DTR.
        rts: level of RTS.
        cts: sending obeys CTS.
        rts_flow: RTS stops the device.
        xon_out: sending obeys XON and XOFF.
        xon_in: XON and XOFF stop the device.
        extra: what a newer client may put behind that.
    """

    baud: int
    mode: int
    dtr: bool
    rts: bool
    cts: bool = False
    rts_flow: bool = False
    xon_out: bool = False
    xon_in: bool = False
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class SetLine:
    """Speed and format, as in `PortInit`; the Linux driver does not send it."""

    baud: int
    mode: int


@dataclass(frozen=True, slots=True)
class SetFlow:
    """Flow control, as in `PortInit`; the Linux driver does not send it."""

    cts: bool
    rts_flow: bool
    xon_out: bool
    xon_in: bool


@dataclass(frozen=True, slots=True)
class LineControl:
    """Levels of DTR and RTS."""

    dtr: bool
    rts: bool


@dataclass(frozen=True, slots=True)
class LineStatus:
    """Asks for the modem lines; `ModemStatus` answers."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Throw away; `what` should be a `Flushed`. The Linux driver says BOTH whatever the program asked for."""

    what: int


@dataclass(frozen=True, slots=True)
class InputQueue:
    """Asks how many bytes from the device wait; `QueueLength` answers."""


@dataclass(frozen=True, slots=True)
class OutputQueue:
    """Asks how many bytes to the device wait; `QueueLength` answers."""


@dataclass(frozen=True, slots=True)
class SetBaudrate:
    """A speed that has no index, in bit/s; refused below 50 and above 921600."""

    rate: int


@dataclass(frozen=True, slots=True)
class FlowCharacters:
    """Which characters XON and XOFF are."""

    xon: int
    xoff: int


@dataclass(frozen=True, slots=True)
class StartBreak:
    """A break begins."""


@dataclass(frozen=True, slots=True)
class StopBreak:
    """The break ends."""


@dataclass(frozen=True, slots=True)
class StartNotify:
    """The client wants notifications; the Linux driver gets them without asking."""


@dataclass(frozen=True, slots=True)
class StopNotify:
    """The client wants no more notifications."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Answers `Poll`; the only command that nothing answers."""

    id: int


@dataclass(frozen=True, slots=True)
class WaitOutput:
    """Asks to be told when all bytes have left; `QueueLength` answers, 0 if they have.

    `timeout` is in the client's clock ticks, of which it does not say how long they are; a Linux client has 100, 250
    or 1000 in a second.
    """

    timeout: int


@dataclass(frozen=True, slots=True)
class Fifo:
    """Depth of the UART's transmit FIFO; 0 and 1 are off."""

    depth: int


@dataclass(frozen=True, slots=True)
class SetXon:
    """Go on sending, as if XON had come."""


@dataclass(frozen=True, slots=True)
class SetXoff:
    """Stop sending, as if XOFF had come."""


Command = (
    PortInit
    | SetLine
    | SetFlow
    | LineControl
    | LineStatus
    | Flush
    | InputQueue
    | OutputQueue
    | SetBaudrate
    | FlowCharacters
    | StartBreak
    | StopBreak
    | StartNotify
    | StopNotify
    | Alive
    | WaitOutput
    | Fifo
    | SetXon
    | SetXoff
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that only other drivers know. It has to be acknowledged all the same, as they wait for that."""

    op: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """A known command whose payload has the wrong length. It is dropped."""

    op: Op
    payload: bytes


# From the server.


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The command was obeyed, or else refused."""

    op: int
    ok: bool = True


@dataclass(frozen=True, slots=True)
class ModemStatus:
    """The modem lines; answers `PortInit` and `LineStatus`.

    It must never say 0xFF three times to `PortInit`: the Linux driver takes that for a refused speed, and at the
    first one of a session its kernel crashes.
    """

    op: Op
    dsr: bool
    cts: bool
    dcd: bool


@dataclass(frozen=True, slots=True)
class QueueLength:
    """How many bytes wait, 65535 at most; answers `InputQueue`, `OutputQueue` and `WaitOutput`."""

    op: Op
    length: int


@dataclass(frozen=True, slots=True)
class Notify:
    """Something happened on the line."""

    events: Event
    modem: Modem
    hold: Hold


@dataclass(frozen=True, slots=True)
class Poll:
    """Asks whether the client is still there."""

    id: int


Answer = Acknowledged | ModemStatus | QueueLength | Notify | Poll


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client on IPv6 begins with; the server sends the same back, and it is a `Hello` to the client too."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes from a server that begin nothing that it may send. What comes after them was looked at again."""

    data: bytes
