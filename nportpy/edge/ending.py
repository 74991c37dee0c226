"""The end of a task that tries again and again."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

Result = TypeVar("Result")


async def apart(work: Coroutine[None, None, Result]) -> Result:
    """Do `work` in a task of its own, and be cancellable for certain. What it raises is raised here.

    Before Python 3.13 a task group that is cancelled while it ends because of a task that has failed raises that
    failure only. A loop that went on after it would never hear that it was to end.
    """
    task = asyncio.ensure_future(work)  # noqa: TID251 - it ends in here, and a group is what loses the cancellation
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # nobody asks for it any more
        raise
    return task.result()
