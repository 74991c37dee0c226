"""The client against a TCP server that answers what it is told; rfc2217 is read in tests/cli/test_demo.py."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nportpy.errors import ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame
from nportpy.simulator.client import read_raw

FAST = LineSettings.parse(115200)
ENERGY = Frame(1, bytes.fromhex("03 04 4640E6B6")).encode()
CURRENTS = Frame(1, bytes.fromhex("03 0C 3F800000 40000000 40400000")).encode()


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[str, int]]:
    """Answers each request with the next of `answers`, then closes."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in answers:
                connection.recv(8)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            host, port = listener.getsockname()
            yield host, port
        finally:
            thread.join(30)


def test_a_reading() -> None:
    with server(ENERGY, CURRENTS) as (host, port):
        reading = read_raw(host, port, FAST, 30)
    assert reading.energy == pytest.approx(12345.678)
    assert reading.currents == (1.0, 2.0, 3.0)
    assert str(reading) == "energy delivered 12345.678 kWh, currents 1.00 A, 2.00 A, 3.00 A"


@pytest.mark.parametrize(
    "answer",
    [Frame(1, b"\x83\x02").encode(), Frame(2, ENERGY[1:-2]).encode(), ENERGY[:-1] + b"\x00"],
    ids=["an exception", "another unit", "wrong CRC"],
)
def test_a_wrong_answer(answer: bytes) -> None:
    with server(answer) as (host, port), pytest.raises(ProtocolError):
        read_raw(host, port, FAST, 30)


def test_a_connection_that_is_closed() -> None:
    with server(ENERGY[:4]) as (host, port), pytest.raises(ConnectionError, match="4 of 5 bytes"):
        read_raw(host, port, FAST, 30)
