"""The listening sockets, by where they listen: a service that is started anew keeps its own.

What cannot be bound is missing, with its reason, until it can be: nobody else has to wait for it.
"""

import errno
import logging
import socket
from collections.abc import Iterable
from typing import NamedTuple

from nportpy.errors import ListenError
from nportpy.gateway.occupants import occupant
from nportpy.network.addresses import Endpoint, address_of, is_here, listen, listen_datagrams, local_endpoint

NOT_HERE = "this machine does not have the address now"

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where something listens, and whether for datagrams."""

    endpoint: Endpoint
    udp: bool = False

    def __str__(self) -> str:
        return f"{self.endpoint} (UDP)" if self.udp else str(self.endpoint)


class Sockets:
    """All that are open, and why others are not.

    Attributes:
        missing: what cannot be bound, and why.
    """

    def __init__(self) -> None:
        """None is."""
        self.missing: dict[Place, ListenError] = {}
        self._open: dict[Place, socket.socket] = {}

    def take(self, place: Place) -> socket.socket | None:
        """The socket that listens there, if there is one; port 0 is another one each time, so it is bound only now."""
        if place.endpoint.port:
            return self._open.get(place)
        try:
            sock = _bound(place, ())
        except ListenError as error:
            self.missing[place] = error
            return None
        self._open[Place(local_endpoint(sock), place.udp)] = sock
        return sock

    def bind(self, places: Iterable[Place]) -> None:
        """Bind what is not bound yet and can be; the rest is missing from now on."""
        for place in places:
            if place.endpoint.port and place not in self._open and place not in self.missing:
                self._try(place)

    def retry(self) -> list[Place]:
        """Bind what was missing and can be had now."""
        return [place for place in tuple(self.missing) if place.endpoint.port and self._try(place)]

    def lose(self, place: Place, error: OSError) -> None:
        """Count one that is open as missing: nobody could be served there."""
        self._open.pop(place).close()
        self.missing[place] = ListenError(str(place.endpoint), error.strerror or str(error), error.errno or 0)

    def _try(self, place: Place) -> bool:
        beside = [
            sock
            for other, sock in self._open.items()
            if (other.endpoint.port, other.udp) == (place.endpoint.port, place.udp)
        ]
        before = self.missing.pop(place, None)
        try:
            self._open[place] = _bound(place, beside)
        except ListenError as error:
            same = before is not None and before.number == error.number
            self.missing[place] = before if same and before is not None else _explained(place, error)
            return False
        return True

    def keep(self, places: Iterable[Place]) -> None:
        """Close all others."""
        wanted = set(places)
        self.missing = {place: error for place, error in self.missing.items() if place in wanted}
        for place in [place for place in self._open if place not in wanted]:
            self._open.pop(place).close()

    def close(self) -> None:
        """Close all."""
        self.keep(())

    @property
    def may_come_and_go(self) -> bool:
        """Whether any listens on an address of its own, which this machine may lose or come to have."""
        return any(_named(place) for place in self._open)

    def trouble(self) -> dict[Place, str]:
        """Where nobody can be reached now, and why."""
        named = {place.endpoint.host for place in self._open if _named(place)}
        absent = {host for host in named if not is_here(host)}
        found = {place: NOT_HERE for place in self._open if place.endpoint.host in absent}
        return found | {place: error.reason for place, error in self.missing.items()}


def _named(place: Place) -> bool:
    address = address_of(place.endpoint.host)
    return not (address.is_unspecified or address.is_loopback or address.is_multicast)


def _bound(place: Place, beside: Iterable[socket.socket]) -> socket.socket:
    return (listen_datagrams if place.udp else listen)(place.endpoint, beside)


def _explained(place: Place, error: ListenError) -> ListenError:
    """The same with the name of who is in the way."""
    if error.number == errno.EADDRINUSE and (found := occupant(place.endpoint, udp=place.udp)) is not None:
        return ListenError(error.where, f"the address is in use by {found}", error.number)
    return error
