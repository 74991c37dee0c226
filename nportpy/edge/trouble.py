"""What is wrong with an upstream: for its status, and for the log, which hears of each thing once."""

import asyncio
import logging

from nportpy.edge.links.base import RefusedError
from nportpy.throttle import Throttle

log = logging.getLogger(__name__)


class Trouble:
    """What is wrong at the moment.

    Attributes:
        reason: why samples do not arrive; empty: they do, as far as is known.
    """

    def __init__(self, upstream: str) -> None:
        """Nothing was tried yet."""
        self.reason = "not connected yet"
        self._upstream = upstream
        self._said: set[str] = set()  # reasons that the log has told since the last connection
        self._throttle = Throttle()

    def over(self) -> None:
        """There is a connection."""
        self.reason = ""
        self._said.clear()

    def lost(self, reason: str) -> None:
        """There is none. One line for each reason, not for each attempt."""
        self.reason = reason
        if reason not in self._said:
            if len(self._said) < 100:
                self._said.add(reason)
            log.warning("upstream is away; samples are kept", extra={"upstream": self._upstream, "reason": reason})

    def refused(self, error: RefusedError, what: str, **more: str) -> None:
        """The other side has refused something."""
        self.reason = f"refused: {error}"
        if self._throttle.allow(str(error), asyncio.get_running_loop().time()) is not None:
            log.warning(what, extra={"upstream": self._upstream, "reason": str(error)} | more)

    def not_understood(self, topic: str, reason: str) -> None:
        """The other side has said something strange."""
        if self._throttle.allow(f"{topic} ", asyncio.get_running_loop().time()) is not None:
            log.warning("not understood", extra={"upstream": self._upstream, "topic": topic, "reason": reason})
