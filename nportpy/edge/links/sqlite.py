"""A collector's SQLite file on this machine: batches go straight to where `nportpy collect` would put them.

    sqlite:/var/lib/nportpy/collect.db

No broker stands between, so a batch that is acknowledged is stored: on the disk, each sample once, in the tables of
docs/collect.md. A file that another program writes to, a full disk and a folder without rights are a link that is lost:
samples wait in the archive, and it is tried again.
"""

import asyncio
import time

from nportpy.edge.collect.arrivals import Arrival, sorted_out
from nportpy.edge.collect.sqlite import SqliteStore
from nportpy.edge.collect.stores import StoreError, StoreRefused
from nportpy.edge.links.base import Heard, LinkError, Message, RefusedError
from nportpy.edge.messages import encode_acknowledgement
from nportpy.edge.settings import Confirm, UpstreamSettings
from nportpy.edge.topics import Address, Kind

_STORED = (Kind.LIVE, Kind.LATE, Kind.STATE, Kind.META)


class SqliteLink:
    """See `Link`."""

    carries_types = True

    def __init__(self, path: str, settings: UpstreamSettings, heard: Heard) -> None:
        """Not open yet: `open` does that."""
        self.name = f"sqlite {path}"
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._settings = settings
        self._heard = heard
        self._store = SqliteStore(path)  # its thread takes one batch after another

    async def open(self) -> None:
        """Open the file, or make it.

        Raises:
            LinkError: it cannot be had.
        """
        try:
            await self._store.open()
        except (StoreError, StoreRefused) as error:
            await self.close()
            raise LinkError(str(error)) from error
        except BaseException:
            await self.close()
            raise

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        if message.topic not in _STORED:
            return  # nobody listens to an answer here
        site, node = self._settings.site, self._settings.node
        topic = Address(site, node, Kind(message.topic)).topic
        work = sorted_out([Arrival(topic, message.payload, message.content_type, time.time_ns() // 1000)])
        try:
            written = await self._store.write(work)
        except StoreRefused as error:
            raise RefusedError(str(error), passing=False) from error
        except StoreError as error:
            self._lose(str(error))
            raise LinkError(str(error)) from error
        if self._settings.confirm is Confirm.HOST and (ledger := written.ledgers.get((site, node))) is not None:
            acknowledgement = ledger.acknowledgement(node)
            if acknowledgement is not None:
                self._heard(Kind.ACKNOWLEDGEMENT, encode_acknowledgement(acknowledgement))

    async def close(self) -> None:
        """See `Link`."""
        await self._store.close()
        self._lose("closed")

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)


async def connect(url: str, settings: UpstreamSettings, heard: Heard, _will: Message) -> SqliteLink:
    """A link to the file that `url` names.

    Raises:
        LinkError: it cannot be had.
    """
    link = SqliteLink(url.removeprefix("sqlite:"), settings, heard)
    await link.open()
    return link
