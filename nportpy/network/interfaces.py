"""The network interfaces of this machine, as far as IPv4 goes. Linux only, see netdevice(7)."""

import contextlib
import fcntl
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from nportpy.protocols.dsci import Network

_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK, _SIOCGIFHWADDR = 0x8913, 0x8915, 0x891B, 0x8927  # linux/sockios.h
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8  # linux/if.h
_REQUEST: Final = struct.Struct("16s24s")  # struct ifreq: the name, then what is asked for
_NOTHING: Final = IPv4Address(0)
_ROUTES = "/proc/net/route"
_GATEWAY_ROUTE = 0x3  # linux/route.h: RTF_UP and RTF_GATEWAY


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface that is up and has an IPv4 address.

    Attributes:
        name: such as eth0.
        index: the kernel's number of it.
        address: its first address.
        netmask: of that.
        mac: six bytes; zeros where it has none.
        loopback: it leads to this machine alone.
    """

    name: str
    index: int
    address: IPv4Address
    netmask: IPv4Address
    mac: bytes
    loopback: bool


def interfaces() -> Iterator[Interface]:
    """Those that are up, in the kernel's order; none while this process can open no socket to ask with."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for index, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # without an address, or gone
                (flags,) = struct.unpack_from("=H", _ask(sock, _SIOCGIFFLAGS, name))
                if flags & _IFF_UP:
                    address, netmask = (
                        IPv4Address(_ask(sock, what, name)[4:8]) for what in (_SIOCGIFADDR, _SIOCGIFNETMASK)
                    )
                    mac = _ask(sock, _SIOCGIFHWADDR, name)[2:8]
                    yield Interface(name, index, address, netmask, mac, bool(flags & _IFF_LOOPBACK))


def _ask(sock: socket.socket, what: int, name: str) -> bytes:
    request = _REQUEST.pack(name.encode(), b"")
    return fcntl.ioctl(sock.fileno(), what, request)[16:]


def network_of(address: IPv4Address) -> Network:
    """Netmask and gateway that go with an address of this machine; zeros where there is none."""
    here = next((each for each in interfaces() if each.address == address), None)
    return (
        Network(address, here.netmask, _gateway(here.name))
        if here is not None
        else Network(address, _NOTHING, _NOTHING)
    )


def _gateway(name: str) -> IPv4Address:
    """Where the default route leads that an interface has: the table has words in hexadecimal, in host order."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(_ROUTES) as table:
        for line in table:
            interface, destination, gateway, flags = line.split()[:4]
            if interface == name and destination == "00000000" and int(flags, 16) & _GATEWAY_ROUTE == _GATEWAY_ROUTE:
                return IPv4Address(struct.pack("=I", int(gateway, 16)))
    return _NOTHING


def own_mac() -> bytes:
    """The MAC address of the first interface that has one; zeros if none has."""
    return next((each.mac for each in interfaces() if any(each.mac)), bytes(6))
