"""A Port on a Linux tty: pyserial opens and configures it, pyserial-asyncio's transport moves the bytes.

Both are subclassed where they fall short, each place measured or seen:

- The settings go to the driver in one TCSETS2, any speed included, and are read back. pyserial sets the speed in
  a second step, and glibc's tcsetattr calls a format that a pseudo-terminal does not keep an error.
- DTR and RTS move on opening only if the settings say so; pyserial always raises both.
- One read per wake-up goes straight to the receiver, and a write goes straight to the driver while nothing waits;
  stock pyserial-asyncio takes a select() more for each read and a trip through the loop for each write.
- Reading that is paused before the loop has turned stays paused; stock pyserial-asyncio starts it all the same.
- A closing port does not wait for its last byte (tcdrain would stop the whole loop): the line drains it before.
"""

import asyncio
import contextlib
import errno
import fcntl
import math
import os
import select
import termios
from functools import partial
from time import monotonic

import serial
from serial_asyncio import SerialTransport

from nportpy.errors import LineDown, LineUnsupported
from nportpy.linesettings import Flow, LineSettings, ModemLines, PortReport, UartCounters
from nportpy.port import ioctls, terminal
from nportpy.port.base import OnOpen, Port, PortReceiver, PortSettings
from nportpy.port.departure import Departure
from nportpy.port.dsrdtr import DsrGate
from nportpy.port.hangup import HangupWatch
from nportpy.port.inventory import driver_of
from nportpy.port.threaded import opened

READ_SIZE = 4096  # what a tty's line discipline holds; more never comes at once
_FULL = READ_SIZE - 1  # the line discipline keeps one place free
_MOST_READS = 16  # for one wake-up: the other lines have their turn after 64 KiB
HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
_NO_STORM = 0.001  # pause after a driver said that it takes bytes, and did not
_ROUNDING = 1e-6  # of a character
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO)


async def open_tty(settings: PortSettings, receiver: PortReceiver) -> "TtyPort":
    """Open a tty. The system calls run in a thread: a driver may take its time.

    Cancelled midway, it leaves the thread to finish and to give the device back.

    Raises:
        LineDown: the device is not there, or is no tty.
        LineBusy: another process, or the kernel, holds it.
        LineUnsupported: the driver cannot do what the settings ask for.
    """
    device = await opened(partial(_open, settings), _Device.release)
    kind = TtyPort if device.tells_when_empty or device.report.driver == "pty" else ReckoningTtyPort
    return kind(asyncio.get_running_loop(), device, receiver)


def _open(settings: PortSettings) -> "_Device":
    device = _Device(settings)
    try:
        with terminal.translated(settings.device):
            device.open()
            device.prepare()
    except BaseException:
        device.release()
        raise
    return device


class _Device(serial.Serial):
    """pyserial's Serial with the settings applied in one step and modem lines that move only when told.

    Attributes:
        wish: how it was to be opened.
        line: speed, format and flow control in effect.
        report: what the driver said.
        tells_when_empty: whether it can be asked if everything has left.
    """

    report: PortReport
    tells_when_empty: bool

    def __init__(self, settings: PortSettings) -> None:
        super().__init__()
        self.port = settings.device
        self.wish = settings
        self.line = settings.line
        self.fd: int

    def _reconfigure_port(self, force_update: bool = False) -> None:  # noqa: ARG002 - pyserial's signature
        if self.is_open:
            return  # pyserial-asyncio sets timeouts, and those are nothing to the driver
        if self.wish.exclusive:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        terminal.check_discipline(self.fd, self.wish.device)
        self.apply(self.wish.line)

    def _update_dtr_state(self) -> None:
        self._move(ModemLines.DTR, self.wish.dtr)

    def _update_rts_state(self) -> None:
        self._move(ModemLines.RTS, self.wish.rts)

    def _move(self, line: ModemLines, wish: OnOpen) -> None:
        if wish is not OnOpen.KEEP:
            raised = line if wish is OnOpen.ON else ModemLines(0)
            with contextlib.suppress(OSError):  # a line without modem lines has nothing to move
                ioctls.change_modem_lines(self.fd, raised, line & ~raised)

    def apply(self, line: LineSettings) -> None:
        """Set the line, and see what came of it. Raises OSError."""
        terminal.apply_settings(self.fd, line, self.wish.on_close)
        self.line = terminal.settings_in_effect(self.fd, line)

    def prepare(self) -> None:
        """Keep others out, set what is set once, and ask the driver what it can do."""
        if self.wish.exclusive:
            fcntl.ioctl(self.fd, termios.TIOCEXCL)
        path = self.wish.device
        driver = "pty" if terminal.is_pseudo(self.fd) else driver_of(path)
        # Nothing has been written: a driver that does not call its transmitter empty now never does.
        self.tells_when_empty = terminal.ask(self.fd, ioctls.transmitter_empty) is True
        self.report = PortReport(
            driver=driver,
            rs485=terminal.prepare_rs485(self.fd, self.wish.rs485, path, driver),
            low_latency=terminal.ask(self.fd, ioctls.set_low_latency) if self.wish.low_latency else None,
            modem_lines=terminal.ask(self.fd, ioctls.get_modem_lines) is not None,
            counters=terminal.ask(self.fd, ioctls.get_counters) is not None,
        )

    def release(self) -> None:
        """Close without waiting for what the far end does not take."""
        if not self.is_open:
            return
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(self.fd, termios.TCIOFLUSH)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.fd, termios.TIOCNXCL)
        with contextlib.suppress(OSError):
            self.close()


