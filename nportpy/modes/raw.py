"""Raw TCP server: the line's bytes and nothing else, no banner and no word when something fails."""

from dataclasses import dataclass

from nportpy.modes.base import ServiceSettings
from nportpy.modes.commands import CommandSettings
from nportpy.modes.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSettings(ServiceSettings):
    """A raw TCP listener.

    Attributes:
        commands: its clients take turns: each gets the answers to its own requests. None: all hear all. With it
            `packing` and `direction` have no part: an answer goes to its client as a whole.
    """

    commands: CommandSettings | None = None


class RawSession(Session):
    """A raw TCP client."""

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.to_line(self, data)

    def line_data(self, data: bytes) -> None:
        try:
            self.sent += len(data)
            self.to_client(data)
            if self._held:
                self.weigh(self.waiting())
        except Exception as error:
            self.fail(error)
