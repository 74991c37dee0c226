"""An RFC 2217 client that asks one thing at a time and shows the answer as it came, whatever it is."""

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Self

from tests.pi.guest import LOCAL, GuestError

IAC, DONT, DO, WONT, WILL, SB, BREAK, SE = 255, 254, 253, 252, 251, 250, 243, 240
BINARY, COM_PORT = 0, 44
SET_BAUDRATE, SET_DATASIZE, SET_PARITY, SET_STOPSIZE, SET_CONTROL = 1, 2, 3, 4, 5
NOTIFY_LINESTATE, NOTIFY_MODEMSTATE, SET_LINESTATE_MASK, PURGE_DATA = 6, 7, 10, 12
PARITIES = "?NOEMS"
STOP_SIZES = {"1": 1, "2": 2, "1.5": 3}
FLOW_NONE, FLOW_HARDWARE, BREAK_ON, BREAK_OFF = 1, 3, 5, 6
DTR_ON, DTR_OFF, RTS_ON, RTS_OFF = 8, 9, 11, 12


class ComPort:
    """A connection."""

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        """Connect to a forwarded port and agree on the options."""
        self._socket = socket.create_connection((LOCAL, port), timeout)
        self._timeout = timeout
        self._unparsed = b""
        self._agreed = False
        self._answers: list[tuple[int, bytes]] = []
        self.data = b""
        self._send(bytes((IAC, WILL, COM_PORT, IAC, WILL, BINARY, IAC, DO, BINARY)))
        self._until("the option", lambda: self._agreed)

    def ask(self, command: int, value: int) -> int:
        """Send a request and return the value in effect, as the answer tells it."""
        payload = struct.pack(">I", value) if command == SET_BAUDRATE else bytes((value,))
        self._send(bytes((IAC, SB, COM_PORT, command)) + payload.replace(b"\xff", b"\xff\xff") + bytes((IAC, SE)))
        return self.told(command)

    def told(self, command: int) -> int:
        """The next answer or notice about `command`; waits for it."""
        self._until(f"an answer to {command}", lambda: any(kind == command + 100 for kind, _ in self._answers))
        index = next(index for index, (kind, _) in enumerate(self._answers) if kind == command + 100)
        return int.from_bytes(self._answers.pop(index)[1], "big")

    def set_line(self, baudrate: int, line_format: str) -> tuple[int, str]:
        """Ask for a speed and a format such as 8E1; what is in effect."""
        size, parity, stop = line_format[0], line_format[1], line_format[2:]
        speed = self.ask(SET_BAUDRATE, baudrate)
        size = str(self.ask(SET_DATASIZE, int(size)))
        parity = PARITIES[self.ask(SET_PARITY, PARITIES.index(parity))]
        found = self.ask(SET_STOPSIZE, STOP_SIZES[stop])
        return speed, size + parity + next(name for name, code in STOP_SIZES.items() if code == found)

    def write(self, data: bytes) -> None:
        """Send bytes of the line."""
        self._send(data.replace(b"\xff", b"\xff\xff"))

    def read(self, size: int) -> bytes:
        """Wait for that many bytes of the line."""
        self._until(f"{size} bytes, of which {len(self.data)} are there", lambda: len(self.data) >= size)
        data, self.data = self.data[:size], self.data[size:]
        return data

    def send_break(self) -> None:
        """A telnet BREAK, which has no length."""
        self._send(bytes((IAC, BREAK)))

    def settle(self, quiet: float = 0.3) -> None:
        """Take what comes until nothing has come for a while, and forget the notices in it."""
        while select.select([self._socket], [], [], quiet)[0]:
            self._receive()
        self._answers.clear()

    def close(self) -> None:
        """Leave at once, with a reset: one that merely closes its side is still heard for a while."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _until(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + self._timeout
        while not done():
            if not select.select([self._socket], [], [], max(0, end - time.monotonic()))[0]:
                raise GuestError(f"no {what} within {self._timeout:g} s; instead: {self._answers}")
            self._receive()

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise GuestError("the gateway closed the connection")
        self._unparsed += data
        while self._unparsed and (taken := self._parse(self._unparsed)):
            self._unparsed = self._unparsed[taken:]

    def _parse(self, data: bytes) -> int:
        """Take the next piece; its length, or 0 if it is not complete."""
        if data[0] != IAC:
            end = data.find(IAC)
            end = len(data) if end < 0 else end
            self.data += data[:end]
            return end
        if len(data) < 2:
            return 0
        if data[1] == IAC:
            self.data += b"\xff"
            return 2
        if data[1] in (WILL, WONT, DO, DONT):
            return self._negotiate(data)
        if data[1] != SB:
            return 2
        end = 2
        while (end := data.find(IAC, end)) >= 0 and data[end + 1 : end + 2] == b"\xff":
            end += 2
        if end < 0 or len(data) < end + 2:
            return 0
        body = data[2:end].replace(b"\xff\xff", b"\xff")
        self._answers.append((body[1], body[2:]))
        return end + 2

    def _negotiate(self, data: bytes) -> int:
        if len(data) < 3:
            return 0
        verb, option = data[1], data[2]
        if option == COM_PORT:
            self._agreed = self._agreed or verb == DO
        elif option != BINARY and verb in (WILL, DO):
            self._send(bytes((IAC, DONT if verb == WILL else WONT, option)))
        return 3
