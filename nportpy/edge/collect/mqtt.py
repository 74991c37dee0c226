"""Batches from an MQTT broker: version 5, or 3.1.1 where 5 is refused. By paho-mqtt, whose thread is hidden here.

The broker keeps our session and what came meanwhile; nothing is acknowledged (PUBACK) before it is stored. With MQTT 5
the collectors of a group share the batches (`$share/GROUP/...`, 5.0, 4.8.2), and all of them hear states and tag
tables, since retained messages are not sent to shared subscriptions (4.8.2). What one delivery may bring at most, the
Receive Maximum says (3.1.2.11.3); 3.1.1 has none, and there brokers have limits of their own.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from nportpy.edge.collect.arrivals import Arrival
from nportpy.edge.collect.intake import Intake
from nportpy.edge.collect.settings import SourceSettings
from nportpy.edge.links.base import LinkError
from nportpy.edge.links.credentials import password_of, tls_context
from nportpy.edge.links.mqtt import UnsupportedVersionError
from nportpy.edge.topics import Kind, topic_filter

RECEIVE_MAXIMUM: Final = 500
"""Messages that may be unacknowledged: of the 16 kB that a node makes, half of what the intake takes."""

_QOS: Final = 1
_UNSUPPORTED: Final = (0x84, 0x01)  # the protocol's version: MQTT 5's code, and 3.1.1's return code
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_ANSWER_TIME: Final = 20.0
_LEAVE_TIME: Final = 1.0


class MqttSource:
    """See `Source`."""

    def __init__(self, url: str, settings: SourceSettings, intake: Intake, version: MQTTProtocolVersion) -> None:
        """Not connected yet: `connect` does that."""
        loop = self._loop = asyncio.get_running_loop()
        place = urlsplit(url)
        self._place = place.hostname or "", place.port or _PORTS[place.scheme]
        self._five = version is MQTTProtocolVersion.MQTTv5
        self.name = f"mqtt {'5' if self._five else '3.1.1'} at {self._place[0]}:{self._place[1]}"
        self._settings = settings
        self._intake = intake
        self._lost: asyncio.Future[str] = loop.create_future()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._subscribed: asyncio.Future[list[ReasonCode]] = loop.create_future()
        client = self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client,
            protocol=version,
            clean_session=None if self._five else False,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = 10.0
        if settings.user:
            client.username_pw_set(settings.user, password_of(settings.password_file))
        if place.scheme == "mqtts":
            client.tls_set_context(tls_context(settings.tls))
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    async def connect(self) -> None:
        """Connect, and subscribe.

        Raises:
            UnsupportedVersionError: the broker wants another version.
            LinkError: there is no connection, or nothing may be read there.
        """
        client, (host, port) = self._client, self._place
        try:
            if self._five:
                session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
                session.SessionExpiryInterval = min(round(self._settings.session), 0xFFFF_FFFE)
                session.ReceiveMaximum = RECEIVE_MAXIMUM
                client.connect_async(host, port, self._keepalive, clean_start=False, properties=session)
            else:
                client.connect_async(host, port, self._keepalive)
            client.loop_start()
            async with asyncio.timeout(_ANSWER_TIME):
                await self._connected
                await self._subscribe()
        except TimeoutError:
            await self.close()
            raise LinkError(f"{self.name}: no answer within {_ANSWER_TIME:.0f} s") from None
        except BaseException:
            await self.close()
            raise

    async def run(self) -> None:
        """See `Source`."""
        raise LinkError(f"{self.name}: {await asyncio.shield(self._lost)}")

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """See `Source`. In the order of arrival, as MQTT wants it (5.0, 4.6)."""
        if not self._lost.done():
            for each in arrivals:
                if isinstance(each.receipt, int) and each.receipt:  # none where somebody published with QoS 0
                    self._client.ack(each.receipt, _QOS)

    async def give_back(self, arrivals: Sequence[Arrival]) -> None:
        """See `Source`. MQTT has no word for it: the broker keeps them for this collector."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Source`."""
        sent = self._client.publish(topic, payload, _QOS)
        if sent.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(f"{self.name}: {sent.rc.name}")

    async def close(self) -> None:
        """See `Source`."""
        with contextlib.suppress(ValueError, OSError):
            self._client.disconnect()
        # paho joins its thread, which may be in the middle of connecting: it ends by itself, and nobody waits for that.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_TIME):
                await asyncio.shield(self._loop.run_in_executor(None, self._client.loop_stop))
        self._lose("closed")

    @property
    def _keepalive(self) -> int:
        return max(1, round(self._settings.keepalive))

    async def _subscribe(self) -> None:
        plain = [topic_filter(kind) for kind in (Kind.STATE, Kind.META)]  # first: names come before samples
        batches = [topic_filter(kind) for kind in (Kind.LIVE, Kind.LATE)]
        group = self._settings.group if self._five else ""
        shared = [f"$share/{group}/{each}" for each in batches] if group else batches
        self._client.subscribe([(each, _QOS) for each in (*plain, *shared)])
        for reason in await self._subscribed:
            if reason.is_failure:
                raise LinkError(f"{self.name}: a subscription is refused: {reason}")

    # In the loop.

    def _lose(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)
        error = LinkError(f"{self.name}: {reason}")
        for waiting in (self._connected, self._subscribed):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # perhaps nobody waits

    def _welcome(self, reason: ReasonCode) -> None:
        if self._connected.done():
            return
        if reason.is_failure:
            error = UnsupportedVersionError if reason.value in _UNSUPPORTED else LinkError
            self._connected.set_exception(error(f"{self.name}: refused: {reason}"))
            self._connected.exception()
        else:
            self._connected.set_result(None)

    def _subscription(self, reasons: list[ReasonCode]) -> None:
        if not self._subscribed.done():
            self._subscribed.set_result(reasons)

    def _take(self, message: MQTTMessage) -> None:
        if self._lost.done():
            return  # it comes again
        if self._intake.flooded:  # a broker without limits; what was not acknowledged comes again
            self._lose("it sends more than may wait for the store")
            return
        properties = getattr(message, "properties", None)
        kind = str(getattr(properties, "ContentType", ""))
        receipt = message.mid if message.qos else 0
        self._intake.put(Arrival(message.topic, bytes(message.payload), kind, time.time_ns() // 1000, self, receipt))

    # In paho's thread.

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_connect(self, _c: object, _u: object, _f: ConnectFlags, reason: ReasonCode, _p: object) -> None:
        self._tell(self._welcome, reason)

    def _on_connect_fail(self, _c: object, _u: object) -> None:
        self._tell(self._lose, f"cannot connect: {sys.exc_info()[1] or 'no connection'}")

    def _on_disconnect(self, _c: object, _u: object, flags: DisconnectFlags, reason: ReasonCode, _p: object) -> None:
        said = f"the broker ended it: {reason}" if flags.is_disconnect_packet_from_server else f"lost: {reason}"
        self._tell(self._lose, said)

    def _on_subscribe(self, _c: object, _u: object, _mid: int, reasons: list[ReasonCode], _p: object) -> None:
        self._tell(self._subscription, reasons)

    def _on_message(self, _c: object, _u: object, message: MQTTMessage) -> None:
        self._tell(self._take, message)


async def connect(url: str, settings: SourceSettings, intake: Intake) -> MqttSource:
    """A connection to a broker: version 5, else 3.1.1.

    Raises:
        LinkError: there is no connection.
    """
    source = MqttSource(url, settings, intake, MQTTProtocolVersion.MQTTv5)
    try:
        await source.connect()
    except UnsupportedVersionError:
        source = MqttSource(url, settings, intake, MQTTProtocolVersion.MQTTv311)
        await source.connect()
    return source
