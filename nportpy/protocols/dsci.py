"""Discovery and status of NPorts, UDP port 4800, both ends; only what reads.

A datagram is `function result length id`, the length big-endian and of the whole, then (but for a plain search) a
device id of 12 bytes, which the client copies from the answer to its search, then what the function needs. The answer
has the function plus 128 and the same id. An NPort answers only who knows its device id, and a Linux client takes
only what comes from port 4800 of the address that it asked.

Clients by IPv6 have a function of their own for what holds addresses: dsci_ipv6.py.

There is no published specification: this is what was seen in captures and in the Linux driver. Functions that set
something, show passwords or unlock exist; here they are refused like all that are unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from struct import error as StructError  # noqa: N812 - its own name says nothing
from typing import Final, Self

from nportpy.errors import MisuseError, ProtocolError

PORT: Final = 4800
"""Of UDP; answers come from it too."""

MAX_ENTRIES: Final = 90
"""Entries of a list of connections, so that an answer stays within an Ethernet frame."""

MODELS: Final = {
    (0x4E504F52, 0x5059): "nportpy",
    (0x80005110, 0x5110): "NPort 5110",
    (0x80015100, 0x511A): "NPort 5110A",
    (0x80000312, 0x0322): "NPort 5210",
    (0x80000312, 0x0312): "NPort 5230",
    (0x80000312, 0x0332): "NPort 5232",
    (0x80000312, 0x1332): "NPort 5232I",
    (0x80005000, 0x0504): "NPort 5410",
    (0x80005000, 0x0534): "NPort 5430",
    (0x80005000, 0x1534): "NPort 5430I",
    (0x80005610, 0x5618): "NPort 5610-8",
    (0x80005610, 0x5613): "NPort 5610-16",
    (0x80005610, 0x5638): "NPort 5630-8",
    (0x80005610, 0x5633): "NPort 5630-16",
    (0x80015610, 0x5700): "NPort 5610-8-DT",
    (0x80015610, 0x5702): "NPort 5650-8-DT",
    (0x80006000, 0x6250): "NPort 6250",
}
"""What a device id's first two numbers stand for; the first is ours."""


class Function(IntEnum):
    """The functions that are answered."""

    SEARCH = 0x01
    NAME = 0x10
    NETSTAT = 0x14
    KERNEL = 0x16
    NETSTAT_EXTENDED = 0x1D
    ADDRESS = 0x21
    NETMASK = 0x22
    GATEWAY = 0x23
    NETWORK = 0x26


UNSUPPORTED: Final = 4
"""The result of a function that is not there."""

_REPLY = 0x80
_HEADER = Struct(">BBH4s")
_DEVICE = Struct("<IH6s")
_BODY_AT = _HEADER.size + _DEVICE.size
_ENTRY = Struct("<4s4sHHBBBB")
_PAGE = Struct("<HH")
_KERNEL = Struct("<I2s2sHH2s2s")
_NAME_SIZE = 40
_ASK_NETWORK = b"\x00\x02"
_NETWORK_HEAD = bytes.fromhex("01 00 00 00 00 00 01 00")  # as every NPort seen says it; the meaning is unknown
_DEFAULT_MAX = 128

# What follows the device id in a request; more is passed over.
_REQUEST_SIZES: dict[int, int] = {Function.NETSTAT: 2, Function.NETSTAT_EXTENDED: 4, Function.NETWORK: 2}


@dataclass(frozen=True, slots=True)
class DeviceId:
    """Who a device is: AP id, hardware id and MAC address. Clients take it as it is and give it back."""

    ap: int
    hardware: int
    mac: bytes

    def __post_init__(self) -> None:
        """Refuse what no client takes.

        Raises:
            ValueError: a number or the MAC has the wrong size, or the AP id is 0, which means "not found".
        """
        if not 0 < self.ap <= 0xFFFFFFFF or not 0 <= self.hardware <= 0xFFFF or len(self.mac) != 6:
            raise ValueError(f"{self} is no device id")

    @property
    def model(self) -> str:
        """What is known to have this id, or its numbers."""
        return MODELS.get((self.ap, self.hardware), f"{self.ap:08x}/{self.hardware:04x}")

    def encode(self) -> bytes:
        """The 12 bytes on the wire."""
        return _DEVICE.pack(self.ap, self.hardware, self.mac)

    @classmethod
    def parse(cls, wire: bytes) -> Self:
        """The id that the first 12 bytes of `wire` are.

        Raises:
            ProtocolError: they are none.
        """
        try:
            return cls(*_DEVICE.unpack_from(wire))
        except (ValueError, StructError) as error:
            raise ProtocolError(f"no device id: {wire[:12].hex(' ')}") from error