class _Transport(SerialTransport):  # type: ignore[misc]  # pyserial-asyncio has no types
    """pyserial-asyncio's transport with shorter read and write paths, see the top of this file."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: "TtyPort", device: _Device) -> None:
        self._fd: int = device.fd
        self._reading = True
        self._waiting = bytearray()
        self._deliver = port.deliver
        self._lost = port.lost
        super().__init__(loop, port, device)
        self.set_write_buffer_limits(HIGH_WATER, LOW_WATER)

    def _read_ready(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):  # some drivers wake us for nothing (mbusd#41, #52)
            return
        except OSError as error:
            self._lost(error)
            return
        if not data:
            self._lost(None)
        elif len(data) < _FULL:
            self._deliver(data)
        else:
            self._deliver(self._read_on(data))

    def _read_on(self, first: bytes) -> bytes:
        """A full read means that more is there: take it along, for one write to each client instead of many."""
        pieces = [first]
        # Nothing more for now, or the device has gone: then the next wake-up meets the same again.
        with contextlib.suppress(OSError):
            while len(pieces[-1]) >= _FULL and len(pieces) < _MOST_READS:
                pieces.append(os.read(self._fd, READ_SIZE))
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            try:
                taken = os.write(self._fd, data)
            except (BlockingIOError, InterruptedError):
                taken = 0
            except OSError as error:
                self._waiting += data  # counted among what never left
                self._lost(error)
                return
            if taken == len(data):
                return
            data = data[taken:]
            self._ensure_writer()
        self._waiting += data
        self._maybe_pause_protocol()

    def _write_ready(self) -> None:
        try:
            taken = os.write(self._fd, self._waiting)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError as error:
            self._lost(error)
            return
        del self._waiting[:taken]
        if not self._waiting:
            self._remove_writer()
        elif not taken:  # woken for nothing: were that to go on, it would take all of the processor
            self._remove_writer()
            self._loop.call_later(_NO_STORM, self._ensure_writer)
        self._maybe_resume_protocol()

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def flush(self) -> None:
        self._waiting.clear()
        super().flush()

    def pause_reading(self) -> None:
        self._reading = False
        super().pause_reading()

    def resume_reading(self) -> None:
        self._reading = True
        super().resume_reading()

    def _ensure_reader(self) -> None:
        if self._reading:  # the base class schedules this once, and reading may have been paused by then
            super()._ensure_reader()

    def detach(self) -> None:
        """Leave the event loop; the descriptor must be out of it before it is closed (uvloop aborts otherwise)."""
        self._closing = True
        self._remove_reader()
        self._remove_writer()
        self._waiting.clear()


class TtyPort(Port):
    """An open tty. See `Port`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, device: _Device, receiver: PortReceiver) -> None:
        """Take over an opened device."""
        self.report = device.report
        self.settings = device.line
        self.deliver = receiver.data_received
        self._loop = loop
        self._device = device
        self._fd: int = device.fd
        self._path = device.wish.device
        self._receiver = receiver
        self._open = True
        self._abandoned = 0
        self._full = 0  # how many of the transport and the gate are
        self._has_lsr = device.tells_when_empty
        self._transport = _Transport(loop, self, device)
        self._hangup: HangupWatch | None = None
        self._gate: DsrGate | None = None
        self._telling: asyncio.Handle | None = None
        self._released: asyncio.Future[None] | None = None
        self._set_gate()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """pyserial-asyncio's announcement; the constructor knew."""

    def pause_writing(self) -> None:
        """The transport's buffer is full, or the gate's."""
        self._full += 1
        if self._full == 1:
            self._receiver.pause_writing()

    def resume_writing(self) -> None:
        """It has room again."""
        self._full -= 1
        if self._full == 0 and self._open:
            self._receiver.resume_writing()

    def lost(self, error: OSError | None) -> None:
        """The device is gone: leave the loop, then say so once, outside of the call that met it."""
        if not self._open:
            return
        self._leave_loop()
        reason = os.strerror(error.errno) if error is not None and error.errno else "hung up"
        self._telling = self._loop.call_soon(self._receiver.port_lost, LineDown(f"{self._path}: {reason}"))

    # What the line calls.

    def write(self, data: bytes) -> None:
        if not self._open:
            self._abandoned += len(data)
        elif self._gate is not None:
            self._gate.write(data)
        else:
            self._transport.write(data)

    def pause_reading(self) -> None:
        if self._open and self._hangup is None:
            self._transport.pause_reading()
            self._hangup = HangupWatch(self._loop, self._fd, self._look_for_hangup)
            if self._gate is not None:
                self._gate.hold_far_end()

    def _look_for_hangup(self, events: int) -> None:
        if events & (select.EPOLLHUP | select.EPOLLERR):
            self.lost(None)

    def resume_reading(self) -> None:
        if self._open and self._hangup is not None:
            self._forget_hangup()
            self._transport.resume_reading()
            if self._gate is not None:
                self._gate.release_far_end()

    def unsent(self) -> int:
        return self._queued() if self._open else self._abandoned

    def _queued(self) -> int:
        """Bytes that the gate, the transport and the kernel hold."""
        ours: int = self._transport.get_write_buffer_size() + (self._gate.waiting if self._gate else 0)
        return ours + (terminal.ask(self._fd, ioctls.output_queue) or 0)

    def sent(self) -> bool:
        if self._open and self.unsent():
            return False
        return not (self._open and self._has_lsr) or terminal.ask(self._fd, ioctls.transmitter_empty) is not False

    async def drain(self) -> None:
        while not self.sent():  # noqa: ASYNC110 - the kernel has no event for this
            await asyncio.sleep(min(max(self.unsent() * self.settings.character_time, 0.001), 0.05))
        if not self._open:
            raise LineDown(f"{self._path}: lost before everything was sent")

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        if not self._open:
            return 0
        thrown = self._queued() if unsent else 0
        queues = {(True, False): termios.TCIFLUSH, (False, True): termios.TCOFLUSH, (True, True): termios.TCIOFLUSH}
        if received or unsent:
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(self._fd, queues[received, unsent])
        if unsent:
            if self._gate is not None:
                self._gate.clear()
            self._transport.flush()
        return thrown

    def configure(self, settings: LineSettings) -> LineSettings:
        self._check_open()
        if settings == self.settings:
            return settings
        try:
            self._device.apply(settings)
        except OSError as error:
            if error.errno in _GONE:
                self.lost(error)
                raise LineDown(f"{self._path}: {os.strerror(error.errno)}") from error
            raise LineUnsupported(f"{self._path}: the driver refused {settings}") from error
        self.settings = self._device.line
        self._set_gate()
        return self.settings

    def modem_lines(self) -> ModemLines | None:
        if not self._open or not self.report.modem_lines:
            return None
        return terminal.ask(self._fd, ioctls.get_modem_lines)

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        self._check_open()
        raised = dropped = ModemLines(0)
        for line, level in ((ModemLines.DTR, dtr), (ModemLines.RTS, rts)):
            if level is not None:
                raised, dropped = (raised | line, dropped) if level else (raised, dropped | line)
        if self.report.modem_lines:
            with contextlib.suppress(OSError):
                ioctls.change_modem_lines(self._fd, raised, dropped)

    def set_break(self, on: bool) -> None:
        self._check_open()
        with contextlib.suppress(OSError):
            ioctls.set_break(self._fd, on)

    def counters(self) -> UartCounters | None:
        if not self._open or not self.report.counters:
            return None
        return terminal.ask(self._fd, ioctls.get_counters)

    async def close(self) -> None:
        self._leave_loop()
        if self._telling is not None:
            self._telling.cancel()
        if self._released is None:  # once only: the descriptor's number may be another's by the second time
            self._released = self._loop.run_in_executor(None, self._device.release)
        await asyncio.shield(self._released)

    def _check_open(self) -> None:
        if not self._open:
            raise LineDown(f"{self._path} is not open")

    def _set_gate(self) -> None:
        wanted = self.settings.flow is Flow.DSRDTR
        if wanted and self._gate is None:
            self._gate = DsrGate(
                self._loop, self, self._transport.write, full=self.pause_writing, room=self.resume_writing
            )
            if self._hangup is not None:
                self._gate.hold_far_end()
        elif not wanted and self._gate is not None:
            gate, self._gate = self._gate, None
            if self._hangup is not None:
                gate.release_far_end()
            if waited := gate.close():
                self._transport.write(waited)

    def _forget_hangup(self) -> None:
        if self._hangup is not None:
            self._hangup.close()
            self._hangup = None

    def _leave_loop(self) -> None:
        if self._open:
            self._abandoned = self._queued()
            self._open = False
            self._forget_hangup()
            if self._gate is not None:
                self._gate.close()
            self._transport.detach()


class ReckoningTtyPort(TtyPort):
    """A tty whose driver cannot tell when the UART is empty. Bytes that it is reckoned to hold count as unsent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, device: _Device, receiver: PortReceiver) -> None:
        """Take over an opened device."""
        super().__init__(loop, device, receiver)
        self._departure = Departure()

    def write(self, data: bytes) -> None:
        self._departure.wrote(len(data), self.settings.character_time, monotonic())
        super().write(data)

    def unsent(self) -> int:
        if not self._open:
            return super().unsent()
        queued, character, now = self._queued(), self.settings.character_time, monotonic()
        left = (self._departure.left_at(queued, character, now) - now) / character
        return max(queued, math.ceil(left - _ROUNDING))

    def sent(self) -> bool:
        return not self._open or not self.unsent()

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        thrown = super().purge(received=received, unsent=unsent)
        self._departure.purged(thrown, self.settings.character_time)
        return thrown
