"""One connection of an upstream, and what is under way on it."""

import asyncio
from typing import Final

from nportpy.edge.links.base import Link, LinkError, Message

WINDOW: Final = 20
"""Batches that may be on their way at once, live and late each: at 300 ms one at a time makes 3.3/s, 20 make 61/s."""


ANSWERS: Final = 100
"""Answers that may wait to be sent."""


class Session:
    """See the module.

    Attributes:
        link: the connection.
        tasks: where what belongs to it runs.
        live, late: a place for each batch that may be under way.
        meta: hash of the tag table that it has been told.
        answers: to commands; those beyond ANSWERS are not given, as nobody can want so many.
    """

    def __init__(self, link: Link, tasks: asyncio.TaskGroup, patience: float) -> None:
        """`patience`: seconds in which an answer must come, as the other side may be alive and still not answer."""
        self.link = link
        self.tasks = tasks
        self.live = asyncio.Semaphore(WINDOW)
        self.late = asyncio.Semaphore(WINDOW)
        self.meta = ""
        self.answers: asyncio.Queue[Message] = asyncio.Queue(ANSWERS)
        self._patience = patience

    async def publish(self, message: Message) -> None:
        """Send, and wait until the other side has it.

        Raises:
            LinkError: nobody knows whether it has arrived.
            RefusedError: it has been refused.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self.link.publish(message)
        except TimeoutError:
            raise LinkError(
                f"{self.link.name}: {message.topic} was not acknowledged within {self._patience:g} s"
            ) from None

    async def late_is_acknowledged(self) -> None:
        """Wait until no late batch is under way."""
        for _ in range(WINDOW):
            await self.late.acquire()
        for _ in range(WINDOW):
            self.late.release()
