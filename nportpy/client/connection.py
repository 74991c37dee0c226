"""A Modbus client of a target: one request at a time to what is there, and what the line says beside.

What the frames mean is the codecs' business; here they are sent, and waited for.
"""

import asyncio
import os
import socket
from abc import abstractmethod
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn, cast

from nportpy.client.target import Target
from nportpy.errors import LineError, ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import TlsSettings
from nportpy.port.base import Port, PortSettings
from nportpy.port.opening import open_port
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.exchange import probe_of
from nportpy.protocols.modbus.functions import expected_answer
from nportpy.protocols.modbus.overheard import answering
from nportpy.protocols.modbus.rtu import MAX_FRAME, silent_interval
from nportpy.protocols.modbus.rtu_reply import ReplyFinder

CONNECT_TIME: Final = 5.0
"""Seconds that a connection may take to come about."""

READ_LATENCY: Final = 0.02
"""Seconds within which a USB adapter or a network hands over what has arrived: less is no silence."""

_REGISTERS = (3, 4)  # functions that read registers

_KEPT = 2 * MAX_FRAME  # bytes of what was heard lately: a frame that comes late may come in two pieces


class Overheard(NamedTuple):
    """What a line was heard to say beside the answers that were waited for.

    Attributes:
        units: of which a whole answer came lately, awaited or not.
        noise: bytes since the last look that belong to no frame.
        late: answers since the last look that came when nobody waited for them any more, and whose they are is lost.
    """

    units: set[int]
    noise: int
    late: int


