"""Who subscribes to what upstreams say, by clients that are not ours."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from nportpy.edge.wire import Batch, decode_batch
from tests.support.upstreams import Key


class Subscriber:
    """What came, and what is retained."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.retained: dict[str, bytes] = {}
        self.times: dict[str, float] = {}
        self.changed: Callable[[str, bytes], None] = lambda _topic, _payload: None

    def hear(self, topic: str, payload: bytes, now: float) -> None:
        self.times[topic] = now
        if topic.rpartition("/")[2] in ("live", "late"):
            self.batches.append(decode_batch(payload))
        else:
            self.retained[topic] = payload
        self.changed(topic, payload)

    def received(self, *, late: bool | None = None) -> list[Key]:
        """Every sample that came, in its order; twice if it came twice."""
        return [
            (batch.boot, batch.seq + place)
            for batch in self.batches
            if late is None or batch.late is late
            for place in range(len(batch.rows))
        ]


@asynccontextmanager
async def paho(port: int, user: str = "", password: str = "", version: int = 5) -> AsyncIterator[Subscriber]:
    """A subscriber to everything, by paho, that stays subscribed while its broker comes and goes."""
    loop, heard = asyncio.get_running_loop(), Subscriber()
    ready = asyncio.Event()
    protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
    clean = None if version == 5 else False
    client = Client(CallbackAPIVersion.VERSION2, client_id="reader", protocol=protocol, clean_session=clean)
    if user:
        client.username_pw_set(user, password)

    def on_message(_c: object, _u: object, message: MQTTMessage) -> None:
        loop.call_soon_threadsafe(lambda: heard.hear(message.topic, bytes(message.payload), loop.time()))

    def on_connect(_c: object, _u: object, _f: object, _r: object, _p: object) -> None:
        client.subscribe([("nportpy/v1/#", 1), ("homeassistant/#", 1)])

    def on_subscribe(*_: Any) -> None:
        loop.call_soon_threadsafe(ready.set)

    client.on_message, client.on_connect, client.on_subscribe = on_message, on_connect, on_subscribe
    client.reconnect_delay_set(1, 1)
    client.connect_async("127.0.0.1", port, keepalive=10)
    client.loop_start()
    try:
        async with asyncio.timeout(10):
            await ready.wait()
        yield heard
    finally:
        client.disconnect()
        await loop.run_in_executor(None, client.loop_stop)
