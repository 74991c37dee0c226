"""MQTT brokers: version 5, or 3.1.1 where 5 is refused. By paho-mqtt, its sockets in this event loop.

A fresh client for each connection, clean start, no topic aliases, QoS 1: nothing of a session outlives its connection.
The reason in a PUBACK counts (MQTT 5.0, 3.4.2.1): 0x97, quota exceeded, is no success. What the broker says in its
CONNACK holds (3.2.2.3): how many messages may be under way, how large one may be, whether it retains.

paho's own thread is not used: an exception in it would end it in silence, and it stays with a broker that does not
read. Only calling out is done in a thread, as names are looked up and TLS shakes hands there; both are bounded.
"""

import asyncio
import contextlib
import logging
import ssl
from typing import Any, Final, cast
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from nportpy.edge.links.base import Heard, LinkError, Message, RefusedError
from nportpy.edge.links.credentials import Named, failure_of, password_of, tls_context
from nportpy.edge.settings import UpstreamSettings

log = logging.getLogger(__name__)

_QOS: Final = 1
_FAILURE: Final = 0x80  # reason codes from here on are failures
_UNSUPPORTED: Final = (0x84, 0x01)  # the protocol's version: MQTT 5's code, and 3.1.1's return code
_PASSING: Final = frozenset((0x83, 0x87, 0x88, 0x89, 0x8B, 0x8D, 0x93, 0x97, 0x9B, 0x9C, 0x9D, 0x9F))
"""Reasons that may be over later: quota, rate, a right that somebody gives, a busy or leaving server."""

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_CALL_TIME: Final = 10.0  # for TCP, and again for TLS
_WELCOME_TIME: Final = 20.0
_LEAVE_TIME: Final = 1.0
_TICK: Final = 1.0  # paho looks at its keepalive so often
_LARGEST_HEARD: Final = 65536  # bytes of what somebody may tell us
_AROUND: Final = 64  # bytes of a packet beside topic, content type and payload


class UnsupportedVersionError(LinkError):
    """The broker does not speak this version."""


