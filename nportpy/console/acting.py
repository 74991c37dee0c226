"""What can be done from the pages: each of it is counted and logged, and goes through the owner of the wire."""

import asyncio
import json
import math
from collections.abc import Awaitable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.console.desk import Desk
from nportpy.console.routes import Asked, Field, Handler, Route, Wrong
from nportpy.console.streams import EVENTS, Stream, Streams
from nportpy.errors import NportpyError
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import Change
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.services import archived
from nportpy.services.answers import NDJSON, found

if TYPE_CHECKING:  # a gateway without Modbus need not import what it takes
    from nportpy.modbus.bus import Bus

_MOST_SENT: Final = 4096
_LONGEST_BREAK: Final = 5000
_DRAINED: Final = 10.0  # seconds that bytes may take to leave before that is said

_BUS: Final = Field("bus", "string", "a port's name, or tcp://HOST:PORT, as in the status", required=True, high=200)
_UNIT: Final = Field("unit", "integer", "whom", required=True, low=1, high=255)
_TYPE: Final = Field("type", "string", "float32, int16, string8, ...: as nportpy read has them", high=20)
_ORDER: Final = Field("order", "string", "of bytes; ABCD", choices=("ABCD", "CDAB", "BADC", "DCBA"))
_CONFIRM: Final = Field("confirm", "string", "the request, as an answer 428 has shown it: do it", high=600)


