"""The tables and keys of the modes in which a line is a stream, in the manner of tables.py."""

from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from nportpy.config import stream_values, values
from nportpy.config.tables import (
    BOOLEAN,
    TEXT,
    Allow,
    JsonSchema,
    Leaf,
    LineService,
    Listen,
    Many,
    OwnLine,
    ServiceKeys,
    Table,
    UsesTls,
    duration,
    endpoints,
    integer,
    size,
    words,
)
from nportpy.config.values import ValueFault
from nportpy.linesettings import LineSettings
from nportpy.modes.commands_base import CommandSettings, Unrequested
from nportpy.modes.modem_base import Carrier, ModemSettings, Number
from nportpy.modes.pair_base import DtrFrom, PairSettings, Push, WhileAway
from nportpy.modes.realcom_base import MOST_NUMBERED, RealComSettings, default_ports
from nportpy.modes.reverse_telnet_base import Enter, LineEnds, ReverseTelnetSettings
from nportpy.modes.tcp_client_base import COMBINATIONS, MOST_DESTINATIONS, ConnectOn, DisconnectOn, TcpClientSettings
from nportpy.modes.udp_base import LARGEST_PAYLOAD, Accept, Range, UdpSettings
from nportpy.network.addresses import Destination, Group
from nportpy.network.service import Direction, WhenDown, WhenJammed
from nportpy.protocols.at import check_init
from nportpy.protocols.packing import MAX_LENGTH, Delimiting, Packing, PackingSettings

_NOWHERE = Destination("", 0)
_CALLS = TcpClientSettings(destinations=())
_COMMANDS = CommandSettings()
_MODEM = ModemSettings(listen=())
_PACKING = PackingSettings()
_PAIR = PairSettings(to=_NOWHERE)
_REALCOM = RealComSettings(data=(), command=())
_TELNET = ReverseTelnetSettings(listen=())
_UDP = UdpSettings(listen=())

_ALIVE_CHECK = duration("1s", "9h", off=True)  # Linux keeps TCP_KEEPIDLE up to 32767 seconds
_CONNECT_TIME = duration("100ms", "5min")
_RETRY = duration("100ms", "1h")
_BREAK = duration("10ms", "10s")
_SHORT = duration("0ms", "10s")


class _WordOr:
    """A word, or a table with details; gives settings.

    Attributes:
        table: the table's model, with `settings()`.
        word: what a word means; it raises ValueFault for one that means nothing.
        known: the words, for the schema and for messages.
    """

    def __init__(self, table: type[Any], word: Callable[[object], Any], known: list[str], example: str) -> None:
        self.table = table
        self.word = word
        self.known = known
        self.example = example

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler.generate_schema(self.table))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        words: list[object] = [word == "true" if word in ("true", "false") else word for word in self.known]
        return {"anyOf": [{"enum": words}, handler(schema)] if words else [TEXT, handler(schema)]}

    def _read(self, value: object, read_table: Callable[[object], Any]) -> Any:
        if isinstance(value, dict):
            return read_table(value).settings()
        try:
            return self.word(value)
        except ValueFault as fault:
            reason = fault.reason.replace("a string", "a string or a table").replace(
                "a boolean", "a boolean or a table"
            )
            raise ValueFault(reason, f"{fault.allowed}, or {self.example}") from fault


class PackingTable(Table):
    """`packing` as a table."""

    mode: Annotated[Packing, words(Packing)] = _PACKING.packing
    length: Annotated[int, integer(0, MAX_LENGTH)] = _PACKING.length
    delimiters: Annotated[bytes, Leaf(stream_values.delimiters, TEXT)] = _PACKING.delimiters
    delimiting: Annotated[Delimiting, words(Delimiting)] = _PACKING.delimiting
    force_transmit: Annotated[float, duration("1ms", "10min", off=True)] = _PACKING.force_transmit
    gap: Annotated[float, Leaf(stream_values.characters, {"type": "number"})] = _PACKING.gap
    latency: Annotated[float, duration("0ms", "1s")] = _PACKING.latency

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        try:
            self.settings()
        except ValueError as error:
            raise ValueFault(str(error)) from error
        return self

    def settings(self) -> PackingSettings:
        """The same in settings."""
        return PackingSettings(
            self.mode, self.length, self.delimiters, self.delimiting, self.force_transmit, self.gap, self.latency
        )


