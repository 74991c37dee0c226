"""A Port on a TCP connection, `tcp://HOST:PORT`: for a Modbus TCP server that is asked as if it were a line.

A connection has neither speed nor modem lines: settings are taken as they are, and mean nothing. The descriptor is
watched by the event loop as a tty's is (tty.py), and leaves it before it is closed: uvloop aborts otherwise.

What is purged is what has not been handed to the kernel, in whole pieces: a write of up to `_PIECE` bytes goes out
whole or not at all, so that the far end does not lose its place.
"""

import asyncio
import contextlib
import fcntl
import os
import select
import socket
import struct
from collections import deque
from typing import Final
from urllib.parse import urlsplit

from nportpy.errors import LineDown, LineUnsupported
from nportpy.linesettings import LineSettings, ModemLines, PortReport, Rs485Mode, UartCounters
from nportpy.network.calling import call
from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.port.hangup import HangupWatch

CONNECT_TIME: Final = 5.0
"""Seconds in which a connection must come about, looking its name up included."""

ALIVE_CHECK: Final = 20.0
"""Seconds after which a far end that gives no sign of life is given up."""

READ_SIZE: Final = 65536
_HIGH_WATER: Final = 64 * 1024
_LOW_WATER: Final = 16 * 1024
_PIECE: Final = 4096

_SIOCOUTQNSD: Final = 0x894B  # linux/sockios.h: bytes that the kernel has not sent for the first time


async def open_tcp(settings: PortSettings, receiver: PortReceiver) -> "TcpPort":
    """Connect. Cancelled midway, it leaves no connection behind.

    Raises:
        LineDown: the far end is not there, or the address is none.
        LineUnsupported: RS-485 mode is asked for.
    """
    if settings.rs485.mode is Rs485Mode.ON:
        raise LineUnsupported(f'{settings.device}: a connection has no RS-485 mode; set rs485 = "keep"')
    loop = asyncio.get_running_loop()
    try:
        host, port = place_of(settings.device, "tcp")
        sock = await call(host, port, 0, CONNECT_TIME, ALIVE_CHECK)
    except (OSError, ValueError) as error:
        raise LineDown(f"{settings.device}: {reason_of(error)}") from error
    return TcpPort(loop, sock, settings, receiver)


def place_of(device: str, scheme: str) -> tuple[str, int]:
    """The host and the port that a device's URL names.

    Raises:
        ValueError: it names none.
    """
    place = urlsplit(device)
    if not place.hostname or place.port is None or place.path:
        raise ValueError(f"write {scheme}://HOST:PORT")
    return place.hostname, place.port


