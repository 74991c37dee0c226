"""One request and its answer on the line (IEC 60870-5-2, 5): with its timeout, and repeated as often as is allowed."""

import asyncio
from collections.abc import Callable
from typing import Final

from nportpy.errors import LineError
from nportpy.line.lease import Leased
from nportpy.meters.iec101.settings import Iec101Settings
from nportpy.protocols.iec101.ft12 import MAX_FRAME, FrameFinder
from nportpy.protocols.iec101.hints import link_hint
from nportpy.protocols.iec101.link import Answer, Link

_CHARACTERS: Final = 3
"""Characters of silence behind E5 that make it an answer."""

_LEAST_SILENCE: Final = 0.002
"""Seconds of it at high speeds: no driver tells more finely when a byte came."""

_PATIENCE: Final = 3
"""Longest frames that may come until one of them is the answer: a line that never falls silent has an end, too."""


class OutstationSilent(LineError):
    """An outstation does not answer, or says that it cannot; the message says which, and what to look at."""


class Exchange:
    """Asks one outstation; a request that was sent and not answered is repeated first, by whoever asks next.

    Attributes:
        link: its link.
        finder: finds its frames.
    """

    def __init__(self, settings: Iec101Settings) -> None:
        """Nothing was asked yet."""
        self.link = Link(settings.link_address, settings.link_size)
        self.finder = FrameFinder(settings.link_size, _LEAST_SILENCE, settings.gap)
        self._settings = settings
        self._reaction = 0.0  # seconds from a request to the end of its answer, of the last that was sent once

    async def ask(self, leased: Leased, make: Callable[[], bytes], fresh: Callable[[], bytes] | None = None) -> Answer:
        """Send a request, and again while it is not answered. Cancelled or without the line, it stays to be repeated.

        Args:
            leased: the line.
            make: makes the request, by `link`.
            fresh: makes the ASDU of repeats, where it tells the time.

        Raises:
            OutstationSilent: no answer, however often it was asked; the link is down.
            LineError: of the line.
        """
        await self.settle(leased)
        answer = await self._tries(leased, make(), self._settings.retries, fresh)
        if answer is not None:
            return answer
        reason = self._reason()
        self.link.down()
        raise OutstationSilent(reason)

    async def resume(self, leased: Leased, fresh: Callable[[], bytes] | None = None) -> Answer:
        """The same for the request that was sent and not answered when somebody was interrupted."""
        return await self.ask(leased, lambda: self.link.repeat(fresh() if fresh is not None else None), fresh)

    async def settle(self, leased: Leased) -> None:
        """Let late answers to what is answered already pass, so that none is taken for the answer to the next request.

        Costs nothing unless there was a repeat. The outstation need not answer: each answer that it owes has a
        timeout's time to come, and then none will any more.

        Raises:
            LineError: of the line.
        """
        owed = self.link.owed
        if not owed:
            return
        await self._hear_out(leased, owed)
        if await self._tries(leased, self.link.request_status(), owed) is None:
            self.link.settled()
        await self._hear_out(leased, owed)

    async def _hear_out(self, leased: Leased, answers: int) -> None:
        """Until the line is silent: late answers follow each other, and whoever speaks meanwhile spoils his request."""
        loop = asyncio.get_running_loop()
        silence = min(2 * self._reaction + self.finder.silence, self._settings.timeout)
        end = loop.time() + answers * (MAX_FRAME * leased.settings.character_time + silence)
        while loop.time() < end and await leased.read(silence):
            pass

    async def _tries(
        self, leased: Leased, wire: bytes, repeats: int, fresh: Callable[[], bytes] | None = None
    ) -> Answer | None:
        loop = asyncio.get_running_loop()
        self.finder.silence = max(_CHARACTERS * leased.settings.character_time, _LEAST_SILENCE)
        for sent in range(1, repeats + 2):
            leased.discard()
            self.finder.begin(sent)
            leased.write(wire)
            await leased.sent()
            asked = loop.time()
            answer = await self._answer(leased)
            if answer is not None:
                if sent == 1:
                    self._reaction = loop.time() - asked
                return answer
            if sent <= repeats:
                wire = self.link.repeat(fresh() if fresh is not None else None)
        return None

    async def _answer(self, leased: Leased) -> Answer | None:
        """What comes until it is the answer, or nothing more comes."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._settings.timeout
        character = leased.settings.character_time
        last = due + _PATIENCE * MAX_FRAME * character + self._settings.gap
        while (now := loop.time()) < last:
            until = self.finder.deadline()
            if until is None and now >= due:
                return None
            data = await leased.read(max(min(due if until is None else until, last) - now, 0.0))
            now = loop.time()
            for frame in self.finder.feed(data, now) if data else self.finder.expire(now):
                if (answer := self.link.hear(frame)) is not None:
                    return answer
        return None

    def _reason(self) -> str:
        address, size = self._settings.link_address, self._settings.link_size
        said = f"outstation {address} did not answer" if size else "the outstation did not answer"
        link = self.link
        if link.balanced:
            return f"{said}, but asks itself: it is set to the balanced mode, which is not supported"
        if link.counts.primaries:
            return f"{said}; somebody else asks on this line: a second controlling station, or the balanced mode"
        if not link.up and (hint := link_hint(self.finder.heard, address, size)):
            return f"{said}: {hint}"
        if not link.up and link.stranger is not None:
            return f"{said}, but outstation {link.stranger.address} did"
        if self.finder.counts.checksum and not link.up:
            return f"{said} without faults on the line: look at its speed, and at its parity (8E1 by the standard)"
        return said
