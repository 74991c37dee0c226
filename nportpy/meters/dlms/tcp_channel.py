"""The wrapper on a TCP connection: APDUs there and back, each in one piece. The connection stays between the calls."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from nportpy.errors import LineDown, ProtocolError
from nportpy.meters.dlms.errors import AnswerTooLong, ConnectionLost, MeterSilent
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.network.addresses import Endpoint
from nportpy.protocols.dlms.wrapper import Wrapped, WrapperReader

CONNECT: Final = 5.0
"""Seconds for a connection to come about."""

_CHUNK: Final = 65536


class TcpChannel:
    """See `Channel`."""

    def __init__(self, endpoint: Endpoint, settings: DlmsSettings, name: str) -> None:
        """Nothing is open. `name` is for messages."""
        self._endpoint = endpoint
        self._settings = settings
        self.whom = f"{name or endpoint} (server {settings.upper}, client {settings.client})"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._reader = WrapperReader()
        self._heard: deque[Wrapped] = deque()

    @property
    def connected(self) -> bool:
        """See `Channel`."""
        if self._streams is None:
            return False
        reader, writer = self._streams
        return not reader.at_eof() and not writer.is_closing()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """See `Channel`: it is nobody else's."""
        yield

    async def connect(self) -> None:
        """See `Channel`."""
        self.abandon()
        self._reader, self._heard = WrapperReader(), deque()
        where = self._endpoint
        try:
            async with asyncio.timeout(CONNECT):
                self._streams = await asyncio.open_connection(where.host, where.port)
        except TimeoutError:
            raise LineDown(f"{where}: no connection within {CONNECT:g} s") from None
        except OSError as error:
            raise LineDown(f"{where}: {error.strerror or error}") from None

    async def exchange(self, apdu: bytes, within: float, *, secret: bool = False) -> bytes:  # noqa: ARG002 - no trace
        """See `Channel`."""
        if self._streams is None:
            raise ConnectionLost(f"{self.whom}: not connected")
        self._heard.clear()
        self._streams[1].write(Wrapped(self._settings.client, self._settings.upper, apdu).encode())
        return await self.another(within)

    async def another(self, within: float) -> bytes:
        """See `Channel`."""
        try:
            async with asyncio.timeout(within):
                while True:
                    while self._heard:
                        wrapped = self._heard.popleft()
                        if wrapped[:2] == (self._settings.upper, self._settings.client):
                            return self._bounded(wrapped.apdu)
                    await self._hear()
        except TimeoutError:
            self.abandon()  # a late answer must not be taken for the next one
            raise MeterSilent(f"{self.whom} does not answer within {within:g} s") from None
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """See `Channel`."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def disconnect(self) -> None:
        """See `Channel`."""
        self.abandon()

    def _bounded(self, apdu: bytes) -> bytes:
        if len(apdu) > self._settings.max_size:
            raise AnswerTooLong(f"{self.whom}: an answer of {len(apdu)} bytes")
        return apdu

    async def _hear(self) -> None:
        if self._streams is None:
            raise ConnectionLost(f"{self.whom}: not connected")
        try:
            data = await self._streams[0].read(_CHUNK)
        except OSError as error:
            raise ConnectionLost(f"{self.whom}: {error.strerror or error}") from None
        if not data:
            raise ConnectionLost(f"{self.whom} has closed the connection")
        try:
            self._heard += self._reader.feed(data)
        except ProtocolError as error:
            raise ProtocolError(f"{self.whom}: {error}") from None
