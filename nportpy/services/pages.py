"""What somebody answers over HTTP, and what it takes: found first, then judged at the gate (gate.py), then answered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.network.addresses import AllowList
from nportpy.services.who import Who


@dataclass(frozen=True, slots=True)
class Found:
    """A route that fits a request. There is none without a right.

    Attributes:
        right: what it takes.
        answer: gives the answer to who asks.
        allow: gives those who need no right as long as there are no accounts, as that is now; None: nobody.
        page: it is for people: without accounts, on this machine alone.
        refused: hears that somebody may not.
    """

    right: Right
    answer: Callable[[Who], Awaitable[web.StreamResponse]]
    allow: Callable[[], AllowList | None] = lambda: None
    page: bool = False
    refused: Callable[[], None] = lambda: None


class Pages(Protocol):
    """Some of what is answered: the console, what is on the lines, who somebody is."""

    async def route(self, request: web.BaseRequest) -> Found | None:
        """What fits a request; None: there is no such page here."""
