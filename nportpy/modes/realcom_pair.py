"""A Real COM client: a data connection and a command connection, which share their end.

nportpy/protocols/realcom/session.py says what commands do; here are the sockets, the line and the time.
"""

import asyncio
import fcntl
import logging
import socket
import termios
from collections.abc import Callable

from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.modes.raw import RawSession
from nportpy.modes.realcom_base import RealComSettings
from nportpy.network.addresses import Address, Endpoint
from nportpy.network.connection import Connection, Stop, contained
from nportpy.protocols.realcom.session import Session, SessionSettings
from nportpy.status import End

_LONE = 10.0  # a command connection waits so long for its data connection; drivers give up then, too
_LAST_WORDS = 0.5  # what a client sent before it closed its command connection comes without such a pause

log = logging.getLogger(__name__)


class DataConnection(RawSession):
    """A data connection. Without a command connection it is a raw one, as on an NPort.

    Attributes:
        partner: the command connection of the same client.
    """

    def __init__(
        self,
        line: Line,
        settings: RealComSettings,
        pairing: "Pairing",
        sock: socket.socket,
        peer: Endpoint,
        address: Address,
    ) -> None:
        """`connection_made` brings the rest."""
        super().__init__(line, settings, sock, peer, address)
        self.partner: CommandConnection | None = None
        self._pairing = pairing
        self._last_words = False
        self._patience: float | None = None  # for a line that takes nothing of what is left behind; None: as ever

    def data_received(self, data: bytes) -> None:
        if self.partner is not None:
            self.partner.data_comes(len(data))
        super().data_received(data)

    def eof_received(self) -> bool:
        self.finish(End.CLOSED)
        return True

    def unread(self) -> int:
        """Bytes from the client that wait in the kernel."""
        if self.transport.is_closing():
            return 0
        count = bytearray(4)
        fcntl.ioctl(self.socket.fileno(), termios.FIONREAD, count)
        return int.from_bytes(count, "little")

    def controls(self) -> bool:
        return self.partner is not None and self.partner.may_control

    def hear_last_words(self) -> None:
        """There will be no more commands: end as soon as nothing more comes; bytes wait for a line that moves."""
        if not self._last_words and self._joined:
            self._last_words = True
            limit = max(self.line.linger, _LAST_WORDS) if self.unread() else _LAST_WORDS
            self._watch_silence(limit, lambda: (self.received, self.line.unsent(), self.unread()), End.CLOSED)

    # What the line tells.

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        if self.partner is not None:
            self.partner.line_is(modem, errors)

    def line_up(self) -> None:
        super().line_up()
        self.line_state(self.line.modem_lines(), UartCounters())

    def line_down(self) -> None:
        super().line_down()
        self.line_state(self.line.modem_lines(), UartCounters())

    # The beginning and the end.

    def _join(self) -> None:
        super()._join()
        self._pairing.data_came(self)

    def left(self) -> None:
        self._pairing.data_went(self)
        partner, self.partner = self.partner, None
        if partner is not None:
            self._patience = partner.data_went(self.end or End.CLOSED)

    def _leave(self) -> None:
        super()._leave()
        if self._patience is not None:
            self.line.stream.hurry(self._patience)
            self._patience = None


