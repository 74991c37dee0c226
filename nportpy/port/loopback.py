"""Two ends of a null-modem cable in memory, each a `Port`, and the device that an `Opener` finds there.

What pseudo-terminals lack is here: modem lines, break, parity and framing errors, overruns, flow control, a UART
that takes its time, and a plug that can be pulled. DTR of one end is DSR and CD of the other, RTS is CTS.

    cable = Cable()
    gateway = Gateway(settings, opener=cable.opener)     # the device; settings.device names it
    cable.far.write(b"hello")                            # what is connected to it

Both ends live in one event loop and on its clock. A paced cable delivers each character at the end of its time.
"""

import asyncio
from collections import deque
from dataclasses import replace

from nportpy.errors import LineBusy, LineDown, LineError, LineUnsupported, MisuseError
from nportpy.linesettings import (
    Flow,
    LineSettings,
    ModemLines,
    PortReport,
    Rs485Mode,
    Rs485Settings,
    UartCounters,
)
from nportpy.port.base import OnClose, OnOpen, Port, PortReceiver, PortSettings

KERNEL_BUFFER = 4096  # bytes that wait for a reader, as in a tty
_HIGH_WATER = 64 * 1024
_LOW_WATER = 16 * 1024
_UART_BUFFER = 64  # what goes out at most before flow control is looked at again
XON, XOFF = b"\x11", b"\x13"


class FarEnd:
    """What hangs at the far end: it keeps what it hears, and its plug is the test's to pull.

    Attributes:
        heard: bytes that arrived.
    """

    def __init__(self) -> None:
        """Hears nothing yet."""
        self.heard = bytearray()

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.heard += data

    def pause_writing(self) -> None:
        """It may write on: its buffer is the test's concern."""

    def resume_writing(self) -> None:
        """See above."""

    def port_lost(self, error: LineError) -> None:
        """Its own end is never lost."""


