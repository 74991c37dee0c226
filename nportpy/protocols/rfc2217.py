"""COM-PORT-OPTION messages of RFC 2217, both ends: what stands in the suboptions of telnet option 44.

A message is one command octet and its value; the escaping and framing is telnet's. The server's commands are the
client's plus 100, so one dataclass stands for both: a request from the client, the value in effect from the server.

Values are kept as they came, even those the standard does not know: a server must answer a request that it cannot
fulfil with the value in effect, so the request has to reach it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import assert_never

from nportpy.errors import MisuseError
from nportpy.linesettings import Flow, ModemLines, Parity, StopBits


class Command(IntEnum):
    """Commands as the client sends them (RFC 2217, sections 2 to 5)."""

    SIGNATURE = 0
    SET_BAUDRATE = 1
    SET_DATASIZE = 2
    SET_PARITY = 3
    SET_STOPSIZE = 4
    SET_CONTROL = 5
    NOTIFY_LINESTATE = 6
    NOTIFY_MODEMSTATE = 7
    FLOWCONTROL_SUSPEND = 8
    FLOWCONTROL_RESUME = 9
    SET_LINESTATE_MASK = 10
    SET_MODEMSTATE_MASK = 11
    PURGE_DATA = 12


SERVER_OFFSET = 100
"""What the server adds to a command."""

REQUEST = 0
"""The value with which SET-BAUDRATE, SET-DATASIZE, SET-PARITY and SET-STOPSIZE only ask."""


class ParityValue(IntEnum):
    """Values of SET-PARITY."""

    NONE = 1
    ODD = 2
    EVEN = 3
    MARK = 4
    SPACE = 5


class StopsizeValue(IntEnum):
    """Values of SET-STOPSIZE."""

    ONE = 1
    TWO = 2
    ONE_AND_HALF = 3


class ControlValue(IntEnum):
    """Values of SET-CONTROL. Those that begin with REQUEST ask; the answer is one of the others of their group."""

    REQUEST_FLOW = 0
    FLOW_NONE = 1
    FLOW_XONXOFF = 2
    FLOW_HARDWARE = 3
    REQUEST_BREAK = 4
    BREAK_ON = 5
    BREAK_OFF = 6
    REQUEST_DTR = 7
    DTR_ON = 8
    DTR_OFF = 9
    REQUEST_RTS = 10
    RTS_ON = 11
    RTS_OFF = 12
    REQUEST_INBOUND_FLOW = 13
    INBOUND_FLOW_NONE = 14
    INBOUND_FLOW_XONXOFF = 15
    INBOUND_FLOW_HARDWARE = 16
    FLOW_DCD = 17
    INBOUND_FLOW_DTR = 18
    FLOW_DSR = 19


class PurgeValue(IntEnum):
    """Values of PURGE-DATA: which of the server's buffers."""

    RECEIVE = 1
    TRANSMIT = 2
    BOTH = 3


class LineState(IntFlag):
    """Bits of NOTIFY-LINESTATE and its mask: a 16550's line status register, and a time-out."""

    DATA_READY = 1
    OVERRUN_ERROR = 2
    PARITY_ERROR = 4
    FRAMING_ERROR = 8
    BREAK_DETECT = 16
    TRANSFER_HOLDING_REGISTER_EMPTY = 32
    TRANSFER_SHIFT_REGISTER_EMPTY = 64
    TIME_OUT = 128


class ModemState(IntFlag):
    """Bits of NOTIFY-MODEMSTATE and its mask: a 16550's modem status register."""

    DELTA_CTS = 1
    DELTA_DSR = 2
    TRAILING_EDGE_RI = 4
    DELTA_CD = 8
    CTS = 16
    DSR = 32
    RI = 64
    CD = 128


INITIAL_LINESTATE_MASK = LineState(0)
"""The line state mask until the client sets one."""

INITIAL_MODEMSTATE_MASK = ModemState(255)
"""The modem state mask until the client sets one."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who the sender is; no text asks the receiver for its own."""

    text: bytes = b""


@dataclass(frozen=True, slots=True)
class SetBaudrate:
    """Speed in bits per second; 0 asks.

    `one_byte` marks Cisco's form with a code instead of the speed. A code that is not in the table is taken for 0: it
    cannot be obeyed, and the answer to both is the speed in effect.
    """

    value: int
    one_byte: bool = False


