"""The one owner of a wire. Whoever wants it asks a `Line`.

There are three ways to hold it (docs/design.md): stream, transaction and lease. Bytes from the device go to `_hear`,
the discipline that has the wire, and what is sent goes through `put`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from nportpy.errors import LineDown, LineError, LineUnsupported
from nportpy.line.control import Control
from nportpy.line.keepopen import KeepOpen, LineState
from nportpy.line.stream import Change, Stream, StreamClient
from nportpy.line.stream_base import StreamSettings
from nportpy.line.watch import Watch
from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.port.base import Opener, Port, PortSettings
from nportpy.protocols.capture.records import Changed, Kind
from nportpy.status import LineStatus

if TYPE_CHECKING:
    from nportpy.line.lease import Leases
    from nportpy.line.lease_base import Leased
    from nportpy.line.tap import Tap
    from nportpy.line.transaction import Transactions, TransactionSettings
    from nportpy.protocols.modbus.exchange import Exchange

log = logging.getLogger(__name__)
trace_log = logging.getLogger("nportpy.trace")
_ZERO = UartCounters()


class _BusWire:
    """The line as requests see it: they are for its configured settings, and cannot be sent while others hold.

    Attributes:
        up: whether they can.
        settings: those in effect.
    """

    __slots__ = ("give_up", "left", "put", "settings", "take_back", "unsent", "up")

    def __init__(self, line: "Line") -> None:
        """Not up."""
        self.up = False
        self.settings = line.settings
        self.put = line.put
        self.unsent = line.unsent
        self.left = line.left
        self.give_up = line.give_up
        self.take_back = line.take_back


class Line:
    """A serial line: its device, its settings and its clients.

    Attributes:
        name: the port's name in the configuration.
        settings: speed, format and flow control for its clients: in effect, or wished for while the line is not up or
            a lease has it.
        stream: the clients that share the line as a stream of bytes.
        transactions: those who ask and await an answer; None if nobody may.
        leases: those who want the line alone; None before the first one.
        secret: what is sent and heard is neither for a trace nor for the tap.
        watch: tells of modem lines and line errors.
        control: who may change the settings, and how the configured ones come back.
        received: bytes from the device.
        sent: bytes handed to the device.
        purged: bytes thrown away unsent.
        linger: seconds that a line which takes nothing holds up what clients have left behind.
    """

    def __init__(
        self,
        name: str,
        settings: PortSettings,
        stream: StreamSettings,
        opener: Opener,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        """Not open yet: `run` opens it."""
        self.name = name
        self.settings = settings.line
        self.stream = Stream(self, stream)
        self.transactions: Transactions | None = None
        self.leases: Leases | None = None
        self.watch = Watch(self)
        self.secret = False
        self.received = 0
        self.sent = 0
        self.purged = 0
        self._configured = settings
        self.linger = stream.linger
        self._wish = settings.line
        self._levels: dict[str, bool] = {}  # DTR and RTS as clients set them
        self._break = False
        self._port: Port | None = None
        self._reading_held = False
        self._deliver: Callable[[bytes], None] = self.stream.deliver
        self._hear: Callable[[bytes], None] = self._deliver
        self._lent_to: Callable[[bytes], None] | None = None  # hears the device while a lease has it
        self._before_lease = settings.line
        self._write: Callable[[bytes], None] = self._keep
        self._kept = bytearray()  # for the line, from clients that hold on while it is down
        self._traced = False
        self._tap: Tap | None = None
        self._tapped: Tap | None = None  # the same while it records
        self._tell_tapped: Callable[[Tap | None], None] = lambda _: None
        self._uart = _ZERO  # errors before the last opening
        self._uart_now = _ZERO  # errors as last seen: a device that is gone does not answer any more
        self._uart_base: UartCounters | None = None  # the driver's counts at opening
        self._uart_known = False  # the driver counts errors, or did when it was last there
        self.control = Control(self, settings.line)
        self._requests_wait = False  # the line is at settings that they are not for
        self._bus_wire = _BusWire(self)
        self._keeper = KeepOpen(name, opener, self, wish=self._how_to_open, up=self._came, down=self._went, moved=moved)

    @property
    def state(self) -> LineState:
        """Where the line is in its life."""
        return self._keeper.state

    @property
    def up(self) -> bool:
        """Whether the device is there."""
        return self._port is not None

    @property
    def tried(self) -> asyncio.Event:
        """Set once the first attempt to open the device has succeeded or failed."""
        return self._keeper.tried

    def transact(self, exchange: "Exchange", settings: "TransactionSettings") -> "Transactions":
        """Let requests use the line, beside its streams; once in its life.

        Args:
            exchange: finds the answers.
            settings: how requests share the line.
        """
        # Here, because a gateway without such services need not import what they take.
        from nportpy.line.transaction import Transactions

        self.transactions = Transactions(self._bus_wire, self.stream, exchange, settings)
        self._let_requests_in()
        self._choose_write()  # a tap that is on tells of requests from now on
        return self.transactions

    def lease(
        self, holder: str, settings: LineSettings | None = None, *, limit: float, patience: float = 60.0
    ) -> AbstractAsyncContextManager["Leased"]:
        """The line alone, for several exchanges. Whoever comes first is served first.

        Args:
            holder: who wants it, for messages and metrics: a station's name, or a command's. One of few.
            settings: those to begin with; None: as the line is.
            limit: seconds after which the lease is over, counted from when it begins.
            patience: seconds that the line is waited for.

        Returns:
            A context in which the line is held. Afterwards its own settings are back, whatever happened.

        Raises:
            LeaseRefused: the line was not to be had in time; on entering, as all of these.
            LineUnsupported: the driver does not take the settings.
            LineDown: the device is not there, or went.
        """
        # Here, because a gateway that leases nothing need not import what that takes.
        from nportpy.line.lease import Leases

        if self.leases is None:
            self.leases = Leases(self)
        return self.leases.hold(holder, settings, limit, patience)

    def tap(self) -> "Tap":
        """What records all that happens on the line, for those who watch; off until somebody does."""
        # Here, because a gateway on which nobody looks need not import what that takes.
        from nportpy.line.tap import Tap

        if self._tap is None:
            self._tap = Tap(self)
        return self._tap

    async def run(self) -> None:
        """Keep the device open until cancelled."""
        try:
            await self._keeper.run(self._closing)
        finally:
            if self._tap is not None:
                self._tap.close()

    # The byte path. The port calls these.

    def data_received(self, data: bytes) -> None:
        """Bytes from the device."""
        self.received += len(data)
        self._hear(data)

    def pause_writing(self) -> None:
        """The port's buffer is full."""
        self.stream.wire_full()

    def resume_writing(self) -> None:
        """The port's buffer has room again."""
        self.stream.wire_ready()

    def port_lost(self, error: LineError) -> None:
        """The device is gone."""
        self._keeper.port_lost(error)

    # The disciplines call these.

    def put(self, data: bytes) -> None:
        """Send `data`. While the line is down it is kept; what comes then is little, as clients are told to wait."""
        self.sent += len(data)
        self._write(data)

    def hold_reading(self, hold: bool) -> None:
        """Leave what arrives in the kernel, or read again."""
        if hold != self._reading_held:
            self._reading_held = hold
            if self._port is not None and self._lent_to is None:
                (self._port.pause_reading if hold else self._port.resume_reading)()

    def flush_received(self) -> None:
        """Throw away what the kernel holds."""
        self.purge(received=True)

    def purge_unsent(self) -> None:
        """Throw away what has not left: its clients are gone and the line does not take it."""
        before = self.purged
        self.purge(unsent=True)
        if self.purged != before:
            log.warning("unsent bytes purged", extra={"port": self.name, "bytes": self.purged - before})

    def give_up(self, reason: str) -> None:
        """Open the device anew: it is of no use as it is. As if it had been lost."""
        self.port_lost(LineDown(f"{self._configured.device}: {reason}"))

    def take_back(self) -> int:
        """Throw away what has not left the port; how many bytes that was."""
        taken = self._port.purge(unsent=True) if self._port is not None and self._port.unsent() else 0
        self.purged += taken
        if taken:
            self.note(Kind.PURGED, taken)
        return taken

    # Modes call these; `by` is the client that asks, who need not be told.

    def configure(self, wish: LineSettings, by: StreamClient | None = None) -> LineSettings:
        """Change speed, format or flow control; what is in effect afterwards. Unchanged settings touch nothing.

        Nor does the wish of a client while the line is at the settings of others (control.py).
        """
        if wish != self.settings and (by is None or self.control.heeds(by)):
            before = self.settings
            if self._port is None or self.lent:  # it is put back as it is wished for
                self.settings = self._wish = wish
            else:
                try:
                    self.settings = self._wish = self._port.configure(wish)
                except LineUnsupported as error:
                    log.warning("settings refused", extra={"port": self.name, "reason": str(error)})
                except LineDown:
                    self.settings = self._wish = wish
            self._bus_wire.settings = self.settings
            if self.settings != before:
                self.control.was_set()
                self.note(Kind.SETTINGS, Changed(before, self.settings))
                log.info("line set", extra={"port": self.name, "settings": str(self.settings)})
                self._tell_transactions()
                self.stream.changed(Change.SETTINGS, by)
        return self.settings

    def go_over(self, wish: LineSettings, *, requests: bool) -> bool:
        """Change the settings for others than those who were there; whether the driver took any of it.

        Args:
            wish: the settings.
            requests: whether requests may be sent from now on. Those that wait when they may not any more end as if
                the device had gone, and so do all that come.
        """
        before = self.settings
        if not requests:
            self._requests_wait = True
            self._let_requests_in()
        self.configure(wish)
        if requests:
            self._requests_wait = False
            self._let_requests_in()
        return self.settings == wish or self.settings != before

    def _let_requests_in(self) -> None:
        """Have requests use the line, or not, as it is now."""
        if self.transactions is None:
            return
        before, self._bus_wire.up = self._bus_wire.up, self.takes_requests
        self._choose_hearer()
        if self._bus_wire.up and not before:
            self.transactions.wire_up()
        elif before and not self._bus_wire.up:
            self.transactions.wire_down()

    @property
    def takes_requests(self) -> bool:
        """Whether requests can be sent: the device is there, and at the settings that they are for."""
        return self._port is not None and not self._requests_wait

    def set_modem_lines(
        self, *, dtr: bool | None = None, rts: bool | None = None, by: StreamClient | None = None
    ) -> None:
        """Raise or drop DTR and RTS; kept, and put back when the device comes back."""
        wishes = {name: level for name, level in (("dtr", dtr), ("rts", rts)) if level is not None}
        self._levels |= wishes
        if self._port is not None:
            if self.lent:
                return
            try:
                self._port.set_modem_lines(dtr=dtr, rts=rts)
            except LineDown:
                return
            self.stream.changed(Change.CONTROL, by)

    def modem_lines(self) -> ModemLines:
        """All modem lines. A line without any shows a device that is there and ready, and DTR, RTS as they were set."""
        lines = self._port.modem_lines() if self._port is not None else None
        if lines is not None:
            return self._as_wished(lines) if self.lent else lines
        there = self._port is not None and not self._port.report.modem_lines
        lines = ModemLines.CTS | ModemLines.DSR | ModemLines.CD if there else ModemLines(0)
        return self._as_wished(lines | ModemLines.DTR | ModemLines.RTS)

    def _as_wished(self, lines: ModemLines) -> ModemLines:
        for name, line in (("dtr", ModemLines.DTR), ("rts", ModemLines.RTS)):
            if name in self._levels:
                lines = lines | line if self._levels[name] else lines & ~line
        return lines

    def set_break(self, on: bool, by: StreamClient | None = None) -> None:
        """Start or end a break. Linux cannot tell whether one is on, so it is remembered here."""
        if on != self._break:
            self._break = on
            if self._port is not None and not self.lent:
                try:
                    self._port.set_break(on)
                except LineDown:
                    return
                self.note(Kind.BREAK, on)
            self._tell_transactions()
            self.stream.changed(Change.CONTROL, by)

    def _tell_transactions(self) -> None:
        if self.transactions is not None:
            self.transactions.line_changed(breaking=self._break)

    @property
    def breaking(self) -> bool:
        """Whether a break is on."""
        return self._break

    def purge(self, *, received: bool = False, unsent: bool = False) -> None:
        """Throw away what came and was not read, or what was written and has not left; not of a request."""
        if unsent and self.leases is not None:
            self.purged += self.leases.purge()
        if self.lent or (self.transactions is not None and self.transactions.busy):
            if unsent and self.transactions is not None:
                self.purged += self.transactions.purge()
            return
        if self._port is not None:
            taken = self._port.purge(received=received, unsent=unsent)
            self.purged += taken
            if taken:
                self.note(Kind.PURGED, taken)
        elif unsent:
            self.purged += len(self._kept)
            self._kept.clear()
        if unsent and self.transactions is not None:
            self.purged += self.transactions.purge()

    def unsent(self) -> int:
        """Bytes that wait to be sent."""
        unsent = self._port.unsent() if self._port is not None else len(self._kept)
        if self.leases is not None:
            unsent += self.leases.kept
        return unsent if self.transactions is None else unsent + self.transactions.kept()

    def time_to_send(self) -> float:
        """Seconds after which it is worth looking again whether all is sent; between 1 and 50 ms.

        Whoever asks is waiting: after the request on the line the next one lets the streams go first.
        """
        if self.transactions is not None:
            self.transactions.make_way()
        return min(max(self.unsent() * self.settings.character_time, 0.001), 0.05)

    def left(self) -> bool:
        """Whether all that was put has left the UART."""
        return self._port is None or self._port.sent()

    def all_sent(self) -> bool:
        """Whether everything written has left the UART, and no request is on the line: whether it may be changed."""
        bus = self.transactions
        if self.leases is not None and (self.leases.kept or self.lent):
            return not (self.leases.kept or (bus is not None and bus.kept()))
        waits = bus is not None and (bus.busy or bus.kept())
        return self._port is None or (not waits and self._port.sent())

    async def drain(self) -> None:
        """Wait until everything written has left, or the device is gone."""
        with contextlib.suppress(LineDown):
            while self._port is not None:
                await self._port.drain()
                kept = self.leases.kept if self.leases is not None else 0
                if not kept and (self.transactions is None or not self.transactions.kept()):
                    return
                await asyncio.sleep(self.time_to_send())

    # Tracing and status.

    def set_trace(self, on: bool) -> None:
        """Log every byte in hexadecimal, or not: then it costs nothing."""
        self._traced = on
        self._choose_hearer()
        self._choose_write()

    def set_tapped(self, on: bool) -> None:
        """Have the tap hear and see everything, or nothing: then it costs nothing."""
        self._tapped = self._tap if on else None
        self._choose_hearer()
        self._choose_write()
        self._tell_tapped(self._tapped)

    def keep_secret(self, secret: bool) -> None:
        """What is sent from now on, and heard, is for nobody to see; or is again."""
        if secret is not self.secret:
            self.secret = secret
            if self._tapped is not None:
                self.set_tapped(True)

    def tell_tapped(self, tell: "Callable[[Tap | None], None]") -> None:
        """Call `tell` when the tap goes on, with it, or off, with None; now, if it is on."""
        self._tell_tapped = tell
        if self._tapped is not None:
            tell(self._tapped)

    def note(self, kind: Kind, about: object) -> None:
        """Have the tap, if it is on, record something that is no byte."""
        if self._tapped is not None:
            self._tapped.note(kind, about)

    def _choose_hearer(self) -> None:
        bus = None if self._requests_wait else self.transactions
        own: Callable[[bytes], None] = self.stream.deliver if bus is None else bus.hear
        self._deliver = self._lent_to or own
        self._hear = self._hear_traced if self._traced else self._deliver
        if self._tapped is not None:
            self._hear = self._tapped.hearing(self._hear)

    def watchable(self) -> bool:
        """Whether the driver knows modem lines or line errors, and is there."""
        return self._port is not None and (self._port.report.modem_lines or self._port.report.counters)

    def counters(self) -> UartCounters:
        """Line errors since the start, over all reopenings."""
        now = self._port.counters() if self._port is not None else None
        if now is not None:
            if self._uart_base is None:
                self._uart_base = now
            self._uart_now = self._uart.plus(now.since(self._uart_base))
        return self._uart_now

    def status(self) -> LineStatus:
        """A snapshot."""
        keeper, port = self._keeper, self._port
        return LineStatus(
            name=self.name,
            device=self._configured.device,
            state=str(keeper.state),
            since=keeper.since,
            error=keeper.error,
            settings=port.settings if port is not None and self.lent else self.settings,
            report=port.report if port is not None else None,
            modem_lines=port.modem_lines() if port is not None else None,
            received=self.received,
            sent=self.sent,
            unheard=self.stream.unheard,
            purged=self.purged,
            opens=keeper.opens,
            losses=keeper.losses,
            attempts=keeper.attempts,
            uart=self.counters() if self._uart_known else None,
            unsent=self.unsent(),
            held_by=self.control.held_by,
            changeovers=self.control.changeovers,
            leases=self.leases.status() if self.leases is not None else (),
        )

    # Leases (lease.py) call these.

    @property
    def lent(self) -> bool:
        """Whether a lease has the wire."""
        return self._lent_to is not None

    def lend(self, hear: Callable[[bytes], None]) -> None:
        """Have `hear` hear the device until `reclaim`. What clients want changed until then is put off."""
        self._lent_to = hear
        self._before_lease = self.settings
        self._choose_hearer()
        if self._port is not None:
            with contextlib.suppress(LineDown):
                if self._break:
                    self._port.set_break(False)
                if self._reading_held:
                    self._port.resume_reading()

    def listen(self, on: bool) -> None:
        """Read what the kernel holds back for a client that is slow, or not there yet, as a lease wants the line."""
        if self._reading_held and self._port is not None:
            (self._port.resume_reading if on else self._port.pause_reading)()

    def set_device(self, wish: LineSettings) -> LineSettings:
        """Set the device for the lease; what is in effect then.

        Raises:
            LineUnsupported: the driver takes none of it.
            LineDown: the device has gone.
        """
        if self._port is None:
            raise LineDown(f"{self._configured.device} is not there")
        before = self._port.settings
        now = self._port.configure(wish)
        if now != before:
            self.note(Kind.SETTINGS, Changed(before, now))
        return now

    def reclaim(self) -> None:
        """The wire is the line's own again: as its clients want it, also by what they have wanted meanwhile."""
        self._lent_to = None
        self.keep_secret(False)
        self._choose_hearer()
        port = self._port
        if port is None:
            return
        try:
            self._set_back(port)
            if self._levels:
                port.set_modem_lines(**self._levels)
            if self._break:
                port.set_break(True)
        except LineDown as error:
            self.port_lost(error)  # it is opened anew with all this

    def _set_back(self, port: Port) -> None:
        """Put the settings back: as they are wished for, or, where the driver refuses, as they were."""
        before = port.settings
        for wish in dict.fromkeys((self.settings, self._before_lease)):
            try:
                now = port.configure(wish)
            except LineUnsupported as error:
                log.warning("settings refused", extra={"port": self.name, "reason": str(error)})
                continue
            if now != before:
                self.note(Kind.SETTINGS, Changed(before, now))
            if now != self.settings:
                self.settings = self._wish = self._bus_wire.settings = now
                self.control.was_set()
                self._tell_transactions()
                self.stream.changed(Change.SETTINGS, None)
            return
        self.give_up("its settings could not be put back")

    # The device comes and goes.

    def _how_to_open(self) -> PortSettings:
        return replace(self._configured, line=self._wish)

    def _came(self, port: Port) -> None:
        self._port = port
        self._uart, self._uart_base = self._uart_now, port.counters()
        self._uart_known = self._uart_known or port.report.counters
        before = self.settings
        self.settings = self._bus_wire.settings = port.settings
        if self.settings != self._wish:
            log.error(
                "the driver set something else than asked",
                extra={"port": self.name, "asked": str(self._wish), "set": str(self.settings)},
            )
        with contextlib.suppress(LineDown):  # lost again already: `port_lost` is on its way
            if self._levels:
                port.set_modem_lines(**self._levels)
            if self._break:
                port.set_break(True)
        if self._reading_held:
            port.pause_reading()
        self._choose_write()
        self.note(Kind.UP, self.settings)
        self._let_requests_in()
        if self._kept:
            kept, self._kept = bytes(self._kept), bytearray()
            (self.put if self.transactions is None else self.transactions.write)(kept)
        log.info(
            "line up",
            extra={
                "port": self.name,
                "device": self._configured.device,
                "driver": port.report.driver,
                "settings": str(self.settings),
                "rs485": port.report.rs485.mode.value if port.report.rs485 else "none",
            },
        )
        self.watch.restart()
        self.stream.wire_up()
        if self.settings != before:
            self.stream.changed(Change.SETTINGS, None)

    def _went(self, error: LineError) -> None:
        self.note(Kind.DOWN, str(error))
        self._forget_port()
        self.stream.wire_down()

    def _closing(self, port: Port) -> None:
        self.note(Kind.DOWN, "closed")
        with contextlib.suppress(LineError):
            if self._break:
                port.set_break(False)
            if self.lent:
                port.configure(self.settings)
        self._forget_port()

    def _forget_port(self) -> None:
        port = self._port
        if port is not None:
            self.purged += port.unsent()
            self.counters()
            self._port = None
            self._lent_to = None
            self._choose_write()
            self._choose_hearer()
            self._let_requests_in()
            if self.leases is not None:
                self.leases.device_gone()
            self.watch.restart()

    def _choose_write(self) -> None:
        if self._port is None:
            self._write = self._keep
        else:
            self._write = self._write_traced if self._traced else self._port.write
            if self._tapped is not None:
                self._write = self._tapped.writing(self._write)

    def _keep(self, data: bytes) -> None:
        self.sent -= len(data)
        self._kept += data

    def _hear_traced(self, data: bytes) -> None:
        trace_log.info("received", extra={"port": self.name, "hex": self._shown(data)})
        self._deliver(data)

    def _write_traced(self, data: bytes) -> None:
        trace_log.info("sent", extra={"port": self.name, "hex": self._shown(data)})
        assert self._port is not None  # this is chosen only while there is one
        self._port.write(data)

    def _shown(self, data: bytes) -> str:
        return f"{len(data)} bytes, which are secret" if self.secret else data.hex(" ")
