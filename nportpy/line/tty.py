"""A Port on a Linux tty: pyserial opens and configures it, pyserial-asyncio's transport moves the bytes.

Both are subclassed where they fall short, each place measured or seen:

- The settings go to the driver in one TCSETS2, any speed included, and are read back. pyserial sets the speed in
  a second step, and glibc's tcsetattr calls a format that a pseudo-terminal does not keep an error.
- DTR and RTS move on opening only if the settings say so; pyserial always raises both.
- One read per wake-up goes straight to the receiver, and a write goes straight to the driver while nothing waits;
  stock pyserial-asyncio takes a select() more for each read and a trip through the loop for each write.
- A closing port does not wait for its last byte (tcdrain would stop the whole loop): the line drains it before.
"""

import asyncio
import contextlib
import errno
import fcntl
import functools
import os
import select
import termios
from typing import Any

import serial
from serial_asyncio import SerialTransport

from nportpy.errors import LineBusy, LineDown, LineUnsupported
from nportpy.line import ioctls
from nportpy.line.dsrdtr import DsrGate
from nportpy.line.inventory import driver_of, who_holds
from nportpy.line.port import OnClose, OnOpen, Port, PortReceiver, PortSettings
from nportpy.linesettings import (
    Flow,
    LineSettings,
    ModemLines,
    Parity,
    PortReport,
    Rs485Mode,
    Rs485Settings,
    StopBits,
    UartCounters,
)

READ_SIZE = 4096  # what a tty's line discipline holds; more never comes at once
HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
_SIZES = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
_PARITIES = {
    Parity.NONE: 0,
    Parity.EVEN: termios.PARENB,
    Parity.ODD: termios.PARENB | termios.PARODD,
    Parity.MARK: termios.PARENB | termios.PARODD | ioctls.CMSPAR,
    Parity.SPACE: termios.PARENB | ioctls.CMSPAR,
}
_PARITY_BITS = _PARITIES[Parity.MARK]


async def open_tty(settings: PortSettings, receiver: PortReceiver) -> "TtyPort":
    """Open a tty. The system calls run in a thread: a driver may take its time.

    Raises:
        LineDown: the device is not there, or is no tty.
        LineBusy: another process holds it.
        LineUnsupported: the driver cannot do what the settings ask for.
    """
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, _open, settings)
    try:
        device, report = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_discard)
        raise
    return TtyPort(loop, device, report, settings, receiver)