class LoopbackPort(Port):
    """One end of a cable. See `Port`.

    `fail` is called before everything that reaches a real driver and may raise OSError: a test's way to make the
    Nth call fail.
    """

    def __init__(self, cable: "Cable", settings: PortSettings, receiver: PortReceiver) -> None:
        """Not plugged into anything before the cable says so."""
        self.settings = settings.line
        self.rs485 = Rs485Settings(mode=Rs485Mode.OFF)
        self.peer: LoopbackPort | None = None
        self.levels = ModemLines(0)
        self.breaking = False
        self.counts = UartCounters()
        self._cable = cable
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        self._on_close = settings.on_close
        self._open = True
        self._reading = True
        self._arrived: deque[bytes] = deque()  # what the "kernel" holds for a reader
        self._arrived_size = 0
        self._waiting = bytearray()  # what has been written and is not on the wire
        self._abandoned = 0
        self._full = False
        self._xoff = False  # the peer has sent XOFF
        self._sent_xoff = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._delivering: asyncio.Handle | None = None
        self._telling: asyncio.Handle | None = None
        self.report = PortReport(driver="loopback", rs485=self.rs485, low_latency=True, modem_lines=True, counters=True)

    # The wire.

    def write(self, data: bytes) -> None:
        if not self._open or not self._reached():
            self._abandoned += len(data)
            return
        self._waiting += data
        if not self._full and len(self._waiting) > _HIGH_WATER:
            self._full = True
            self._receiver.pause_writing()
        self._send_later()

    def go_on(self) -> None:
        """The far end's modem lines moved: perhaps flow control lets more through."""
        self._send_later()

    def _send_later(self) -> None:
        """Begin to send, if nothing is on its way and flow control allows it."""
        if self._timer is None and self._open and self._waiting and not self._stopped_by_flow():
            if self._cable.paced:
                self._timer = self._loop.call_later(self.settings.character_time, self._send, 1)
            else:
                free = self.settings.flow is Flow.NONE
                self._timer = self._loop.call_soon(self._send, None if free else _UART_BUFFER)

    def _send(self, size: int | None) -> None:
        """These have reached the far end."""
        self._timer = None
        chunk = bytes(self._waiting[:size])
        del self._waiting[:size]
        if self.peer is not None:
            self.peer.arrive(chunk)
        self._relieve(_LOW_WATER)
        self._send_later()

    def _relieve(self, low: int) -> None:
        if self._full and self._open and len(self._waiting) <= low:
            self._full = False
            self._receiver.resume_writing()

    def _stopped_by_flow(self) -> bool:
        lines = self._inputs()
        match self.settings.flow:
            case Flow.RTSCTS:
                return not lines & ModemLines.CTS
            case Flow.DSRDTR:
                return not lines & ModemLines.DSR
            case Flow.XONXOFF:
                return self._xoff
            case Flow.NONE:
                return False

    def arrive(self, data: bytes) -> None:
        """Bytes from the wire, as the UART hands them to the kernel."""
        if not self._open:
            return
        if self.settings.flow is Flow.XONXOFF and (XON in data or XOFF in data):
            self._xoff = data.rfind(XOFF) > data.rfind(XON)
            data = data.replace(XON, b"").replace(XOFF, b"")
            self._send_later()
        room = KERNEL_BUFFER - self._arrived_size
        if len(data) > room and not self._reading:
            self.count(buffer_overrun=len(data) - room)
            data = data[:room]
        if data:
            self._arrived.append(data)
            self._arrived_size += len(data)
        self._throttle()
        self._deliver_later()

    def _throttle(self) -> None:
        """Hold the far end back while the kernel's buffer is nearly full, as flow control allows."""
        full = self._arrived_size > KERNEL_BUFFER // 2 and not self._reading
        match self.settings.flow_in:
            case Flow.RTSCTS:
                self._set_level(ModemLines.RTS, not full)
            case Flow.DSRDTR:
                self._set_level(ModemLines.DTR, not full)
            case Flow.XONXOFF if full != self._sent_xoff:
                self._send_xoff(full)
            case _:
                pass

    def _send_xoff(self, on: bool) -> None:
        self._sent_xoff = on
        if self.peer is not None:
            self.peer.arrive(XOFF if on else XON)

    def _change_flow(self, settings: LineSettings) -> None:
        """What held either side back under other rules holds no longer."""
        if settings.flow is not Flow.XONXOFF:
            self._xoff = False
        if settings.flow_in is not self.settings.flow_in:
            match self.settings.flow_in:
                case Flow.RTSCTS:
                    self._set_level(ModemLines.RTS, True)
                case Flow.DSRDTR:
                    self._set_level(ModemLines.DTR, True)
                case Flow.XONXOFF if self._sent_xoff:
                    self._send_xoff(False)
                case _:
                    pass

    def _deliver_later(self) -> None:
        if self._delivering is None and self._arrived and self._reading:
            self._delivering = self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = None
        if not self._open or not self._reading or not self._arrived or not self._reached():
            return
        data = self._arrived.popleft() if self._cable.chunked else b"".join(self._arrived)
        if not self._cable.chunked:
            self._arrived.clear()
        self._arrived_size -= len(data)
        self._throttle()
        self._deliver_later()
        self._receiver.data_received(data)

    # Faults.

    def count(
        self, *, frame: int = 0, overrun: int = 0, parity: int = 0, breaks: int = 0, buffer_overrun: int = 0
    ) -> None:
        """Line errors happened here."""
        self.counts = self.counts.plus(UartCounters(frame, overrun, parity, breaks, buffer_overrun))

    def lose(self, reason: str = "unplugged") -> None:
        """The device is gone from under us."""
        if self._open:
            self._shut()
            error = LineDown(f"{self._cable.name}: {reason}")
            self._telling = self._loop.call_soon(self._receiver.port_lost, error)

    def _reached(self) -> bool:
        """Whether a call reaches the driver; if the cable makes it fail, the device is lost. The far end's all do."""
        if self is self._cable.far:
            return True
        try:
            self._cable.fail()
        except OSError as error:
            self.lose(str(error))
            return False
        return True

    # The rest of `Port`.

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        if self._open:
            self._throttle()
            self._deliver_later()

    def unsent(self) -> int:
        return len(self._waiting) if self._open else self._abandoned

    def sent(self) -> bool:
        return not self._open or not self._waiting

    async def drain(self) -> None:
        while not self.sent():  # noqa: ASYNC110 - as in a tty, nothing says when
            await asyncio.sleep(max(self.settings.character_time, 0.001))
        if not self._open:
            raise LineDown(f"{self._cable.name}: lost before everything was sent")

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        if not self._open or not self._reached():
            return 0
        thrown = len(self._waiting) if unsent else 0
        if received:
            self._arrived.clear()
            self._arrived_size = 0
            self._throttle()
        if unsent:
            self._waiting.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._relieve(0)
        return thrown

    def configure(self, settings: LineSettings) -> LineSettings:
        self._check_open()
        if settings == self.settings:
            return settings
        if not self._reached():
            raise LineDown(f"{self._cable.name}: lost")
        if settings.baudrate in self._cable.refused_baudrates:
            raise LineUnsupported(f"{self._cable.name}: refused {settings}")
        self._cable.configured.append(settings)
        self._change_flow(settings)
        self.settings = settings
        self._throttle()
        self._send_later()
        return settings

    def modem_lines(self) -> ModemLines | None:
        if not self._open or not self._reached():
            return None
        return self.levels | self._inputs()

    def _inputs(self) -> ModemLines:
        far = self.peer.levels if self.peer is not None else ModemLines(0)
        lines = self._cable.ring
        if far & ModemLines.DTR:
            lines |= ModemLines.DSR | ModemLines.CD
        if far & ModemLines.RTS:
            lines |= ModemLines.CTS
        return lines

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        self._check_open()
        if self._reached():
            for line, level in ((ModemLines.DTR, dtr), (ModemLines.RTS, rts)):
                if level is not None:
                    self._set_level(line, level)

    def _set_level(self, line: ModemLines, level: bool) -> None:
        before = self.levels
        self.levels = self.levels | line if level else self.levels & ~line
        if self.levels != before:
            self._cable.moved.append((self._loop.time(), line, level))
            if self.peer is not None:
                self.peer.go_on()

    def set_break(self, on: bool) -> None:
        self._check_open()
        if self._reached() and on != self.breaking:
            self.breaking = on
            if on and self.peer is not None:
                self.peer.count(breaks=1)

    def counters(self) -> UartCounters | None:
        return self.counts if self._open and self._reached() else None

    async def close(self) -> None:
        if self._open:
            if self._on_close is OnClose.DROP:
                self._set_level(ModemLines.DTR, False)
                self._set_level(ModemLines.RTS, False)
            self._shut()
        if self._telling is not None:
            self._telling.cancel()
        self._cable.closed(self)

    def _shut(self) -> None:
        self._abandoned = len(self._waiting)
        self._open = False
        self._waiting.clear()
        self._arrived.clear()
        for handle in (self._timer, self._delivering):
            if handle is not None:
                handle.cancel()

    def _check_open(self) -> None:
        if not self._open:
            raise LineDown(f"{self._cable.name} is not open")


