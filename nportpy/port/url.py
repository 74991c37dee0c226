"""A Port on one of pyserial's URL handlers: socket://, rfc2217://, loop://, spy://; and rfc2217s://, see rfc2217s.py.

Those have no descriptor that an event loop could watch, and several wait for an answer of the far end whatever they
are asked to do. So one thread reads, and another does all the rest in order of arrival: it writes, sets and purges.
This is the way for tests and for devices elsewhere; it costs a thread switch per chunk and has no error counters
and no RS-485 mode. A setting that the far end refuses is logged, as nobody waits for the answer.
"""

import asyncio
import contextlib
import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import serial

from nportpy.errors import LineDown, LineUnsupported
from nportpy.linesettings import Flow, LineSettings, ModemLines, PortReport, Rs485Mode, UartCounters
from nportpy.network import keepalive
from nportpy.port.base import OnOpen, Port, PortReceiver, PortSettings
from nportpy.port.threaded import opened

READ_SIZE = 4096
_READ_AHEAD = 16 * 1024  # bytes read and not delivered; until so many wait, a loss is noticed while reading is paused
_PIECE = 16 * 1024  # what a purge comes too late for, at most
_HIGH_WATER = 64 * 1024
_LOW_WATER = 16 * 1024
_PATIENCE = 0.2  # seconds that a read waits before it looks whether it should end
# What handlers raise: SerialException is an OSError; URLs that lack a part, and handlers that are closed under way,
# end in one of the others.
_FAULTS = (OSError, ValueError, TypeError, AttributeError, LookupError)

_UNREACHED = "Could not open port"  # what pyserial says then

log = logging.getLogger(__name__)


async def open_url(settings: PortSettings, receiver: PortReceiver) -> "UrlPort":
    """Open a pyserial URL.

    Cancelled midway, it leaves the thread to finish and to close the connection.

    Raises:
        LineDown: the far end is not there, or the URL is none that pyserial knows.
        LineUnsupported: RS-485 mode is asked for.
    """
    if settings.rs485.mode is Rs485Mode.ON:
        raise LineUnsupported(f'{settings.device}: a URL has no RS-485 mode; set rs485 = "keep"')
    device = await opened(partial(_open, settings), _discard)
    return UrlPort(asyncio.get_running_loop(), device, settings, receiver)


def _discard(device: Any) -> None:
    # pyserial sleeps in close() of a socket, which would hold the loop up
    threading.Thread(target=_close, args=(device,), name=f"{device.port} closing", daemon=True).start()


def _open(settings: PortSettings) -> Any:
    device: Any = None
    try:
        device = _handler(settings)
        _apply(device, settings.line)
        if settings.dtr is not OnOpen.KEEP:
            device.dtr = settings.dtr is OnOpen.ON
        if settings.rts is not OnOpen.KEEP:
            device.rts = settings.rts is OnOpen.ON
        device.open()
        held = getattr(device, "_socket", None)
        if held is not None and settings.device.startswith(("rfc2217:", "rfc2217s:")):
            keepalive.keep_urgent_data(held)
    except _FAULTS as error:
        if device is not None:
            _close(device)  # pyserial leaves a connection to who does not speak RFC 2217
        raise LineDown(f"{settings.device}: {_reason(settings.device, error)}") from error
    return device


def _handler(settings: PortSettings) -> Any:
    if settings.device.startswith("rfc2217s:"):
        from nportpy.port.rfc2217s import SecureSerial  # few lines are reached by TLS

        return SecureSerial(settings.device, settings.tls, _PATIENCE)
    return serial.serial_for_url(settings.device, do_not_open=True, timeout=_PATIENCE, write_timeout=None)


def _reason(url: str, error: Exception) -> str:
    """Why it cannot be opened. Who is reached and does not speak RFC 2217 has a plain port, mostly."""
    reason = str(error)
    if not url.startswith("rfc2217:") or _UNREACHED in reason:
        return reason
    place = url.partition("://")[2].partition("?")[0]
    return (
        f"no RFC 2217 there ({reason}); a raw port? rtu+tcp://{place} to read and write, socket://{place} as a device"
    )


