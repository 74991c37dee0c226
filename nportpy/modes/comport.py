"""What COM-PORT-OPTION requests (RFC 2217) do to a line, and what is answered."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol, assert_never

from nportpy import __version__
from nportpy.line.arbiter import Line
from nportpy.line.stream import Change, StreamClient
from nportpy.linesettings import LineSettings, ModemLines, StopBits, UartCounters
from nportpy.protocols import rfc2217
from nportpy.protocols.rfc2217 import Command, ControlValue, LineState, Message, PurgeValue

_TRANSMITTER = LineState.TRANSFER_HOLDING_REGISTER_EMPTY | LineState.TRANSFER_SHIFT_REGISTER_EMPTY
_LEVELS = {
    ControlValue.BREAK_ON: ("break", True),
    ControlValue.BREAK_OFF: ("break", False),
    ControlValue.DTR_ON: ("dtr", True),
    ControlValue.DTR_OFF: ("dtr", False),
    ControlValue.RTS_ON: ("rts", True),
    ControlValue.RTS_OFF: ("rts", False),
}
_LEVEL_VALUES = {pair: value for value, pair in _LEVELS.items()}
_ASKS_LEVEL = {
    ControlValue.REQUEST_BREAK: "break",
    ControlValue.REQUEST_DTR: "dtr",
    ControlValue.REQUEST_RTS: "rts",
}


class Controller(StreamClient, Protocol):
    """A client whose requests may be obeyed."""

    @property
    def may_control(self) -> bool:
        """Whether they are."""


class ComPort:
    """One client's view of a line.

    Attributes:
        agreed: the option is on.
    """

    def __init__(self, line: Line, client: Controller, signature: str) -> None:
        """`signature` is what we call ourselves; empty: name, version and port."""
        self.agreed = False
        self._line = line
        self._client = client
        self._signature = signature or f"nportpy {__version__} {line.name}"
        self._linestate_mask = rfc2217.INITIAL_LINESTATE_MASK
        self._modemstate_mask = rfc2217.INITIAL_MODEMSTATE_MASK
        self._modem = line.modem_lines()
        self._heard = line.received
        self._linestate = self._line_state_now(UartCounters())
        self._used: set[Command] = set()  # unasked answers go only to who knows them: pyserial dies of others
        self._told = dict(self._values())

    # Requests.

    def would_change(self, message: Message | rfc2217.Unknown | rfc2217.Malformed) -> bool:
        """Whether obeying would change the line, so that bytes before it must have left."""
        wish = self._wish(message)
        if wish is not None and wish != self._line.settings:
            return True
        level = self._level(message)
        return level is not None and self._levels()[level[0]] != level[1]

    def answer(self, message: Message | rfc2217.Unknown | rfc2217.Malformed) -> Iterator[Message]:
        """Obey, if this client may, and answer with what is in effect."""
        if self._client.may_control:
            wish, level = self._wish(message), self._level(message)
            if wish is not None:
                self._line.configure(wish, by=self._client)
            if level is not None and self._levels()[level[0]] != level[1]:
                self._set_level(*level)
        match message:
            case rfc2217.Signature(text):
                if not text:
                    yield rfc2217.Signature(self._signature.encode())
            case rfc2217.SetBaudrate(_, one_byte):
                self._used.add(Command.SET_BAUDRATE)
                yield rfc2217.SetBaudrate(self._line.settings.baudrate, one_byte)
            case rfc2217.SetDatasize() | rfc2217.SetParity() | rfc2217.SetStopsize():
                yield self._setting(_COMMANDS[type(message)])
            case rfc2217.SetControl(value):
                self._used.add(Command.SET_CONTROL)
                yield rfc2217.SetControl(self._control_in_effect(value))
            case rfc2217.NotifyLinestate():
                yield rfc2217.NotifyLinestate(self._line_state_now(UartCounters()))
            case rfc2217.NotifyModemstate():
                yield self.modem_state_now()
            case rfc2217.SetLinestateMask(mask):
                self._linestate_mask = mask
                yield rfc2217.SetLinestateMask(mask)
            case rfc2217.SetModemstateMask(mask):
                self._modemstate_mask = mask
                yield rfc2217.SetModemstateMask(mask)
                yield self.modem_state_now()
            case rfc2217.PurgeData(value):
                self._purge(value)
                yield rfc2217.PurgeData(value)
            case rfc2217.Malformed(command, _):
                yield from self._answer_malformed(command)
            case rfc2217.FlowcontrolSuspend() | rfc2217.FlowcontrolResume() | rfc2217.Unknown():
                pass
            case _:
                assert_never(message)
        self._told = dict(self._values())

    def _answer_malformed(self, command: Command | None) -> Iterator[Message]:
        """Not a request that one can obey, but somebody waits for the value in effect."""
        match command:
            case Command.SET_LINESTATE_MASK:
                yield rfc2217.SetLinestateMask(self._linestate_mask)
            case Command.SET_MODEMSTATE_MASK:
                yield rfc2217.SetModemstateMask(self._modemstate_mask)
            case Command.NOTIFY_LINESTATE:
                yield rfc2217.NotifyLinestate(self._line_state_now(UartCounters()))
            case Command.NOTIFY_MODEMSTATE:
                yield self.modem_state_now()
            case _ if command in _SETTINGS:
                yield self._setting(command)
            case _:
                pass

    def _wish(self, message: Message | rfc2217.Unknown | rfc2217.Malformed) -> LineSettings | None:
        """The settings that a request asks for; None if it asks for none, or for some that do not exist."""
        now = self._line.settings
        try:
            match message:
                case rfc2217.SetBaudrate(value) if value:
                    return replace(now, baudrate=value)
                case rfc2217.SetDatasize(value) if value:
                    # A UART told to leave 5 data bits makes two stop bits of its one and a half.
                    leaving = now.stop_bits is StopBits.ONE_AND_HALF and value != 5
                    return replace(now, data_bits=value, stop_bits=StopBits.TWO if leaving else now.stop_bits)
                case rfc2217.SetParity(value) if (parity := rfc2217.parity(value)) is not None:
                    return replace(now, parity=parity)
                case rfc2217.SetStopsize(value) if (stop_bits := rfc2217.stop_bits(value)) is not None:
                    return replace(now, stop_bits=stop_bits)
                case rfc2217.SetControl(value) if (flow := rfc2217.flow(value)) is not None:
                    return replace(now, flow=flow, flow_in=flow)
                case rfc2217.SetControl(value) if (flow := rfc2217.inbound_flow(value)) is not None:
                    return replace(now, flow_in=flow)
                case _:
                    return None
        except ValueError:
            return None

    def _level(self, message: Message | rfc2217.Unknown | rfc2217.Malformed) -> tuple[str, bool] | None:
        if isinstance(message, rfc2217.SetControl):
            return _LEVELS.get(message.value)  # type: ignore[call-overload, no-any-return]  # any int may come
        return None

    def _set_level(self, name: str, on: bool) -> None:
        if name == "break":
            self._line.set_break(on, by=self._client)
        elif name == "dtr":
            self._line.set_modem_lines(dtr=on, by=self._client)
        else:
            self._line.set_modem_lines(rts=on, by=self._client)

    def _levels(self) -> dict[str, bool]:
        modem = self._line.modem_lines()
        return {
            "break": self._line.breaking,
            "dtr": bool(modem & ModemLines.DTR),
            "rts": bool(modem & ModemLines.RTS),
        }

    def _control_in_effect(self, value: int) -> int:
        """The state that answers a SET-CONTROL request: of the group it belongs to, flow control for unknown ones."""
        name = _ASKS_LEVEL.get(value) or _LEVELS.get(value, ("", False))[0]  # type: ignore[call-overload]
        if name:
            return _LEVEL_VALUES[name, self._levels()[name]]
        settings = self._line.settings
        if value in _ABOUT_INBOUND_FLOW:
            return rfc2217.inbound_flow_value(settings.flow_in)
        return rfc2217.flow_value(settings.flow)

    def _setting(self, command: Command) -> Message:
        self._used.add(command)
        return dict(self._values())[command][0]

    def _purge(self, value: int) -> None:
        if self._client.may_control:
            self._line.purge(
                received=value in (PurgeValue.RECEIVE, PurgeValue.BOTH),
                unsent=value in (PurgeValue.TRANSMIT, PurgeValue.BOTH),
            )

    # What changed without a request.

    def _values(self) -> Iterator[tuple[Command, tuple[Message, ...]]]:
        settings, levels = self._line.settings, self._levels()
        yield Command.SET_BAUDRATE, (rfc2217.SetBaudrate(settings.baudrate),)
        yield Command.SET_DATASIZE, (rfc2217.SetDatasize(settings.data_bits),)
        yield Command.SET_PARITY, (rfc2217.SetParity(rfc2217.parity_value(settings.parity)),)
        yield Command.SET_STOPSIZE, (rfc2217.SetStopsize(rfc2217.stopsize_value(settings.stop_bits)),)
        controls = [rfc2217.flow_value(settings.flow), rfc2217.inbound_flow_value(settings.flow_in)]
        controls += [_LEVEL_VALUES[name, level] for name, level in levels.items()]
        yield Command.SET_CONTROL, tuple(rfc2217.SetControl(value) for value in controls)

    def changed(self, change: Change) -> Iterator[Message]:
        """Answers that were not asked for: somebody else changed something that this client has set or asked for."""
        if change is Change.CONTROLLER:
            return
        before, now = self._told, dict(self._values())
        self._told = now
        for command in self._used:
            yield from (message for message in now[command] if message not in before[command])

    @property
    def wants_state(self) -> bool:
        """Whether the client's masks let anything through that has to be watched."""
        return bool(self._modemstate_mask or self._linestate_mask)

    @property
    def wants_transmitter(self) -> bool:
        """Whether the client wants to hear when the transmitter is empty or when data comes."""
        return bool(self._linestate_mask & (_TRANSMITTER | LineState.DATA_READY))

    def modem_state_now(self) -> Message:
        """The modem lines, all of them, without deltas."""
        self._modem = self._line.modem_lines()
        return rfc2217.NotifyModemstate(rfc2217.modem_state(self._modem))

    def state_changed(self, modem: ModemLines, errors: UartCounters) -> Iterator[Message]:
        """What the masks let through of a change."""
        change = rfc2217.modem_state_change(modem, self._modem, self._modemstate_mask)
        self._modem = modem
        if change is not None:
            yield rfc2217.NotifyModemstate(change)
        wrong = _error_bits(errors)
        if wrong & self._linestate_mask:
            yield rfc2217.NotifyLinestate(self._line_state_now(errors) & self._linestate_mask)

    def transmitter_changed(self) -> Message | None:
        """The line state, if a masked bit other than an error changed since the last call."""
        before, self._linestate = self._linestate, self._line_state_now(UartCounters())
        self._heard = self._line.received
        if (before ^ self._linestate) & self._linestate_mask:
            return rfc2217.NotifyLinestate(self._linestate & self._linestate_mask)
        return None

    def _line_state_now(self, errors: UartCounters) -> LineState:
        state = _error_bits(errors)
        if self._line.all_sent():
            state |= _TRANSMITTER
        if self._line.received != self._heard:
            state |= LineState.DATA_READY
        return state


_COMMANDS = {
    rfc2217.SetDatasize: Command.SET_DATASIZE,
    rfc2217.SetParity: Command.SET_PARITY,
    rfc2217.SetStopsize: Command.SET_STOPSIZE,
}
_SETTINGS = (Command.SET_BAUDRATE, Command.SET_DATASIZE, Command.SET_PARITY, Command.SET_STOPSIZE, Command.SET_CONTROL)
_ABOUT_INBOUND_FLOW = (
    ControlValue.REQUEST_INBOUND_FLOW,
    ControlValue.INBOUND_FLOW_NONE,
    ControlValue.INBOUND_FLOW_XONXOFF,
    ControlValue.INBOUND_FLOW_HARDWARE,
    ControlValue.INBOUND_FLOW_DTR,
)


def _error_bits(errors: UartCounters) -> LineState:
    bits = LineState(0)
    if errors.overrun or errors.buffer_overrun:
        bits |= LineState.OVERRUN_ERROR
    if errors.parity:
        bits |= LineState.PARITY_ERROR
    if errors.frame:
        bits |= LineState.FRAMING_ERROR
    if errors.breaks:
        bits |= LineState.BREAK_DETECT
    return bits
