"""Where a unit id leads, and who may ask what."""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Protocol

from nportpy.modbus.question import Question
from nportpy.modbus.settings import RoutingSettings, ServerSettings
from nportpy.network import Address


class Target(Protocol):
    """Whom a router hands questions to: a bus (bus.py)."""

    def ask(self, question: Question) -> None:
        """See to it that the question is answered; its unit is the one on the line."""

    def leave(self, client: Hashable) -> None:
        """A client has gone: what it has asked and was not sent yet never will be."""


Find = Callable[[str | ServerSettings], Target | None]
"""The bus of a port's name, or of a server elsewhere; None if there is none (yet)."""


class Router:
    """Hands requests to buses by their unit id. One for each service.

    Attributes:
        name: what it is called in logs.
        refused: requests that came to no bus, by reason: forbidden, ignored, no_route, malformed.
    """

    def __init__(self, name: str, settings: RoutingSettings, find: Find) -> None:
        """Nothing is looked up before `refresh`."""
        self.name = name
        self.refused: Counter[str] = Counter()
        self._settings = settings
        self._find = find

    def refresh(self) -> None:
        """Look the buses up anew: lines have come or gone."""

    def visitor(self, client: Hashable, address: Address | None) -> "Visitor":
        """A client's way in; `address` is None for a master on a line."""
        raise NotImplementedError


class Visitor:
    """One client of a router."""

    def ask(self, question: Question) -> None:
        """Have a question answered: by the unit, or by the gateway itself with an exception, or by nobody."""
        raise NotImplementedError

    def leave(self) -> None:
        """The client asks no more and hears no more; questions under way may still call `done`."""
        raise NotImplementedError
