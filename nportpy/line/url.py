"""A Port on one of pyserial's URL handlers: socket://, rfc2217://, loop://, spy://.

Those have no descriptor that an event loop could watch, so two threads move the bytes. This is the way for tests
and for devices elsewhere; it costs a thread switch per chunk and has no error counters and no RS-485 mode.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import serial

from nportpy.errors import LineDown, LineUnsupported
from nportpy.line.port import OnOpen, Port, PortReceiver, PortSettings
from nportpy.linesettings import Flow, LineSettings, ModemLines, PortReport, Rs485Mode, UartCounters

_HIGH_WATER = 64 * 1024
_LOW_WATER = 16 * 1024
_PATIENCE = 0.2  # how long a read waits before it looks whether it should end


async def open_url(settings: PortSettings, receiver: PortReceiver) -> "UrlPort":
    """Open a pyserial URL.

    Raises:
        LineDown: the far end is not there, or the URL is none that pyserial knows.
        LineUnsupported: RS-485 mode is asked for.
    """
    if settings.rs485.mode is Rs485Mode.ON:
        raise LineUnsupported(f'{settings.device}: a URL has no RS-485 mode; set rs485 = "keep"')
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, _open, settings)
    try:
        device = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_discard)
        raise
    return UrlPort(loop, device, settings, receiver)


def _discard(opening: "asyncio.Future[Any]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _open(settings: PortSettings) -> Any:
    try:
        device = serial.serial_for_url(settings.device, do_not_open=True, timeout=_PATIENCE, write_timeout=None)
        _apply(device, settings.line)
        if settings.dtr is not OnOpen.KEEP:
            device.dtr = settings.dtr is OnOpen.ON
        if settings.rts is not OnOpen.KEEP:
            device.rts = settings.rts is OnOpen.ON
        device.open()
    except (OSError, ValueError) as error:
        raise LineDown(f"{settings.device}: {error}") from error
    return device


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
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._work = threading.Condition()
        self._may_read = threading.Event()
        self._may_read.set()
        self.report = PortReport(driver=self._url.partition(":")[0], modem_lines=self._read_modem() is not None)
        self._threads = [
            threading.Thread(target=run, name=f"{self._url} {what}", daemon=True)
            for run, what in ((self._reading, "reader"), (self._writing, "writer"))
        ]
        for thread in self._threads:
            thread.start()

    # The threads.

    def _reading(self) -> None:
        try:
            while self._open:
                self._may_read.wait()
                data = self._device.read(max(1, self._device.in_waiting))
                if data:
                    self._tell(self._deliver, data)
        except (OSError, TypeError, AttributeError) as error:  # handlers fail in all three ways when closed under way
            self._tell(self._lost, error)

    def _writing(self) -> None:
        try:
            while True:
                with self._work:
                    while self._open and not self._waiting:
                        self._work.wait()
                    if not self._open:
                        return
                    data = self._waiting[0]
                self._device.write(data)
                with self._work:
                    if self._waiting and self._waiting[0] is data:
                        self._waiting.popleft()
                        self._size -= len(data)
                    relieved = self._full and self._size <= _LOW_WATER
                if relieved:
                    self._tell(self._relieve)
        except (OSError, TypeError, AttributeError) as error:
            self._tell(self._lost, error)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended before the thread
            self._loop.call_soon_threadsafe(call, *arguments)

    # In the loop.

    def _deliver(self, data: bytes) -> None:
        if self._open:
            self._receiver.data_received(data)

    def _relieve(self) -> None:
        if self._open and self._full:
            self._full = False
            self._receiver.resume_writing()

    def _lost(self, error: Exception) -> None:
        if self._open:
            self._stop()
            self._receiver.port_lost(LineDown(f"{self._url}: {error}"))

    def _stop(self) -> None:
        self._open = False
        self._may_read.set()
        with self._work:
            self._waiting.clear()
            self._work.notify_all()

    def write(self, data: bytes) -> None:
        if not self._open:
            return
        with self._work:
            self._waiting.append(data)
            self._size += len(data)
            self._work.notify_all()
        if not self._full and self._size > _HIGH_WATER:
            self._full = True
            self._receiver.pause_writing()

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def unsent(self) -> int:
        return self._size

    def sent(self) -> bool:
        return not self._open or self._size == 0

    async def drain(self) -> None:
        while self._open and not self.sent():  # noqa: ASYNC110 - the threads have no event for this
            await asyncio.sleep(0.005)
        if not self._open:
            raise LineDown(f"{self._url}: lost before everything was sent")

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        thrown = 0
        with contextlib.suppress(OSError, AttributeError):
            if unsent:
                with self._work:
                    thrown, self._size = self._size, 0
                    self._waiting.clear()
                self._device.reset_output_buffer()
                self._relieve()
            if received:
                self._device.reset_input_buffer()
        return thrown

    def configure(self, settings: LineSettings) -> LineSettings:
        self._check_open()
        try:
            _apply(self._device, settings)
        except (OSError, ValueError) as error:
            raise LineUnsupported(f"{self._url}: refused {settings}: {error}") from error
        self.settings = settings
        return settings

    def modem_lines(self) -> ModemLines | None:
        return self._read_modem() if self._open else None

    def _read_modem(self) -> ModemLines | None:
        device, lines = self._device, ModemLines(0)
        try:
            inputs = (device.cts, device.dsr, device.ri, device.cd)
        except (OSError, AttributeError, NotImplementedError):
            return None
        for level, line in zip(inputs, (ModemLines.CTS, ModemLines.DSR, ModemLines.RI, ModemLines.CD), strict=True):
            lines |= line if level else ModemLines(0)
        return lines | ModemLines.DTR * bool(device.dtr) | ModemLines.RTS * bool(device.rts)

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        self._check_open()
        with contextlib.suppress(OSError, ValueError):
            if dtr is not None:
                self._device.dtr = dtr
            if rts is not None:
                self._device.rts = rts

    def set_break(self, on: bool) -> None:
        self._check_open()
        with contextlib.suppress(OSError):
            self._device.break_condition = on

    def counters(self) -> UartCounters | None:
        return None

    async def close(self) -> None:
        if self._open:
            self._stop()
        await asyncio.shield(self._loop.run_in_executor(None, self._release))

    def _release(self) -> None:
        with contextlib.suppress(OSError, TypeError, AttributeError):
            self._device.close()
        for thread in self._threads:
            thread.join(2 * _PATIENCE)

    def _check_open(self) -> None:
        if not self._open:
            raise LineDown(f"{self._url} is not open")