def _discard(opening: "asyncio.Future[tuple[_Device, PortReport]]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _open(settings: PortSettings) -> tuple["_Device", PortReport]:
    path = settings.device
    device = _Device(settings)
    try:
        with _translated(path):
            device.open()
            device.claim()
            report = device.prepare()
    except BaseException:
        device.close()
        raise
    return device, report


@contextlib.contextmanager
def _translated(path: str) -> Any:
    """Turn what the system and pyserial raise into our own errors."""
    try:
        yield
    except (OSError, termios.error) as error:  # SerialException is an OSError
        number = error.errno if isinstance(error, OSError) else error.args[0]
        if number in (errno.EBUSY, errno.EWOULDBLOCK):
            holders = ", ".join(str(holder) for holder in who_holds(path)) or "another process"
            raise LineBusy(f"{path} is in use by {holders}") from error
        if number == errno.ENOENT:
            raise LineDown(f"{path} does not exist") from error
        if number in (errno.EACCES, errno.EPERM):
            raise LineDown(f"{path}: permission denied; is the user in the group dialout?") from error
        if number == errno.ENOTTY:
            raise LineDown(f"{path} is not a serial device") from error
        reason = os.strerror(number) if isinstance(number, int) else str(error)
        raise LineDown(f"{path}: {reason}") from error


class _Device(serial.Serial):
    """pyserial's Serial with the settings applied in one step and modem lines that move only when told."""

    def __init__(self, settings: PortSettings) -> None:
        super().__init__(exclusive=settings.exclusive or None)
        self.port = settings.device
        self._settings = settings
        self._line = settings.line
        self.fd: int
        self.is_pty = False

    @property
    def driver(self) -> str:
        """The kernel driver's name."""
        if self.is_pty:
            return "pty"
        return driver_of(self._settings.device)

    def _reconfigure_port(self, force_update: bool = False) -> None:  # noqa: ARG002 - pyserial's signature
        if self._settings.exclusive and not self.is_open:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.apply(self._line)

    def _update_dtr_state(self) -> None:
        self._move(ModemLines.DTR, self._settings.dtr)

    def _update_rts_state(self) -> None:
        self._move(ModemLines.RTS, self._settings.rts)

    def _move(self, line: ModemLines, wish: OnOpen) -> None:
        if wish is not OnOpen.KEEP:
            raised = line if wish is OnOpen.ON else ModemLines(0)
            with contextlib.suppress(OSError):  # a line without modem lines has nothing to move
                ioctls.change_modem_lines(self.fd, raised, line & ~raised)

    def apply(self, line: LineSettings) -> None:
        """Raw mode with these settings, in one ioctl; unchanged settings are not sent again."""
        now = ioctls.Termios2(self.fd)
        before = now.state
        now.iflag = termios.IGNBRK  # a break is an event (counted, told to RFC 2217 clients), not a byte
        now.iflag |= termios.IXON * (line.flow is Flow.XONXOFF) | termios.IXOFF * (line.flow_in is Flow.XONXOFF)
        now.oflag = now.lflag = 0
        now.cflag &= ~(termios.CSIZE | termios.CSTOPB | _PARITY_BITS | termios.CRTSCTS | termios.HUPCL)
        now.cflag |= termios.CREAD | termios.CLOCAL | _SIZES[line.data_bits] | _PARITIES[line.parity]
        now.cflag |= termios.CSTOPB * (line.stop_bits is not StopBits.ONE)
        now.cflag |= termios.CRTSCTS * (line.flow is Flow.RTSCTS)
        now.cflag |= termios.HUPCL * (self._settings.on_close is OnClose.DROP)
        now.cc[termios.VMIN], now.cc[termios.VTIME] = 1, 0  # so that an empty read means the end, not "nothing yet"
        now.set_speed(line.baudrate)
        if now.state != before:
            now.apply(self.fd)

    def in_effect(self, wish: LineSettings) -> LineSettings:
        """What the driver made of `wish`. A pseudo-terminal has no wire: it takes whatever is wished."""
        if self.is_pty:
            return wish
        now = ioctls.Termios2(self.fd)
        data_bits = next(bits for bits, flag in _SIZES.items() if now.cflag & termios.CSIZE == flag)
        parity = next(parity for parity, flags in _PARITIES.items() if now.cflag & _PARITY_BITS == flags)
        stop_bits = StopBits.ONE
        if now.cflag & termios.CSTOPB:
            stop_bits = StopBits.ONE_AND_HALF if wish.stop_bits is StopBits.ONE_AND_HALF else StopBits.TWO
        flow, flow_in = wish.flow, wish.flow_in
        if now.cflag & termios.CRTSCTS:
            flow = flow_in = Flow.RTSCTS
        elif Flow.DSRDTR not in (flow, flow_in):
            flow = Flow.XONXOFF if now.iflag & termios.IXON else Flow.NONE
            flow_in = Flow.XONXOFF if now.iflag & termios.IXOFF else Flow.NONE
        return LineSettings(now.ospeed, data_bits, parity, stop_bits, flow, flow_in)

    def claim(self) -> None:
        """Keep others from opening the device from now on."""
        self.is_pty = os.major(os.fstat(self.fd).st_rdev) in range(136, 144)  # Unix98 pty slaves, devices.txt
        if self._settings.exclusive:
            fcntl.ioctl(self.fd, termios.TIOCEXCL)

    def prepare(self) -> PortReport:
        """Set what is set once, and ask the driver what it can do."""
        probe = functools.partial(_try, self.fd)
        return PortReport(
            driver=self.driver,
            rs485=self._prepare_rs485(),
            low_latency=probe(ioctls.set_low_latency) if self._settings.low_latency else None,
            modem_lines=probe(ioctls.get_modem_lines) is not None,
            counters=probe(ioctls.get_counters) is not None,
        )

    def _prepare_rs485(self) -> Rs485Settings | None:
        wish = self._settings.rs485
        before: Rs485Settings | None = _try(self.fd, ioctls.get_rs485)
        if wish.mode is Rs485Mode.KEEP or (before is None and wish.mode is Rs485Mode.OFF):
            return before
        try:
            ioctls.set_rs485(self.fd, wish)
            after = ioctls.get_rs485(self.fd)
        except OSError as error:
            raise LineUnsupported(
                f"{self._settings.device}: the driver {self.driver} has no RS-485 mode "
                f"({os.strerror(error.errno or 0)}); an adapter that switches direction by itself needs none: "
                'set rs485 = "keep"'
            ) from error
        if after.mode is not wish.mode:
            raise LineUnsupported(
                f'{self._settings.device}: the driver did not switch RS-485 {wish.mode}; set rs485 = "keep", or set '
                "the mode in the device tree (linux,rs485-enabled-at-boot-time)"
            )
        return after

    def release(self) -> None:
        """Close without waiting for what the far end does not take."""
        if not self.is_open:
            return
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(self.fd, termios.TCIOFLUSH)
            fcntl.ioctl(self.fd, termios.TIOCNXCL)
        with contextlib.suppress(OSError):
            self.close()


def _try(fd: int, call: Any) -> Any:
    """What the ioctl says, or None where the driver does not know it."""
    try:
        return call(fd)
    except OSError:
        return None


class _Transport(SerialTransport):  # type: ignore[misc]  # pyserial-asyncio has no types
    """pyserial-asyncio's transport with shorter read and write paths, see the top of this file."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: "TtyPort", device: _Device) -> None:
        self._fd: int = device.fd
        self._closing = False
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
        if data:
            self._deliver(data)
        else:
            self._lost(None)

    def write(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._waiting:
            try:
                taken = os.write(self._fd, data)
            except (BlockingIOError, InterruptedError):
                taken = 0
            except OSError as error:
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
            return
        except OSError as error:
            self._lost(error)
            return
        del self._waiting[:taken]
        if not self._waiting:
            self._remove_writer()
        self._maybe_resume_protocol()

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def flush(self) -> None:
        self._waiting.clear()
        super().flush()

    def detach(self) -> None:
        """Leave the event loop; the descriptor must be out of it before it is closed (uvloop aborts otherwise)."""
        if not self._closing:
            self._closing = True
            self._remove_reader()
            self._remove_writer()
            self._waiting.clear()

    def _ensure_reader(self) -> None:
        if self._loop is not None:  # the base class schedules this once, and we may be closed by then
            super()._ensure_reader()


class TtyPort(Port):
    """An open tty. See `Port`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        device: _Device,
        report: PortReport,
        settings: PortSettings,
        receiver: PortReceiver,
    ) -> None:
        """Take over an opened device."""
        self.report = report
        self.settings = device.in_effect(settings.line)
        self.deliver = receiver.data_received
        self._loop = loop
        self._device = device
        self._fd: int = device.fd
        self._path = settings.device
        self._receiver = receiver
        self._open = True
        self._abandoned = 0
        self._has_lsr = _try(self._fd, ioctls.transmitter_empty) is not None
        self._transport = _Transport(loop, self, device)
        self._hangup: select.epoll | None = None
        self._gate: DsrGate | None = None
        self._set_gate()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """pyserial-asyncio's announcement; the constructor knew."""

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._receiver.pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self._receiver.resume_writing()

    def lost(self, error: OSError | None) -> None:
        """The device is gone: leave the loop, then say so once, outside of the call that met it."""
        if not self._open:
            return
        self._leave_loop()
        reason = os.strerror(error.errno) if error is not None and error.errno else "hung up"
        self._loop.call_soon(self._receiver.port_lost, LineDown(f"{self._path}: {reason}"))

    # What the line calls.

    def write(self, data: bytes) -> None:
        if self._gate is not None:
            self._gate.write(data)
        else:
            self._transport.write(data)

    def pause_reading(self) -> None:
        if self._open and self._hangup is None:
            self._transport.pause_reading()
            # epoll reports a hang-up even where nothing is asked for: the loss is noticed while nobody reads.
            self._hangup = select.epoll()
            self._hangup.register(self._fd, 0)
            self._loop.add_reader(self._hangup.fileno(), self.lost, None)
            if self._gate is not None:
                self._gate.hold_far_end()

    def resume_reading(self) -> None:
        if self._open and self._hangup is not None:
            self._forget_hangup()
            self._transport.resume_reading()
            if self._gate is not None:
                self._gate.release_far_end()

    def unsent(self) -> int:
        if not self._open:
            return self._abandoned
        ours = self._transport.get_write_buffer_size() + (self._gate.waiting if self._gate else 0)
        return int(ours + (_try(self._fd, ioctls.output_queue) or 0))

    def sent(self) -> bool:
        if self._open and self.unsent():
            return False
        return not (self._open and self._has_lsr) or _try(self._fd, ioctls.transmitter_empty) is not False

    async def drain(self) -> None:
        while not self.sent():  # noqa: ASYNC110 - the kernel has no event for this
            await asyncio.sleep(min(max(self.unsent() * self.settings.character_time, 0.001), 0.05))
        if not self._open:
            raise LineDown(f"{self._path}: lost before everything was sent")

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        if not self._open:
            return 0
        thrown = self.unsent() if unsent else 0
        queues = {(True, False): termios.TCIFLUSH, (False, True): termios.TCOFLUSH, (True, True): termios.TCIOFLUSH}
        if unsent:
            if self._gate is not None:
                self._gate.clear()
            self._transport.flush()
        if received or unsent:
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(self._fd, queues[received, unsent])
        return thrown

    def configure(self, settings: LineSettings) -> LineSettings:
        self._check_open()
        if settings == self.settings:
            return settings
        try:
            self._device.apply(settings)
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENODEV, errno.ENXIO):
                self.lost(error)
                raise LineDown(f"{self._path}: {os.strerror(error.errno)}") from error
            raise LineUnsupported(f"{self._path}: the driver refused {settings}") from error
        self.settings = self._device.in_effect(settings)
        self._set_gate()
        return self.settings

    def modem_lines(self) -> ModemLines | None:
        if not self._open or not self.report.modem_lines:
            return None
        lines: ModemLines | None = _try(self._fd, ioctls.get_modem_lines)
        return lines

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
        counts: UartCounters | None = _try(self._fd, ioctls.get_counters)
        return counts

    async def close(self) -> None:
        self._leave_loop()
        if self._device.is_open:
            await asyncio.shield(self._loop.run_in_executor(None, self._device.release))

    def _check_open(self) -> None:
        if not self._open:
            raise LineDown(f"{self._path} is not open")

    def _set_gate(self) -> None:
        wanted = self.settings.flow is Flow.DSRDTR
        if wanted and self._gate is None:
            self._gate = DsrGate(self._loop, self, self._transport.write, self._receiver)
        elif not wanted and self._gate is not None:
            gate, self._gate = self._gate, None
            gate.close()

    def _forget_hangup(self) -> None:
        if self._hangup is not None:
            self._loop.remove_reader(self._hangup.fileno())
            self._hangup.close()
            self._hangup = None

    def _leave_loop(self) -> None:
        if self._open:
            self._abandoned = self.unsent()
            self._open = False
            self._forget_hangup()
            if self._gate is not None:
                self._gate.clear()
                self._gate.close()
            self._transport.detach()
