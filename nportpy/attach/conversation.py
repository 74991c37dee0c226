"""A connection to a server with its session: what the event loop calls, and the one timer that a session wants."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from fcntl import ioctl
from typing import Final, NoReturn, Protocol, cast

from nportpy.attach.session import Arrived, Event, Received, Session
from nportpy.attach.target import Target
from nportpy.network import keepalive
from nportpy.network.addresses import Endpoint

CONNECT_TIME: Final = 5.0
"""Seconds in which a connection must come about, looking its name up included."""

_IDLE, _INTERVAL, _COUNT = 10, 3, 4
"""An idle server is asked for a sign of life after so many seconds, and given up when it has not answered so often.

No limit for unanswered data beyond the kernel's own: the kernel counts it for a server too that lives and does not
read, and behind a slow line with a full buffer that lasts for minutes.
"""

_IAC = 0xFF
_SIOCOUTQ = 0x5411  # linux/sockios.h: bytes that the other end's kernel has not acknowledged
_LOOK = 0.01


class ConversationReceiver(Protocol):
    """Who hears what a server says. Called from the event loop; must not raise."""

    def connected(self, conversation: "Conversation") -> None:
        """It begins."""

    def gone(self) -> None:
        """It has ended."""

    def heard(self, data: bytes) -> None:
        """Bytes came from the line; never empty."""

    def told(self, event: Event) -> None:
        """Anything else came, but for what the conversation keeps to itself."""

    def full(self, *, on: bool) -> None:
        """The server does not keep up, or has caught up."""


class Conversation(asyncio.Protocol):
    """One connection and its session.

    Attributes:
        session: to be told what is to be said; call `send` afterwards.
        lost: why the connection has ended, once it has.
    """

    def __init__(self, session: Session, receiver: ConversationReceiver) -> None:
        """Begins when it is connected."""
        self.session = session
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._receiver = receiver
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._arrived = False

    @property
    def left(self) -> int:
        """Bytes that the server has said it still has; 0 if it does not say."""
        return 0

    async def prepare(self, place: Endpoint) -> Endpoint:
        """Make what has to be there before the connection to `place`; where that goes then.

        Raises:
            OSError: it cannot be made.
        """
        return place

    def abandon(self) -> None:
        """There will be no connection, or none any more: end what `prepare` has made."""

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, and not by descent
        set_up(transport)
        self._receiver.connected(self)
        self._tell(self.session.begin(self._loop.time()))

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.session.plain_in and _IAC not in data:
            self._receiver.heard(data)
            return
        self._tell(self.session.feed(data))

    def eof_received(self) -> bool:
        """The server has nothing more to say: that is the end."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            self.lost.set_result("closed by the server" if exc is None else reason_of(exc))
        self._receiver.gone()

    def pause_writing(self) -> None:
        """The socket has enough."""
        self._receiver.full(on=True)

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._receiver.full(on=False)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._take(event)
        self.send()

    def _take(self, event: Event) -> None:
        match event:
            case Received(data):
                self._receiver.heard(data)
            case Arrived():
                self._arrived = True
            case _:
                self._receiver.told(event)

    def _expire(self) -> None:
        self._timer = None
        self._tell(self.session.expire(self._loop.time()))

    # What the attachment calls.

    def write(self, data: bytes) -> None:
        """Send bytes of the line."""
        if not self.session.plain_out or _IAC in data:
            data = self.session.encode(data)
        self._transport.write(data)

    def send(self) -> None:
        """Send what the session has to say."""
        if output := self.session.take_output():
            self._transport.write(output)
        when = self.session.deadline()
        if self._timer is not None and self._due != when:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and when is not None and not self.lost.done():
            self._due = when  # uvloop's timers do not tell, once it is past
            self._timer = self._loop.call_at(when, self._expire)

    def pause_reading(self) -> None:
        """Take nothing from the server for now; do not call it twice."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take it again."""
        self._transport.resume_reading()

    async def arrival(self, patience: float) -> bool:
        """Wait until all that was sent has reached the server; False after `patience` seconds without progress."""
        self._arrived = False
        asked = self.session.ask_arrival()
        self.send()
        before, since = -1, self._loop.time()
        while not self.lost.done():
            unsent = self._unsent()
            if not unsent and (self._arrived or not asked):
                return True
            if unsent != before:
                before, since = unsent, self._loop.time()
            elif self._loop.time() - since >= patience:
                break
            await asyncio.sleep(_LOOK)
        return False

    def _unsent(self) -> int:
        sock = self._transport.get_extra_info("socket")
        (queued,) = struct.unpack("i", ioctl(sock.fileno(), _SIOCOUTQ, bytes(4)))
        return int(queued) + self._transport.get_write_buffer_size()

    async def close(self, patience: float) -> None:
        """End it; what the kernel has not taken by then is lost."""
        self._transport.close()
        try:
            async with asyncio.timeout(patience):
                await asyncio.shield(self.lost)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()


async def connect(target: Target, make: Callable[[], Conversation]) -> Conversation:
    """Go to a server.

    Raises:
        ConnectionError: it cannot be reached; the message says why.
    """
    conversation = make()
    try:
        async with asyncio.timeout(CONNECT_TIME):
            place = await conversation.prepare(target.place)
            if target.tls is None:
                await dial(lambda: conversation, place)
            else:
                from nportpy.network.tls_calls import call_by_tls  # few servers want it

                secured = await call_by_tls(lambda make: dial(make, place), target.tls, place.host)
                secured.hand_over(conversation)
    except TimeoutError:
        conversation.abandon()
        _cannot(f"no answer within {CONNECT_TIME:g} s")
    except OSError as error:
        conversation.abandon()
        _cannot(reason_of(error))
    except asyncio.CancelledError:
        conversation.abandon()
        raise
    return conversation


async def dial(make: Callable[[], asyncio.Protocol], place: Endpoint) -> tuple[asyncio.BaseTransport, asyncio.Protocol]:
    """Make one connection.

    Raises:
        OSError: it cannot be made.
    """
    transport, protocol = await asyncio.get_running_loop().create_connection(make, place.host, place.port)
    if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
        # Who asks a port of its own machine again and again where nobody listens may meet itself.
        transport.abort()
        _cannot("nobody listens there")
    return transport, protocol


def set_up(transport: asyncio.BaseTransport) -> None:
    """Have a connection end when its server has vanished, and hear every byte of it."""
    sock = transport.get_extra_info("socket")
    keepalive.keep_urgent_data(sock)
    keepalive.set_up(sock, 0)
    keepalive.probe(sock, _IDLE, _INTERVAL, _COUNT, 0)


def reason_of(error: Exception) -> str:
    """Why a connection cannot be made, or has ended, for people."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and error.errno:  # asyncio puts its own words where the system's belong
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _cannot(reason: str) -> NoReturn:
    raise ConnectionError(reason) from None
