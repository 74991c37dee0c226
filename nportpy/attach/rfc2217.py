"""RFC 2217 as its client: what is agreed on, what is asked for, and what the server makes of it.

Servers differ. Some answer a request that they cannot fulfil with silence, some with the value in effect as they should
(RFC 2217, section 2), so nothing here waits for an answer but for those of the telnet options, and for these not for
ever. Requests keep their place among the data: whoever obeys them in the order of the stream sets the line after the
bytes that were written before and ahead of those that come after.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, assert_never

from nportpy.attach.session import Arrived, Event, Garbage, Learned, Received, Refused, Session, Settled, Suspended
from nportpy.attach.wish import Wish
from nportpy.linesettings import StopBits
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.rfc2217 import ControlValue, Message, PurgeValue
from nportpy.protocols.telnet import Code, Option, Side

NEGOTIATION_TIME: Final = 3.0
"""Seconds in which a server should have answered to the telnet options."""

_US: Final = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION})
_THEM: Final = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.ECHO, Option.COM_PORT_OPTION})
_AWAITED: Final = frozenset(
    {(Side.US, Option.COM_PORT_OPTION), (Side.US, Option.TRANSMIT_BINARY), (Side.THEM, Option.TRANSMIT_BINARY)}
)

_SPEED, _SIZE, _PARITY, _STOP = "speed", "data bits", "parity", "stop bits"
_FLOW, _FLOW_IN, _BREAK, _DTR, _RTS = "flow control", "inbound flow control", "break", "DTR", "RTS"

# Values of SET-CONTROL by what they are about; the first of each asks.
_CONTROLS: Final = {
    _FLOW: (0, 1, 2, 3, 17, 19),
    _BREAK: (4, 5, 6),
    _DTR: (7, 8, 9),
    _RTS: (10, 11, 12),
    _FLOW_IN: (13, 14, 15, 16, 18),
}
_GROUPS: Final = {value: name for name, values in _CONTROLS.items() for value in values}
_STOP_BITS: Final = {stop_bits: int(rfc2217.stopsize_value(stop_bits)) for stop_bits in StopBits}


class Rfc2217Session(Session):
    """See `Session`."""

    def __init__(self) -> None:
        """Nothing is said before `begin`."""
        self.settled = False
        self._codec = telnet.TelnetCodec(us=_US, them=_THEM)
        self._output = bytearray()
        self._awaited = set(_AWAITED)
        self._deadline: float | None = None
        self._agreed = False  # on COM-PORT-OPTION
        self._asked: dict[str, int] = {}  # what was asked for last, or what the server said it has
        self._wished: set[str] = set()  # of those, what was asked for
        self._unanswered: Counter[str] = Counter()
        self._fence = False

    @property
    def plain_in(self) -> bool:  # type: ignore[override]  # an attribute that is not set is a property
        """See `Session`."""
        return self._codec.plain

    @property
    def plain_out(self) -> bool:  # type: ignore[override]  # likewise
        """See `Session`."""
        return self._codec.plain_out

    def begin(self, now: float) -> list[Event]:
        """See `Session`."""
        self._deadline = now + NEGOTIATION_TIME
        for option in (Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION):
            self._codec.ask_us(option)
        for option in (Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD):
            self._codec.ask_them(option)
        self._output += self._codec.take_output()
        return []

    def deadline(self) -> float | None:
        """See `Session`."""
        return self._deadline

    def expire(self, now: float) -> list[Event]:
        """See `Session`."""
        if self._deadline is None or now < self._deadline:
            return []
        return [self._settle()]

    def take_output(self) -> bytes:
        """See `Session`."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def encode(self, data: bytes) -> bytes:
        """See `Session`."""
        return self._codec.encode(data)

    # From the server.

    def feed(self, data: bytes) -> list[Event]:
        """See `Session`."""
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
            if enabled and not self._agreed:
                self._agreed = True
        else:
            self._awaited.discard((side, Option(option)))
        if not self._awaited and not self.settled:
            yield self._settle()

    def _settle(self) -> Settled:
        self.settled = True
        self._deadline = None
        if not self._agreed:
            return Settled("the server does not speak RFC 2217: speed, format and modem lines are as they are there")
        if not (self._codec.plain_out and self._codec.us_enabled(Option.TRANSMIT_BINARY)):
            return Settled("the server does not agree to binary transmission")
        return Settled()

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
            case rfc2217.SetControl(value) if value in _GROUPS:
                yield from self._answered(_GROUPS[value], value)
            case rfc2217.FlowcontrolSuspend() | rfc2217.FlowcontrolResume():
                yield Suspended(isinstance(message, rfc2217.FlowcontrolSuspend))
            case rfc2217.Malformed(_, reason):
                yield Garbage(reason)
            case _:
                pass  # states that were not asked for, echoes of masks and purges, what nobody has defined

    def _answered(self, name: str, value: int) -> Iterator[Event]:
        asked_for = self._unanswered[name] > 0
        self._unanswered[name] -= asked_for
        if not asked_for:
            self._asked[name] = value  # somebody else changed it: it is to be asked for again
        elif self._unanswered[name] == 0:
            if name not in self._wished:
                self._asked[name] = value
                yield from self._learn()
            elif self._asked[name] != value:
                yield Refused(name, _text(name, self._asked[name]), _text(name, value))
        if self._fence and self._unanswered[_SPEED] == 0:
            self._fence = False
            yield Arrived()

    def _learn(self) -> Iterator[Event]:
        known = self._asked.get
        if speed := known(_SPEED):
            yield Learned(
                Wish(
                    speed,
                    known(_SIZE),
                    rfc2217.parity(known(_PARITY, 0)),
                    rfc2217.stop_bits(known(_STOP, 0)),
                    rfc2217.flow(known(_FLOW, 0)),
                    rfc2217.inbound_flow(known(_FLOW_IN, 0)),
                )
            )

    # To the server.

    def _say(self, message: Message) -> None:
        payload = rfc2217.encode(message, to_client=False)
        self._output += self._codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload)

    def _request(self, name: str, value: int) -> None:
        """Ask for a value, unless it is there, or has been asked for."""
        if self._agreed and self._asked.get(name) != value:
            self._asked[name] = value
            self._wished.add(name)
            self._ask(name, value)

    def _ask(self, name: str, value: int) -> None:
        self._unanswered[name] += 1
        if name == _SPEED:
            self._say(rfc2217.SetBaudrate(value))
        elif name == _SIZE:
            self._say(rfc2217.SetDatasize(value))
        elif name == _PARITY:
            self._say(rfc2217.SetParity(value))
        elif name == _STOP:
            self._say(rfc2217.SetStopsize(value))
        else:
            self._say(rfc2217.SetControl(value))

    def ask_line(self) -> None:
        """See `Session`."""
        if self._agreed:
            for name in (_SIZE, _PARITY, _STOP, _FLOW, _FLOW_IN, _SPEED):
                self._ask(name, _CONTROLS[name][0] if name in _CONTROLS else rfc2217.REQUEST)

    def set_line(self, wish: Wish) -> None:
        """See `Session`."""
        if wish.baudrate:
            self._request(_SPEED, wish.baudrate)
        if wish.data_bits is not None:
            self._request(_SIZE, wish.data_bits)
        if wish.parity is not None:
            self._request(_PARITY, int(rfc2217.parity_value(wish.parity)))
        if wish.stop_bits is not None:
            self._request(_STOP, _STOP_BITS[wish.stop_bits])
        if wish.flow is not None and wish.flow_in is not None:
            self._set_flow(
                int(rfc2217.flow_value(wish.flow)),
                int(rfc2217.inbound_flow_value(wish.flow_in)),
                same=wish.flow is wish.flow_in,
            )

    def _set_flow(self, out: int, inbound: int, *, same: bool) -> None:
        """Both directions. The values 0 to 3 are about both where a server cannot tell them apart (RFC 2217)."""
        if self._agreed and self._asked.get(_FLOW) != out:
            self._request(_FLOW, out)
            self._asked.pop(_FLOW_IN, None)
            if same:
                self._asked[_FLOW_IN] = inbound
        if not same or _FLOW_IN in self._asked:
            self._request(_FLOW_IN, inbound)

    def set_modem_lines(self, *, on: bool) -> None:
        """See `Session`."""
        self._request(_DTR, ControlValue.DTR_ON if on else ControlValue.DTR_OFF)
        self._request(_RTS, ControlValue.RTS_ON if on else ControlValue.RTS_OFF)

    def set_break(self, *, on: bool) -> None:
        """See `Session`."""
        self._request(_BREAK, ControlValue.BREAK_ON if on else ControlValue.BREAK_OFF)

    def purge(self, *, received: bool, unsent: bool) -> None:
        """See `Session`."""
        if self._agreed and (received or unsent):
            self._say(rfc2217.PurgeData(PurgeValue.RECEIVE * received + PurgeValue.TRANSMIT * unsent))

    def ask_arrival(self) -> bool:
        """See `Session`: a question about the speed is answered in the order of the stream."""
        if self._agreed:
            self._fence = True
            self._ask(_SPEED, rfc2217.REQUEST)
        return self._agreed


def _text(name: str, value: int) -> str:
    """A value as one writes it."""
    parity, stop_bits = rfc2217.parity(value), rfc2217.stop_bits(value)
    if name == _PARITY and parity is not None:
        return parity.name.lower()
    if name == _STOP and stop_bits is not None:
        return str(stop_bits)
    if name in _CONTROLS:
        try:
            return ControlValue(value).name.lower().replace("_", " ")
        except ValueError:
            pass
    return str(value)
