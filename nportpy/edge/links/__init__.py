"""Ways to the other side: one file for each kind of broker or database, each a `Link` (base.py).

To add one: a file with `connect`, and its schemes in the table below. Its library loads when it is first used.
"""

from importlib import import_module
from typing import Final

from nportpy.edge.links.base import Heard, Link, LinkError, Message
from nportpy.edge.settings import UpstreamSettings

SCHEMES: Final = {
    "mqtt": "mqtt",
    "mqtts": "mqtt",
    "nats": "nats",
    "tls": "nats",
    "influx+http": "influx",
    "influx+https": "influx",
    "sqlite": "sqlite",
}
"""The schemes of upstreams' URLs, and the module that knows each."""


async def connect(url: str, settings: UpstreamSettings, heard: Heard, will: Message) -> Link:
    """A link to what `url` names.

    Args:
        url: one of `settings.urls`.
        settings: how to connect.
        heard: is told of commands and acknowledgements.
        will: what the other side is to say of us when we are lost, if it can.

    Raises:
        LinkError: there is no connection, or its library is not installed.
    """
    try:
        module = import_module(f"nportpy.edge.links.{SCHEMES[url.partition(':')[0]]}")
    except ModuleNotFoundError as error:
        raise LinkError(f"{error.name} is not installed: pip install 'nportpy[edge]'") from error
    link: Link = await module.connect(url, settings, heard, will)
    return link