PACKING = Annotated[
    PackingSettings,
    _WordOr(
        PackingTable,
        lambda value: PackingSettings(Packing(values.word(value, Packing))),
        [str(word) for word in Packing],
        '{ delimiters = "0D 0A" }',
    ),
]


class CommandTable(Table):
    """`commands` as a table."""

    response_timeout: Annotated[float, duration("1ms", "10min", off=True)] = _COMMANDS.response_timeout
    requests: PACKING = _COMMANDS.requests
    answers: PACKING = _COMMANDS.answers
    pause: Annotated[float, _SHORT] = _COMMANDS.pause
    unrequested: Annotated[Unrequested, words(Unrequested)] = _COMMANDS.unrequested
    queue: Annotated[int, integer(1, 1000)] = _COMMANDS.queue

    @model_validator(mode="after")
    def _ends(self) -> Self:
        try:
            self.settings()
        except ValueError as error:
            raise ValueFault(str(error), 'answers = "gap" and the like') from error
        return self

    def settings(self) -> CommandSettings:
        """The same in settings."""
        return CommandSettings(**vars(self))


COMMANDS = Annotated[
    CommandSettings | None,
    _WordOr(
        CommandTable,
        lambda value: CommandSettings() if values.boolean(value) else None,
        ["true", "false"],
        '{ response_timeout = "500ms" }',
    ),
]


class StreamService(LineService, OwnLine):
    """What the listeners have in common whose clients hear the line."""

    packing: PACKING = _PACKING
    direction: Annotated[Direction, words(Direction)] = Direction.BOTH


class HostTable(Table):
    """An item of `to` as a table."""

    host: Annotated[Destination, Leaf(stream_values.destination, TEXT)]
    local_port: Annotated[int, integer(0, 65535)] = _NOWHERE.local_port

    def settings(self) -> Destination:
        """The same in settings."""
        return Destination(self.host.host, self.host.port, self.local_port)


_HOST = Annotated[
    Destination, _WordOr(HostTable, stream_values.destination, [], '{ host = "192.0.2.10:4001", local_port = 4001 }')
]
_HOSTS = Annotated[list[_HOST], Many("nobody would be called", single=True, example='"192.0.2.10:4001"')]


def _at_most(count: int, what: str) -> Callable[[list[Any]], list[Any]]:
    def check(found: list[Any]) -> list[Any]:
        if len(found) > count:
            raise ValueFault(f"has {len(found)} {what}", f"up to {count}")
        return found

    return check


class TcpClient(OwnLine):
    """[port.NAME.tcp_client]: hosts that the gateway calls."""

    to: _HOSTS
    connect: Annotated[ConnectOn, words(ConnectOn)] = _CALLS.connect
    disconnect: Annotated[DisconnectOn, words(DisconnectOn)] = _CALLS.disconnect
    inactivity: Annotated[float, duration("10ms", "7d", off=True)] = _CALLS.inactivity
    connect_timeout: Annotated[float, _CONNECT_TIME] = _CALLS.connect_timeout
    retry_at_most: Annotated[float, _RETRY] = _CALLS.retry_at_most
    alive_check: Annotated[float, _ALIVE_CHECK] = _CALLS.alive_check
    half_close: Annotated[float, duration("0s", "1h")] = _CALLS.half_close
    when_down: Annotated[WhenDown, words(WhenDown)] = _CALLS.when_down
    allowance: Annotated[int, size("4KiB", "64MiB")] = _CALLS.allowance
    when_jammed: Annotated[WhenJammed, words(WhenJammed)] = _CALLS.when_jammed
    packing: PACKING = _CALLS.packing
    direction: Annotated[Direction, words(Direction)] = _CALLS.direction
    keep: Annotated[int, size("0B", "64KiB")] = _CALLS.keep
    tls: UsesTls = _CALLS.tls

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _at_most(MOST_DESTINATIONS, "destinations")(self.to)
        if (self.connect, self.disconnect) not in COMBINATIONS:
            fitting = sorted(str(end) for start, end in COMBINATIONS if start is self.connect)
            reason = f"connect = {self.connect} and disconnect = {self.disconnect} do not go together"
            raise ValueFault(reason, f"disconnect = {' or '.join(fitting)}")
        if (self.disconnect is DisconnectOn.INACTIVITY) is not bool(self.inactivity):
            raise ValueFault('inactivity goes with disconnect = "inactivity", and that with it', "both or neither")
        return self

    def settings(self, port: LineSettings) -> TcpClientSettings:
        """The same in settings; `port` is how the line is set otherwise."""
        same = {key: value for key, value in self.others(port).items() if key != "to"}
        return TcpClientSettings(destinations=tuple(self.to), **same)


