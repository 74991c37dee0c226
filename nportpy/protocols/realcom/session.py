"""A client of a Real COM port, without its sockets: what its commands do to the line, and what they are answered.

Commands are obeyed one after the other, and each gets one answer, in their order. Two things have to wait for bytes:

- *WAIT_OUTPUT* is answered when all bytes have left, or when its time is up. It overtakes the bytes of the other
  connection that a Linux client wrote before it, so that connection has to be quiet for a moment first.
- *a change of speed or format, and a break,* must not overtake bytes received before them. Their answer waits, but no
  client waits longer than 10 s; so after 5 s it is told that it has what it wants, and the change waits on. No more
  data may be taken from the client then (`hold_data`), as it is meant for after the change.

A Linux client that closes asks for 30 s whether all has left, or with O_NONBLOCK not at all, and then sends a flush.
What has not left by then would be lost, so a flush of unsent bytes is acknowledged at once and obeyed only if the
client goes on after it (held_flush.py). A line that flow control has stopped is the exception: nobody waits for that,
and the next client's bytes should not come behind those of the last.

Times are seconds on any clock that runs forward.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, assert_never

from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.realcom import messages as m
from nportpy.protocols.realcom import values
from nportpy.protocols.realcom.codec import CommandReader, encode_answer
from nportpy.protocols.realcom.held_flush import HeldFlush
from nportpy.protocols.realcom.line import GRACE, Line, Outflow
from nportpy.protocols.realcom.notices import Liveness, Notices

PATIENCE: Final = 5.0
"""How many seconds the answer to a change waits for bytes to leave."""

MAX_WAITING: Final = 4096
"""How many bytes of commands may wait before the command connection should not be read (`congested`)."""

_AT_ONCE = 64  # commands obeyed before others have their turn
_SHORT = 100  # the smallest timeout of a WAIT_OUTPUT in ticks, whatever a tick is; only a close sends longer ones
_SHORT_TIME = 0.09  # a client that allows 100 ms hears of what is answered after this
_LONGEST_TIME = 8.0  # no command may go without an answer for 10 s
_TOLERANCE = 0.03  # a speed further from the one that was asked for is another one

_Change = m.PortInit | m.SetLine | m.SetFlow | m.SetBaudrate
_Deferred = _Change | m.StartBreak | m.WaitOutput
_CHANGES: dict[type[m.SetLine | m.SetFlow], m.Op] = {m.SetLine: m.Op.SET_LINE, m.SetFlow: m.Op.SET_FLOW}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a client is served.

    Attributes:
        shared: several clients may have the port at a time. Nobody's bytes can be waited for or thrown away then.
        control: the client's wishes are obeyed; otherwise its commands succeed and do nothing. Meant to be false
            where `shared` is true, unless driver control is allowed.
        grace: seconds that the data connection has to be quiet; more on slow networks. A flush is held for twice that.
        alive: seconds without a sign of life after which the client is polled; 0: never.
    """

    shared: bool = False
    control: bool = True
    grace: float = GRACE
    alive: float = 40.0


