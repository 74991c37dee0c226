"""Who comes to a service that speaks TLS: the handshake, before anything else is done about them.

Nobody is counted as a client, and no client has to give way, before a newcomer has proved who it is. Who says nothing,
or speaks something else, holds a place at the door for `HANDSHAKE_TIME` at most, and one address holds few of them: so
others get through, however many it opens.
"""

import asyncio
import contextlib
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from dataclasses import replace
from typing import Final

from nportpy.network.addresses import Address, host_of
from nportpy.network.tls_contexts import Table
from nportpy.network.tls_settings import Identity
from nportpy.network.tls_transport import TlsTransport, shake_hands

HANDSHAKE_TIME: Final = 10.0
"""Seconds from the connection to the end of the handshake, waiting for a place included."""

AT_ONCE: Final = 16
"""Handshakes of one service at once."""

OF_ONE_ADDRESS: Final = 4
"""Of these, from one address; from one network of 64 bits in IPv6, as that is what one host has."""

_HURRY: Final = 1.0
"""Seconds that a handshake may take while others wait for its place."""


class Door:
    """The way in to one service."""

    def __init__(self, table: Table) -> None:
        """`table` has the certificates; they change with it."""
        self._table = table
        self._inside: dict[object, tuple[Hashable, float, asyncio.Timeout]] = {}  # by handshake, the oldest first
        self._of: Counter[Hashable] = Counter()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def trouble(self) -> str:
        """Why nobody can come in; empty: they can."""
        return "" if self._table.server is not None else self._table.error

    def admits(self, identity: Identity | None) -> bool:
        """Whether one who is there would still be let in: not revoked, and with a certificate if one is needed."""
        return self._table.admits(identity)

    async def enter(self, sock: socket.socket, address: Address) -> TlsTransport:
        """Shake hands with a newcomer.

        Raises:
            OSError: it does not come in; `why` (tls_transport.py) says why.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HANDSHAKE_TIME) as limit, self._place(host_of(address), limit):
            context = self._table.server
            if context is None:
                raise OSError(0, self._table.error)
            entered = await shake_hands(lambda make: loop.connect_accepted_socket(make, sock), context)
            if entered.identity is not None:
                entered.identity = replace(entered.identity, epoch=self._table.epoch)
            if not self._table.admits(entered.identity):
                entered.abort()
                raise OSError(0, "its certificate is not accepted: certificate revoked")
            return entered

    @contextlib.asynccontextmanager
    async def _place(self, whose: Hashable, limit: asyncio.Timeout) -> AsyncIterator[None]:
        """Have one of the places."""
        loop = asyncio.get_running_loop()
        while self._of[whose] >= OF_ONE_ADDRESS or len(self._inside) >= AT_ONCE:
            if self._of[whose] < OF_ONE_ADDRESS:
                self._hurry(loop.time())
            await self._turn(loop.create_future())
        mine = object()
        self._of[whose] += 1
        self._inside[mine] = whose, loop.time(), limit
        try:
            yield
        finally:
            del self._inside[mine]
            self._of[whose] -= 1
            if not self._of[whose]:
                del self._of[whose]
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    async def _turn(self, turn: "asyncio.Future[None]") -> None:
        """Wait until somebody has left."""
        self._waiting.append(turn)
        try:
            await turn
        finally:
            self._waiting.remove(turn)

    def _hurry(self, now: float) -> None:
        """Somebody waits whose address has room: the oldest handshake has a second yet, and no more."""
        _, since, limit = next(iter(self._inside.values()))
        ends = max(now, since + _HURRY)
        before = limit.when()
        if not limit.expired() and (before is None or ends < before):
            limit.reschedule(ends)
