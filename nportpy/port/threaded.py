"""What blocks, in a thread, without losing its result when nobody waits for it any more."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def opened(open_it: Callable[[], _T], discard: Callable[[_T], None]) -> _T:
    """Open something in a thread. Cancelled midway, it leaves the thread to finish and lets `discard` give it back.

    Raises:
        Exception: whatever `open_it` raises.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, open_it)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:

        def done(late: "asyncio.Future[_T]") -> None:
            if not late.cancelled() and late.exception() is None:
                discard(late.result())

        opening.add_done_callback(done)
        raise
