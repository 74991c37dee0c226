"""A broker that does what real ones do seldom: refuses with any code, is slow, does not read, closes, talks nonsense.

It speaks MQTT 5 (and 3.1.1, if told to) as far as an upstream needs: CONNECT, SUBSCRIBE, PUBLISH of QoS 1, PINGREQ.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from nportpy.edge.wire import Batch, decode_batch


class OddBroker:
    """See the module.

    Attributes:
        port: of 127.0.0.1.
        puback: the reason of a publish's acknowledgement, by topic and payload; None: none is given.
        connack: what follows a CONNECT; None: nothing. Reason and properties, or any bytes.
        delay: seconds before each acknowledgement.
        reads: whether it reads at all.
        after_connect: what is sent behind the CONNACK.
        closes: right after CONNECT.
    """

    def __init__(self) -> None:
        self.port = 0
        self.puback: Callable[[str, bytes], int | None] = lambda _topic, _payload: 0
        self.connack: bytes | None = bytes((0x20, 3, 0, 0, 0))
        self.delay = 0.0
        self.reads = True
        self.after_connect = b""
        self.closes = False
        self.connects = 0
        self.under_way = self.most_under_way = 0
        self.batches: list[Batch] = []
        self.retained: dict[str, bytes] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def received(self) -> set[tuple[str, int]]:
        return {(each.boot, each.seq + place) for each in self.batches for place in range(len(each.rows))}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["OddBroker"]:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            server = await asyncio.start_server(self._take, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                server.close()
                for writer in self._open:
                    writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        self._open.add(writer)
        self.under_way = 0
        try:
            while True:
                while not self.reads:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                first, body = await _packet(reader)
                if not self._answer(writer, first, body):
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.transport.abort()

    def _answer(self, writer: asyncio.StreamWriter, first: int, body: bytes) -> bool:
        match first >> 4:
            case 1:
                if self.closes:
                    return False
                if self.connack is not None:
                    writer.write(self.connack + self.after_connect)
            case 8:
                writer.write(bytes((0x90, 5)) + body[:2] + bytes((0, 1, 1)))
            case 3:
                self._published(writer, first, body)
            case 12:
                writer.write(bytes((0xD0, 0)))
            case 14:
                return False
        return True

    def _published(self, writer: asyncio.StreamWriter, first: int, body: bytes) -> None:
        size = int.from_bytes(body[:2])
        topic, number = body[2 : 2 + size].decode(), body[2 + size : 4 + size]
        payload = body[4 + size + 1 + body[4 + size] :]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        reason = self.puback(topic, payload)
        if reason is not None and reason < 0x80:
            if topic.endswith(("live", "late")):
                self.batches.append(decode_batch(payload))
            elif first & 1:
                self.retained[topic] = payload
        if reason is not None:
            asyncio.get_running_loop().call_later(self.delay, self._acknowledge, writer, number, reason)

    def _acknowledge(self, writer: asyncio.StreamWriter, number: bytes, reason: int) -> None:
        self.under_way -= 1
        if not writer.is_closing():
            writer.write(bytes((0x40, 4)) + number + bytes((reason, 0)))


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    size, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first, await reader.readexactly(size)
