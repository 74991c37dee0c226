"""RFC 2217 as its client, without the connection: what is agreed on, asked for and told. Pure; time is an argument.

Servers differ: some answer a request that they cannot fulfil with silence, some with the value in effect as they
should (RFC 2217, section 2). So nothing here waits for an answer but for those about the telnet options, and for
these not for ever. Requests keep their place among the data.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from nportpy.linesettings import LineSettings, ModemLines
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.rfc2217 import Command, ControlValue, LineState, Message, ModemState
from nportpy.protocols.telnet import Code, Option, Side

NEGOTIATION_TIME: Final = 3.0
"""Seconds in which a server should have answered to the telnet options."""

_US: Final = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION})
_THEM: Final = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.ECHO, Option.COM_PORT_OPTION})
_AWAITED: Final = frozenset(
    {(Side.US, Option.COM_PORT_OPTION), (Side.US, Option.TRANSMIT_BINARY), (Side.THEM, Option.TRANSMIT_BINARY)}
)
_EVERY_MODEM_STATE: Final = ModemState(255)


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes of the line; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """The options are agreed on, or nobody waits for that any longer.

    Attributes:
        com_port: requests are obeyed, as far as the server can.
        binary: bytes arrive as they are, both ways.
    """

    com_port: bool
    binary: bool


@dataclass(frozen=True, slots=True)
class InputsAre:
    """The modem lines that come in at the server's port: CTS, DSR, RI and CD."""

    lines: ModemLines


@dataclass(frozen=True, slots=True)
class BreakHeard:
    """The device at the server's port sent a break."""