@dataclass(frozen=True, slots=True)
class SetDatasize:
    """Data bits, 5 to 8; 0 asks."""

    value: int


@dataclass(frozen=True, slots=True)
class SetParity:
    """A `ParityValue`; 0 asks."""

    value: int


@dataclass(frozen=True, slots=True)
class SetStopsize:
    """A `StopsizeValue`; 0 asks."""

    value: int


@dataclass(frozen=True, slots=True)
class SetControl:
    """A `ControlValue`: flow control, break, DTR or RTS."""

    value: int


@dataclass(frozen=True, slots=True)
class NotifyLinestate:
    """Line state. From a client it asks for the state now; it need not carry any bits then."""

    bits: LineState | None = None


@dataclass(frozen=True, slots=True)
class NotifyModemstate:
    """Modem state. From a client it asks for the state now; it need not carry any bits then.

    RFC 2217 has this command from the server only; pyserial's `poll_modem` asks with it.
    """

    bits: ModemState | None = None


@dataclass(frozen=True, slots=True)
class FlowcontrolSuspend:
    """The sender wants no more data and commands for now. Not an acknowledgement: 108 is the server's own wish."""


@dataclass(frozen=True, slots=True)
class FlowcontrolResume:
    """The sender takes data and commands again."""


@dataclass(frozen=True, slots=True)
class SetLinestateMask:
    """Which bits of the line state the client wants to hear of."""

    mask: LineState


@dataclass(frozen=True, slots=True)
class SetModemstateMask:
    """Which bits of the modem state the client wants to hear of."""

    mask: ModemState


@dataclass(frozen=True, slots=True)
class PurgeData:
    """A `PurgeValue`: throw away what the server has buffered."""

    value: int


