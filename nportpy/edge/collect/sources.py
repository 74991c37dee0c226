"""The seam between a collector and a broker: one connection, once used and then done with.

What is not acknowledged when a connection ends is delivered again by the next one, here or elsewhere.
"""

from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Final, Protocol

from nportpy.edge.collect.arrivals import Arrival
from nportpy.edge.collect.intake import Intake
from nportpy.edge.collect.settings import SourceSettings
from nportpy.edge.links.base import LinkError

SCHEMES: Final = {"mqtt": "mqtt", "mqtts": "mqtt", "nats": "jetstream", "tls": "jetstream"}
"""The schemes of sources' URLs, and the module that knows each."""


class Source(Protocol):
    """A connection that is up.

    Attributes:
        name: what it leads to, for people.
    """

    name: str

    async def run(self) -> None:
        """Put what comes into the intake, until the connection is lost.

        Raises:
            LinkError: it is.
        """

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Tell the broker that these, which came from here in this order, are stored.

        Never fails: if the connection is lost they come again.
        """

    async def give_back(self, arrivals: Sequence[Arrival]) -> None:
        """These will not be stored here; others may have them at once. Never fails."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Say something to a node, by its topic of MQTT; nobody tells whether it has arrived.

        Raises:
            LinkError: the connection is lost.
        """

    async def close(self) -> None:
        """End it in order, within a second or so."""


Connect = Callable[[str, SourceSettings, Intake], Awaitable[Source]]


async def connect(url: str, settings: SourceSettings, intake: Intake) -> Source:
    """A connection to what `url` names.

    Args:
        url: one of `settings.urls`.
        settings: how to connect.
        intake: what comes goes there.

    Raises:
        LinkError: there is no connection, or its library is not installed.
    """
    try:
        module = import_module(f"nportpy.edge.collect.{SCHEMES[url.partition('://')[0]]}")
    except ModuleNotFoundError as error:
        raise LinkError(f"{error.name} is not installed: pip install 'nportpy[collect]'") from error
    source: Source = await module.connect(url, settings, intake)
    return source
