"""What a node says of itself beside samples: its state and its tag table."""

import asyncio
from collections.abc import Callable
from typing import Final

from nportpy import __version__
from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.ledger import Ledger
from nportpy.edge.links.base import Message, RefusedError
from nportpy.edge.messages import State, StationState, encode_state
from nportpy.edge.sample import Tag
from nportpy.edge.session import Session
from nportpy.edge.settings import Format, UpstreamSettings
from nportpy.edge.trouble import Trouble
from nportpy.edge.wire import Meta, encode_meta

_STATE_EVERY: Final = 60.0
_SOONEST_STATE: Final = 1.0  # seconds between two: a flapping station does not flood the other side


class Announcer:
    """Says it to one upstream."""

    def __init__(
        self,
        settings: UpstreamSettings,
        archive: Archive,
        clock: Clock,
        stations: Callable[[], tuple[StationState, ...]],
        ledger: Ledger,
        trouble: Trouble,
    ) -> None:
        """Nothing was said yet; `stations`: what the state says of them."""
        self._settings = settings
        self._archive = archive
        self._clock = clock
        self._stations = stations
        self._ledger = ledger
        self._trouble = trouble
        self._changed = asyncio.Event()
        self._told: tuple[Tag, ...] = ()

    def changed(self) -> None:
        """Something is new in the state: say it soon."""
        self._changed.set()

    def state(self, *, online: bool) -> Message:
        """The state; as the last will it says that the node is away, and nothing else."""
        status = self._archive.status()
        state = State(
            node=self._settings.node,
            boot=self._archive.boot,
            online=online,
            at=self._clock.wall(),
            version=__version__,
            stations=self._stations(),
            oldest=status.oldest,
            newest=status.newest,
            oldest_at=None if status.oldest_at is None else round(status.oldest_at * 1e6),
            acknowledged=self._ledger.cursor,
            evicted=status.evicted,
            dropped=status.dropped,
            trusted=status.trusted,
        )
        return Message("state", encode_state(state), retain=True)

    async def say_meta(self, session: Session) -> None:
        """The tag table goes before the first batch that names it."""
        if self._settings.format is not Format.JSON:
            return
        tags = self._archive.tags
        if session.meta and tags == self._told:
            return
        meta = Meta(self._settings.node, tags)
        if meta.hash != session.meta:
            await self.tell(session, Message("meta", encode_meta(meta), retain=True))
            session.meta = meta.hash
        self._told = tags

    async def say_state(self, session: Session) -> None:
        """Say it now, at each change, and again before anybody could think that the node is away."""
        while True:
            self._changed.clear()
            await self.tell(session, self.state(online=True))
            await asyncio.sleep(_SOONEST_STATE)
            try:
                async with asyncio.timeout(min(_STATE_EVERY, self._settings.keepalive)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def say_answers(self, session: Session) -> None:
        """Say what commands have brought."""
        while True:
            await self.tell(session, await session.answers.get())

    async def tell(self, session: Session, message: Message) -> None:
        """Say something that samples do not depend on."""
        try:
            await session.publish(message)
        except RefusedError as error:
            self._trouble.refused(error, f"upstream does not take what is said on .../{message.topic}")
