"""Discovery and status of NPorts by IPv6, the server's end: function 79 of UDP port 4800 (see dsci.py).

Where an IPv4 client uses functions of their own, one by IPv6 searches and asks for connections by this one, whose
requests have a version, a catalogue and a code, big-endian as everything in them. What the device is, function 16, it
asks as by IPv4; functions whose answers are IPv4 addresses have no meaning by IPv6.

As little is published of it as of the rest. The request of either kind, and as much of the answers as a Linux client
looks at, were seen; of a search's answer it is the length and the device id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from struct import Struct
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols import dsci

FUNCTION: Final = 0x79
"""Of a request; its answer has 128 more."""

MAX_ENTRIES: Final = 30
"""Connections in one answer, so that it fits the smallest packet that every IPv6 network carries (RFC 8200, 5)."""


class Ask(Enum):
    """What is asked for: catalogue and code."""

    SEARCH = (1, 1)
    NETSTAT = (2, 4)


_HEADER = Struct(">BBH4s")
_ID_SIZE = 12
_KIND = Struct(">B3xHH")
_VERSION = 1
_KIND_AT = _HEADER.size + _ID_SIZE
_BODY_AT = _KIND_AT + _KIND.size
_PAGE = Struct(">HH")  # a request: most and first; an answer: count and where the next page begins
_ENTRY = Struct(">16s16sHHBB2x")
_ANYBODY = bytes(_ID_SIZE)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is well formed.

    Attributes:
        id: to be echoed.
        device: who is asked, 12 bytes; all of them 0: anybody.
        kind: catalogue and code.
        most: entries that the client takes at a time.
        start: the first of them.
    """

    id: bytes
    device: bytes
    kind: tuple[int, int]
    most: int = 0
    start: int = 0


def parse_request(datagram: bytes) -> Request:
    """What a client wants by function 79.

    Raises:
        ProtocolError: it is no such request.
    """
    if len(datagram) >= _BODY_AT:
        function, _, length, number = _HEADER.unpack_from(datagram)
        version, *kind = _KIND.unpack_from(datagram, _KIND_AT)
        if (function, length, version) == (FUNCTION, len(datagram), _VERSION):
            device, body = datagram[_HEADER.size : _KIND_AT], datagram[_BODY_AT:]
            if (kind[0], kind[1]) != Ask.NETSTAT.value:
                return Request(number, device, (kind[0], kind[1]))
            if len(body) >= _PAGE.size:
                return Request(number, device, Ask.NETSTAT.value, *_PAGE.unpack_from(body))
    raise ProtocolError(f"no request of function 79: {datagram[:36].hex(' ')}")


def answer(
    request: Request, device: dsci.DeviceId, asked: IPv6Address, entries: Sequence[dsci.Entry] = ()
) -> bytes | None:
    """What to send back; None for silence: the request is for another device.

    Args:
        request: what the client wants.
        device: this one.
        asked: the address that was, which must also be the answer's source.
        entries: the connections of the client's address, as in `dsci.answer`.
    """
    anybody = request.kind == Ask.SEARCH.value and request.device == _ANYBODY
    if not anybody and request.device != device.encode():
        return None
    if request.kind == Ask.SEARCH.value:
        return _reply(request, device, asked.packed)
    if request.kind == Ask.NETSTAT.value:
        return _reply(request, device, _netstat(request, entries))
    return _HEADER.pack(FUNCTION | 0x80, dsci.UNSUPPORTED, _KIND_AT, request.id) + device.encode()


def _reply(request: Request, device: dsci.DeviceId, body: bytes) -> bytes:
    head = _HEADER.pack(FUNCTION | 0x80, 0, _BODY_AT + len(body), request.id)
    return head + device.encode() + _KIND.pack(_VERSION, *request.kind) + body


def _netstat(request: Request, entries: Sequence[dsci.Entry]) -> bytes:
    end = request.start + min(request.most, MAX_ENTRIES)
    page = entries[request.start : end]
    following = end if page and end < len(entries) else 0
    return _PAGE.pack(len(page), following) + b"".join(map(_entry, page))


def _entry(entry: dsci.Entry) -> bytes:
    remote, local = entry.remote.packed, entry.local.packed
    return _ENTRY.pack(remote, local, entry.remote_port, entry.local_port, entry.tcp, entry.state)