class CommandConnection(Connection):
    """A command connection, and with its data connection a client.

    Attributes:
        data: the data connection of the same client.
        rules: what it was opened with, and keeps: the driver believes what it was told then.
        paired: it has had one.
    """

    def __init__(
        self,
        line: Line,
        settings: RealComSettings,
        pairing: "Pairing",
        sock: socket.socket,
        peer: Endpoint,
        address: Address,
    ) -> None:
        """`connection_made` brings the rest."""
        super().__init__(line.name, settings, sock, peer, address)
        self.rules = settings
        self.line = line
        self.data: DataConnection | None = None
        self.paired = False
        self._on_paired: Callable[[], None] = lambda: None
        self._now = asyncio.get_running_loop().time
        self._pairing = pairing
        self._alone: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held_back = False  # the client told us to send nothing to the device
        self._garbage = False
        self._over = False

    def opened(self) -> None:
        self.transport.set_write_buffer_limits(0)  # a client that does not fetch its answers gets no more of them
        shared = self.rules.max_clients > 1
        settings = SessionSettings(
            shared=shared,
            control=self.rules.allow_driver_control or not shared,
            grace=self.rules.grace,
            alive=self.rules.poll,
        )
        hello = self.address.version == 6
        self._session = Session(ClientsLine(self), settings, self._now(), hello=hello, ready=False)

    # The other half.

    def _join(self) -> None:
        super()._join()
        self._alone = asyncio.get_running_loop().call_later(_LONE, self.finish, End.INACTIVE)
        self._pairing.command_came(self)

    def pair(self, data: DataConnection) -> None:
        """The client is complete."""
        if self._alone is not None:
            self._alone.cancel()
        self.data, data.partner = data, self
        self.paired = True
        self._on_paired()
        if self.rules.max_clients == 1 or self.rules.allow_driver_control:
            self.line.control.enter(data)
        self.line.watch.add(data)
        self._session.connect_data(self._now())
        self._go_on()

    def when_paired(self, call: Callable[[], None]) -> None:
        """Call once the client is complete, which may be now."""
        if self.paired:
            call()
        else:
            self._on_paired = call

    @property
    def may_control(self) -> bool:
        """Whether the client's commands are obeyed."""
        if self.rules.max_clients > 1:
            return self.rules.allow_driver_control
        return self.data is not None and self.line.control.belongs_to(self.data)

    # What comes.

    @contained
    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._session.feed(data, self._now())
        self._go_on()

    def data_comes(self, size: int) -> None:
        """So many bytes have come on the data connection."""
        self._session.data_received(size, self._now())
        if self._session.hold_data:
            self._hold_data()

    @contained
    def line_is(self, modem: ModemLines, errors: UartCounters) -> None:
        """The line has news."""
        self._session.line_changed(modem, errors, self._now())
        self._go_on()

    @contained
    def _expire(self) -> None:
        self._timer = None
        self._session.expire(self._now())
        self._go_on()

    def pause_writing(self) -> None:
        self._held = True
        self.stop(Stop.UNREAD)

    @contained
    def resume_writing(self) -> None:
        self._held = False
        self.go(Stop.UNREAD)
        self._go_on()

    # What follows from it.

    def _go_on(self) -> None:
        """Send what there is to say, and see to it that everything goes on."""
        session = self._session
        for piece in session.take_output():
            if not self.transport.is_closing():
                self.sent += len(piece)
                self.transport.write(piece)  # each by itself: drivers put nothing together
        if session.dead:
            self._give_up()
            return
        (self.stop if session.congested else self.go)(Stop.BUSY)
        self._hold_data()
        self._tell_of_garbage()
        self._set_timer()

    def _give_up(self) -> None:
        """The client answers no poll."""
        if self.data is not None:
            self.data.finish(End.DEAD, at_once=True)
        self.finish(End.DEAD, at_once=True)

    def _hold_data(self) -> None:
        if self.data is not None:
            hold = self._session.hold_data or self._held_back
            (self.data.stop if hold else self.data.go)(Stop.BUSY)

    def hold_back(self, hold: bool) -> None:
        """Take nothing more from the client for the device; or go on."""
        self._held_back = hold

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = None if self._over or self._held else self._session.deadline()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _tell_of_garbage(self) -> None:
        """One line for each opcode that nobody knows, and one for all that has the wrong length."""
        extra = {"port": self.name, "client": str(self.peer)}
        for unknown in self._session.take_unknown():
            log.info("unknown command", extra=extra | {"opcode": f"{unknown.op:02x}", "hex": unknown.payload.hex(" ")})
        if self._session.malformed and not self._garbage:
            self._garbage = True
            log.info("commands of a wrong length are passed over", extra=extra)

    # The end.

    def eof_received(self) -> bool:
        if self.data is None:
            self.finish(End.CLOSED)
        else:
            self.half_closed = True
            self._session.commands_ended()
            self.data.hear_last_words()
        return True

    def left(self) -> None:
        if self._alone is not None:
            self._alone.cancel()
        self._pairing.command_went(self)
        if self.data is not None:
            self._session.commands_ended()
            self.data.hear_last_words()
        else:
            self._end()

    def data_went(self, end: End) -> float | None:
        """The data connection has ended, so the client has; how long to wait for a line that takes nothing."""
        data, self.data = self.data, None
        if data is not None:
            self._end()
            self.line.watch.remove(data)
            self.line.control.leave(data)
        self.finish(end, at_once=end in (End.KICKED, End.TAKEN_OVER))
        return self._session.patience

    def _end(self) -> None:
        if not self._over:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
            self._session.end()


