"""The certificates of a gateway: read, made where they are our own, and looked at again."""

import asyncio
from typing import TYPE_CHECKING, Final

from nportpy.gateway.plans import GatewaySettings
from nportpy.status import TlsStatus

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_contexts import Table, Tables
    from nportpy.security.own import OwnCertificates

LOOK_AGAIN: Final = 10.0
"""Seconds between looks at bad certificates and an unknown clock."""

IN_TURN: Final = 10.0
"""Seconds for making a certificate of our own while a start or a reload waits; afterwards it is tried on beside."""


class Certificates:
    """As the settings name them; nothing of that is imported where they name none."""

    def __init__(self) -> None:
        """There are none."""
        self._tables: Tables | None = None
        self._own: OwnCertificates | None = None
        self._there = asyncio.Event()

    def table(self, name: str) -> "Table":
        """The table of a name."""
        assert self._tables is not None  # the settings name no others
        return self._tables.find(name)

    @property
    def used(self) -> bool:
        """Whether there are any."""
        return self._tables is not None

    def status(self) -> tuple[TlsStatus, ...]:
        """A snapshot."""
        return () if self._tables is None else self._tables.status()

    async def read(self, settings: GatewaySettings) -> None:
        """Go over to what the files say now that the settings name; those of our own are made first."""
        if any(table.made for table in settings.tls):
            from nportpy.security.own import OwnCertificates

            self._own = self._own or OwnCertificates()
            await self._own.make(settings.tls, IN_TURN)
        if self._tables is None and settings.tls:
            from nportpy.network.tls_contexts import Tables

            self._tables = Tables()
            self._there.set()
        if self._tables is not None:
            self._tables.configure(settings.tls, self._unmade)

    async def wait(self) -> None:
        """Wait until there are some, and then until it is time to look at them again."""
        await self._there.wait()
        await asyncio.sleep(LOOK_AGAIN)

    async def try_on(self, settings: GatewaySettings) -> None:
        """Make those of our own that could not be made before: it may take a minute, and nobody need wait for it."""
        if self._own is not None:
            await self._own.try_on(settings.tls)

    def look(self) -> None:
        """See files that were bad become good, and the clock become known."""
        assert self._tables is not None  # see `wait`
        self._tables.look(self._unmade)

    @property
    def _unmade(self) -> str:
        """Why one of our own is not there."""
        return "" if self._own is None else self._own.trouble