class Udp(Table):
    """[port.NAME.udp]: the line in datagrams."""

    listen: Listen
    allow: Allow = Field(default_factory=list)
    accept: Annotated[Accept, words(Accept)] = _UDP.accept
    to: Annotated[
        list[Annotated[Range, Leaf(stream_values.udp_range, TEXT)]],
        Many("nobody would hear the line", single=True, example='"192.0.2.10:4001"'),
    ] = Field(default_factory=list)
    groups: Annotated[
        list[Annotated[Group, Leaf(stream_values.group, TEXT)]],
        Many("no group would be heard", single=True, example='"239.1.1.1"'),
    ] = Field(default_factory=list)
    multicast_interface: Annotated[str, Leaf(stream_values.interface, TEXT)] = _UDP.multicast_interface
    multicast_ttl: Annotated[int, integer(0, 255)] = _UDP.multicast_ttl
    multicast_loop: Annotated[bool, BOOLEAN] = _UDP.multicast_loop
    max_datagram: Annotated[int, integer(1, LARGEST_PAYLOAD)] = _UDP.max_datagram
    reply_to_last: Annotated[bool, BOOLEAN] = _UDP.reply_to_last
    reply_time: Annotated[float, duration("100ms", "1d")] = _UDP.reply_time
    packing: PACKING = _UDP.packing
    direction: Annotated[Direction, words(Direction)] = _UDP.direction

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _at_most(MOST_DESTINATIONS, "ranges")(self.to)
        return self

    def settings(self, shared: dict[str, Any]) -> UdpSettings:
        """The same in settings; `shared` has `listen` and `allow`."""
        same = {key: value for key, value in vars(self).items() if key not in ("to", "groups")}
        return UdpSettings(**same | {"destinations": tuple(self.to), "groups": tuple(self.groups)} | shared)


class Pair(Table):
    """[port.NAME.pair]: a far end of the same cable."""

    to: Annotated[Destination, Leaf(stream_values.destination, TEXT)]
    modem_lines: Annotated[bool, BOOLEAN] = _PAIR.modem_lines
    dtr_from: Annotated[DtrFrom, words(DtrFrom)] = _PAIR.dtr_from
    break_time: Annotated[float, _BREAK] = _PAIR.break_time
    settings: Annotated[Push, words(Push)] = _PAIR.settings
    while_away: Annotated[WhileAway, words(WhileAway)] = _PAIR.while_away
    connect_timeout: Annotated[float, _CONNECT_TIME] = _PAIR.connect_timeout
    retry_at_most: Annotated[float, _RETRY] = _PAIR.retry_at_most
    alive_check: Annotated[float, _ALIVE_CHECK] = _PAIR.alive_check
    allowance: Annotated[int, size("4KiB", "64MiB")] = _PAIR.allowance
    packing: PACKING = _PAIR.packing
    tls: UsesTls = _PAIR.tls

    def pair(self) -> PairSettings:
        """The same in settings."""
        return PairSettings(**vars(self))


