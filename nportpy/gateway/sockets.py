"""The listening sockets, by where they listen: a service that is started anew keeps its own."""

import socket
from collections.abc import Iterable
from typing import NamedTuple

from nportpy.errors import ListenError
from nportpy.network.addresses import Endpoint, listen, listen_datagrams, local_endpoint


class Place(NamedTuple):
    """Where something listens, and whether for datagrams."""

    endpoint: Endpoint
    udp: bool = False


class Sockets:
    """All that are open."""

    def __init__(self) -> None:
        """None is."""
        self._open: dict[Place, socket.socket] = {}

    def take(self, place: Place) -> socket.socket:
        """The socket that listens there; port 0 is another one each time, so it is bound only now."""
        if place.endpoint.port:
            return self._open[place]
        sock = _bound(place, ())
        self._open[Place(local_endpoint(sock), place.udp)] = sock
        return sock

    def bind(self, places: Iterable[Place]) -> None:
        """Bind what is not bound yet, or nothing at all.

        Raises:
            ListenError: one of them cannot be bound.
        """
        new: dict[Place, socket.socket] = {}
        try:
            for place in places:
                if place.endpoint.port and place not in self._open and place not in new:
                    beside = [
                        sock
                        for other, sock in self._open.items()
                        if (other.endpoint.port, other.udp) == (place.endpoint.port, place.udp)
                    ]
                    new[place] = _bound(place, beside)
        except ListenError:
            for sock in new.values():
                sock.close()
            raise
        self._open |= new

    def keep(self, places: Iterable[Place]) -> None:
        """Close all others."""
        wanted = set(places)
        for place in [place for place in self._open if place not in wanted]:
            self._open.pop(place).close()

    def close(self) -> None:
        """Close all."""
        self.keep(())


def _bound(place: Place, beside: Iterable[socket.socket]) -> socket.socket:
    return (listen_datagrams if place.udp else listen)(place.endpoint, beside)
