"""MQTT brokers: version 5, or 3.1.1 where 5 is refused. By paho-mqtt, whose network thread is hidden here.

A fresh client for each connection, clean start, no topic aliases, QoS 1: nothing of a session outlives its connection.
The reason in a PUBACK counts (MQTT 5.0, 3.4.2.1): 0x97, quota exceeded, is no success.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from nportpy.edge.links.base import Heard, LinkError, Message, RefusedError
from nportpy.edge.links.credentials import password_of, tls_context
from nportpy.edge.settings import UpstreamSettings

log = logging.getLogger(__name__)

_QOS: Final = 1
_FAILURE: Final = 0x80  # reason codes from here on are failures
_UNSUPPORTED: Final = (0x84, 0x01)  # the protocol's version: MQTT 5's code, and 3.1.1's return code
_PASSING: Final = frozenset((0x83, 0x87, 0x88, 0x89, 0x8B, 0x8D, 0x93, 0x97, 0x9B, 0x9C, 0x9D, 0x9F))
"""Reasons that may be over later: quota, rate, a right that somebody gives, a busy or leaving server."""

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_LEAVE_TIME: Final = 1.0


class UnsupportedVersionError(LinkError):
    """The broker does not speak this version."""


class MqttLink:
    """See `Link`."""

    carries_types: bool

    def __init__(self, url: str, settings: UpstreamSettings, heard: Heard, version: MQTTProtocolVersion) -> None:
        """Not connected yet: `connect` does that."""
        loop = self._loop = asyncio.get_running_loop()
        place = urlsplit(url)
        host, port = place.hostname or "", place.port or _PORTS[place.scheme]
        self.name = f"mqtt {'5' if version is MQTTProtocolVersion.MQTTv5 else '3.1.1'} at {host}:{port}"
        self.carries_types = version is MQTTProtocolVersion.MQTTv5
        self.lost: asyncio.Future[str] = loop.create_future()
        self._topics = f"nportpy/v1/{settings.site}/{settings.node}"
        self._place = host, port
        self._keepalive = max(1, round(settings.keepalive))
        self._heard = heard
        self._connected: asyncio.Future[None] = loop.create_future()
        self._subscribed: asyncio.Future[None] = loop.create_future()
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"nportpy-{settings.site}-{settings.node}-{settings.name}",
            protocol=version,
            clean_session=None if version is MQTTProtocolVersion.MQTTv5 else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = 10.0
        client.max_inflight_messages_set(0)  # the window is the upstream's
        if settings.user:
            client.username_pw_set(settings.user, password_of(settings.password_file))
        if place.scheme == "mqtts":
            client.tls_set_context(tls_context(settings.tls))
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    async def connect(self, will: Message) -> None:
        """Connect, and listen to commands; `will` is what the broker says when we are lost.

        Raises:
            UnsupportedVersionError: the broker wants another version.
            LinkError: there is no connection.
        """
        client = self._client
        client.will_set(f"{self._topics}/{will.topic}", will.payload, _QOS, will.retain)
        host, port = self._place
        try:
            client.connect_async(host, port, self._keepalive, **self._fresh())
            client.loop_start()
            async with asyncio.timeout(20.0):
                await self._connected
                client.subscribe([(f"{self._topics}/{each}", _QOS) for each in ("cmd", "ack")])
                await self._subscribed
        except TimeoutError:
            await self.close()
            raise LinkError(f"{self.name}: no answer within 20 s") from None
        except BaseException:
            await self.close()
            raise

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        if self.lost.done():
            raise LinkError(f"{self.name}: {self.lost.result()}")
        ack: asyncio.Future[None] = self._loop.create_future()
        properties = None
        if self.carries_types:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
            properties.ContentType = message.content_type
        topic = f"{self._topics}/{message.topic}"
        sent = self._client.publish(topic, message.payload, _QOS, message.retain, properties)
        if sent.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(f"{self.name}: {sent.rc.name}")
        self._acks[sent.mid] = ack  # its answer is heard in this loop, so it cannot have come yet
        try:
            await ack
        finally:
            self._acks.pop(sent.mid, None)

    async def close(self) -> None:
        """See `Link`."""
        with contextlib.suppress(ValueError, OSError):
            self._client.disconnect()
        # paho joins its thread, which may be in the middle of connecting: it ends by itself, and nobody waits for that.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_TIME):
                await asyncio.shield(self._loop.run_in_executor(None, self._client.loop_stop))
        self._lose("closed")

    def _fresh(self) -> dict[str, Any]:
        """A clean start, in the words of either version."""
        return {"clean_start": True} if self.carries_types else {}

    # In the loop.

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        error = LinkError(f"{self.name}: {reason}")
        for waiting in (self._connected, self._subscribed, *self._acks.values()):
            _fail(waiting, error)

    def _welcome(self, reason: ReasonCode) -> None:
        if not reason.is_failure:
            _settle(self._connected)
            return
        error = UnsupportedVersionError if reason.value in _UNSUPPORTED else LinkError
        _fail(self._connected, error(f"{self.name}: refused: {reason}"))

    def _acknowledge(self, mid: int, reason: ReasonCode) -> None:
        ack = self._acks.get(mid)
        if ack is None:
            return
        if reason.value >= _FAILURE:
            _fail(ack, RefusedError(str(reason), passing=reason.value in _PASSING))
        else:
            _settle(ack)

    def _subscription(self, reasons: list[ReasonCode]) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            log.warning("no commands from this broker", extra={"broker": self.name, "reason": str(refused[0])})
        _settle(self._subscribed)

    # In paho's thread.

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_connect(self, _c: object, _u: object, _f: ConnectFlags, reason: ReasonCode, _p: object) -> None:
        self._tell(self._welcome, reason)

    def _on_connect_fail(self, _c: object, _u: object) -> None:
        error = sys.exc_info()[1]
        self._tell(self._lose, f"cannot connect: {error or 'no connection'}")

    def _on_disconnect(self, _c: object, _u: object, flags: DisconnectFlags, reason: ReasonCode, _p: object) -> None:
        said = f"the broker ended it: {reason}" if flags.is_disconnect_packet_from_server else f"lost: {reason}"
        self._tell(self._lose, said)

    def _on_subscribe(self, _c: object, _u: object, _mid: int, reasons: list[ReasonCode], _p: object) -> None:
        self._tell(self._subscription, reasons)

    def _on_publish(self, _c: object, _u: object, mid: int, reason: ReasonCode, _p: object) -> None:
        self._tell(self._acknowledge, mid, reason)

    def _on_message(self, _c: object, _u: object, message: MQTTMessage) -> None:
        self._tell(self._heard, message.topic.rpartition("/")[2], bytes(message.payload))


async def connect(url: str, settings: UpstreamSettings, heard: Heard, will: Message) -> MqttLink:
    """A link to a broker: version 5, else 3.1.1.

    Raises:
        LinkError: there is no connection.
    """
    link = MqttLink(url, settings, heard, MQTTProtocolVersion.MQTTv5)
    try:
        await link.connect(will)
    except UnsupportedVersionError:
        link = MqttLink(url, settings, heard, MQTTProtocolVersion.MQTTv311)
        await link.connect(will)
    return link


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _fail(waiting: asyncio.Future[None], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # perhaps nobody waits