class Acting:
    """Handlers of the routes that do something."""

    def __init__(self, desk: Desk, streams: Streams) -> None:
        """Of one gateway."""
        self._desk = desk
        self._streams = streams
        self._scanned: set[str] = set()

    def routes(self) -> tuple[Route, ...]:
        """They."""
        return (
            self._route(
                "/api/v1/modbus/read",
                "read values of a unit",
                self.read,
                (_BUS, _UNIT, Field("read", "string", "as in 41001-41004", required=True, high=400), _TYPE, _ORDER),
                """'{"bus": "meter", "unit": 1, "read": "41001", "type": "float32"}'""",
            ),
            self._route(
                "/api/v1/modbus/ask",
                "send a request to a unit; one that may change something wants to be confirmed",
                self.ask,
                (_BUS, _UNIT, Field("pdu", "string", "in hexadecimal, without CRC", required=True, high=800), _CONFIRM),
                """'{"bus": "meter", "unit": 1, "pdu": "03 03e8 0002"}'""",
            ),
            self._route(
                "/api/v1/modbus/write",
                "write a value: the first answer is 428 and shows it, the second time with confirm does it",
                self.write,
                (
                    *(_BUS, _UNIT, Field("write", "string", "where, as in 41001", required=True, high=40)),
                    *(Field("value", "string", "what", required=True, high=300), _TYPE, _ORDER),
                    *(Field("multiple", "boolean", "with the function for several"), _CONFIRM),
                ),
            ),
            self._route(
                "/api/v1/modbus/scan",
                "which units there are, one line for each; who goes away stops it",
                self.scan,
                (
                    _BUS,
                    Field("first", "integer", "unit; 1", low=1, high=255),
                    Field("last", "integer", "unit; 247", low=1, high=255),
                ),
                """'{"bus": "meter", "first": 1, "last": 3}'""",
                gives=(EVENTS, NDJSON),
            ),
            self._route(
                "/api/v1/lines/{name}/send",
                "send bytes on a line, after the request that is on it",
                self.send,
                (
                    Field("hex", "string", "bytes in hexadecimal", high=3 * _MOST_SENT),
                    Field("text", "string", "or text, as UTF-8", high=_MOST_SENT),
                ),
                """'{"text": "hello"}'""",
            ),
            self._route(
                "/api/v1/lines/{name}/break",
                "send a break",
                self.send_break,
                (Field("milliseconds", "integer", "how long; 250", low=1, high=_LONGEST_BREAK),),
                """'{"milliseconds": 100}'""",
            ),
            self._route(
                "/api/v1/lines/{name}/modem_lines",
                "raise or drop DTR and RTS",
                self.modem_lines,
                (Field("dtr", "boolean", "its level"), Field("rts", "boolean", "its level")),
                """'{"dtr": true}'""",
            ),
            self._route("/api/v1/lines/{name}/reopen", "open the device anew", self.reopen, (), "'{}'"),
            self._route(
                "/api/v1/services/end",
                "end a client's connection",
                self.end,
                (
                    Field("port", "string", "the port's name", required=True, high=100),
                    Field("service", "string", "as in the status: raw, raw-2, modbus", required=True, high=100),
                    Field("client", "string", "ADDRESS:PORT, as in the status", required=True, high=100),
                ),
            ),
            Route(
                "POST",
                "/api/v1/archive/send",
                "send an interval of the archive again, late",
                self._counted("send_interval", self.send_interval),
                Right.ACT,
                query=(
                    Field("upstream", "string", "its name; all of them", high=100),
                    Field("from", "string", "ISO 8601 with an offset, or seconds since the epoch", high=40),
                    Field("to", "string", "the same", high=40),
                ),
                example="-X POST '{url}/api/v1/archive/send?from=2026-01-01T00:00:00Z'",
            ),
        )

    def _route(
        self,
        path: str,
        summary: str,
        handler: Handler,
        body: tuple[Field, ...],
        example: str = "",
        **more: Any,
    ) -> Route:
        name = path.rpartition("/")[2]
        typed = f"-H 'Content-Type: application/json' {{url}}{path} -d {example}" if example else ""
        return Route("POST", path, summary, self._counted(name, handler), Right.ACT, body=body, example=typed, **more)

    def _counted(self, name: str, handler: Handler) -> Handler:
        """Count what comes of it, and say who did it."""

        async def act(asked: Asked) -> web.StreamResponse:
            result = "failed"
            try:
                response = await handler(asked)
                result = "done"
            except Wrong as wrong:
                result = "unconfirmed" if wrong.status is HTTPStatus.PRECONDITION_REQUIRED else "failed"
                raise
            finally:
                self._desk.count(name, result)
                who, client = asked.who, str(asked.request.remote)
                event = _EVENTS.get(name, name)
                self._desk.audit.tell(event, who=who.name, how=who.how, client=client, result=result, **_told(asked))
            return response

        return act

    # Modbus

    async def read(self, asked: Asked) -> web.StreamResponse:
        """Values of a unit."""
        from nportpy.console import asking

        bus = self._bus(asked)
        readings = await _sensible(
            asking.read(bus, asked.get("unit"), asked.get("read"), asked.get("type", ""), asked.get("order", "ABCD"))
        )
        return found({"values": [_shown(each) for each in readings]})

    async def ask(self, asked: Asked) -> web.StreamResponse:
        """Any request."""
        from nportpy.console import asking

        bus, pdu = self._bus(asked), _bytes(asked.get("pdu"), "pdu")
        if not 1 <= len(pdu) <= 253:
            raise Wrong(HTTPStatus.BAD_REQUEST, "a PDU has 1 to 253 bytes")
        if not asking.changes_nothing(pdu):
            _want_confirmed(asked, pdu)
        answer = await asking.Desk(bus).ask(asked.get("unit"), pdu)
        return found({"request": pdu.hex(), "answer": answer.hex(), "exception": _exception(answer)})

    async def write(self, asked: Asked) -> web.StreamResponse:
        """One value, read back afterwards."""
        from nportpy.console import asking

        bus, unit = self._bus(asked), asked.get("unit")
        kind, order = asked.get("type", ""), asked.get("order", "ABCD")
        try:
            wanted, pdu = asking.written(
                asked.get("write"), asked.get("value"), kind, order, multiple=asked.get("multiple", False)
            )
        except ValueError as error:
            raise Wrong(HTTPStatus.BAD_REQUEST, str(error)) from error
        before = await _sensible(asking.read(bus, unit, asked.get("write"), kind, order))
        _want_confirmed(asked, pdu, name=wanted.name, before=_shown(before[0])["value"])
        answer = await asking.Desk(bus).ask(unit, pdu)
        if exception := _exception(answer):
            raise Wrong(HTTPStatus.BAD_GATEWAY, f"unit {unit} refuses: {exception}", pdu=pdu.hex())
        after = await _sensible(asking.read(bus, unit, asked.get("write"), kind, order))
        return found({"before": _shown(before[0]), "after": _shown(after[0])})

    async def scan(self, asked: Asked) -> web.StreamResponse:
        """Who is there."""
        from nportpy.console import asking

        bus, name = self._bus(asked), asked.get("bus")
        first, last = asked.get("first", 1), asked.get("last", 247)
        if first > last:
            raise Wrong(HTTPStatus.BAD_REQUEST, "first is greater than last")
        if name in self._scanned:
            raise Wrong(HTTPStatus.CONFLICT, f"{name} is being scanned already")
        self._scanned.add(name)
        try:
            with self._streams.one():
                stream = Stream(asked.request)
                await stream.begin()
                try:
                    async for each in asking.scan(bus, first, last):
                        await stream.say("unit", json.dumps(each, separators=(",", ":")))
                        if stream.gone:
                            break
                    else:
                        await stream.say("done", json.dumps({"done": True}))
                except ConnectionError:
                    pass  # who asked has gone, and with him the wish to know
                return stream.response
        finally:
            self._scanned.discard(name)

    def _bus(self, asked: Asked) -> "Bus":
        buses = self._desk.buses()
        bus = buses.get(asked.get("bus"))
        if bus is None:
            raise Wrong(HTTPStatus.NOT_FOUND, f"there is no such bus; there are: {', '.join(buses) or 'none'}")
        return bus

    # Lines

    async def send(self, asked: Asked) -> web.StreamResponse:
        """Bytes."""
        line = self._line(asked)
        text = asked.get("text")
        if (text is None) == (asked.get("hex") is None):
            raise Wrong(HTTPStatus.BAD_REQUEST, "either hex or text")
        try:
            data = _bytes(asked.get("hex"), "hex") if text is None else text.encode()
        except UnicodeEncodeError as error:  # half of a pair of surrogates
            raise Wrong(HTTPStatus.BAD_REQUEST, "text has what is no character") from error
        if not 1 <= len(data) <= _MOST_SENT:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"1 to {_MOST_SENT} bytes at once")
        sender = _Sender()
        line.stream.join(sender, hears=False)
        try:
            line.stream.write(sender, data)
            left = await _left(line)
        finally:
            line.stream.leave(sender)
        return found({"bytes": len(data), "left": left})

    async def send_break(self, asked: Asked) -> web.StreamResponse:
        """A break."""
        line = self._line(asked)
        if line.breaking:
            raise Wrong(HTTPStatus.CONFLICT, "a break is on already")
        line.set_break(True)
        try:
            await asyncio.sleep(asked.get("milliseconds", 250) / 1000)
        finally:
            line.set_break(False)
        return found({"milliseconds": asked.get("milliseconds", 250)})

    async def modem_lines(self, asked: Asked) -> web.StreamResponse:
        """DTR and RTS."""
        line = self._line(asked)
        if asked.get("dtr") is None and asked.get("rts") is None:
            raise Wrong(HTTPStatus.BAD_REQUEST, "dtr, rts or both")
        line.set_modem_lines(dtr=asked.get("dtr"), rts=asked.get("rts"))
        return found({"modem_lines": [str(each.name).lower() for each in line.modem_lines()]})

    async def reopen(self, asked: Asked) -> web.StreamResponse:
        """The device, anew."""
        self._line(asked).give_up("it is opened anew, as the console was told")
        return found({"reopening": True})

    def _line(self, asked: Asked) -> Line:
        lines = self._desk.lines()
        line = lines.get(asked.get("name"))
        if line is None:
            raise Wrong(HTTPStatus.NOT_FOUND, f"there is no such line; there are: {', '.join(lines) or 'none'}")
        if not line.up:
            raise Wrong(HTTPStatus.CONFLICT, f"{line.name} is not up: {line.status().error or line.state}")
        return line

    # Clients and samples

    async def end(self, asked: Asked) -> web.StreamResponse:
        """A client's connection."""
        names = asked.get("port"), asked.get("service"), asked.get("client")
        if not self._desk.end_client(*names):
            raise Wrong(HTTPStatus.NOT_FOUND, "there is no such client; it may have gone by itself")
        return found({"ended": True})

    async def send_interval(self, asked: Asked) -> web.StreamResponse:
        """An interval, again."""
        archive = self._desk.archive()
        if archive is None:
            raise Wrong(HTTPStatus.NOT_FOUND, "nothing is archived here")
        try:
            start, end = archived.interval(asked.get("from"), asked.get("to"))
            names = archive.send(asked.get("upstream", ""), start, end)
        except (ValueError, LookupError) as error:
            raise Wrong(HTTPStatus.BAD_REQUEST, str(error.args[0])) from error
        return found({"upstreams": names})


