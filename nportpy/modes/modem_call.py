"""A call of the Ethernet modem (modem.py): one connection, from the network's side."""

import socket
from collections.abc import Callable
from typing import Protocol

from nportpy.network.addresses import Address, Endpoint
from nportpy.network.connection import HIGH_WATER, Connection, Stop, contained
from nportpy.network.service import ServiceSettings


class CallReceiver(Protocol):
    """Who makes and takes calls. Called from the event loop; must not raise."""

    def came(self, call: "Call") -> None:
        """The connection is there."""

    def went(self, call: "Call") -> None:
        """The connection ends."""

    def spoke(self, data: bytes) -> None:
        """The other side said something, and is listened to."""

    def eased(self) -> None:
        """The other side keeps up, or does not: look at `held`."""

    def activity(self) -> tuple[int, ...]:
        """What stays the same while the line is silent."""


class Call(Connection):
    """A call.

    Attributes:
        incoming: the other side called.
        held: it does not take what it is sent.
    """

    def __init__(
        self,
        receiver: CallReceiver,
        name: str,
        settings: ServiceSettings,
        alone: Callable[[], bool],
        sock: socket.socket,
        peer: Endpoint,
        address: Address,
        *,
        incoming: bool,
    ) -> None:
        """`alone` says whether the line can wait for the other side; the rest is as in `Connection`."""
        super().__init__(name, settings, sock, peer, address)
        self.incoming = incoming
        self._receiver = receiver
        self._alone = alone
        self._listened_to = False
        self._kept = bytearray()  # said before anybody listened

    @property
    def held(self) -> bool:
        """See above."""
        return self._held

    def _join(self) -> None:
        super()._join()
        self._receiver.came(self)

    def left(self) -> None:
        self._receiver.went(self)

    def data_received(self, data: bytes) -> None:
        if self._listened_to:
            self.received += len(data)
            self._receiver.spoke(data)
            return
        self._kept += data
        if len(self._kept) > HIGH_WATER:  # reading on tells whether the other side is still there
            self.stop(Stop.BUSY)

    @contained
    def listen(self, on: bool) -> None:
        """Hand over what the other side says, or keep it for now."""
        self._listened_to = on
        if on and self._kept:
            kept, self._kept = bytes(self._kept), bytearray()
            self.received += len(kept)
            self._receiver.spoke(kept)
        if on:
            self.go(Stop.BUSY)

    def send(self, data: bytes) -> None:
        """Tell the other side."""
        self.sent += len(data)
        self.transport.write(data)
        if self._held and self.waiting() > self.settings.allowance and not self._alone():
            self.drop(self.waiting())

    def pause_writing(self) -> None:
        self._held = True
        self._receiver.eased()

    def resume_writing(self) -> None:
        self._held = False
        self._receiver.eased()

    def _activity(self) -> tuple[int, ...]:
        return self._receiver.activity()

    def _half_closed_activity(self) -> tuple[int, ...]:
        return (*self._receiver.activity(), self.waiting())
