"""Modbus servers that answer what a test tells them: on TCP, and on a pseudo-terminal as a bus with a speed."""

import os
import select
import socketserver
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nportpy.errors import ProtocolError
from nportpy.port.ioctls import Termios2
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.functions import Table, read_span, write_span
from nportpy.protocols.modbus.rtu import Frame

Answer = Callable[[int, bytes], bytes]
"""What a server makes of a unit id and a PDU: a PDU; nothing for no answer."""

OnWire = Callable[[int, Frame], bytes]
"""What a bus makes of its speed and a request: whatever bytes; nothing for no answer."""


class Store:
    """Holding registers and coils that can be read and written; as many as `size`, from address 0 on.

    Attributes:
        registers: the registers.
        coils: the coils.
        writes: the PDUs of all requests to write, in order.
    """

    def __init__(self, size: int = 2000, functions: frozenset[int] = frozenset((1, 3, 5, 6, 15, 16))) -> None:
        """Every register holds its address, every coil is off; `functions` are those that it knows."""
        self.registers = list(range(size))
        self.coils = [0] * size
        self.writes: list[bytes] = []
        self._functions = functions

    def __call__(self, unit: int, pdu: bytes) -> bytes:
        """Answer; there is unit 1 only."""
        if unit != 1:
            return b""
        if pdu[0] not in self._functions:
            return bytes((pdu[0] | 0x80, 1))
        span = read_span(pdu) or write_span(pdu)
        assert span is not None
        if span.address + span.quantity > len(self.registers):
            return bytes((pdu[0] | 0x80, 2))
        places = range(span.address, span.address + span.quantity)
        if read_span(pdu):
            if span.table is Table.COILS:
                data = sum(self.coils[place] << at for at, place in enumerate(places))
                return bytes((pdu[0], (len(places) + 7) // 8)) + data.to_bytes((len(places) + 7) // 8, "little")
            return bytes((pdu[0], 2 * len(places))) + b"".join(self.registers[at].to_bytes(2, "big") for at in places)
        self.writes.append(pdu)
        for at, place in enumerate(places):
            match pdu[0]:
                case 5:
                    self.coils[place] = pdu[3] & 1
                case 6:
                    self.registers[place] = int.from_bytes(pdu[3:5], "big")
                case 15:
                    self.coils[place] = pdu[6 + at // 8] >> at % 8 & 1
                case 16:
                    self.registers[place] = int.from_bytes(pdu[6 + 2 * at : 8 + 2 * at], "big")
        return pdu[:5]


def counting(unit: int, pdu: bytes) -> bytes:
    """Every register holds its address; of the coils each third is on; there is nothing from 2000 on."""
    function, address, count = pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    if unit != 1:
        return b""
    if address + count > 2000:
        return bytes((function | 0x80, 2))
    if function <= 2:
        bits = sum((address + at) % 3 == 0 and 1 << at for at in range(count))
        return bytes((function, (count + 7) // 8)) + bits.to_bytes((count + 7) // 8, "little")
    return bytes((function, 2 * count)) + b"".join((address + at).to_bytes(2, "big") for at in range(count))


@contextmanager
def server(answer: Answer, *, rtu: bool = False) -> Iterator[str]:
    """A Modbus server on TCP, as HOST:PORT. Where `answer` raises a ConnectionError, the connection ends."""

    class Session(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reader = mbap.Reader()
            try:
                while data := self.request.recv(4096):
                    if rtu:
                        frame = Frame.parse(data)
                        if pdu := answer(frame.unit, frame.pdu):
                            self.request.sendall(Frame(frame.unit, pdu).encode())
                        continue
                    for event in reader.feed(data):
                        assert isinstance(event, mbap.Adu)
                        if pdu := answer(event.unit, event.pdu):
                            self.request.sendall(mbap.encode(event.transaction, event.unit, pdu))
            except ConnectionError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Session) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join(30)


@contextmanager
def bus(answer: OnWire, *, echo: bool = False) -> Iterator[str]:
    """A Modbus RTU bus on a pseudo-terminal, as its path. The device may vanish: `answer` raises ConnectionError.

    Args:
        answer: is told the speed that the line is set to, in baud; a pseudo-terminal keeps no parity.
        echo: what is sent comes back before the answer.
    """
    master, slave = os.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def serve() -> None:
        nonlocal master
        heard = b""
        while not ended.is_set():
            if not select.select([master], [], [], 0.02)[0]:
                heard = b""
                continue
            heard += os.read(master, 4096)
            try:
                frame = Frame.parse(heard)
            except ProtocolError:
                continue
            speed = Termios2(slave).ospeed
            try:
                os.write(master, heard * echo + answer(speed, frame))
            except ConnectionError:
                os.close(master)
                master = -1
                return
            heard = b""

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join(30)
        os.close(slave)
        if master >= 0:
            os.close(master)