_EVENTS: Final = {"end": "kick", "ask": "request"}
"""What the audit calls them, where it is not the last word of their paths."""

_TOLD: Final = {
    "bus": "bus", "unit": "unit", "read": "read", "write": "write", "value": "value", "pdu": "pdu", "first": "first",
    "last": "last", "milliseconds": "milliseconds", "dtr": "dtr", "rts": "rts", "port": "port", "service": "service",
    "client": "ended", "upstream": "upstream", "from": "from", "to": "to", "name": "port",
}  # fmt: skip
"""What of a request stands in the audit, and as what. Not what is sent on a line: it may be a password."""


def _told(asked: Asked) -> dict[str, object]:
    return {_TOLD[key]: value for key, value in asked.values.items() if key in _TOLD}


class _Sender:
    """A client of a line's stream that only sends."""

    def line_data(self, data: bytes) -> None:
        """It does not hear."""

    def line_full(self) -> None:
        """It has no more than this."""

    def line_ready(self) -> None:
        """It has no more than this."""

    def line_up(self) -> None:
        """It did not wait."""

    def line_down(self) -> None:
        """What it sent is lost, or kept: as for others."""

    def line_changed(self, change: Change) -> None:
        """It set nothing."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """It does not watch."""


async def _left(line: Line) -> bool:
    """Whether everything has left, within a while."""
    try:
        async with asyncio.timeout(_DRAINED):
            while line.up and (line.unsent() or not line.left()):  # noqa: ASYNC110 - the UART tells nobody
                await asyncio.sleep(line.time_to_send())
    except TimeoutError:
        return False
    return line.up


async def _sensible(doing: Awaitable[list[Any]]) -> list[Any]:
    """What comes of it; what makes no sense is the client's fault."""
    try:
        return await doing
    except (ValueError, NportpyError) as error:
        raise Wrong(HTTPStatus.BAD_REQUEST, str(error)) from error


def _want_confirmed(asked: Asked, pdu: bytes, **more: object) -> None:
    if asked.get("confirm") != pdu.hex():
        detail = f'this may change something in unit {asked.get("unit")}: send it again with "confirm": "{pdu.hex()}"'
        raise Wrong(HTTPStatus.PRECONDITION_REQUIRED, detail, confirm=pdu.hex(), **more)


def _bytes(text: str, name: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Wrong(HTTPStatus.BAD_REQUEST, f"{name} is hexadecimal, as in 03 03e8 0002") from None


def _exception(answer: bytes) -> str:
    """What an exception means; empty: it is none."""
    from nportpy.client.readings import exception

    return exception(answer[1]) if len(answer) > 1 and answer[0] & 0x80 else ""


def _shown(reading: Any) -> dict[str, object]:
    value = reading.value
    if isinstance(value, float) and not math.isfinite(value):
        value = None  # JSON has no such numbers
    return {"address": reading.wanted.name, "value": value, "data": reading.data.hex(), "fault": reading.fault}