@dataclass(frozen=True, slots=True)
class BreakIs:
    """What we asked for: the server's break is on, or off."""

    on: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The server has another value in effect than it was asked for. Values are those of RFC 2217."""

    what: str
    asked: int
    has: int


@dataclass(frozen=True, slots=True)
class Suspended:
    """The server wants no more data, or takes it again."""

    on: bool


@dataclass(frozen=True, slots=True)
class Garbage:
    """The server said what makes no sense; the connection can go on."""

    reason: str


Event = Received | Settled | InputsAre | BreakHeard | BreakIs | Refused | Suspended | Garbage

# What a value is about, for the log and to tell values of SET-CONTROL apart.
_SPEED, _SIZE, _PARITY, _STOP = "baudrate", "data bits", "parity", "stop bits"
_FLOW, _FLOW_IN, _BREAK, _DTR, _RTS = "flow control", "inbound flow control", "break", "DTR", "RTS"
_ABOUT: Final = {
    value: name
    for name, values in {
        _FLOW: (0, 1, 2, 3, 17, 19),
        _BREAK: (4, 5, 6),
        _DTR: (7, 8, 9),
        _RTS: (10, 11, 12),
        _FLOW_IN: (13, 14, 15, 16, 18),
    }.items()
    for value in values
}


class Rfc2217Client:
    """The client's end of one connection.

    What `take_output` gives has its place in the stream: write it after every call of anything here, and before what
    is encoded later.

    Attributes:
        settled: data may be sent; before, it would not arrive as it is.
    """

    def __init__(self) -> None:
        """Nothing is said before `begin`."""
        self.settled = False
        self._codec = telnet.TelnetCodec(us=_US, them=_THEM)
        self._output = bytearray()
        self._awaited = set(_AWAITED)
        self._deadline: float | None = None
        self._agreed = False  # on COM-PORT-OPTION
        self._asked: dict[str, int] = {}  # what was asked for last; without what somebody else has changed since
        self._unanswered: Counter[str] = Counter()
        self._masks: dict[Command, int] = {}  # sent, and not answered yet

    @property
    def plain_in(self) -> bool:
        """The next byte is data: what has no 0xFF in it may go by without `feed`."""
        return self._codec.plain

    @property
    def plain_out(self) -> bool:
        """What has no 0xFF in it may go out without `encode`."""
        return self._codec.plain_out

    def begin(self, now: float) -> None:
        """The connection is there, at `now` seconds of any clock."""
        self._deadline = now + NEGOTIATION_TIME
        for option in (Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION):
            self._codec.ask_us(option)
        for option in (Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD):
            self._codec.ask_them(option)
        self._output += self._codec.take_output()

    def deadline(self) -> float | None:
        """When to call `expire`."""
        return self._deadline

    def expire(self, now: float) -> list[Event]:
        """Some options were not answered for so long: go on without."""
        if self._deadline is None or now < self._deadline:
            return []
        return [self._settle()]

    def take_output(self) -> bytes:
        """What is to be sent now."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def encode(self, data: bytes) -> bytes:
        """Data as it goes to the server."""
        return self._codec.encode(data)

    # From the server.

    def feed(self, data: bytes) -> list[Event]:
        """What came, in the order of the stream. Takes any bytes."""
        events: list[Event] = []
        for event in self._codec.feed(data):
            match event:
                case telnet.Data(piece):
                    events.append(Received(piece))
                case telnet.Subnegotiation(Option.COM_PORT_OPTION, payload):
                    events += self._hear(payload)
                case telnet.Negotiated(option, side, enabled):
                    events += self._agree(option, side, enabled=enabled)
                case telnet.Command(Code.AYT):
                    self._output += bytes((Code.IAC, Code.NOP))
                case telnet.Malformed(reason):
                    events.append(Garbage(reason))
                case telnet.Subnegotiation() | telnet.Break() | telnet.Command():
                    pass
                case _:
                    assert_never(event)
        self._output += self._codec.take_output()
        return events

    def _agree(self, option: int, side: Side, *, enabled: bool) -> Iterator[Event]:
        if option == Option.COM_PORT_OPTION:
            # gensio's servers offer the option instead of agreeing to ours: either way it is known there.
            self._awaited.discard((Side.US, Option.COM_PORT_OPTION))
            self._agreed = self._agreed or enabled
        else:
            self._awaited.discard((side, Option(option)))
        if not self._awaited and not self.settled:
            self._output += self._codec.take_output()  # the options before what follows them
            yield self._settle()

    def _settle(self) -> Settled:
        self.settled = True
        self._deadline = None
        binary = Option.TRANSMIT_BINARY
        return Settled(self._agreed, self._codec.us_enabled(binary) and self._codec.them_enabled(binary))

    def _hear(self, payload: bytes) -> Iterator[Event]:
        message = rfc2217.decode(payload, from_client=False)
        match message:
            case rfc2217.SetBaudrate(value):
                yield from self._answered(_SPEED, value)
            case rfc2217.SetDatasize(value):
                yield from self._answered(_SIZE, value)
            case rfc2217.SetParity(value):
                yield from self._answered(_PARITY, value)
            case rfc2217.SetStopsize(value):
                yield from self._answered(_STOP, value)
            case rfc2217.SetControl(value) if value in _ABOUT:
                yield from self._answered(_ABOUT[value], value)
            case rfc2217.NotifyModemstate(bits) if bits is not None and not self._is_mask(message):
                yield InputsAre(rfc2217.modem_lines(bits))
            case rfc2217.NotifyLinestate(bits) if bits is not None and not self._is_mask(message):
                if bits & LineState.BREAK_DETECT:
                    yield BreakHeard()
            case rfc2217.SetModemstateMask():
                self._masks.pop(Command.SET_MODEMSTATE_MASK, None)
            case rfc2217.SetLinestateMask():
                self._masks.pop(Command.SET_LINESTATE_MASK, None)
            case rfc2217.FlowcontrolSuspend() | rfc2217.FlowcontrolResume():
                yield Suspended(isinstance(message, rfc2217.FlowcontrolSuspend))
            case rfc2217.Malformed(_, reason):
                yield Garbage(reason)
            case _:
                pass  # signatures, echoes of purges, what nobody has defined

    def _is_mask(self, message: rfc2217.NotifyModemstate | rfc2217.NotifyLinestate) -> bool:
        """Whether this is an answer to a mask: ser2net 4.3 answers those with 106 and 107, not 110 and 111."""
        modem = isinstance(message, rfc2217.NotifyModemstate)
        command = Command.SET_MODEMSTATE_MASK if modem else Command.SET_LINESTATE_MASK
        if self._masks.get(command) != message.bits:
            return False
        del self._masks[command]
        return True

    def _answered(self, name: str, value: int) -> Iterator[Event]:
        waited_for = self._unanswered[name] > 0
        self._unanswered[name] -= waited_for
        if not waited_for:
            self._asked.pop(name, None)  # somebody else changed it: it is to be asked for again
        elif self._unanswered[name] == 0 and self._asked.get(name) != value:
            yield Refused(name, self._asked.get(name, 0), value)
        elif name == _BREAK:
            yield BreakIs(value == ControlValue.BREAK_ON)

    # To the server.

    def ask_states(self) -> None:
        """Have all changes of the modem lines told, how they are now, and breaks."""
        if self._agreed:
            self._say(rfc2217.SetModemstateMask(_EVERY_MODEM_STATE))
            self._say(rfc2217.SetLinestateMask(LineState.BREAK_DETECT))
            self._masks = {
                Command.SET_MODEMSTATE_MASK: _EVERY_MODEM_STATE,
                Command.SET_LINESTATE_MASK: LineState.BREAK_DETECT,
            }

    def set_line(self, wish: LineSettings) -> None:
        """Set the server's line; what was asked for already is not asked for again."""
        self._request(_SPEED, wish.baudrate, rfc2217.SetBaudrate(wish.baudrate))
        # Data bits before stop bits: one and a half exist with five data bits only.
        self._request(_SIZE, wish.data_bits, rfc2217.SetDatasize(wish.data_bits))
        parity, stop = int(rfc2217.parity_value(wish.parity)), int(rfc2217.stopsize_value(wish.stop_bits))
        self._request(_PARITY, parity, rfc2217.SetParity(parity))
        self._request(_STOP, stop, rfc2217.SetStopsize(stop))
        flow, flow_in = int(rfc2217.flow_value(wish.flow)), int(rfc2217.inbound_flow_value(wish.flow_in))
        if (self._asked.get(_FLOW), self._asked.get(_FLOW_IN)) != (flow, flow_in):
            # The values 0 to 3 are about both directions where a server cannot tell them apart (SET-CONTROL).
            self._asked.pop(_FLOW, None)
            self._control(_FLOW, flow)
            self._asked[_FLOW_IN] = int(rfc2217.inbound_flow_value(wish.flow))
            self._control(_FLOW_IN, flow_in)

    def set_dtr(self, *, on: bool) -> None:
        """Raise or drop DTR of the server's port."""
        self._control(_DTR, ControlValue.DTR_ON if on else ControlValue.DTR_OFF)

    def set_rts(self, *, on: bool) -> None:
        """Raise or drop RTS."""
        self._control(_RTS, ControlValue.RTS_ON if on else ControlValue.RTS_OFF)

    def set_break(self, *, on: bool) -> None:
        """Begin or end a break; `BreakIs` tells when that is so."""
        self._control(_BREAK, ControlValue.BREAK_ON if on else ControlValue.BREAK_OFF)

    def _control(self, name: str, value: int) -> None:
        self._request(name, value, rfc2217.SetControl(value))

    def _request(self, name: str, value: int, message: Message) -> None:
        if self._agreed and self._asked.get(name) != value:
            self._asked[name] = value
            self._unanswered[name] += 1
            self._say(message)

    def _say(self, message: Message) -> None:
        payload = rfc2217.encode(message, to_client=False)
        self._output += self._codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload)
