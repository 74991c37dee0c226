"""One connection that was let in: its way in and out, its back-pressure and its end; whatever it speaks.

A bug in one connection ends it, and neither the service nor its neighbours: what others call must not raise, so
whatever does more than a few steps there is `contained`.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections.abc import Callable
from enum import Enum, auto
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from nportpy.network.addresses import Address, Endpoint, Known
from nportpy.network.keepalive import set_up
from nportpy.network.service import ServiceSettings
from nportpy.network.tls_settings import Identity
from nportpy.status import ClientStatus, End

HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
CLOSING_TIME = 5.0  # how long a client may take to fetch what is left for it when we end the connection

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)

log = logging.getLogger(__name__)


class Stop(Enum):
    """Why we do not read from a client for now."""

    LINE_FULL = auto()
    LINE_DOWN = auto()
    BUSY = auto()  # a control is waiting for its turn in the stream
    UNREAD = auto()  # it asks and does not fetch the answers
    ENDING = auto()


class Silence:
    """Calls once when `look` has shown the same for `limit` seconds, to an eighth of it. No cost per byte."""

    def __init__(self, limit: float, look: Callable[[], tuple[int, ...]], call: Callable[[], None]) -> None:
        """Starts at once."""
        self._step = limit / 8
        self._look = look
        self._call = call
        self._seen = look()
        self._quiet = 0
        self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._step, self._tick)

    def cancel(self) -> None:
        """Never mind."""
        self._timer.cancel()

    def _tick(self) -> None:
        seen = self._look()
        self._quiet = self._quiet + 1 if seen == self._seen else 0
        self._seen = seen
        if self._quiet >= 8:
            self._call()
        else:
            self._arm()


_C = TypeVar("_C", bound="Connection")
_P = ParamSpec("_P")


def contained(method: Callable[Concatenate[_C, _P], None]) -> Callable[Concatenate[_C, _P], None]:
    """Let what a connection's method raises end the connection and go no further."""

    @wraps(method)
    def call(self: _C, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.fail(error)

    return call


class Connection(asyncio.Protocol):
    """A client of a service. What it speaks, and who answers, is for a subclass to say.

    Attributes:
        name: of the port or router that it is a client of.
        socket: the connection's, to ask the kernel; reading and writing are the transport's.
        peer: the client's address and port.
        address: its address, for comparing.
        ended: done when the connection is gone.
        end: how it ended, once that is known.
        received: bytes from this client that were for whoever it came for.
        sent: bytes for this client that came from there.
        dropped: bytes that waited for it when it was dropped as too slow, and those it missed.
        half_closed: it has said that it will send no more.
        identity: who it is by its certificate; None: nobody knows.
        called: how it is called in captures: by its address, and by its certificate.
    """

    transport: asyncio.Transport

    def __init__(
        self, name: str, settings: ServiceSettings, sock: socket.socket, peer: Endpoint, address: Address
    ) -> None:
        """`connection_made` brings the rest."""
        self.name = name
        self.settings = settings
        self.socket = sock
        self.peer = peer
        self.address = address
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.end: End | None = None
        self.since = time.time()
        self.started = asyncio.get_running_loop().time()
        self.received = 0
        self.sent = 0
        self.dropped = 0
        self.half_closed = False
        self.identity: Identity | None = None
        self.called: Endpoint | Known = peer
        self._held = False
        self._joined = False
        self._stops: set[Stop] = set()
        self._silences: list[Silence] = []
        self._inactive: Silence | None = None
        self._closing: asyncio.TimerHandle | None = None

    # What the transport calls.

    @contained
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        self.opened()
        self._join()
        self._watch_activity()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.end is None:
            self.end = _end_of(exc)
        if self._closing is not None:
            self._closing.cancel()
        if not self.ended.done():
            self.ended.set_result(None)
        self._leave()

    def eof_received(self) -> bool:
        """The client sends no more, but may still listen (half-close)."""
        if not self.settings.half_close:
            self.finish(End.CLOSED)
        elif not self.half_closed and self.end is None:
            self.half_closed = True
            self._watch_silence(self.settings.half_close, self._half_closed_activity, End.CLOSED)
        return True

    # What a subclass adds.

    def identified(self, identity: Identity) -> None:
        """Who the client is; told before the connection is there, where it has shown a certificate."""
        self.identity = identity
        self.called = Known(self.peer.host, self.peer.port, str(identity))

    def opened(self) -> None:
        """The connection is there: what the protocol says first."""

    def left(self) -> None:
        """The connection ends: what the protocol must let go of. The client hears nothing any more."""

    def line_down(self) -> None:
        """The device is not there, for those to whom that means something."""

    def controls(self) -> bool:
        """Whether this client may change the line's settings."""
        return False

    def accepted(self) -> int:
        """How much of what the client sent has been taken in and is not yet on its way; 0 if none."""
        return 0

    def waiting(self) -> int:
        """Bytes that wait for this client."""
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    def _activity(self) -> tuple[int, ...]:
        """What stays the same while the client is inactive."""
        return (self.received,)

    def _half_closed_activity(self) -> tuple[int, ...]:
        """What stays the same when a client that sends no more has nothing to wait for."""
        return (self.sent, self.waiting(), self.accepted())

    # Back-pressure.

    def stop(self, why: Stop) -> None:
        """Do not read from the client for now."""
        if not self._stops and self._may_read():
            self.transport.pause_reading()
        self._stops.add(why)

    def go(self, why: Stop) -> None:
        """Read again, if nothing else forbids it."""
        if why in self._stops:
            self._stops.discard(why)
            if not self._stops and self._may_read():
                self.transport.resume_reading()

    def _may_read(self) -> bool:
        # After a FIN there is nothing to read, and a transport that is told to would meet the FIN again.
        return not self.half_closed and not self.transport.is_closing()

    def drop(self, waiting: int) -> None:
        """It does not keep up: `waiting` bytes are more than its allowance."""
        if self.end is None:
            self.dropped += waiting
            self.finish(End.SLOW, at_once=True)

    def configure(self, settings: ServiceSettings) -> None:
        """Other limits from now on."""
        before, self.settings = self.settings, settings
        if self.end is None and settings.alive_check != before.alive_check:
            with contextlib.suppress(OSError):  # it has just gone
                set_up(self.socket, settings.alive_check)
        if self._joined and settings.inactivity != before.inactivity:
            self._watch_activity()

    def _watch_activity(self) -> None:
        """End the connection when it is inactive for as long as the settings say now."""
        if self._inactive is not None:
            self._inactive.cancel()
            self._silences.remove(self._inactive)
            self._inactive = None
        if self.settings.inactivity:
            self._inactive = self._watch_silence(self.settings.inactivity, self._activity, End.INACTIVE)

    # The end.

    def finish(self, end: End, *, at_once: bool = False) -> None:
        """End the connection; the client may fetch what was sent to it, unless `at_once`."""
        if self.end is None:
            self.end = end
        self._leave()
        if at_once:
            self.transport.abort()
            return
        self.transport.close()
        if self._closing is None and not self.ended.done():
            self._closing = asyncio.get_running_loop().call_later(CLOSING_TIME, self.transport.abort)

    def fail(self, error: Exception) -> None:
        """A bug was met."""
        extra = {"port": self.name, "client": str(self.peer)}
        log.error("a session failed", exc_info=error, extra=extra)
        self.finish(End.ERROR, at_once=True)

    def _join(self) -> None:
        self._joined = True

    def _leave(self) -> None:
        if self._joined:
            self._joined = False
            for silence in self._silences:
                silence.cancel()
            self.left()

    def _watch_silence(self, limit: float, look: Callable[[], tuple[int, ...]], end: End) -> Silence:
        self._silences.append(Silence(limit, look, lambda: self.finish(end)))
        return self._silences[-1]

    def status(self) -> ClientStatus:
        """A snapshot."""
        state = self._state()
        return ClientStatus(
            address=self.peer.host,
            port=self.peer.port,
            since=self.since,
            state="half-closed" if self.half_closed and state == "open" else state,
            received=self.received,
            sent=self.sent,
            waiting=self.waiting(),
            controls=self.controls(),
            identity="" if self.identity is None else str(self.identity),
        )

    def _state(self) -> str:
        return "stalled" if self._held else "open"


def _end_of(error: Exception | None) -> End:
    """What a connection that the network ended died of."""
    match error:
        case None | ConnectionResetError() | BrokenPipeError():
            return End.CLOSED
        case TimeoutError():
            return End.DEAD
        case OSError(errno=number) if number in _UNREACHABLE:  # what a router says instead of silence
            return End.DEAD
        case _:
            return End.ERROR