@dataclass(frozen=True, slots=True)
class Network:
    """Where a device is, as it says itself."""

    address: IPv4Address
    netmask: IPv4Address
    gateway: IPv4Address


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device tells of itself.

    Attributes:
        device: its id.
        name: of the server; 39 bytes of it are told.
        firmware: as `firmware` makes it.
        serial: serial number, 0 to 65535.
    """

    device: DeviceId
    name: str
    firmware: int
    serial: int = 0


def firmware(major: int, minor: int, patch: int) -> int:
    """A version as NPorts write it: two decimal digits a byte, so that 1.1.31 is 0x01013100."""
    version = 0
    for part in (major, minor, patch):
        digits = min(part, 99)
        version = version << 8 | digits // 10 << 4 | digits % 10
    return version << 8


@dataclass(frozen=True, slots=True)
class Entry:
    """A socket of the server. Here both addresses are IPv4, in dsci_ipv6.py IPv6.

    Attributes:
        remote: address of the other end.
        remote_port: its port.
        local: our address.
        local_port: our port.
        tcp: whether it is TCP, and not UDP.
        state: of TCP: 1 is listening, 4 is established.
        port: number of the serial port, from 1; 255: none.
    """

    remote: IPv4Address | IPv6Address
    remote_port: int
    local: IPv4Address | IPv6Address
    local_port: int
    tcp: bool = True
    state: int = 4
    port: int = 0xFF


# The server's side.


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is well formed; `device` is missing in a plain search only."""

    function: int
    id: bytes
    device: DeviceId | None
    body: bytes


def parse_request(datagram: bytes) -> Request:
    """What a client wants.

    Raises:
        ProtocolError: it is no request.
    """
    function, _, number = _parse_header(datagram)
    if not function & _REPLY:
        if function == Function.SEARCH and len(datagram) == _HEADER.size:
            return Request(function, number, None, b"")
        device = DeviceId.parse(datagram[_HEADER.size :])
        body = datagram[_BODY_AT:]
        if len(body) >= _REQUEST_SIZES.get(function, 0):
            return Request(function, number, device, body)
    raise ProtocolError(f"no request: {datagram[:24].hex(' ')}")


def answer(
    request: Request, identity: Identity, network: Network | None, entries: Sequence[Entry] = ()
) -> bytes | None:
    """What to send back; None for silence: the request is for another device, or says that it knows this one.

    Args:
        request: what the client wants.
        identity: of this device.
        network: of the address that was asked, which must also be the answer's source; None: it came by IPv6, where
            this function can be no answer to a search or to a question about addresses.
        entries: the connections of all clients. A client leaves when a port of its is listed as listening and its
            connections to it are not, but it stays with an empty list; so only list what is established, and nothing
            at all to an address that has no connection here: the answer can be 60 times as long as the request.
    """
    if request.device is None:
        return None if network is None else _reply(request, identity, network.address.packed)
    if request.device != identity.device or request.function == Function.SEARCH:
        return None
    body = _answer_body(request, identity, network, entries)
    return _reply(request, identity, b"", UNSUPPORTED) if body is None else _reply(request, identity, body)


def _reply(request: Request, identity: Identity, body: bytes, result: int = 0) -> bytes:
    head = _HEADER.pack(request.function | _REPLY, result, _BODY_AT + len(body), request.id)
    return head + identity.device.encode() + body


def _answer_body(
    request: Request, identity: Identity, network: Network | None, entries: Sequence[Entry]
) -> bytes | None:
    match request.function:
        case Function.NAME:
            name = identity.name.encode()[: _NAME_SIZE - 1].decode(errors="ignore")  # no half character
            return name.encode().ljust(_NAME_SIZE, b"\0")
        case Function.KERNEL:
            # The last two bytes are the version of this protocol; 0 would have the client ask NETSTAT.
            return _KERNEL.pack(identity.firmware, b"\1\0", b"\2\0", identity.serial, 0, b"\0\0", b"\3\1")
        case Function.NETSTAT:
            most = int.from_bytes(request.body[:2], "little")
            return _entries(entries[: min(most, MAX_ENTRIES)], 0)
        case Function.NETSTAT_EXTENDED:
            start = int.from_bytes(request.body[2:4], "little")
            end = start + MAX_ENTRIES
            return _entries(entries[start:end], end if end < len(entries) else 0)
        case _:
            return None if network is None else _addresses(request.function, network)


def _addresses(function: int, network: Network) -> bytes | None:
    match function:
        case Function.ADDRESS:
            return network.address.packed
        case Function.NETMASK:
            return network.netmask.packed
        case Function.GATEWAY:
            return network.gateway.packed
        case Function.NETWORK:
            return _NETWORK_HEAD + network.address.packed + network.netmask.packed + network.gateway.packed
        case _:
            return None


def _entries(entries: Sequence[Entry], following: int) -> bytes:
    return _PAGE.pack(len(entries), following) + b"".join(
        _ENTRY.pack(
            entry.remote.packed,
            entry.local.packed,
            entry.remote_port,
            entry.local_port,
            entry.tcp,
            entry.state,
            entry.port,
            0,
        )
        for entry in entries
    )


# The client's side.