def _close(device: Any) -> None:
    held = getattr(device, "_socket", None)
    with contextlib.suppress(*_FAULTS):
        device.close()
    if held is not None:  # pyserial leaves one that the far end has reset to the garbage collector
        held.close()


def _apply(device: Any, line: LineSettings) -> None:
    device.apply_settings(
        {
            "baudrate": line.baudrate,
            "bytesize": line.data_bits,
            "parity": str(line.parity),
            "stopbits": float(str(line.stop_bits)),
            "xonxoff": line.flow is Flow.XONXOFF,
            "rtscts": line.flow is Flow.RTSCTS,
            "dsrdtr": line.flow is Flow.DSRDTR,
        }
    )


def _read(device: Any) -> bytes:
    """What is there, or what comes first. socket:// says 1 whenever something waits, however much that is."""
    data = bytearray(device.read(1))
    with contextlib.suppress(*_FAULTS):  # what came before the end counts; the next call meets the end again
        while data and len(data) < READ_SIZE and (there := device.in_waiting):
            data += device.read(min(there, READ_SIZE - len(data)))
    return bytes(data)


class UrlPort(Port):
    """An open pyserial URL. See `Port`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, device: Any, settings: PortSettings, receiver: PortReceiver
    ) -> None:
        """Take over an opened device and start its threads."""
        self.settings = settings.line
        self._loop = loop
        self._device = device
        self._url = settings.device
        self._receiver = receiver
        self._open = True
        self._full = False
        self._reading = True
        self._arrived: deque[bytes] = deque()  # read, and waiting until reading is resumed
        self._orders: deque[bytes | Callable[[], None]] = deque()
        self._size = 0  # bytes among the orders, with those that are being written
        self._ahead = 0  # bytes read and not delivered
        self._purges = 0
        self._levels = ModemLines.DTR * bool(device.dtr) | ModemLines.RTS * bool(device.rts)
        self._abandoned = 0
        self._lock = threading.Condition()  # for the orders and all counts
        self._closed: asyncio.Future[None] | None = None
        self.report = PortReport(driver=self._url.partition(":")[0], modem_lines=self._read_modem() is not None)
        self._reader, self._writer = (
            threading.Thread(target=run, name=f"{self._url} {what}", daemon=True)
            for run, what in ((self._read_on, "reader"), (self._work_on, "writer"))
        )
        self._reader.start()
        self._writer.start()

    # The threads.

    def _read_on(self) -> None:
        try:
            while self._open:
                if data := _read(self._device):
                    with self._lock:
                        self._ahead += len(data)
                        self._tell(self._arrive, data, self._purges)
                        self._lock.wait_for(lambda: self._ahead < _READ_AHEAD or not self._open)
            while self._writer.is_alive():  # loop:// holds its writer for ever where nobody reads
                _read(self._device)
        except _FAULTS as error:
            self._tell(self._lost, error)

    def _work_on(self) -> None:
        try:
            while order := self._next_order():
                if isinstance(order, bytes):
                    self._device.write(order)
                    self._written(len(order))
                else:
                    order()
        except _FAULTS as error:
            self._tell(self._lost, error)

    def _next_order(self) -> bytes | Callable[[], None] | None:
        with self._lock:
            self._lock.wait_for(lambda: self._orders or not self._open)
            return self._orders.popleft() if self._open else None

    def _written(self, size: int) -> None:
        with self._lock:
            self._size -= size
            relieved = self._full and self._size <= _LOW_WATER
        if relieved:
            self._tell(self._relieve)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended before the thread
            self._loop.call_soon_threadsafe(call, *arguments)

    def _give_order(self, order: Callable[[], None]) -> None:
        """Have something done after all that was written before. What fails is logged: the line itself is well."""

        def carry_out() -> None:
            try:
                order()
            except _FAULTS as error:
                log.warning("refused by the far end", extra={"device": self._url, "reason": str(error)})

        with self._lock:
            self._orders.append(carry_out)
            self._lock.notify_all()

    # In the loop.

    def _arrive(self, data: bytes, purges: int) -> None:
        if purges != self._purges:
            self._taken(len(data))
        elif self._open:
            self._arrived.append(data)
            self._deliver()

    def _deliver(self) -> None:
        while self._open and self._reading and self._arrived:
            data = self._arrived.popleft()
            self._taken(len(data))
            self._receiver.data_received(data)

    def _taken(self, size: int) -> None:
        with self._lock:
            self._ahead -= size
            self._lock.notify_all()

    def _relieve(self) -> None:
        if self._open and self._full and self._size <= _LOW_WATER:
            self._full = False
            self._receiver.resume_writing()

    def _lost(self, error: Exception) -> None:
        if self._open:
            self._stop()
            self._receiver.port_lost(LineDown(f"{self._url}: {error}"))

    def _stop(self) -> None:
        self._open = False
        with self._lock:
            self._abandoned = self._size
            self._orders.clear()
            self._lock.notify_all()

    def write(self, data: bytes) -> None:
        if not self._open:
            self._abandoned += len(data)
        elif data:
            with self._lock:
                self._orders.extend(data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
                self._size += len(data)
                full = not self._full and self._size > _HIGH_WATER
                self._full |= full  # with the lock: the writer might be done before we say that it has too much
                self._lock.notify_all()
            if full:
                self._receiver.pause_writing()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._deliver)

    def unsent(self) -> int:
        return self._size if self._open else self._abandoned

    def sent(self) -> bool:
        return not self._open or self._size == 0

    async def drain(self) -> None:
        while not self.sent():  # noqa: ASYNC110 - the threads have no event for this
            await asyncio.sleep(0.005)
        if not self._open:
            raise LineDown(f"{self._url}: lost before everything was sent")

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        if not self._open:
            return 0
        thrown = 0
        if unsent:
            with self._lock:
                thrown = sum(len(order) for order in self._orders if isinstance(order, bytes))
                self._orders = deque(order for order in self._orders if not isinstance(order, bytes))
                self._size -= thrown
            self._give_order(self._device.reset_output_buffer)
            self._relieve()
        if received:
            self._purges += 1
            self._taken(sum(map(len, self._arrived)))
            self._arrived.clear()
            self._give_order(self._device.reset_input_buffer)
        return thrown

    def configure(self, settings: LineSettings) -> LineSettings:
        self._check_open()
        if settings != self.settings:
            self._give_order(functools.partial(_apply, self._device, settings))
            self.settings = settings
        return settings

    def modem_lines(self) -> ModemLines | None:
        return self._read_modem() if self._open else None

    def _read_modem(self) -> ModemLines | None:
        device, lines = self._device, ModemLines(0)
        try:
            inputs = (device.cts, device.dsr, device.ri, device.cd)
        except (*_FAULTS, NotImplementedError):
            return None
        for level, line in zip(inputs, (ModemLines.CTS, ModemLines.DSR, ModemLines.RI, ModemLines.CD), strict=True):
            lines |= line if level else ModemLines(0)
        return lines | self._levels

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        self._check_open()
        for name, level, line in (("dtr", dtr, ModemLines.DTR), ("rts", rts, ModemLines.RTS)):
            if level is not None:
                self._levels = self._levels | line if level else self._levels & ~line
                self._give_order(functools.partial(setattr, self._device, name, level))

    def set_break(self, on: bool) -> None:
        self._check_open()
        self._give_order(functools.partial(setattr, self._device, "break_condition", on))

    def counters(self) -> UartCounters | None:
        return None

    async def close(self) -> None:
        if self._open:
            self._stop()
        if self._closed is None:
            self._closed = self._loop.run_in_executor(None, self._release)
        await asyncio.shield(self._closed)

    def _release(self) -> None:
        # In this order: a handler that is closed while it reads may read from whoever gets its descriptor next.
        self._writer.join(2 * _PATIENCE)
        if not self._writer.is_alive():
            self._reader.join(2 * _PATIENCE)
        _close(self._device)  # wakes a writer whose far end takes nothing
        self._writer.join(2 * _PATIENCE)
        self._reader.join(2 * _PATIENCE)

    def _check_open(self) -> None:
        if not self._open:
            raise LineDown(f"{self._url} is not open")
