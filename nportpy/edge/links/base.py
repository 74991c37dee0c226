"""The seam between an upstream and what carries its batches: one connection, once used and then done with.

A link keeps nothing: the archive is the only queue. What was not acknowledged when a link ends is sent again by the
next one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nportpy.errors import NportpyError

if TYPE_CHECKING:  # the checker of a file reads settings only
    import asyncio

Heard = Callable[[str, bytes], None]
"""Called with the last part of a topic, `cmd` or `ack`, and what came there."""


class LinkError(NportpyError):
    """The other side cannot be reached, or the connection is lost: try again later."""


class RefusedError(NportpyError):
    """The other side has refused a message.

    Attributes:
        passing: it may take the same message later (a quota); if not, the message itself is at fault.
    """

    def __init__(self, reason: str, *, passing: bool) -> None:
        """`reason` in the other side's words."""
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Message:
    """Something to send.

    Attributes:
        topic: the last part of it: live, late, state, meta.
        payload: what is sent.
        content_type: of it.
        retain: the other side keeps the last one, for whoever comes later.
        id: by which the other side may know a duplicate; empty: none.
        whole: `topic` is all of it.
    """

    topic: str
    payload: bytes
    content_type: str = "application/json"
    retain: bool = False
    id: str = ""
    whole: bool = False


class Link(Protocol):
    """A connection that is up.

    Attributes:
        name: what it leads to, for people: `mqtt 5 at broker:1883`.
        carries_types: a content type goes with a message, so that a payload may be packed.
        lost: done as soon as the connection is, with the reason.
    """

    name: str
    carries_types: bool
    lost: "asyncio.Future[str]"

    async def publish(self, message: Message) -> None:
        """Send, and wait until the other side says that it has it.

        Raises:
            LinkError: nobody knows whether it has arrived.
            RefusedError: it has been refused.
        """

    async def close(self) -> None:
        """End it in order, within a second or so."""
