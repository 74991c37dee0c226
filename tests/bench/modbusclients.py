"""Light Modbus TCP clients: what they ask and what is to be answered is made before, so that a gateway is measured.

Every answer is compared with what its own request must bring: one that belongs to another request ends the run.
"""

import os
import select
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from typing import NamedTuple

from tests.bench.farend import reading
from tests.bench.gateways import PATIENCE
from tests.bench.processes import BrokenError

QUANTITY = 10
"""Registers of each read."""

_HEADER = 6  # of a Modbus TCP frame, up to and with its length
_REFUSAL = 9  # bytes of a whole exception
_PAUSE = 0.01  # between tries while a gateway has not opened its line yet


class Pair(NamedTuple):
    """A request, whole, and the answer to it; an empty one is not compared."""

    request: bytes
    answer: bytes


def adu(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A whole Modbus TCP frame."""
    return struct.pack(">HHHB", transaction, 0, 1 + len(pdu), unit) + pdu


def read(transaction: int, unit: int, address: int) -> Pair:
    """Function 3 on QUANTITY registers of a far end, whose registers say whose they are."""
    pdu = struct.pack(">BHH", 3, address, QUANTITY)
    return Pair(adu(transaction, unit, pdu), adu(transaction, unit, reading(unit, address, QUANTITY)))


def reads(unit: int, addresses: Iterable[int]) -> list[Pair]:
    """A read at each address, under transaction ids of their own."""
    return [read(256 + number, unit, address) for number, address in enumerate(addresses)]


def await_line(descriptor: int, pair: Pair) -> None:
    """Ask until the answer is the right one: until its line is open, a gateway answers with exceptions."""
    deadline = time.monotonic() + PATIENCE
    while True:
        os.write(descriptor, pair.request)
        answer = _rest(descriptor, b"")
        if answer == pair.answer:
            return
        if len(answer) != _REFUSAL or time.monotonic() > deadline:
            raise _wrong(pair, answer)
        time.sleep(_PAUSE)


def exchange(descriptor: int, pairs: Sequence[Pair], count: int) -> list[float]:
    """Ask and wait for the answer, `count` times; microseconds each took."""
    send, receive, clock = os.write, os.read, time.perf_counter_ns
    took = []
    for request, wanted in islice(cycle(pairs), count):
        start = clock()
        send(descriptor, request)
        answer = receive(descriptor, 512)
        took.append(clock() - start)
        if answer != wanted and (answer := _rest(descriptor, answer)) != wanted:
            raise _wrong(Pair(request, wanted), answer)
    return [nanoseconds / 1000 for nanoseconds in took]


def ask_ahead(descriptor: int, pairs: Sequence[Pair], depth: int, count: int) -> float:
    """Have `depth` requests under way until `count` were answered, in whatever order; seconds it took.

    More pairs than `depth` are needed: those under way must differ.
    """
    awaited: dict[bytes, bytes] = {}
    asked = islice(cycle(pairs), count)
    heard = b""
    room = depth
    start = time.perf_counter()
    while True:
        if fresh := list(islice(asked, room)):
            awaited.update((pair.request[:2], pair.answer) for pair in fresh)
            os.write(descriptor, b"".join(pair.request for pair in fresh))
        if not awaited:
            return time.perf_counter() - start
        heard += _some(descriptor)
        room = 0
        while len(heard) >= _HEADER and len(heard) >= (size := _HEADER + int.from_bytes(heard[4:6])):
            answer, heard = heard[:size], heard[size:]
            wanted = awaited.pop(answer[:2], b"")
            if answer != wanted:
                raise _wrong(Pair(b"", wanted), answer)
            room += 1


class Client:
    """One of several clients that each wait for their answer before they ask again.

    Attributes:
        descriptor: its connection.
        took: how long each answer took, in seconds.
        at: when each came.
    """

    def __init__(self, descriptor: int, pairs: Iterator[Pair], pause: float = 0.0) -> None:
        """It will ask what `pairs` say, and rest for `pause` seconds after each answer."""
        self.descriptor = descriptor
        self.pause = pause
        self.took: list[float] = []
        self.at: list[float] = []
        self._pairs = pairs
        self._asked_at = 0.0
        self._request = self._wanted = self._heard = b""

    def ask(self) -> None:
        """Ask the next question."""
        self._request, self._wanted = next(self._pairs)
        self._asked_at = time.perf_counter()
        os.write(self.descriptor, self._request)

    def answered(self) -> bool:
        """Take what has come; whether that was the answer."""
        answer = _some(self.descriptor)
        now = time.perf_counter()
        if answer != self._wanted:
            answer = self._heard = self._heard + answer
            if not _whole(answer):
                return False
            self._heard = b""
            if answer[:2] != self._request[:2] or answer != (self._wanted or answer):
                raise _wrong(Pair(self._request, self._wanted), answer)
        self.took.append(now - self._asked_at)
        self.at.append(now)
        return True


def run(clients: Sequence[Client], seconds: float) -> None:
    """Let all of them ask for so long; those under way then are still answered."""
    poller = select.poll()
    for client in clients:
        poller.register(client.descriptor, select.POLLIN)
    by_descriptor = {client.descriptor: client for client in clients}
    resting: list[tuple[float, Client]] = []
    poll, clock, patience = poller.poll, time.perf_counter, PATIENCE * 1000
    backwards = False
    until = clock() + seconds
    for client in clients:
        client.ask()
    under_way = len(clients)
    while under_way or resting:
        events = poll(_milliseconds(resting) if resting else patience)
        if not events and not resting:
            raise BrokenError(f"no answer within {PATIENCE:.0f} s")
        # The kernel tells them in the order of their descriptors: here none is always the first.
        backwards = not backwards
        for descriptor, _ in reversed(events) if backwards else events:
            client = by_descriptor[descriptor]
            if not client.answered():
                continue
            if client.at[-1] >= until:
                under_way -= 1
            elif client.pause:
                under_way -= 1
                resting.append((client.at[-1] + client.pause, client))
            else:
                client.ask()
        if resting:
            now = clock()
            rested = [client for due, client in resting if due <= now]
            resting = [each for each in resting if each[0] > now] if now < until else []
            if now < until:
                under_way += len(rested)
                for client in rested:
                    client.ask()


def _milliseconds(resting: Sequence[tuple[float, Client]]) -> float:
    """How long to wait for the first of those who rest."""
    return max(0.0, min(due for due, _ in resting) - time.perf_counter()) * 1000


def _whole(answer: bytes) -> bool:
    return len(answer) >= _HEADER and len(answer) >= _HEADER + int.from_bytes(answer[4:6])


def _some(descriptor: int) -> bytes:
    data = os.read(descriptor, 4096)
    if not data:
        raise BrokenError("closed by the gateway")
    return data


def _rest(descriptor: int, answer: bytes) -> bytes:
    """An answer that comes in pieces."""
    while not _whole(answer):
        answer += _some(descriptor)
    return answer


def _wrong(pair: Pair, answer: bytes) -> BrokenError:
    return BrokenError(f"asked {pair.request.hex()}, wanted {pair.answer.hex()}, got {answer.hex()}")
