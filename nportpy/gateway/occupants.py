"""Who listens where we want to: what /proc tells, without touching the port. See proc_net(5), proc_pid_fd(5)."""

import os
import pwd
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from nportpy.network.addresses import Endpoint, address_of
from nportpy.port.holders import HERE, Roots, open_files, read, who_has_open

_LISTENING = "0A"  # net/tcp_states.h: TCP_LISTEN


@dataclass(frozen=True, slots=True)
class Occupant:
    """Another program's socket.

    Attributes:
        uid: whose it is.
        programs: who has it open, as far as we may see that: their commands and process ids.
    """

    uid: int
    programs: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.programs) or f"a program of the user {self._user}"

    @property
    def is_gateway(self) -> bool:
        """Whether it is a gateway that runs as a service, as far as we may see that."""
        if not self.programs:
            return self._user == "nportpy"
        return any("nportpy serve" in program for program in self.programs)

    @property
    def _user(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"number {self.uid}"


class Sockets:
    """What listens on this machine when it is first asked for. The kernel takes milliseconds for each table."""

    def __init__(self, roots: Roots = HERE) -> None:
        """Nothing is read yet."""
        self._roots = roots
        self._tables: dict[str, list[tuple[Endpoint, int, str]]] = {}

    def occupant(self, wanted: Endpoint, *, udp: bool) -> Occupant | None:
        """See `occupant`."""
        kind = "udp" if udp else "tcp"
        for table in (kind, f"{kind}6"):
            if table not in self._tables:
                self._tables[table] = list(_sockets(f"{self._roots.proc}/net/{table}", udp=udp))
            for endpoint, uid, inode in self._tables[table]:
                if endpoint.port == wanted.port and _overlap(endpoint.host, wanted.host):
                    programs = tuple(map(str, who_has_open(f"socket:[{inode}]", self._roots)))
                    if programs or not _is_own(inode, self._roots):
                        return Occupant(uid, programs)
        return None


def occupant(wanted: Endpoint, *, udp: bool, roots: Roots = HERE) -> Occupant | None:
    """Who has an address and port now, or what overlaps with them; None if nobody is seen, or this process alone.

    Other users' programs show their names to root only; everybody sees whose they are.
    """
    return Sockets(roots).occupant(wanted, udp=udp)


def _sockets(path: str, *, udp: bool) -> Iterator[tuple[Endpoint, int, str]]:
    """Address, owner and inode of each socket in a table that is bound, or listens."""
    for line in read(path).splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and (udp or fields[3] == _LISTENING):
            host, _, port = fields[1].partition(":")
            yield Endpoint(_host(host), int(port, 16)), int(fields[7]), fields[9]


def _host(text: str) -> str:
    """The address in a table: words of 32 bits in hexadecimal, of which the machine's order is the bytes'."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def _overlap(one: str, other: str) -> bool:
    if "::" in (one, other):
        return True
    first, second = address_of(one), address_of(other)
    return first == second or (first.version == second.version and (first.is_unspecified or second.is_unspecified))


def _is_own(inode: str, roots: Roots) -> bool:
    return f"socket:[{inode}]" in open_files(roots, os.getpid())