class _TlsSocket(ssl.SSLSocket):
    """Does not stay open when the other side is not who it should be: paho lets it go then, unclosed."""

    def do_handshake(self, block: bool = False) -> None:
        """As the original."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


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
        self._socket: Any = None  # of paho, once this loop watches it
        self._calling: asyncio.Future[None] | None = None
        self._closed = False
        self._tick: asyncio.TimerHandle | None = None
        self._under_way = asyncio.Semaphore(0xFFFF)
        self._largest = 0  # bytes of a packet that the broker takes; 0: any
        self._retains = True
        self._client = self._made(settings, version, secure=place.scheme == "mqtts")

    def _made(self, settings: UpstreamSettings, version: MQTTProtocolVersion, *, secure: bool) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"nportpy-{settings.site}-{settings.node}-{settings.name}",
            protocol=version,
            clean_session=None if self.carries_types else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CALL_TIME
        client.max_inflight_messages_set(0)  # the window is the upstream's, and the broker's
        if settings.user:
            client.username_pw_set(settings.user, password_of(settings.password_file))
        if secure:
            context = tls_context(settings.tls)
            context.sslsocket_class = _TlsSocket
            client.tls_set_context(
                cast(ssl.SSLContext, Named(context, settings.tls.server_name if settings.tls else ""))
            )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_wants_to_write
        client.on_socket_unregister_write = self._on_has_written
        return client

    async def connect(self, will: Message) -> None:
        """Connect, and listen to commands; `will` is what the broker says when we are lost.

        Raises:
            UnsupportedVersionError: the broker wants another version.
            LinkError: there is no connection.
        """
        client = self._client
        client.will_set(f"{self._topics}/{will.topic}", will.payload, _QOS, will.retain)
        try:
            async with asyncio.timeout(_WELCOME_TIME):
                self._calling = self._loop.run_in_executor(None, self._call)
                await asyncio.shield(self._calling)
                self._watch()
                await self._connected
                client.subscribe([(f"{self._topics}/{each}", _QOS) for each in ("cmd", "ack")])
                await self._subscribed
        except TimeoutError:
            await self.close()
            raise LinkError(f"{self.name}: no answer within {_WELCOME_TIME:g} s") from None
        except (OSError, ValueError) as error:  # a name that cannot be one is a ValueError
            await self.close()
            raise LinkError(f"{self.name}: {failure_of(error)}") from error
        except BaseException:
            await self.close()
            raise

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        properties = None
        if self.carries_types:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
            properties.ContentType = message.content_type
        topic = message.topic if message.whole else f"{self._topics}/{message.topic}"
        size = len(message.payload) + len(topic) + len(message.content_type) + _AROUND
        if self._largest and size > self._largest:
            raise RefusedError(f"larger than the broker's {self._largest} bytes", passing=False)
        async with self._under_way:
            if self.lost.done():
                raise LinkError(f"{self.name}: {self.lost.result()}")
            ack: asyncio.Future[None] = self._loop.create_future()
            sent = self._client.publish(topic, message.payload, _QOS, message.retain and self._retains, properties)
            if sent.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise LinkError(f"{self.name}: {sent.rc.name}")
            self._acks[sent.mid] = ack  # its answer is heard in this loop, so it cannot have come yet
            try:
                await ack
            finally:
                self._acks.pop(sent.mid, None)

    async def close(self) -> None:
        """See `Link`."""
        if self._calling is not None and not self._calling.done():
            self._closed = True  # whoever is in the middle of calling hangs up by itself
            with contextlib.suppress(OSError, ValueError, TimeoutError):
                async with asyncio.timeout(_LEAVE_TIME):
                    await asyncio.shield(self._calling)
        self._closed = True
        if self._calling is not None:
            self._calling.add_done_callback(_looked_at)
        self._lose("closed")
        self._client.disconnect()
        with contextlib.suppress(OSError, ValueError):
            self._client.loop_write()  # what fits into the socket's buffer; nobody waits for the rest
        self._hang_up()

    # Calling, in a thread.

    def _call(self) -> None:
        host, port = self._place
        options: dict[str, Any] = {}
        if self.carries_types:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
            properties.MaximumPacketSize = _LARGEST_HEARD
            options = {"clean_start": True, "properties": properties}
        self._client.connect(host, port, self._keepalive, **options)
        if self._closed:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close the socket, whatever is in it."""
        if self._tick is not None:
            self._tick.cancel()
        if (place := self._client.socket()) is not None:
            self._on_socket_close(None, None, place)
            with contextlib.suppress(OSError):
                place.close()

    # In the loop.

    def _watch(self) -> None:
        self._socket = self._client.socket()
        if self._socket is None:
            self._lose("lost while it was made")
            return
        self._loop.add_reader(self._socket, self._read)
        if self._client.want_write():
            self._loop.add_writer(self._socket, self._write)
        self._tick = self._loop.call_later(_TICK, self._look)

    def _read(self) -> None:
        try:
            self._client.loop_read()
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                self._client.loop_read()  # what TLS has unpacked already wakes nobody
        except Exception as error:  # whatever a broker can say that paho does not expect
            self._fell_over(error)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:
            self._fell_over(error)

    def _look(self) -> None:
        self._tick = self._loop.call_later(_TICK, self._look)
        try:
            self._client.loop_misc()
        except Exception as error:
            self._fell_over(error)

    def _fell_over(self, error: Exception) -> None:
        self._lose(f"the broker said what nobody understands: {error!r:.200}")
        self._hang_up()

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        error = LinkError(f"{self.name}: {reason}")
        for waiting in (self._connected, self._subscribed, *self._acks.values()):
            _fail(waiting, error)

    # What paho calls; in the loop, but for the sockets of a call that is being made.

    def _on_socket_close(self, _c: object, _u: object, place: Any) -> None:
        if self._socket is not None:
            self._loop.remove_reader(place)
            self._loop.remove_writer(place)
            self._socket = None

    def _on_wants_to_write(self, _c: object, _u: object, place: Any) -> None:
        if self._socket is not None:
            self._loop.add_writer(place, self._write)

    def _on_has_written(self, _c: object, _u: object, place: Any) -> None:
        if self._socket is not None:
            self._loop.remove_writer(place)

    def _on_connect(
        self, _c: object, _u: object, _f: ConnectFlags, reason: ReasonCode, said: Properties | None
    ) -> None:
        if reason.is_failure:
            error = UnsupportedVersionError if reason.value in _UNSUPPORTED else LinkError
            _fail(self._connected, error(f"{self.name}: refused: {_words(reason, said)}"))
            return
        if getattr(said, "MaximumQoS", 1) < _QOS:
            _fail(self._connected, LinkError(f"{self.name}: it acknowledges nothing (its MaximumQoS is 0)"))
            return
        self._under_way = asyncio.Semaphore(getattr(said, "ReceiveMaximum", 0xFFFF))
        self._largest = getattr(said, "MaximumPacketSize", 0)
        self._retains = bool(getattr(said, "RetainAvailable", 1))
        _settle(self._connected)

    def _on_disconnect(
        self, _c: object, _u: object, flags: DisconnectFlags, reason: ReasonCode, said: Properties | None
    ) -> None:
        words = _words(reason, said)
        self._lose(f"the broker ended it: {words}" if flags.is_disconnect_packet_from_server else f"lost: {words}")

    def _on_subscribe(self, _c: object, _u: object, _mid: int, reasons: list[ReasonCode], _p: object) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            log.warning("no commands from this broker", extra={"broker": self.name, "reason": str(refused[0])})
        _settle(self._subscribed)

    def _on_publish(self, _c: object, _u: object, mid: int, reason: ReasonCode, said: Properties | None) -> None:
        ack = self._acks.get(mid)
        if ack is None:
            return
        if reason.value >= _FAILURE:
            _fail(ack, RefusedError(_words(reason, said), passing=reason.value in _PASSING))
        else:
            _settle(ack)

    def _on_message(self, _c: object, _u: object, message: MQTTMessage) -> None:
        self._heard(message.topic.rpartition("/")[2], bytes(message.payload))


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


def _words(reason: ReasonCode, said: Properties | None) -> str:
    """A reason in the broker's words, as far as it has any (MQTT 5.0, 3.4.2.2.2)."""
    more = str(getattr(said, "ReasonString", ""))[:200]
    return f"{reason} ({more})" if more else str(reason)


def _looked_at(calling: "asyncio.Future[None]") -> None:
    """Nobody waits any more for how a call went."""
    if not calling.cancelled():
        calling.exception()


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _fail(waiting: asyncio.Future[None], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # perhaps nobody waits
