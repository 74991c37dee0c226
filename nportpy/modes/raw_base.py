"""What a raw service is told, apart from what serves it."""

from dataclasses import dataclass

from nportpy.modes.commands_base import CommandSettings
from nportpy.network.service import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSettings(ServiceSettings):
    """A raw TCP listener.

    Attributes:
        commands: its clients take turns: each gets the answers to its own requests. None: all hear all. With it
            `packing` and `direction` are to be left alone: an answer goes to its client as a whole.
    """

    commands: CommandSettings | None = None
