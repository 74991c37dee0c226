"""RFC 2217 as its client, without the connection: what is agreed on, asked for and told. Pure; time is an argument.

Servers differ: some answer a request that they cannot fulfil with silence, some with the value in effect as they
should (RFC 2217, section 2). So nothing here waits for an answer but for those about the telnet options, and for
these not for ever. Requests keep their place among the data: whoever obeys them in the order of the stream sets the
line after the bytes that were written before and ahead of those that come after.

What does not speak telnet at all, a raw port, says nothing to the options, or, if its line echoes, says them again.
An echo of offers reads as agreement to them; so what comes is compared with them first.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.rfc2217 import Command, ControlValue, LineState, Message, ModemState, PurgeValue
from nportpy.protocols.telnet import Code, Option, Side

NEGOTIATION_TIME: Final = 2.5
"""Seconds in which a server should have answered to the telnet options. An agreement that comes later is one, too."""

_US: Final = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION})
_THEM: Final = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.ECHO, Option.COM_PORT_OPTION})
_AWAITED: Final = frozenset(
    {(Side.US, Option.COM_PORT_OPTION), (Side.US, Option.TRANSMIT_BINARY), (Side.THEM, Option.TRANSMIT_BINARY)}
)
_EVERY_MODEM_STATE: Final = ModemState(255)
_IAC: Final = b"\xff"


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
class LineIs:
    """What the server's line is set to, as far as it has said so."""

    baudrate: int
    data_bits: int | None
    parity: Parity | None
    stop_bits: StopBits | None
    flow: Flow | None
    flow_in: Flow | None


@dataclass(frozen=True, slots=True)
class Arrived:
    """All that was sent before `ask_arrival` has reached the server's program."""


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


Event = Received | Settled | InputsAre | BreakHeard | BreakIs | LineIs | Arrived | Refused | Suspended | Garbage


class Item(StrEnum):
    """What a value is about."""

    SPEED = "baudrate"
    SIZE = "data bits"
    PARITY = "parity"
    STOP = "stop bits"
    FLOW = "flow control"
    FLOW_IN = "inbound flow control"
    BREAK = "break"
    DTR = "DTR"
    RTS = "RTS"


CONTROLS: Final = {
    Item.FLOW: (0, 1, 2, 3, 17, 19),
    Item.BREAK: (4, 5, 6),
    Item.DTR: (7, 8, 9),
    Item.RTS: (10, 11, 12),
    Item.FLOW_IN: (13, 14, 15, 16, 18),
}
"""Values of SET-CONTROL by what they are about; the first of each asks."""

_ABOUT: Final = {value: item for item, values in CONTROLS.items() for value in values}
_LINE: Final = (Item.SIZE, Item.PARITY, Item.STOP, Item.FLOW, Item.FLOW_IN, Item.SPEED)