class ReverseTelnet(LineService, OwnLine):
    """[port.NAME.reverse_telnet]: telnet for people."""

    enter: Annotated[Enter, words(Enter)] = _TELNET.enter
    line_ends: Annotated[LineEnds, words(LineEnds)] = _TELNET.line_ends
    echo: Annotated[bool, BOOLEAN] = _TELNET.echo
    break_time: Annotated[float, _BREAK] = _TELNET.break_time


class Modem(LineService):
    """[port.NAME.modem]: a modem that dials hosts."""

    listen: Listen = Field(default_factory=list)
    default_port: Annotated[int, integer(1, 65535)] = _MODEM.default_port
    numbers: dict[
        Annotated[str, Leaf(stream_values.number, TEXT)], Annotated[Destination, Leaf(stream_values.destination, TEXT)]
    ] = Field(default_factory=dict)
    init: Annotated[str, Leaf(stream_values.at_commands, TEXT)] = _MODEM.init
    answer_time: Annotated[float, duration("100ms", "10min")] = _MODEM.answer_time
    ring_every: Annotated[float, duration("100ms", "1min")] = _MODEM.ring_every
    carrier: Annotated[Carrier, words(Carrier)] = _MODEM.carrier

    @model_validator(mode="after")
    def _is_understood(self) -> Self:
        try:
            check_init(self.init)
        except ValueError as error:
            raise ValueFault(f"init: {error}", 'AT commands without the AT, as in "E0S0=1"') from error
        return self

    def settings(self, shared: dict[str, Any]) -> ModemSettings:
        """The same in settings; `shared` is what services have in common."""
        numbers = tuple(Number(dialled, to) for dialled, to in self.numbers.items())
        return ModemSettings(**vars(self) | {"numbers": numbers} | shared)


class RealCom(ServiceKeys):
    """[port.NAME.realcom]: Real COM, for the drivers of NPorts."""

    data: Listen = Field(default_factory=list)
    command: Listen = Field(default_factory=list)
    number: Annotated[int | None, integer(1, MOST_NUMBERED)] = None
    max_clients: Annotated[int, integer(1, 1000)] = _REALCOM.max_clients
    when_down: Annotated[WhenDown, words(WhenDown)] = _REALCOM.when_down
    allow_driver_control: Annotated[bool, BOOLEAN] = _REALCOM.allow_driver_control
    grace: Annotated[float, duration("0ms", "1s")] = _REALCOM.grace
    poll: Annotated[float, duration("1s", "1h", off=True)] = _REALCOM.poll
    packing: PACKING = _REALCOM.packing
    when_jammed: Annotated[WhenJammed, words(WhenJammed)] = _REALCOM.when_jammed

    def settings(self, place: int, host: str) -> RealComSettings:
        """The same in settings, but for who may connect.

        Args:
            place: of the port in the file, from 1: what its number is, if nothing else is said.
            host: where a port alone is listened on.
        """
        number = self.number or (place if place <= MOST_NUMBERED else 0)
        data, command = default_ports(number or 1)
        same = {key: value for key, value in vars(self).items() if key not in ("data", "command", "number", "allow")}
        return RealComSettings(
            data=endpoints(self.data or [data], host),
            command=endpoints(self.command or [command], host),
            number=number,
            **same,
        )


TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "port.NAME.tcp_client": ("[port.NAME.tcp_client]", TcpClient),
    "port.NAME.tcp_client.to": ("an item of to", HostTable),
    "port.NAME.udp": ("[port.NAME.udp]", Udp),
    "port.NAME.pair": ("[port.NAME.pair]", Pair),
    "port.NAME.reverse_telnet": ("[port.NAME.reverse_telnet]", ReverseTelnet),
    "port.NAME.modem": ("[port.NAME.modem]", Modem),
    "port.NAME.realcom": ("[port.NAME.realcom]", RealCom),
    "port.NAME.raw.commands": ("commands", CommandTable),
    "port.NAME.raw.commands.requests": ("packing", PackingTable),
    "port.NAME.raw.commands.answers": ("packing", PackingTable),
    **{
        f"port.NAME.{kind}.packing": ("packing", PackingTable)
        for kind in ("raw", "rfc2217", "tcp_client", "udp", "pair", "realcom")
    },
}
