"""Light clients: tight loops on a descriptor, so that the gateway and not its client is measured."""

import os
import select
import time

from tests.bench.processes import BrokenError, DeadlockError

# Nothing moves in either direction for so long: a deadlock.
STALL = 3.0
# Eight bytes each, all different and free of 0xFF, which telnet doubles.
_MESSAGES = tuple(number.to_bytes(2, "big").hex().encode() * 2 for number in range(1024))

_IAC, _SE, _SB, _WILL, _DO = 255, 240, 250, 251, 253
_BINARY, _SGA, _COM_PORT = 0, 3, 44


def exchange(descriptor: int, count: int) -> list[float]:
    """Send 8 bytes and wait for their echo, `count` times; microseconds each took."""
    write, read, clock = os.write, os.read, time.perf_counter_ns
    took = []
    for number in range(count):
        message = _MESSAGES[number & 1023]
        start = clock()
        write(descriptor, message)
        reply = read(descriptor, 256)
        while reply != message:
            reply = _more(descriptor, reply, message)
        took.append(clock() - start)
    return [nanoseconds / 1000 for nanoseconds in took]


def _more(descriptor: int, reply: bytes, message: bytes) -> bytes:
    """An echo that came in pieces, or with telnet commands between."""
    reply = _plain(reply)
    if reply == message:
        return reply
    if not message.startswith(reply):
        raise BrokenError(f"sent {message.hex()}, got {reply.hex()}")
    more = os.read(descriptor, 256)
    if not more:
        raise BrokenError("closed by the gateway")
    return reply + more


def _plain(data: bytes) -> bytes:
    """Telnet data without its commands; a gateway sends them whole."""
    plain = bytearray()
    place = 0
    while place < len(data):
        if data[place] != _IAC:
            plain.append(data[place])
            place += 1
        elif data[place + 1] == _SB:
            place = data.index(bytes((_IAC, _SE)), place) + 2
        else:
            place += 3
    return bytes(plain)


def negotiate(descriptor: int) -> None:
    """Agree on binary telnet with COM-PORT-OPTION, and wait until the gateway has said all it has to say."""
    wishes = ((_WILL, _BINARY), (_DO, _BINARY), (_WILL, _SGA), (_DO, _SGA), (_WILL, _COM_PORT))
    os.write(descriptor, b"".join(bytes((_IAC, verb, option)) for verb, option in wishes))
    answers = b""
    while select.select([descriptor], [], [], 0.3)[0]:
        answer = os.read(descriptor, 4096)
        if not answer:
            raise BrokenError("closed by the gateway")
        answers += answer
        # A gateway that asks whether we take its COM-PORT-OPTION gets a yes; all else we have said.
        if bytes((_IAC, _WILL, _COM_PORT)) in answer:
            os.write(descriptor, bytes((_IAC, _DO, _COM_PORT)))
    if bytes((_IAC, _DO, _COM_PORT)) not in answers:
        raise BrokenError(f"RFC 2217 refused: {answers.hex()}")


def sink(descriptor: int, into: bytearray) -> None:
    """Fill the buffer from the line."""
    view = memoryview(into)
    received = 0
    while received < len(view):
        count = os.readv(descriptor, [view[received:]])
        if not count:
            raise BrokenError(f"closed after {received} bytes")
        received += count


def both_ways(descriptor: int, data: bytes, into: bytearray) -> None:
    """Send all the data while its echo comes back."""
    os.set_blocking(descriptor, False)
    source, view = memoryview(data), memoryview(into)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLOUT)
    sent = received = 0
    while received < len(view):
        events = poller.poll(STALL * 1000)
        if not events:
            raise DeadlockError(f"stands still after {sent} bytes sent and {received} received")
        if events[0][1] & ~select.POLLOUT:
            count = os.readv(descriptor, [view[received:]])
            if not count:
                raise BrokenError(f"closed after {received} bytes")
            received += count
        if events[0][1] & select.POLLOUT:
            sent += os.write(descriptor, source[sent : sent + 65536])
            if sent == len(source):
                poller.modify(descriptor, select.POLLIN)