class Client(asyncio.Protocol):
    """Asks one question at a time. Once lost, it stays lost: connect again."""

    def __init__(self, name: str, timeout: float) -> None:
        """Ask `name`, who may take `timeout` seconds for an answer."""
        self._name = name
        self._timeout = timeout
        self._answer: asyncio.Future[bytes] | None = None
        self._lost: Exception | None = None
        self._mute = True  # nothing ever came
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()

    @abstractmethod
    async def ask(self, unit: int, pdu: bytes) -> bytes:
        """The PDU of the answer, which may be an exception.

        Raises:
            TimeoutError: there was none in time.
            ProtocolError: the stream makes no sense any more.
            OSError: the connection is lost.
            LineError: the device is lost.
        """

    @property
    def lost(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._lost is not None

    @property
    def by_gateway(self) -> bool:
        """Whether a gateway may be on the way, which answers in a unit's place."""
        return self._transport is not None

    @abstractmethod
    def overheard(self) -> Overheard:
        """What was said beside."""

    @property
    def _nothing(self) -> str:
        """What to say where nothing at all has come, from whomever."""
        return ""

    @property
    def _hung_up(self) -> str:
        """What to say where nothing came but the end of the connection."""
        return ""

    async def close(self) -> None:
        """Give the connection back."""
        if self._transport is not None:
            self._transport.abort()
            await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, and not by descent

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        reason = f": {exc}" if exc else ""
        hint = f". {self._hung_up}" if self._mute and self._hung_up else ""
        self._fail(ConnectionError(f"{self._name} closed the connection{reason}{hint}"))
        self._gone.set()

    def _fail(self, error: Exception) -> None:
        self._lost = self._lost or error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _settle(self, pdu: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(pdu)

    async def _wait(self, unit: int, wire: bytes, limit: float) -> bytes:
        """Send `wire` and wait for what `_settle` is given, `limit` seconds at most."""
        if self._lost is not None:
            raise self._lost
        self._answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit):
                self._write(wire)
                return await self._answer
        except TimeoutError:
            reason = f"unit {unit} does not answer within {self._timeout:g} s"
            raise TimeoutError(f"{reason}: {self._nothing}" if self._mute and self._nothing else reason) from None
        finally:
            self._answer = None

    def _write(self, wire: bytes) -> None:
        assert self._transport is not None
        self._transport.write(wire)


class TcpClient(Client):
    """Modbus TCP."""

    def __init__(self, name: str, timeout: float) -> None:
        """See `Client`."""
        super().__init__(name, timeout)
        self._codec = mbap.Client()
        self._late = 0  # that `overheard` has told already
        self._read = b""  # the frame that was sent, if it reads registers: no answer is like it

    async def ask(self, unit: int, pdu: bytes) -> bytes:
        """See `Client`."""
        transaction, wire = self._codec.request(unit, pdu)
        self._read = wire if pdu[0] in _REGISTERS else b""
        try:
            return await self._wait(unit, wire, self._timeout)
        finally:
            self._codec.forget(transaction)

    @property
    def _nothing(self) -> str:
        """See `Client`."""
        return f"nothing at all came from {self._name}. {self._raw_port}"

    @property
    def _raw_port(self) -> str:
        _, there, place = self._name.rpartition("://")
        return f"A raw port? Then write {'raws' if there else 'rtu+tcp'}://{place}"

    def overheard(self) -> Overheard:
        """See `Client`."""
        before, self._late = self._late, self._codec.unmatched
        return Overheard(set(), 0, self._late - before)

    def data_received(self, data: bytes) -> None:
        """Find the answer in what came."""
        self._mute = False
        if data == self._read:
            self._fail(ProtocolError(f"{self._name} sends back what it gets. {self._raw_port}"))
        for event in self._codec.feed(data):
            match event:
                case mbap.Adu():
                    self._settle(event.pdu)
                case mbap.Malformed():
                    self._fail(
                        ProtocolError(f"{self._name} does not speak Modbus TCP: {event.reason}. {self._raw_port}")
                    )


class RtuClient(Client):
    """Modbus RTU: over TCP, or, as the receiver of a `Port`, on a serial device.

    It keeps the silence between frames. What RTU over TCP cannot know, the line's speed at the far end, is taken from
    the settings too.
    """

    def __init__(self, name: str, timeout: float, line: LineSettings) -> None:
        """See `Client`; `line` is what the frames pass over."""
        super().__init__(name, timeout)
        self._line = line
        self._silence = silent_interval(line)
        self._finder = ReplyFinder(quiet=max(self._silence, READ_LATENCY))
        self._clear = 0.0  # when the line has been silent for long enough
        self._heard = b""  # lately
        self._noise = 0  # that `overheard` has told already
        self._port: Port | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _hung_up(self) -> str:
        """See `Client`: a Modbus TCP server does so, as RTU frames are nothing to it."""
        scheme, _, place = self._name.partition("://")
        return f"A Modbus TCP port? Then write {'tls://' if scheme == 'raws' else ''}{place}"

    def attach(self, port: Port) -> None:
        """Ask through `port`, which has this as its receiver."""
        self._port = port

    async def close(self) -> None:
        """Give the device or the connection back."""
        self._stop_timer()
        if self._port is not None:
            await self._port.close()
        await super().close()

    async def ask(self, unit: int, pdu: bytes) -> bytes:
        """See `Client`."""
        if self._finder.wants_probe(pdu):
            with suppress(TimeoutError):  # a unit may leave reads unanswered and obey writes
                await self._exchange(unit, probe_of(pdu), self._timeout)
                if self._finder.wants_probe(pdu):  # there was noise before the answer
                    await self._exchange(unit, probe_of(pdu), self._timeout)
        return await self._exchange(unit, pdu, self._timeout)

    async def _exchange(self, unit: int, pdu: bytes, patience: float) -> bytes:
        loop = asyncio.get_running_loop()
        clear = max(self._clear, self._finder.clear_at(unit, pdu, loop.time()))
        await asyncio.sleep(max(0.0, clear - loop.time()))
        wire = self._finder.begin(unit, pdu)
        size = expected_answer(pdu).length
        characters = len(wire) + (size + 3 if size > 0 else MAX_FRAME)
        try:
            return await self._wait(unit, wire, patience + characters * self._line.character_time)
        finally:
            now = loop.time()
            self._finder.abandon(now + patience)
            self._clear = now + self._silence

    def overheard(self) -> Overheard:
        """See `Client`."""
        self._finder.settle()
        counts = self._finder.counts
        noise, self._noise = self._noise, counts.junk + counts.spoilt
        return Overheard(answering(self._heard), self._noise - noise, late=0)

    def data_received(self, data: bytes) -> None:
        """Find the answer in what came."""
        now = asyncio.get_running_loop().time()
        self._mute = False
        self._clear = now + self._silence
        self._heard = (self._heard + data)[-_KEPT:]
        self._hear(self._finder.feed(data, now))

    def port_lost(self, error: LineError) -> None:
        """The device is gone."""
        self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_timer()
        super().connection_lost(exc)

    def _expire(self) -> None:
        self._hear(self._finder.expire(asyncio.get_running_loop().time()))

    def _hear(self, answer: bytes | None) -> None:
        if answer is not None:
            self._settle(answer)
        self._stop_timer()
        deadline = self._finder.deadline()
        if deadline is not None and not self.lost:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write(self, wire: bytes) -> None:
        if self._port is not None:
            self._port.write(wire)
        else:
            super()._write(wire)


async def connect(target: Target, line: LineSettings, timeout: float) -> Client:  # noqa: ASYNC109 - an answer's, not this call's
    """Go to `target`.

    Args:
        target: whom to ask.
        line: speed and format of a device; of RTU over TCP, what is assumed of the line behind it.
        timeout: seconds that an answer may take, wire time not counted.

    Raises:
        OSError: no connection; the message says to whom and why.
        LineError: the device cannot be opened.
    """
    if isinstance(target.place, str):
        serial = RtuClient(str(target), timeout, line)
        serial.attach(await open_port(PortSettings(target.place, line, tls=target.tls), serial))
        return serial
    client = RtuClient(str(target), timeout, line) if target.rtu else TcpClient(str(target), timeout)
    try:
        async with asyncio.timeout(CONNECT_TIME):
            await _go(target.tls, target.place, client)
    except TimeoutError:
        _cannot(target, f"no answer within {CONNECT_TIME:g} s")
    except socket.gaierror as error:
        _cannot(target, error.strerror or str(error))
    except OSError as error:
        # asyncio puts its own words where the system's belong
        _cannot(target, os.strerror(error.errno) if error.errno else str(error))
    return client


async def _go(tls: TlsSettings | None, place: Endpoint, client: Client) -> None:
    loop = asyncio.get_running_loop()
    if tls is None:
        await loop.create_connection(lambda: client, place.host, place.port)
        return
    from nportpy.network.tls_calls import call_by_tls  # few targets want it

    transport = await call_by_tls(lambda make: loop.create_connection(make, place.host, place.port), tls, place.host)
    transport.hand_over(client)


def _cannot(target: Target, reason: str) -> NoReturn:
    raise ConnectionError(f"cannot connect to {target.place}: {reason}") from None