@dataclass(frozen=True, slots=True)
class Found:
    """A device answers a search; the address is missing in a form whose layout nobody knows."""

    id: bytes
    device: DeviceId
    address: IPv4Address | None


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a device, without what is no text."""

    id: bytes
    device: DeviceId
    name: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """Firmware and serial number of a device, and its version of this protocol, two bytes."""

    id: bytes
    device: DeviceId
    firmware: int
    serial: int
    version: bytes

    @property
    def firmware_text(self) -> str:
        """The version as people write it."""
        major, minor, patch, _ = self.firmware.to_bytes(4, "big")
        return f"{major:x}.{minor:x}.{patch:x}"


@dataclass(frozen=True, slots=True)
class Address:
    """The address, netmask or gateway of a device, as `function` says."""

    id: bytes
    device: DeviceId
    function: Function
    value: IPv4Address


@dataclass(frozen=True, slots=True)
class NetworkParameters:
    """All three of them."""

    id: bytes
    device: DeviceId
    network: Network


@dataclass(frozen=True, slots=True)
class Netstat:
    """Connections of a device; `following` is where the next page begins, 0 after the last."""

    id: bytes
    device: DeviceId
    entries: tuple[Entry, ...]
    following: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The device does not do that; `function` is the one that was asked for."""

    id: bytes
    function: int
    result: int


Reply = Found | Name | Kernel | Address | NetworkParameters | Netstat | Refused


def search(number: int = 0) -> bytes:
    """The request that every device answers; to be broadcast. Linux clients and ours number requests from 0 on."""
    return _HEADER.pack(Function.SEARCH, 0, _HEADER.size, number.to_bytes(4, "big"))


def ask(function: Function, device: DeviceId, number: int = 0, start: int = 0) -> bytes:
    """A request to a device that was found; `start` is the first entry of NETSTAT_EXTENDED.

    Raises:
        MisuseError: a search goes to everybody.
    """
    if function is Function.SEARCH:
        raise MisuseError("a search goes to everybody")
    body = b""
    if function is Function.NETSTAT:
        body = _DEFAULT_MAX.to_bytes(2, "little")
    elif function is Function.NETSTAT_EXTENDED:
        body = b"\x00\xff" + start.to_bytes(2, "little")
    elif function is Function.NETWORK:
        body = _ASK_NETWORK
    head = _HEADER.pack(function, 0, _BODY_AT + len(body), number.to_bytes(4, "big"))
    return head + device.encode() + body


def parse_reply(datagram: bytes) -> Reply:
    """What a device says.

    Raises:
        ProtocolError: it is no answer that is known here.
    """
    function, result, number = _parse_header(datagram)
    if function & _REPLY:
        function &= ~_REPLY
        if result:
            return Refused(number, function, result)
        device = DeviceId.parse(datagram[_HEADER.size :])
        reply = _parse_body(function, number, device, datagram[_BODY_AT:])
        if reply is not None:
            return reply
    raise ProtocolError(f"no answer: {datagram[:24].hex(' ')}")


def _parse_header(datagram: bytes) -> tuple[int, int, bytes]:
    if len(datagram) >= _HEADER.size:
        function, result, length, number = _HEADER.unpack_from(datagram)
        if length == len(datagram) and function & ~_REPLY:
            return function, result, number
    raise ProtocolError(f"no header: {datagram[:24].hex(' ')}")


def _parse_body(function: int, number: bytes, device: DeviceId, body: bytes) -> Reply | None:
    size = len(body)
    match function:
        case Function.SEARCH:
            return Found(number, device, IPv4Address(body) if size == 4 else None)
        case Function.NAME:
            name = body.partition(b"\0")[0].decode(errors="replace")
            return Name(number, device, "".join(c if c.isprintable() else "�" for c in name))
        case Function.KERNEL if size >= _KERNEL.size:
            version, _, _, serial, _, _, protocol = _KERNEL.unpack_from(body)
            return Kernel(number, device, version, serial, protocol)
        case Function.ADDRESS | Function.NETMASK | Function.GATEWAY if size >= 4:
            return Address(number, device, Function(function), IPv4Address(body[:4]))
        case Function.NETWORK if size >= 20:
            address, netmask, gateway = (IPv4Address(body[at : at + 4]) for at in (8, 12, 16))
            return NetworkParameters(number, device, Network(address, netmask, gateway))
        case Function.NETSTAT | Function.NETSTAT_EXTENDED if size >= _PAGE.size:
            return _parse_netstat(number, device, body)
        case _:
            return None


def _parse_netstat(number: bytes, device: DeviceId, body: bytes) -> Netstat | None:
    count, following = _PAGE.unpack_from(body)
    entries = body[_PAGE.size :]
    if count * _ENTRY.size > len(entries):
        return None
    return Netstat(
        number,
        device,
        tuple(
            Entry(IPv4Address(remote), remote_port, IPv4Address(local), local_port, kind == 1, state, port)
            for remote, local, remote_port, local_port, kind, state, port, _ in _ENTRY.iter_unpack(
                entries[: count * _ENTRY.size]
            )
        ),
        following,
    )
