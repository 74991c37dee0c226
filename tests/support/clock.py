"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing is left to do.

Sockets and pseudo-terminals of this process work on it, as their bytes are there at once. Other processes and
threads live in real time: tests that need them are marked `real`.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _JumpingSelector(selectors.BaseSelector):
    """Polls, and instead of waiting lets the clock jump."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._real = selectors.DefaultSelector()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Where a loop has but its self-pipe, which only wakes it, there is nothing to ask for.
        alone = timeout is not None and len(self._real.get_map()) == 1
        ready = [] if alone else self._real.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # Nothing scheduled: only a thread (an executor's) or the kernel can wake us now.
            return self._real.select(20) or self._loop.give_up()
        if self._loop.threads_busy():
            return self._real.select(1)  # whoever ends wakes us
        self._loop.advance(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual time, which starts at 1000 s."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._in_threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += max(seconds, 1e-6)

    def threads_busy(self) -> bool:
        return self._in_threads > 0

    def give_up(self) -> list[tuple[selectors.SelectorKey, int]]:
        raise TimeoutError("virtual time: no timer is set and nothing happened for 20 s")

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]  # wider
        """As asyncio's; while a thread works, time stands still."""
        self._in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *timeout: float | None) -> None:
        """As asyncio's, which from Python 3.12 on gives the threads 300 s: those are not jumped over."""
        self._in_threads += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._in_threads -= 1

    def _thread_done(self, _future: object) -> None:
        self._in_threads -= 1