class ClientsLine:
    """What a client's commands do to the line, as far as it controls it; see protocols/realcom/line.py.

    XON and XOFF cannot be other characters, as no port has a way to change them.
    """

    def __init__(self, client: CommandConnection) -> None:
        """`client` is who asks."""
        self._client = client
        self._line = client.line

    @property
    def settings(self) -> LineSettings:
        """In effect."""
        return self._line.settings

    def configure(self, wish: LineSettings) -> LineSettings:
        """Change them if the client controls the line; else it believes so."""
        return self._line.configure(wish, by=self._client.data) if self._client.may_control else wish

    def modem_lines(self) -> ModemLines:
        """As they are."""
        return self._line.modem_lines()

    def set_modem_lines(self, *, dtr: bool, rts: bool) -> None:
        """Raise or drop them."""
        if self._client.may_control:
            self._line.set_modem_lines(dtr=dtr, rts=rts, by=self._client.data)

    def set_break(self, on: bool) -> None:
        """Begin or end a break."""
        if self._client.may_control:
            self._line.set_break(on, by=self._client.data)

    def set_flow_characters(self, xon: int, xoff: int) -> None:
        """They stay what they are."""

    def hold_sending(self, hold: bool) -> None:
        """Take nothing more for the device; what the kernel has of it still leaves."""
        if self._client.may_control or not hold:
            self._client.hold_back(hold)

    def purge(self, *, received: bool, unsent: bool) -> None:
        """Throw away what has not been read, or has not left."""
        if self._client.may_control:
            self._line.purge(received=received, unsent=unsent)

    def undelivered(self) -> int:
        """Bytes that the client has not fetched."""
        return 0 if self._client.data is None else self._client.data.waiting()

    def unread(self) -> int:
        """Bytes that wait in the data connection."""
        return 0 if self._client.data is None else self._client.data.unread()

    def unsent(self) -> int:
        """Bytes that have not left."""
        return self._line.unsent()

    def all_sent(self) -> bool:
        """Whether they have, and the UART has sent them; what waits for a device that is away has not."""
        return self._line.all_sent() and (self._line.up or not self._line.unsent())

    def time_to_send(self) -> float:
        """When to look again."""
        return self._line.time_to_send()


class Pairing:
    """Brings the two connections of a client together: by its address, in order of arrival. Nothing else tells.

    Attributes:
        single: there is one place, so that who comes again from an address has given up what he began before.
    """

    def __init__(self, room: Callable[[Address], bool], *, single: bool) -> None:
        """Nobody is there.

        Args:
            room: says whether there may be a place for one more client from an address.
            single: see above.
        """
        self._room = room
        self.single = single
        self._data: list[DataConnection] = []
        self._commands: list[CommandConnection] = []

    def data_came(self, data: DataConnection) -> None:
        """It is there."""
        command = next((command for command in self._commands if command.address == data.address), None)
        if command is None:
            self._data.append(data)
        else:
            self._commands.remove(command)
            command.pair(data)

    def data_went(self, data: DataConnection) -> None:
        """It has gone."""
        if data in self._data:
            self._data.remove(data)

    def expects(self, address: Address) -> bool:
        """Whether to let a command connection from there in: drivers connect it first, and some find no place."""
        return any(data.address == address for data in self._data) or self._room(address)

    def command_came(self, command: CommandConnection) -> None:
        """It is there."""
        data = next((data for data in self._data if data.address == command.address), None)
        if data is not None:
            self._data.remove(data)
            command.pair(data)
        else:
            if self.single:
                self.turn_away(command.address)
            self._commands.append(command)

    def command_went(self, command: CommandConnection) -> None:
        """It has gone."""
        if command in self._commands:
            self._commands.remove(command)

    def turn_away(self, address: Address) -> None:
        """There is no place for the command connection that came last from there."""
        command = next((command for command in reversed(self._commands) if command.address == address), None)
        if command is not None:
            command.finish(End.KICKED)