def reason_of(error: OSError | ValueError) -> str:
    """Why there is no connection, in words."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or f"no connection within {CONNECT_TIME:g} s"


class TcpPort(Port):
    """An open connection. See `Port`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, settings: PortSettings, receiver: PortReceiver
    ) -> None:
        """Take over a connected socket."""
        self.settings = settings.line
        self.report = PortReport(driver="tcp")
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._device = settings.device
        self._receiver = receiver
        self._deliver = receiver.data_received
        self._open = True
        self._pieces: deque[bytes] = deque()  # written, and not taken by the kernel
        self._begun = False  # the first of them is what is left of one
        self._waiting = 0  # their bytes
        self._full = False
        self._abandoned = 0
        self._hangup: HangupWatch | None = None
        self._telling: asyncio.Handle | None = None
        loop.add_reader(self._fd, self._read_ready)

    # What the loop calls.

    def _read_ready(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        if data:
            self._deliver(data)
        else:
            self._lost(None)

    def _write_ready(self) -> None:
        try:
            while self._pieces:
                taken = self._socket.send(self._pieces[0])
                self._waiting -= taken
                self._begun = taken < len(self._pieces[0])
                if self._begun:
                    self._pieces[0] = self._pieces[0][taken:]
                else:
                    self._pieces.popleft()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._lost(error)
            return
        if not self._pieces:
            self._loop.remove_writer(self._fd)
        self._relieve()

    def _relieve(self) -> None:
        if self._full and self._waiting <= _LOW_WATER:
            self._full = False
            self._receiver.resume_writing()

    def _look_for_hangup(self, events: int) -> None:
        """Something happened while nobody reads. An end that comes after unread bytes is met when they are read."""
        if events & (select.EPOLLHUP | select.EPOLLERR):
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._lost(OSError(number, os.strerror(number)) if number else None)
        elif events & select.EPOLLRDHUP and not self._unread():
            self._lost(None)

    def _unread(self) -> bool:
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _lost(self, error: OSError | None) -> None:
        """The connection is gone: leave the loop, then say so once, outside of the call that met it."""
        self._leave_loop()
        reason = "closed by the far end" if error is None else reason_of(error)
        self._telling = self._loop.call_soon(self._receiver.port_lost, LineDown(f"{self._device}: {reason}"))

    # What the line calls.

    def write(self, data: bytes) -> None:
        if not self._open:
            self._abandoned += len(data)
            return
        if not data:
            return
        if not self._pieces:
            try:
                taken = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                taken = 0
            except OSError as error:
                self._waiting += len(data)  # counted among what never left
                self._lost(error)
                return
            if taken == len(data):
                return
            data = data[taken:]
            self._begun = taken > 0
            self._loop.add_writer(self._fd, self._write_ready)
        self._pieces.extend(data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        self._waiting += len(data)
        if not self._full and self._waiting > _HIGH_WATER:
            self._full = True
            self._receiver.pause_writing()

    def pause_reading(self) -> None:
        if self._open and self._hangup is None:
            self._loop.remove_reader(self._fd)
            self._hangup = HangupWatch(self._loop, self._fd, self._look_for_hangup, select.EPOLLRDHUP)

    def resume_reading(self) -> None:
        if self._open and self._hangup is not None:
            self._forget_hangup()
            self._loop.add_reader(self._fd, self._read_ready)

    def unsent(self) -> int:
        return self._waiting + self._in_kernel() if self._open else self._abandoned

    def _in_kernel(self) -> int:
        try:
            (size,) = struct.unpack("i", fcntl.ioctl(self._fd, _SIOCOUTQNSD, bytes(4)))
        except OSError:  # the connection is gone
            return 0
        return int(size)

    def sent(self) -> bool:
        return not self._open or self.unsent() == 0

    async def drain(self) -> None:
        while not self.sent():  # noqa: ASYNC110 - the kernel has no event for this
            await asyncio.sleep(0.005)
        if not self._open:
            raise LineDown(f"{self._device}: lost before everything was sent")

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        if not self._open:
            return 0
        if received:
            with contextlib.suppress(OSError):  # all was read, or the end is met when reading goes on
                while self._socket.recv(READ_SIZE):
                    pass
        if not unsent:
            return 0
        before = self._waiting
        while len(self._pieces) > self._begun:
            self._pieces.pop()
        if not self._pieces:
            self._loop.remove_writer(self._fd)
        self._waiting = sum(map(len, self._pieces))
        self._relieve()
        return before - self._waiting

    def configure(self, settings: LineSettings) -> LineSettings:
        self._check_open()
        self.settings = settings
        return settings

    def modem_lines(self) -> ModemLines | None:
        return None

    def set_modem_lines(self, **_: bool | None) -> None:
        self._check_open()

    def set_break(self, on: bool) -> None:  # noqa: ARG002 - there is none
        self._check_open()

    def counters(self) -> UartCounters | None:
        return None

    async def close(self) -> None:
        self._leave_loop()
        if self._telling is not None:
            self._telling.cancel()
        self._socket.close()

    def _check_open(self) -> None:
        if not self._open:
            raise LineDown(f"{self._device} is not open")

    def _forget_hangup(self) -> None:
        if self._hangup is not None:
            self._hangup.close()
            self._hangup = None

    def _leave_loop(self) -> None:
        if self._open:
            self._abandoned = self.unsent()
            self._open = False
            self._forget_hangup()
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._pieces.clear()