class Session:
    """One client.

    The owner of the sockets calls `feed` and `data_received` with what they bring, `line_changed` when the line has
    news, and `expire` at `deadline()`; after each it writes what `take_output` gives, piece by piece. While the
    client does not fetch its answers it should neither feed nor expire.

    Attributes:
        started: there was a PORT_INIT.
        malformed: commands that were dropped because of their length.
        patience: seconds that what the client has left behind should wait at most for a line that takes nothing, as
            its last word was a flush of that; None: it was not.
    """

    def __init__(
        self, line: Line, settings: SessionSettings, now: float, *, hello: bool = False, ready: bool = True
    ) -> None:
        """The command connection is there.

        Args:
            line: of the port.
            settings: how the client is served.
            now: the time.
            hello: it came by IPv6, and not with an IPv4 address mapped into it.
            ready: the data connection is there too; commands wait for it.
        """
        self.started = False
        self.malformed = 0
        self.patience: float | None = None
        self._line = line
        self._settings = settings
        self._ready = ready
        self._reader = CommandReader(hello=hello)
        self._input = bytearray()
        self._commands: deque[m.Command | m.Unknown | m.Malformed | m.Hello] = deque()
        self._output: list[bytes] = []
        self._unknown: list[m.Unknown] = []
        self._unknown_ops: set[int] = set()
        self._outflow = Outflow(line, settings.grace, now)
        self._notices = Notices(now)
        self._liveness = Liveness(settings.alive, now)
        self._waiting: _Deferred | None = None
        self._since = self._look_at = now  # when that came, and when to look at it again
        self._late: LineSettings | None = None  # a change that was answered and is still to be made
        self._closing = False  # the client asks as one that closes
        self._last_words = False  # the client sends no more commands
        self._held_flush = HeldFlush(line, 2 * settings.grace)
        self._levels: tuple[bool, bool] | None = None  # DTR and RTS as the client wants them
        self._breaking = False
        self._holding = False

    # What the sockets bring.

    def connect_data(self, now: float) -> None:
        """The data connection is there."""
        self._ready = True
        self._liveness.heard(now)
        self._work(now)

    def data_received(self, size: int, now: float) -> None:
        """So many bytes came on the data connection; called before they are written to the line."""
        self._outflow.came(size, now)
        self._liveness.heard(now)
        if self._held_flush.held:
            self._held_flush.data_came(size)

    def feed(self, data: bytes, now: float) -> None:
        """Bytes came on the command connection."""
        self._liveness.heard(now)
        self._input += data
        self._work(now)

    def take_output(self) -> list[bytes]:
        """What to write to the command connection: each piece by itself, at once (TCP_NODELAY)."""
        output, self._output = self._output, []
        return output

    def take_unknown(self) -> list[m.Unknown]:
        """Commands that nobody here knows, for the log: of each opcode the first."""
        unknown, self._unknown = self._unknown, []
        return unknown

    @property
    def congested(self) -> bool:
        """Whether the command connection should not be read for now."""
        return len(self._input) > MAX_WAITING

    @property
    def hold_data(self) -> bool:
        """Whether the data connection should not be read for now."""
        return self._outflow.held

    @property
    def dead(self) -> bool:
        """Whether the client has answered no poll, so that both connections are to be closed."""
        return self._liveness.dead

    # What the line and the time bring.

    def line_changed(self, modem: ModemLines, counted: UartCounters, now: float) -> None:
        """Modem lines now, and what went wrong on the line since the last call."""
        self._outflow.lines_are(modem, now)
        self._notices.lines_are(modem)
        self._notices.went_wrong(counted)
        self._notify(now)

    def deadline(self) -> float | None:
        """When to call `expire`; a time past if there is work left that others should not wait for."""
        times = [self._notices.deadline(), self._liveness.deadline() if self._ready else None]
        times.append(self._held_flush.deadline())
        if self._waiting is not None or self._late is not None:
            times.append(self._look_at)
        if self._waiting is None and self._ready and (self._commands or self._input):
            times.append(self._look_at)
        return min((time for time in times if time is not None), default=None)

    def expire(self, now: float) -> None:
        """Do what its time has come for."""
        self._held_flush.expire(now)
        self._work(now)
        self._notify(now)
        if self._ready and (poll := self._liveness.poll(now)) is not None:
            self._output.append(encode_answer(poll))

    def commands_ended(self) -> None:
        """The client will send no more commands: it closes, so what it has given to the line leaves."""
        self._last_words = True
        if self._held_flush.drop():
            self.patience = self._outflow.patience()

    def end(self) -> None:
        """The connections are gone: end what only the client could have ended. Its unsent bytes are not touched.

        While `hold_data` is true there are bytes of the client that are not read yet: do not end it before.
        """
        self.commands_ended()
        if self._breaking:
            self._set_break(False)
        if self._holding:
            self._hold_sending(False)

    def _notify(self, now: float) -> None:
        notification = self._notices.notification(now, self._line.settings, held=self._holding)
        if notification is not None:
            self._output.append(encode_answer(notification))

    # Commands in turn.

    def _work(self, now: float) -> None:
        """Obey what came, as far as its turn has come."""
        if self._late is not None:
            self._catch_up(now)
        for _ in range(_AT_ONCE):
            if self._waiting is not None and not self._resume(self._waiting, now):
                return
            if not self._read() or not (self._ready or isinstance(self._commands[0], m.Hello)):
                return
            self._obey(self._commands.popleft(), now)
        self._look_at = now

    def _read(self) -> bool:
        """Look for commands, in portions; whether there are any."""
        while self._input and not self._commands:
            portion = bytes(self._input[:_AT_ONCE])
            del self._input[:_AT_ONCE]
            self._commands.extend(self._reader.feed(portion))
        return bool(self._commands)

    def _obey(self, command: m.Command | m.Unknown | m.Malformed | m.Hello, now: float) -> None:
        if not isinstance(command, m.Alive):  # the daemon says that, whatever programs do
            self._go_on(command)
        match command:
            case m.PortInit() | m.SetLine() | m.SetFlow() | m.SetBaudrate():
                self._change(command, now)
            case m.WaitOutput() | m.StartBreak():
                self._defer(command, now)
            case m.StopBreak():
                self._set_break(False)
                self._acknowledge(m.Op.STOP_BREAK)
            case m.LineControl(dtr, rts):
                self._set_levels(dtr, rts)
                self._acknowledge(m.Op.LINE_CONTROL)
            case m.FlowCharacters(xon, xoff):
                if self._settings.control:
                    self._line.set_flow_characters(xon, xoff)
                self._acknowledge(m.Op.FLOW_CHARACTERS)
            case m.SetXon():
                self._hold_sending(False)
                self._acknowledge(m.Op.SET_XON)
            case m.SetXoff():
                self._hold_sending(True)
                self._acknowledge(m.Op.SET_XOFF)
            case m.Fifo():
                self._acknowledge(m.Op.FIFO)  # Linux has no way to switch it
            case m.Flush(what):
                self._flush(what, now)
                self._acknowledge(m.Op.FLUSH)
            case m.LineStatus() | m.InputQueue() | m.OutputQueue() | m.StartNotify() | m.StopNotify():
                self._tell(command, now)
            case m.Hello(data):
                self._output.append(data)
            case m.Unknown():
                self._answer_unknown(command)
            case m.Malformed():
                self.malformed += 1
            case m.Alive():
                pass
            case _:
                assert_never(command)

    def _go_on(self, command: m.Command | m.Unknown | m.Malformed | m.Hello) -> None:
        """The client goes on with this."""
        if self._held_flush.held:
            self._held_flush.obey()
            self._closing = False
        if not isinstance(command, m.WaitOutput | m.Flush):
            self._closing = False

    def _tell(
        self, command: m.LineStatus | m.InputQueue | m.OutputQueue | m.StartNotify | m.StopNotify, now: float
    ) -> None:
        match command:
            case m.LineStatus():
                self._answer_status(m.Op.LINE_STATUS, now)
            case m.InputQueue():
                self._answer_length(m.Op.INPUT_QUEUE, self._line.undelivered())
            case m.OutputQueue():
                self._answer_length(m.Op.OUTPUT_QUEUE, self._outflow.waiting())
            case m.StartNotify():
                self._acknowledge(m.Op.START_NOTIFY)
                self._start_notices(now)
            case m.StopNotify():
                self._acknowledge(m.Op.STOP_NOTIFY)
                self._notices.on = False
            case _:
                assert_never(command)

    def _answer_unknown(self, command: m.Unknown) -> None:
        if command.op not in self._unknown_ops:
            self._unknown_ops.add(command.op)
            self._unknown.append(command)
        if command.op not in (m.Op.NOTIFY, m.Op.POLL):  # those two would be read as something else
            self._acknowledge(command.op)

    def _acknowledge(self, op: int, *, ok: bool = True) -> None:
        self._output.append(encode_answer(m.Acknowledged(op, ok)))

    def _answer_length(self, op: m.Op, length: int) -> None:
        self._output.append(encode_answer(m.QueueLength(op, min(length, 0xFFFF))))

    def _answer_status(self, op: m.Op, now: float) -> None:
        lines = self._line.modem_lines()
        dsr, cts, dcd = (bool(lines & line) for line in (ModemLines.DSR, ModemLines.CTS, ModemLines.CD))
        self._output.append(encode_answer(m.ModemStatus(op, dsr, cts, dcd)))
        self._notices.lines_are(lines)
        self._notify(now)

    def _start_notices(self, now: float) -> None:
        self._notices.on = True
        self._notices.lines_are(self._line.modem_lines())
        self._notify(now)

    # What the client does to the line.

    def _set_levels(self, dtr: bool, rts: bool) -> None:
        """Only what is new is set: a driver that does flow control with RTS must not be disturbed."""
        if self._settings.control and (self._settings.shared or self._levels != (dtr, rts)):
            self._levels = (dtr, rts)
            self._line.set_modem_lines(dtr=dtr, rts=rts)

    def _set_break(self, on: bool) -> None:
        if self._settings.control and on is not self._breaking:
            self._breaking = on
            self._line.set_break(on)

    def _hold_sending(self, hold: bool) -> None:
        if self._settings.control and hold is not self._holding:
            self._holding = hold
            self._line.hold_sending(hold)

    def _flush(self, what: int, now: float) -> None:
        if self._settings.shared:
            return
        unsent = what in (m.Flushed.UNSENT, m.Flushed.BOTH)
        if unsent and not self._outflow.all_left() and not self._stopped(now):
            if self._last_words:
                self.patience = self._outflow.patience()
            else:
                self._held_flush.hold(now, closing=self._closing)
            unsent = False
        received = what in (m.Flushed.RECEIVED, m.Flushed.BOTH)
        if received or unsent:
            self._line.purge(received=received, unsent=unsent)

    def _stopped(self, now: float) -> bool:
        """Whether flow control is known to have stopped the line for long: nobody looks at it but for a reason."""
        return self._holding or self._outflow.blocked(now) or (self._closing and self._outflow.stuck(now))

    # What may have to wait.

    def _defer(self, command: _Deferred, now: float) -> None:
        """Do it as soon as it can be done, which may be now."""
        if not (self._closing and isinstance(command, m.WaitOutput)):
            self._outflow.look_afresh()
        self._waiting = command
        self._since = now
        self._resume(command, now)

    def _resume(self, command: _Deferred, now: float) -> bool:
        """Do what waited if its time has come; whether it has."""
        done = self._answer_wait(command, now) if isinstance(command, m.WaitOutput) else self._act(command, now)
        if done:
            self._waiting = None
        return done

    def _answer_wait(self, command: m.WaitOutput, now: float) -> bool:
        if self._settings.shared:
            self._answer_length(m.Op.WAIT_OUTPUT, 0)
            return True
        least = 0.0 if self._closing else _SHORT_TIME  # a close counts down to nothing
        self._closing = self._closing or command.timeout > _SHORT
        allowed = min(max(command.timeout / 1000 - 0.01, least), _LONGEST_TIME)
        if self._commands or self._input:  # who sends the next command waits for this answer no longer
            allowed = min(allowed, _SHORT_TIME)
        if self._closing:
            self._outflow.stuck(now)  # for the flush that comes then
        quiet_at = self._outflow.quiet_at(self._since)
        left = self._late is None and self._outflow.all_left()
        if now < self._since + allowed and not (left and now >= quiet_at):
            self._look_at = min(max(now + self._line.time_to_send(), quiet_at), self._since + allowed)
            return False
        self._answer_length(m.Op.WAIT_OUTPUT, 0 if left else max(self._outflow.waiting(), 1))
        return True

    def _change(self, command: _Change, now: float) -> None:
        now_set = self._line.settings if self._late is None else self._late
        wish = values.wished(command, now_set)
        if self._settings.control and _on_wire(wish) != _on_wire(now_set):
            self._defer(command, now)
        else:
            self._make(command, now)

    def _act(self, command: _Change | m.StartBreak, now: float) -> bool:
        """Do what must not overtake bytes, if they have left, or will not leave for long."""
        may = self._late is None and (self._outflow.all_left() or self._outflow.stuck(now))
        may = may or not self._settings.control  # as nothing will be done
        if not may and now < self._since + PATIENCE:
            self._look_at = min(now + self._line.time_to_send(), self._since + PATIENCE)
            return False
        if isinstance(command, m.StartBreak):
            self._set_break(True)
            self._acknowledge(m.Op.START_BREAK)
        else:
            self._make(command, now, late=not may)
        return True

    def _make(self, command: _Change, now: float, *, late: bool = False) -> None:
        """Change what the client wants changed, or remember it, and answer."""
        wish = values.wished(command, self._line.settings if self._late is None else self._late)
        if not self._settings.control:
            got = wish
        elif late or self._late is not None:
            got = self._late = wish
            self._outflow.hold()
            self._look_at = now
        else:
            got = self._line.configure(wish) if wish != self._line.settings else wish
        match command:
            case m.PortInit(_, _, dtr, rts):
                self._set_levels(dtr, rts)
                if not self.started:
                    self.started = self._notices.on = True
                self._answer_status(m.Op.PORT_INIT, now)
            case m.SetBaudrate(rate):
                done = values.SLOWEST <= rate <= values.FASTEST and abs(got.baudrate - rate) <= _TOLERANCE * rate
                self._acknowledge(m.Op.SET_BAUDRATE, ok=done or not self._settings.control)
            case m.SetLine() | m.SetFlow():
                self._acknowledge(_CHANGES[type(command)])
            case _:
                assert_never(command)

    def _catch_up(self, now: float) -> None:
        """Make the change that was answered before it could be made."""
        assert self._late is not None
        if self._outflow.all_left() or self._outflow.stuck(now):
            self._line.configure(self._late)
            self._late = None
            self._outflow.release()
        else:
            self._look_at = now + self._line.time_to_send()


def _on_wire(settings: LineSettings) -> tuple[int, str]:
    """What bytes look like: not flow control, which may be what has to change for them to leave."""
    return settings.baudrate, settings.format
