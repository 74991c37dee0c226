"""A conversation of Real COM: two connections to a server, which share their end."""

import asyncio
from typing import cast

from nportpy.attach.conversation import Conversation, ConversationReceiver, dial, reason_of, set_up
from nportpy.attach.realcom import NOT_REALCOM, RealComSession
from nportpy.attach.session import Doubted, Suspended
from nportpy.network.addresses import Endpoint, address_of

_DOUBT = 2.5  # a server that has answered nothing by then is doubted aloud; it may have another client's bytes to send


class _Commands(asyncio.Protocol):
    """The command connection."""

    def __init__(self, conversation: "RealComConversation") -> None:
        self._conversation = conversation

    def data_received(self, data: bytes) -> None:
        self._conversation.commands_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._conversation.commands_lost(exc)


class RealComConversation(Conversation):
    """See `Conversation`, which is the data connection; the command connection is made before it."""

    def __init__(self, session: RealComSession, receiver: ConversationReceiver, commands: Endpoint) -> None:
        """`commands`: where the command connection goes."""
        super().__init__(session, receiver)
        self._realcom = session
        self._place = commands
        self._commands: asyncio.Transport | None = None
        self._begun = self._suspended = False
        self._doubt: asyncio.TimerHandle | None = None

    @property
    def left(self) -> int:
        """See `Conversation`."""
        return self._realcom.left

    async def prepare(self, place: Endpoint) -> Endpoint:
        """Make the command connection; data goes to the same address, by which servers know a pair."""
        transport, _ = await dial(lambda: _Commands(self), self._place)
        self._commands = cast(asyncio.Transport, transport)
        set_up(transport)
        peer = transport.get_extra_info("peername")
        self._realcom.hello = address_of(peer[0]).version == 6
        zone = f"%{peer[3]}" if len(peer) > 3 and peer[3] and "%" not in peer[0] else ""
        return Endpoint(peer[0] + zone, place.port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Both connections are there."""
        self._begun = True
        super().connection_made(transport)
        self._doubt = self._loop.call_later(_DOUBT, self._doubt_it)
        if self.lost.done():
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The data connection has ended, and so the other."""
        super().connection_lost(exc)
        self.abandon()
        if self._doubt is not None:
            self._doubt.cancel()

    def _doubt_it(self) -> None:
        if not self._realcom.greeted and not self.lost.done():
            self._receiver.told(Doubted(NOT_REALCOM))

    def abandon(self) -> None:
        """End the command connection."""
        if self._commands is not None:
            self._commands.abort()

    def commands_received(self, data: bytes) -> None:
        """Bytes came on the command connection. Before both are there, none mean anything."""
        if self._begun and not self.lost.done():
            self._tell(self._realcom.feed_commands(data, self._loop.time()))

    def commands_lost(self, exc: Exception | None) -> None:
        """The command connection has ended, and so the other."""
        self._lose("command connection closed by the server" if exc is None else reason_of(exc))

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
            if self._begun:
                self.abort()

    def send(self) -> None:
        """See `Conversation`."""
        session = self._realcom
        if self.lost.done() or self._commands is None:
            return
        if session.failure:
            self._lose(session.failure)
            return
        for event in session.work(self._loop.time(), super()._unsent):
            self._take(event)
        for piece in session.take_commands():
            self._commands.write(piece)
        super().send()
        if session.busy != self._suspended:
            self._suspended = session.busy
            self._receiver.told(Suspended(self._suspended))

    def _unsent(self) -> int:
        return super()._unsent() + self.left
