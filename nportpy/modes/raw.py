"""Raw TCP server: the line's bytes and nothing else, no banner and no word when something fails."""

import socket
from functools import partial
from typing import TYPE_CHECKING

from nportpy.line.arbiter import Line
from nportpy.modes.raw_base import RawSettings
from nportpy.modes.session import Session
from nportpy.network.addresses import Address, Endpoint
from nportpy.network.service import ServiceSettings

if TYPE_CHECKING:
    from nportpy.modes.commands import Commands


class RawSession(Session):
    """A raw TCP client."""

    def __init__(
        self,
        line: Line,
        settings: ServiceSettings,
        sock: socket.socket,
        peer: Endpoint,
        address: Address,
        commands: "Commands | None" = None,
    ) -> None:
        """`commands`: who takes turns for it, if it is to have any."""
        super().__init__(line, settings, sock, peer, address, commands)
        self._commands = commands

    def accepted(self) -> int:
        return self._commands.under_way(self) if self._commands is not None else 0

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


def sessions(line: Line, settings: RawSettings) -> "partial[RawSession]":
    """What makes the sessions of one listener, of socket, peer and address. They share who takes turns for them."""
    commands = None
    if settings.commands is not None:
        # Here, because a gateway without them need not import what they take.
        from nportpy.modes.commands import Commands

        commands = Commands(line, settings.commands)
    return partial(RawSession, line, settings, commands=commands)