Message = (
    Signature
    | SetBaudrate
    | SetDatasize
    | SetParity
    | SetStopsize
    | SetControl
    | NotifyLinestate
    | NotifyModemstate
    | FlowcontrolSuspend
    | FlowcontrolResume
    | SetLinestateMask
    | SetModemstateMask
    | PurgeData
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that nobody has defined for this direction, as it came."""

    command: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message whose value has the wrong length; `command` is None if there is not even a command."""

    command: Command | None
    reason: str


_COMMANDS: dict[type[Message], Command] = {
    Signature: Command.SIGNATURE,
    SetBaudrate: Command.SET_BAUDRATE,
    SetDatasize: Command.SET_DATASIZE,
    SetParity: Command.SET_PARITY,
    SetStopsize: Command.SET_STOPSIZE,
    SetControl: Command.SET_CONTROL,
    NotifyLinestate: Command.NOTIFY_LINESTATE,
    NotifyModemstate: Command.NOTIFY_MODEMSTATE,
    FlowcontrolSuspend: Command.FLOWCONTROL_SUSPEND,
    FlowcontrolResume: Command.FLOWCONTROL_RESUME,
    SetLinestateMask: Command.SET_LINESTATE_MASK,
    SetModemstateMask: Command.SET_MODEMSTATE_MASK,
    PurgeData: Command.PURGE_DATA,
}

_ONE_OCTET: dict[Command, Callable[[int], Message]] = {
    Command.SET_DATASIZE: SetDatasize,
    Command.SET_PARITY: SetParity,
    Command.SET_STOPSIZE: SetStopsize,
    Command.SET_CONTROL: SetControl,
    Command.NOTIFY_LINESTATE: lambda octet: NotifyLinestate(LineState(octet)),
    Command.NOTIFY_MODEMSTATE: lambda octet: NotifyModemstate(ModemState(octet)),
    Command.SET_LINESTATE_MASK: lambda octet: SetLinestateMask(LineState(octet)),
    Command.SET_MODEMSTATE_MASK: lambda octet: SetModemstateMask(ModemState(octet)),
    Command.PURGE_DATA: PurgeData,
}

_NO_OCTET: dict[Command, Callable[[], Message]] = {
    Command.FLOWCONTROL_SUSPEND: FlowcontrolSuspend,
    Command.FLOWCONTROL_RESUME: FlowcontrolResume,
}

_QUESTION: dict[Command, Callable[[], Message]] = {
    Command.NOTIFY_LINESTATE: NotifyLinestate,
    Command.NOTIFY_MODEMSTATE: NotifyModemstate,
}

# Codes of the form that Cisco IOS uses, as ser2net and gensio have known it since ser2net's option -b. Both leave out
# 14400 and 28800 because Linux has no constant for them; 9 and 11 are the places that their tables leave free.
_CISCO_SPEEDS = {
    3: 300,
    4: 600,
    5: 1200,
    6: 2400,
    7: 4800,
    8: 9600,
    9: 14400,
    10: 19200,
    11: 28800,
    12: 38400,
    13: 57600,
    14: 115200,
    15: 230400,
}
_CISCO_CODES = {speed: code for code, speed in _CISCO_SPEEDS.items()}


def decode(payload: bytes, *, from_client: bool) -> Message | Unknown | Malformed:
    """Decode the payload of a suboption of option 44. Takes any bytes and never raises.

    Neither `Unknown` nor `Malformed` is a reason to close: RFC 2217 leaves room for commands to come.
    """
    if not payload:
        return Malformed(None, "no command")
    number = payload[0] if from_client else payload[0] - SERVER_OFFSET
    value = payload[1:]
    if not Command.SIGNATURE <= number <= Command.PURGE_DATA:
        return Unknown(payload[0], value)
    command = Command(number)
    if command is Command.SIGNATURE:
        return Signature(value)
    if command is Command.SET_BAUDRATE:
        return _decode_speed(value)
    if len(value) == 1 and command in _ONE_OCTET:
        return _ONE_OCTET[command](value[0])
    if not value and command in _NO_OCTET:
        return _NO_OCTET[command]()
    if not value and from_client and command in _QUESTION:
        return _QUESTION[command]()
    return Malformed(command, f"{command.name} with a value of {len(value)} bytes")


def _decode_speed(value: bytes) -> SetBaudrate | Malformed:
    if len(value) == 4:
        return SetBaudrate(int.from_bytes(value, "big"))
    if len(value) == 1:
        return SetBaudrate(_CISCO_SPEEDS.get(value[0], REQUEST), one_byte=True)
    return Malformed(Command.SET_BAUDRATE, f"SET_BAUDRATE with a value of {len(value)} bytes")


def encode(message: Message, *, to_client: bool) -> bytes:
    """The payload of a suboption of option 44.

    A speed with `one_byte` goes out as Cisco's code if it has one, else in four bytes. Answer a request in its own
    form, and the next one in its: ser2net has answered one-byte requests with one byte since it knew them, so clients
    of that kind expect it, but it then stays with that form, to the loss of a client that asks in four bytes.

    Raises:
        MisuseError: a value does not fit its field.
    """
    command = _COMMANDS[type(message)] + (SERVER_OFFSET if to_client else 0)
    try:
        return bytes((command,)) + _encode_value(message)
    except (OverflowError, ValueError) as error:
        raise MisuseError(f"{message} does not fit its field") from error


def _encode_value(message: Message) -> bytes:
    match message:
        case Signature(text):
            return text
        case SetBaudrate(value, one_byte):
            if one_byte and (value == REQUEST or value in _CISCO_CODES):
                return bytes((_CISCO_CODES.get(value, REQUEST),))
            return value.to_bytes(4, "big")
        case SetDatasize(value) | SetParity(value) | SetStopsize(value) | SetControl(value) | PurgeData(value):
            return bytes((value,))
        case NotifyLinestate(bits) | NotifyModemstate(bits):
            return b"" if bits is None else bytes((bits,))
        case SetLinestateMask(mask) | SetModemstateMask(mask):
            return bytes((mask,))
        case FlowcontrolSuspend() | FlowcontrolResume():
            return b""
        case _:
            assert_never(message)


_PARITY_VALUES = {
    Parity.NONE: ParityValue.NONE,
    Parity.ODD: ParityValue.ODD,
    Parity.EVEN: ParityValue.EVEN,
    Parity.MARK: ParityValue.MARK,
    Parity.SPACE: ParityValue.SPACE,
}
_PARITIES: dict[int, Parity] = {value: parity for parity, value in _PARITY_VALUES.items()}

_STOPSIZE_VALUES = {
    StopBits.ONE: StopsizeValue.ONE,
    StopBits.ONE_AND_HALF: StopsizeValue.ONE_AND_HALF,
    StopBits.TWO: StopsizeValue.TWO,
}
_STOP_BITS: dict[int, StopBits] = {value: stop_bits for stop_bits, value in _STOPSIZE_VALUES.items()}

_FLOW_VALUES = {
    Flow.NONE: ControlValue.FLOW_NONE,
    Flow.XONXOFF: ControlValue.FLOW_XONXOFF,
    Flow.RTSCTS: ControlValue.FLOW_HARDWARE,
    Flow.DSRDTR: ControlValue.FLOW_DSR,
}
_FLOWS: dict[int, Flow] = {value: flow for flow, value in _FLOW_VALUES.items()}

_INBOUND_FLOW_VALUES = {
    Flow.NONE: ControlValue.INBOUND_FLOW_NONE,
    Flow.XONXOFF: ControlValue.INBOUND_FLOW_XONXOFF,
    Flow.RTSCTS: ControlValue.INBOUND_FLOW_HARDWARE,
    Flow.DSRDTR: ControlValue.INBOUND_FLOW_DTR,
}
_INBOUND_FLOWS: dict[int, Flow] = {value: flow for flow, value in _INBOUND_FLOW_VALUES.items()}

_LEVELS = {
    ModemLines.CTS: (ModemState.CTS, ModemState.DELTA_CTS),
    ModemLines.DSR: (ModemState.DSR, ModemState.DELTA_DSR),
    ModemLines.RI: (ModemState.RI, ModemState.TRAILING_EDGE_RI),
    ModemLines.CD: (ModemState.CD, ModemState.DELTA_CD),
}
_DELTAS = ModemState.DELTA_CTS | ModemState.DELTA_DSR | ModemState.TRAILING_EDGE_RI | ModemState.DELTA_CD


def parity(value: int) -> Parity | None:
    """The parity of a SET-PARITY value; None for a question and for what nobody has defined."""
    return _PARITIES.get(value)


def parity_value(parity: Parity) -> ParityValue:
    """The SET-PARITY value of a parity."""
    return _PARITY_VALUES[parity]


def stop_bits(value: int) -> StopBits | None:
    """The stop bits of a SET-STOPSIZE value; None for a question and for what nobody has defined."""
    return _STOP_BITS.get(value)


def stopsize_value(stop_bits: StopBits) -> StopsizeValue:
    """The SET-STOPSIZE value of stop bits."""
    return _STOPSIZE_VALUES[stop_bits]


def flow(value: int) -> Flow | None:
    """The flow control that a SET-CONTROL value sets outbound, or in both directions where they cannot differ.

    None for every other value. DCD flow control is one of them: no driver here has it.
    """
    return _FLOWS.get(value)


def flow_value(flow: Flow) -> ControlValue:
    """The SET-CONTROL value for flow control outbound, or in both directions."""
    return _FLOW_VALUES[flow]


def inbound_flow(value: int) -> Flow | None:
    """The flow control that a SET-CONTROL value sets inbound; None for every other value."""
    return _INBOUND_FLOWS.get(value)


def inbound_flow_value(flow: Flow) -> ControlValue:
    """The SET-CONTROL value for inbound flow control."""
    return _INBOUND_FLOW_VALUES[flow]


def modem_state(now: ModemLines, before: ModemLines | None = None) -> ModemState:
    """The modem state of the lines, with the deltas since `before` if that is given.

    The ring indicator has no delta of its own: its bit says that it fell, as in a 16550.
    """
    state = ModemState(0)
    changed = ModemLines(0) if before is None else now ^ before
    for line, (level, delta) in _LEVELS.items():
        if now & line:
            state |= level
        if changed & line and not (line is ModemLines.RI and now & line):
            state |= delta
    return state


def modem_state_change(now: ModemLines, before: ModemLines, mask: ModemState) -> ModemState | None:
    """What NOTIFY-MODEMSTATE says after a change under a client's mask; None if the mask covers nothing of it.

    RFC 2217 (SET-MODEMSTATE-MASK) sends the masked state if it is not zero. Taken literally, a client that masks the
    deltas away never hears of the last line that falls; so what decides here is whether a masked bit changed.
    """
    state = modem_state(now, before)
    levels_changed = modem_state(now ^ before)
    return state & mask if (state & _DELTAS | levels_changed) & mask else None


def modem_lines(state: ModemState) -> ModemLines:
    """The input lines that a modem state shows as asserted."""
    lines = ModemLines(0)
    for line, (level, _) in _LEVELS.items():
        if state & level:
            lines |= line
    return lines
