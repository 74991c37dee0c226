"""Notices that a device or a connection has gone while nobody reads it."""

import asyncio
import select
from collections.abc import Callable
from functools import reduce
from operator import or_


class HangupWatch:
    """An epoll of its own, which the loop waits for.

    The kernel announces a hang-up to those who wait for input, so this waits for input too, edge-triggered: what has
    arrived and stays there does not wake us again.
    """

    __slots__ = ("_call", "_epoll", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, call: Callable[[int], None], more: int = 0) -> None:
        """Watch `fd`, and call with what epoll says; `more` is what it is to say besides errors and hang-ups."""
        self._loop = loop
        self._call = call
        self._epoll = select.epoll()
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET | more)
        loop.add_reader(self._epoll.fileno(), self._look)

    def close(self) -> None:
        """Watch no more; once."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _look(self) -> None:
        self._call(reduce(or_, (events for _, events in self._epoll.poll(0)), 0))