class Rfc2217Client:
    """The client's end of one connection.

    What `take_output` gives has its place in the stream: write it after every call of anything here, and before what
    is encoded later.

    Attributes:
        settled: data may be sent; before, it would not arrive as it is.
        telnet: the server has said something about the options, and not just what we said.
    """

    def __init__(self) -> None:
        """Nothing is said before `begin`."""
        self.settled = self.telnet = False
        self._codec = telnet.TelnetCodec(us=_US, them=_THEM)
        self._output = bytearray()
        self._awaited = set(_AWAITED)
        self._deadline: float | None = None
        self._agreed = False  # on COM-PORT-OPTION
        self._opening = b""  # what we said first, as long as it may come back
        self._echoed = b""  # of it, what has
        self._asked: dict[Item, int] = {}  # what was asked for last, or what the server said it has
        self._wished: set[Item] = set()  # of those, what was asked for
        self._unanswered: Counter[Item] = Counter()
        self._masks: dict[Command, int] = {}  # sent, and not answered yet
        self._fence = False

    @property
    def plain_in(self) -> bool:
        """The next byte is data: what has no 0xFF in it may go by without `feed`."""
        return self._codec.plain

    @property
    def plain_out(self) -> bool:
        """What has no 0xFF in it may go out without `encode`."""
        return self._codec.plain_out

    @property
    def agreed(self) -> bool:
        """On COM-PORT-OPTION: requests are sent, and only then."""
        return self._agreed

    def begin(self, now: float, patience: float = NEGOTIATION_TIME) -> None:
        """The connection is there, at `now` seconds of any clock; `patience` for the options to be agreed on."""
        self._deadline = now + patience
        for option in (Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION):
            self._codec.ask_us(option)
        for option in (Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD):
            self._codec.ask_them(option)
        self._opening = self._codec.take_output()
        self._output += self._opening

    def deadline(self) -> float | None:
        """When to call `expire`."""
        return self._deadline

    def expire(self, now: float) -> list[Event]:
        """Some options were not answered for so long: go on without."""
        if self._deadline is None or now < self._deadline:
            return []
        return [*self._feed(self._end_comparing()), self._settle()] if not self.settled else []

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
        if not self._opening:
            return self._feed(data)
        start = 0 if self._echoed else data.find(_IAC)
        if start < 0:
            return self._feed(data)
        before, rest = data[:start], self._echoed + data[start:]
        size = len(self._opening)
        if rest[:size] == self._opening:
            self._end_comparing()
            self._output += self._codec.take_output()
            return [*self._feed(before), self._settle(), *self._feed(rest[size:])]
        if self._opening.startswith(rest):
            self._echoed = rest
            return self._feed(before)
        self._end_comparing()
        return self._feed(before + rest)

    def _end_comparing(self) -> bytes:
        """What came is no echo; what was kept of it."""
        kept, self._opening, self._echoed = self._echoed, b"", b""
        return kept

    def _feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._codec.feed(data):
            match event:
                case telnet.Data(piece):
                    events.append(Received(piece))
                case telnet.Subnegotiation(Option.COM_PORT_OPTION, payload):
                    events += self._hear(payload)
                case telnet.Negotiated(option, side, enabled):
                    self.telnet = True
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
        both = self._codec.us_enabled(binary) and self._codec.them_enabled(binary)
        return Settled(self._agreed, both)

    def _hear(self, payload: bytes) -> Iterator[Event]:
        message = rfc2217.decode(payload, from_client=False)
        match message:
            case rfc2217.SetBaudrate(value):
                yield from self._answered(Item.SPEED, value)
            case rfc2217.SetDatasize(value):
                yield from self._answered(Item.SIZE, value)
            case rfc2217.SetParity(value):
                yield from self._answered(Item.PARITY, value)
            case rfc2217.SetStopsize(value):
                yield from self._answered(Item.STOP, value)
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

    def _answered(self, item: Item, value: int) -> Iterator[Event]:
        waited_for = self._unanswered[item] > 0
        self._unanswered[item] -= waited_for
        if not waited_for:
            self._asked[item] = value  # somebody else changed it: it is to be asked for again
        elif self._unanswered[item] == 0:
            if item not in self._wished:
                self._asked[item] = value
                yield from self._line_is()
            elif self._asked.get(item, value) != value:
                yield Refused(item, self._asked[item], value)
            elif item is Item.BREAK:
                yield BreakIs(value == ControlValue.BREAK_ON)
        if self._fence and self._unanswered[Item.SPEED] == 0:
            self._fence = False
            yield Arrived()

    def _line_is(self) -> Iterator[LineIs]:
        known = self._asked.get
        if speed := known(Item.SPEED):
            yield LineIs(
                speed,
                known(Item.SIZE),
                rfc2217.parity(known(Item.PARITY, 0)),
                rfc2217.stop_bits(known(Item.STOP, 0)),
                rfc2217.flow(known(Item.FLOW, 0)),
                rfc2217.inbound_flow(known(Item.FLOW_IN, 0)),
            )

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

    def ask_line(self) -> None:
        """Have `LineIs` told what the server's line is set to."""
        if self._agreed:
            for item in _LINE:
                self._ask(item, CONTROLS[item][0] if item in CONTROLS else rfc2217.REQUEST)

    def set_line(self, wish: LineSettings) -> None:
        """Set the server's line; what was asked for already is not asked for again."""
        self.request(Item.SPEED, wish.baudrate)
        # Data bits before stop bits: one and a half exist with five data bits only.
        self.request(Item.SIZE, wish.data_bits)
        self.request(Item.PARITY, int(rfc2217.parity_value(wish.parity)))
        self.request(Item.STOP, int(rfc2217.stopsize_value(wish.stop_bits)))
        flow, flow_in = int(rfc2217.flow_value(wish.flow)), int(rfc2217.inbound_flow_value(wish.flow_in))
        if (self.known(Item.FLOW), self.known(Item.FLOW_IN)) != (flow, flow_in):
            # The values 0 to 3 are about both directions where a server cannot tell them apart (SET-CONTROL).
            self.assume(Item.FLOW, None)
            self.request(Item.FLOW, flow)
            self.assume(Item.FLOW_IN, int(rfc2217.inbound_flow_value(wish.flow)))
            self.request(Item.FLOW_IN, flow_in)

    def set_dtr(self, *, on: bool) -> None:
        """Raise or drop DTR of the server's port."""
        self.request(Item.DTR, ControlValue.DTR_ON if on else ControlValue.DTR_OFF)

    def set_rts(self, *, on: bool) -> None:
        """Raise or drop RTS."""
        self.request(Item.RTS, ControlValue.RTS_ON if on else ControlValue.RTS_OFF)

    def set_break(self, *, on: bool) -> None:
        """Begin or end a break; `BreakIs` tells when that is so."""
        self.request(Item.BREAK, ControlValue.BREAK_ON if on else ControlValue.BREAK_OFF)

    def purge(self, *, received: bool, unsent: bool) -> None:
        """Have the server throw away what it has buffered."""
        if self._agreed and (received or unsent):
            self._say(rfc2217.PurgeData(PurgeValue.RECEIVE * received + PurgeValue.TRANSMIT * unsent))

    def ask_arrival(self) -> bool:
        """Have `Arrived` told; False if the server cannot tell.

        A question about the speed does it: it is answered in the order of the stream.
        """
        if self._agreed:
            self._fence = True
            self._ask(Item.SPEED, rfc2217.REQUEST)
        return self._agreed

    # Single values, for who has rules of his own.

    def known(self, item: Item) -> int | None:
        """The value that was asked for last, or that the server said it has."""
        return self._asked.get(item)

    def assume(self, item: Item, value: int | None) -> None:
        """The server has this value now, by something else that was asked for; None: nobody knows."""
        if value is None:
            self._asked.pop(item, None)
        elif self._agreed:
            self._asked[item] = value

    def request(self, item: Item, value: int) -> None:
        """Ask for a value, unless it is there, or has been asked for."""
        if self._agreed and self._asked.get(item) != value:
            self._asked[item] = value
            self._wished.add(item)
            self._ask(item, value)

    def _ask(self, item: Item, value: int) -> None:
        self._unanswered[item] += 1
        match item:
            case Item.SPEED:
                self._say(rfc2217.SetBaudrate(value))
            case Item.SIZE:
                self._say(rfc2217.SetDatasize(value))
            case Item.PARITY:
                self._say(rfc2217.SetParity(value))
            case Item.STOP:
                self._say(rfc2217.SetStopsize(value))
            case _:
                self._say(rfc2217.SetControl(value))

    def _say(self, message: Message) -> None:
        payload = rfc2217.encode(message, to_client=False)
        self._output += self._codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload)