class Cable:
    """A cable with a device at one end and the far end at the other.

    Attributes:
        far: the far end, a Port; what it hears is in `heard`.
        near: the device's end while it is open.
        paced: every character takes its time on the wire.
        chunked: bytes arrive in the pieces in which they were put on the wire.
        plugged: whether the device is there.
        refused_baudrates: speeds that the driver does not take.
        configured: settings that reached the driver, in order; moved: DTR and RTS as they moved, with the time.
        ring: RI, if the phone rings.
    """

    def __init__(self, name: str = "cable", *, paced: bool = False, chunked: bool = False) -> None:
        """Plugged in, with the far end's DTR and RTS up."""
        self.name = name
        self.paced = paced
        self.chunked = chunked
        self.plugged = True
        self.refused_baudrates: set[int] = set()
        self.configured: list[LineSettings] = []
        self.moved: list[tuple[float, ModemLines, bool]] = []
        self.ring = ModemLines(0)
        self.near: LoopbackPort | None = None
        self.opened = 0
        self.calls = 0
        self.fail_at = 0
        self.listener = FarEnd()
        self.far = LoopbackPort(self, PortSettings(name), self.listener)
        self.far.levels = ModemLines.DTR | ModemLines.RTS

    @property
    def heard(self) -> bytes:
        """What the far end has heard."""
        return bytes(self.listener.heard)

    async def opener(self, settings: PortSettings, receiver: PortReceiver) -> Port:
        """Open the near end. See `Opener`."""
        if not self.plugged:
            raise LineDown(f"{settings.device} does not exist")
        if self.near is not None:
            raise LineBusy(f"{settings.device} is in use by another process")
        try:
            self.fail()
        except OSError as error:
            raise LineDown(f"{settings.device}: {error}") from error
        port = LoopbackPort(self, settings, receiver)
        if settings.rs485.mode is not Rs485Mode.KEEP:
            port.rs485 = settings.rs485
            port.report = replace(port.report, rs485=settings.rs485)
        for line, wish in ((ModemLines.DTR, settings.dtr), (ModemLines.RTS, settings.rts)):
            if wish is not OnOpen.OFF:  # the kernel raises both on opening
                port.levels |= line
        port.peer, self.far.peer = self.far, port
        self.far.settings = settings.line
        self.near = port
        self.opened += 1
        self.far.go_on()
        return port

    def closed(self, port: LoopbackPort) -> None:
        """An end was closed. Its DTR and RTS stay as they are, unless the device is gone."""
        if port is self.near:
            self.near = None
            if not self.plugged:
                self.far.peer = None

    def unplug(self) -> None:
        """Pull the device out."""
        self.plugged = False
        if self.near is not None:
            self.near.lose()

    def plug(self) -> None:
        """Put it back."""
        self.plugged = True

    def fail(self) -> None:
        """Count a call that reaches the driver, and let the one that `fail_at` names fail."""
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(5, "Input/output error")


def opener_of(*cables: Cable) -> "CableOpener":
    """An `Opener` for several cables, found by their names."""
    return CableOpener({cable.name: cable for cable in cables})


class CableOpener:
    """Opens the cable whose name a `device` is."""

    def __init__(self, cables: dict[str, Cable]) -> None:
        """`cables` by name."""
        self._cables = cables

    async def __call__(self, settings: PortSettings, receiver: PortReceiver) -> Port:
        """See `Opener`."""
        try:
            cable = self._cables[settings.device]
        except KeyError:
            raise MisuseError(f"no cable is called {settings.device}") from None
        return await cable.opener(settings, receiver)
