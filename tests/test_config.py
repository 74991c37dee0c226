"""Good configurations, and the shipped one."""

import re
import socket
import string
import subprocess
import sys
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from nportpy.config import (
    edge_tables,
    fault_lines,
    http_tables,
    load,
    modbus_tables,
    parse,
    schema,
    stream_tables,
    tls_tables,
)
from nportpy.config.devices import for_devices
from nportpy.config.edge_access import KEYS, SecretKeys
from nportpy.config.editors import json_schema
from nportpy.config.tables import OWN_LINE
from nportpy.edge.settings import Protocol
from nportpy.errors import ConfigError
from nportpy.gateway.plans import GatewaySettings, PortPlan
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import Flow, LineSettings, Parity, Rs485Mode, Rs485Settings, StopBits
from nportpy.modbus.settings import BusSettings, RoutingSettings, Timeout, UnitSettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.modes.raw_base import RawSettings
from nportpy.modes.rfc2217_base import Rfc2217Settings, WhoControls
from nportpy.network.addresses import Endpoint
from nportpy.network.service import AccessSettings, WhenDown, WhenFull
from nportpy.port.base import OnClose, OnOpen, PortSettings
from nportpy.services.http_base import ConsoleMode, HttpSettings
from nportpy.services.logs import LogFormat, LogSettings

SHIPPED = Path(__file__).parent.parent / "etc/nportpy.toml"
KEY = re.compile(r"# (e\.g\. )?([a-z_0-9]+ = .*)$")
HEADER = re.compile(r"(# e\.g\. )?(\[[a-z_.0-9]+\])$")

EVERYTHING = """
[gateway]
name = "pi-07"
listen = "0.0.0.0"
allow = ["192.168.0.0/16", "10.1.2.3", "fd00::/8"]
max_connections = 100
max_connections_per_address = 10
drain = "1.5s"

[http]
listen = ["127.0.0.1:80", "[::1]:80"]
allow = ["127.0.0.1", "::1"]

[log]
level = "debug"
format = "json"

[port.meters]
device = "/dev/ttyAMA0"
baudrate = 19200
format = "7e1.5"
flow = "xonxoff"
rs485 = { delay_before = "1ms", delay_after = "0.1s", rts_on_send = false, rx_during_tx = true, termination = true }
dtr = "on"
rts = "off"
on_close = "drop"
exclusive = false
low_latency = false
flush_on_first_client = false
linger = "500ms"
trace = true
allow = ["192.168.7.0/24"]

[[port.meters.raw]]
listen = 4001

[[port.meters.raw]]
listen = [4002, "[fd00::7]:4003", "192.168.7.7:4003"]
allow = ["192.168.7.20"]
max_clients = 1
when_full = "kick_idle"
idle_after = "1min"
takeover = false
alive_check = "off"
inactivity = "90s"
half_close = "10s"
when_down = "hold"
allowance = "64KiB"

[port.meters.rfc2217]
listen = 5001
control = "none"
signature = "meters"

[port."1.b_-"]
device = "socket://10.0.0.1:4001"
rs485 = "off"
"""
FORMATS = '5-8 data bits, N E O M or S, 1 1.5 or 2 stop bits, as in "8N1"'
GATEWAY_RING = (ip_network("192.168.0.0/16"), ip_network("10.1.2.3/32"), ip_network("fd00::/8"))
HERE = (ip_network("127.0.0.1/32"), ip_network("::1/128"))
PORT_RING = (ip_network("192.168.7.0/24"),)


def fault_in(text: str) -> ConfigError | None:
    try:
        parse(text, "x")
    except ConfigError as error:
        return error
    return None


def test_everything_at_once() -> None:
    rings = (GATEWAY_RING, PORT_RING)
    assert parse(EVERYTHING.replace("7e1.5", "5e1.5"), "x") == GatewaySettings(
        name="pi-07",
        ports=(
            PortPlan(
                name="meters",
                port=PortSettings(
                    device="/dev/ttyAMA0",
                    line=LineSettings(19200, 5, Parity.EVEN, StopBits.ONE_AND_HALF, Flow.XONXOFF, Flow.XONXOFF),
                    rs485=Rs485Settings(Rs485Mode.ON, 0.001, 0.1, False, True, True),
                    dtr=OnOpen.ON,
                    rts=OnOpen.OFF,
                    on_close=OnClose.DROP,
                    exclusive=False,
                    low_latency=False,
                ),
                stream=StreamSettings(flush_on_first=False, linger=0.5),
                trace=True,
                raw=(
                    RawSettings(listen=(Endpoint("0.0.0.0", 4001),), allow=rings),
                    RawSettings(
                        listen=(
                            Endpoint("0.0.0.0", 4002),
                            Endpoint("fd00::7", 4003),
                            Endpoint("192.168.7.7", 4003),
                        ),
                        allow=(*rings, (ip_network("192.168.7.20/32"),)),
                        max_clients=1,
                        when_full=WhenFull.KICK_IDLE,
                        idle_after=60.0,
                        takeover=False,
                        alive_check=0.0,
                        inactivity=90.0,
                        half_close=10.0,
                        when_down=WhenDown.HOLD,
                        allowance=65536,
                    ),
                ),
                rfc2217=(
                    Rfc2217Settings(
                        listen=(Endpoint("0.0.0.0", 5001),), allow=rings, control=WhoControls.NONE, signature="meters"
                    ),
                ),
            ),
            PortPlan(
                name="1.b_-",
                port=PortSettings("socket://10.0.0.1:4001", rs485=Rs485Settings(Rs485Mode.OFF)),
            ),
        ),
        access=AccessSettings(100, 10),
        drain=1.5,
        http=HttpSettings(
            (("127.0.0.1", 80), ("::1", 80)), ((*GATEWAY_RING, ip_network("127.0.0.0/8"), ip_network("::1/128")), HERE)
        ),
        log=LogSettings("debug", LogFormat.JSON),
    )


def test_nothing_but_a_device() -> None:
    expected = GatewaySettings(socket.gethostname(), (PortPlan("a", PortSettings("/dev/ttyS0")),))
    assert parse('[port.a]\ndevice = "/dev/ttyS0"', "x") == expected
    assert parse('port.a.device = "/dev/ttyS0"', "x") == expected
    assert parse('port = { a = { device = "/dev/ttyS0" } }', "x") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"keep"', Rs485Settings()),
        ('"off"', Rs485Settings(Rs485Mode.OFF)),
        ('"on"', Rs485Settings(Rs485Mode.ON)),
        ("{}", Rs485Settings(Rs485Mode.ON)),
        ('{ delay_after = "2ms" }', Rs485Settings(Rs485Mode.ON, delay_after=0.002)),
    ],
)
def test_rs485(text: str, expected: Rs485Settings) -> None:
    assert parse(f'[port.a]\ndevice = "/dev/ttyS0"\nrs485 = {text}', "x").ports[0].port.rs485 == expected


@pytest.mark.parametrize(
    ("http", "expected"),
    [
        ("false", None),
        ('"0.0.0.0:80"', HttpSettings((("0.0.0.0", 80),), console=ConsoleMode.OFF)),
        (
            '["127.0.0.1:80", "192.0.2.1:80"]',
            HttpSettings((("127.0.0.1", 80), ("192.0.2.1", 80)), console=ConsoleMode.OFF),
        ),
        ('"127.0.0.1:80"\nhttp.console = "off"', HttpSettings((("127.0.0.1", 80),), console=ConsoleMode.OFF)),
        ('"0.0.0.0:80"\nhttp.console = "view"', HttpSettings((("0.0.0.0", 80),), tls="self")),
        ('["[::1]:80"]', HttpSettings((("::1", 80),))),
    ],
)
def test_http(http: str, expected: HttpSettings | None) -> None:
    assert parse(f'port.a.device = "/dev/ttyS0"\nhttp.listen = {http}', "x").http == expected


@pytest.mark.parametrize(
    "listeners",
    [
        ("4001", "4002"),
        ('"127.0.0.1:4001"', '"127.0.0.2:4001"'),
        ('"0.0.0.0:4001"', '"[::1]:4001"'),  # one is all of IPv4, the other is not
        ('"[fe80::1%eth0]:4001"', '"[fe80::1%eth1]:4001"'),
        ('"[::1]:9550"', "4001"),
    ],
)
def test_listeners_that_do_not_meet(listeners: tuple[str, str]) -> None:
    parse(f'[port.a]\ndevice = "/dev/ttyS0"\nraw.listen = {listeners[0]}\nrfc2217.listen = {listeners[1]}', "x")


def test_every_loop_is_a_line_of_its_own() -> None:
    assert len(parse('port.a.device = "loop://"\nport.b.device = "loop://"', "x").ports) == 2


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b'\xef\xbb\xbfport.a.device = "/dev/ttyS0"\r\n')
    assert load(str(file)).ports[0].name == "a"


def test_the_tables_use_the_names_of_the_settings() -> None:
    for table, values in ((schema.Raw, RawSettings), (schema.Rfc2217, Rfc2217Settings)):
        assert {*table.model_fields} - {*OWN_LINE} == {field.name for field in fields(values)} - {"line"}
    assert {"mode", *schema.Rs485.model_fields} == {field.name for field in fields(Rs485Settings)}


BEYOND_MODBUS = frozenset().union(*KEYS.values()) - KEYS[Protocol.MODBUS]
SOME = {"port", "protocol", "every", "tags"}
# Passwords and keys are in files, so what names them is no example that loads.
SECRETS = {*SecretKeys.model_fields, "system_title", "security", "general_ciphering"}


def uncommented(*, defaults: bool, examples: bool) -> str:
    """The shipped file with its defaults, its examples or both; an example goes before the default of its key."""
    lines: list[str] = []
    table, example_table = 0, False  # where the table begins, and whether it is an example
    for line in SHIPPED.read_text().splitlines():
        header = HEADER.match(line)
        key = KEY.match(line)
        if header:
            table, example_table = len(lines), bool(header[1])
            line = header[2] if examples or not example_table else line
        elif key and (examples if key[1] else defaults and (examples or not example_table)):
            line = key[2]
            name = line.partition(" ")[0]
            if key[1]:
                lines[table:] = [before for before in lines[table:] if not before.startswith(f"{name} = ")]
        lines.append(line)
    return "\n".join(lines)


def test_the_shipped_file_loads() -> None:
    settings = load(str(SHIPPED))
    assert settings == GatewaySettings(
        socket.gethostname(),
        (
            PortPlan(
                "meters",
                PortSettings("/dev/ttyAMA0"),
                raw=(RawSettings(listen=(Endpoint("::", 4001),)),),
                rfc2217=(Rfc2217Settings(listen=(Endpoint("::", 5001),)),),
                bus=BusSettings(),
                modbus=(ModbusSettings(listen=(Endpoint("::", 5020),), routing=RoutingSettings.whole("meters")),),
            ),
        ),
    )


def test_the_shipped_file_shows_the_defaults() -> None:
    assert uncommented(defaults=True, examples=False) != SHIPPED.read_text()
    assert parse(uncommented(defaults=True, examples=False), "x") == load(str(SHIPPED))
    # Those of tables that are examples, too.
    examples = uncommented(defaults=False, examples=True)
    assert parse(uncommented(defaults=True, examples=True), "x") == parse(examples, "x")


def test_the_shipped_files_examples_are_right() -> None:
    settings = parse(uncommented(defaults=False, examples=True), "x")
    assert settings.name == "pi-07"
    meters, plc = settings.ports
    assert meters.port.rs485 == Rs485Settings(Rs485Mode.ON)
    assert [len(ring.allow) for ring in (*meters.raw, *meters.rfc2217, *meters.modbus)] == [3, 3, 3]
    assert meters.bus == BusSettings(silence=0.005, merge=16, units=(
        UnitSettings(frozenset({7, 8, 9}), Timeout(3.0), 0.02, 0, isolate=False),
    ))  # fmt: skip
    assert plc.master is not None
    assert plc.bus is None
    assert [router.name for router in settings.routers] == ["plant"]


def test_the_shipped_file_shows_every_key() -> None:
    shown: dict[str, set[str]] = {}
    table = ""
    for line in uncommented(defaults=True, examples=True).splitlines():
        if header := HEADER.match(line):
            table = header[2].strip("[]")
        elif key := re.match(r"([a-z_0-9]+) = ", line):
            shown.setdefault(table, set()).add(key[1])
            if "{" in line:
                shown.setdefault(key[1], set()).update(re.findall(r"(\w+) = ", line.partition("=")[2]))
    every_station = set(edge_tables.Station.model_fields) - {"target"}  # port is there
    modes: dict[str, type[BaseModel]] = {
        "tcp_client": stream_tables.TcpClient,
        "udp": stream_tables.Udp,
        "pair": stream_tables.Pair,
        "reverse_telnet": stream_tables.ReverseTelnet,
        "modem": stream_tables.Modem,
        "realcom": stream_tables.RealCom,
    }
    tables = {"raw", "rfc2217", "modbus", "modbus_master", *modes}  # tables with headers of their own
    assert shown.pop("port.plc") == {"device"}
    assert shown.pop("numbers") == set()  # its keys are numbers
    for line in SHIPPED.read_text().splitlines():
        if line.startswith("# e.g. packing = {"):  # several, as its keys exclude each other
            shown["packing"].update(re.findall(r"(\w+) = ", line.partition("=")[2]))
    assert shown == {
        "gateway": set(schema.Gateway.model_fields),
        "http": set(http_tables.Http.model_fields),
        "certificates": set(http_tables.CertificateTable.model_fields),
        "capture": set(schema.Capture.model_fields),
        "log": set(schema.Log.model_fields),
        "port.meters": set(schema.Port.model_fields) - tables,
        "port.meters.raw": set(schema.Raw.model_fields),
        "port.meters.rfc2217": set(schema.Rfc2217.model_fields),
        "rs485": set(schema.Rs485.model_fields),
        "port.meters.modbus": set(modbus_tables.LineModbus.model_fields),
        "port.plc.modbus_master": set(modbus_tables.Master.model_fields),
        "modbus.plant": set(modbus_tables.Routed.model_fields),
        "tls.plant": set(tls_tables.Tls.model_fields),
        "archive": set(edge_tables.Archive.model_fields),
        "station.emon": every_station - BEYOND_MODBUS,
        "station.mains": SOME | KEYS[Protocol.DLMS] - SECRETS,
        "station.heat": SOME | KEYS[Protocol.IEC62056] - SECRETS,
        "station.rtu": SOME | KEYS[Protocol.IEC101],
        "tags": {"name", "at", "type", "unit", "deadband"},  # the others are told above it
        "upstream.plant": set(edge_tables.Upstream.model_fields) - {"tls"},  # it has files of its own
        "upstream.cloud": {"url", "tls"},
        "rules": set(modbus_tables.RuleTable.model_fields) - {"functions", "registers"},
        "priorities": set(modbus_tables.PriorityTable.model_fields) - {"clients"},
        "units": set(modbus_tables.DifferentOnLine.model_fields),
        "routes": set(modbus_tables.RouteTable.model_fields) - {"offset"},
        "merge": set(modbus_tables.Merge.model_fields),
        # On a port with udp, pair, modem and modbus_master no service has settings of its own.
        **{f"port.plc.{name}": set(table.model_fields) - {*OWN_LINE} for name, table in modes.items()},
        "packing": set(stream_tables.PackingTable.model_fields),
        "commands": set(stream_tables.CommandTable.model_fields),
        "to": set(stream_tables.HostTable.model_fields),
        "discovery": set(schema.Discovery.model_fields),
        "mdns": set(schema.Mdns.model_fields),
    }


def test_devices_without_a_file() -> None:
    devices = ["/dev/ttyUSB0", "ttyS1", "/dev/serial/ttyS1", "./socket", "socket://10.0.0.1:77", "loop://", "loop://"]
    made = for_devices(devices, baudrate=19200, format="8e1", listen="127.0.0.1")
    line = LineSettings(19200, 8, Parity.EVEN)
    assert [(port.name, port.port.device) for port in made.ports] == [
        ("ttyUSB0", "/dev/ttyUSB0"),
        ("ttyS1", "/dev/ttyS1"),
        ("ttyS1-2", "/dev/serial/ttyS1"),
        ("socket", f"{Path.cwd()}/socket"),
        ("10.0.0.1-77", "socket://10.0.0.1:77"),
        ("port", "loop://"),
        ("port-2", "loop://"),
    ]
    assert made.name == socket.gethostname()
    assert made.ports[1] == PortPlan(
        "ttyS1",
        PortSettings("/dev/ttyS1", line),
        raw=(RawSettings(listen=(Endpoint("127.0.0.1", 4002),)),),
        rfc2217=(Rfc2217Settings(listen=(Endpoint("127.0.0.1", 5002),)),),
    )


def test_devices_with_modbus() -> None:
    made = for_devices(["/dev/ttyUSB0", "/dev/ttyUSB1"], baudrate=9600, format="8N1", listen="::1", modbus=True)
    assert [port.modbus for port in made.ports] == [
        (ModbusSettings(listen=(Endpoint("::1", 502),), routing=RoutingSettings.whole("ttyUSB0")),),
        (ModbusSettings(listen=(Endpoint("::1", 503),), routing=RoutingSettings.whole("ttyUSB1")),),
    ]
    assert {port.bus for port in made.ports} == {BusSettings()}


def test_faults_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/ttyS0")
    devices = ["ttyS0", f"{tmp_path}/link", "/dev/ttyS0", "/dev/ttyS0"]
    with pytest.raises(ConfigError) as caught:
        for_devices(devices, baudrate=0, format="9N1", listen="*")
    assert fault_lines(caught.value) == [
        "command line: --baudrate = 0: is out of range (allowed: 1 to 2147483647)",
        f'command line: --format = "9N1": is not a line format (allowed: {FORMATS})',
        'command line: --listen = "*": is not an IPv4 or IPv6 address (allowed: "::", which is all addresses)',
        f'command line: DEVICE = "{tmp_path}/link": is the same device as "ttyS0" (allowed: each device once)',
        'command line: DEVICE = "/dev/ttyS0": is the same device as "ttyS0" (allowed: each device once)',
        'command line: DEVICE = "/dev/ttyS0": is the same device as "ttyS0" (allowed: each device once)',
    ]


@pytest.mark.parametrize("count", [0, 1001])
def test_as_many_devices_as_there_are_ports(count: int) -> None:
    with pytest.raises(ConfigError) as caught:
        for_devices(["loop://"] * count, baudrate=9600, format="8N1", listen="::")
    assert fault_lines(caught.value) == [f"command line: DEVICE: {count} devices (allowed: 1 to 1000)"]


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from(string.printable), min_size=1, max_size=150), min_size=1, max_size=8))
def test_devices_become_ports_or_faults(devices: list[str]) -> None:
    try:
        made = for_devices(devices, baudrate=9600, format="8N1", listen="::")
    except ConfigError:
        return
    names = [port.name for port in made.ports]
    assert len(set(names)) == len(devices)
    for name in names:
        parse(f'[port."{name}"]\ndevice = "/dev/ttyS0"', "x")


@settings(deadline=None)
@given(st.data())
def test_mutated_files_raise_nothing_but_config_error(data: st.DataObject) -> None:
    text = EVERYTHING
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 30))
        pieces = st.one_of(
            st.text(max_size=6),
            st.sampled_from(["[", "]", "{", "}", '"', "=", "\n", "[[port.a.raw]]\n", "listen = ", "-1", "nan", "0x0"]),
            st.just(text[end : end + 60]),
        )
        text = text[:start] + data.draw(pieces) + text[end:]
    error = fault_in(text)
    if error:
        last = text.count("\n") + 1
        assert error.faults
        assert all(0 <= fault.line <= last for fault in error.faults)
        assert all(line.isprintable() for line in fault_lines(error))


@pytest.mark.long
@settings(deadline=None, max_examples=40)
@given(st.recursive(st.integers() | st.booleans() | st.text() | st.floats() | st.none(), st.lists))
def test_values_of_any_kind_are_faults_at_worst(value: object) -> None:
    text = repr(value) if not isinstance(value, (bool, str)) else f"{value!s}".lower()
    keys = [f"port.a.{key}" for key in schema.Port.model_fields] + ["gateway.listen", "http", "port", "log.level"]
    keys += [f"port.a.modbus.{key}" for key in modbus_tables.LineModbus.model_fields]
    keys += [f"modbus.a.{key}" for key in modbus_tables.Routed.model_fields] + ["modbus", "modbus.a"]
    for key in keys:
        error = fault_in(f"{key} = {text}")
        assert error is None or error.faults


def test_the_schema_for_editors_knows_every_table() -> None:
    made = json_schema()
    assert set(made["properties"]) == set(schema.File.model_fields)
    tables = {"Gateway", "Http", "Capture", "Log", "Discovery", "Mdns", "Port", "Raw", "Rfc2217", "Rs485"}
    others = (*modbus_tables.TABLES.values(), *stream_tables.TABLES.values(), *edge_tables.TABLES.values())
    others += (*tls_tables.TABLES.values(), *http_tables.TABLES.values())
    assert set(made["$defs"]) == tables | {model.__name__ for _, model in others}
    assert made["$defs"]["Port"]["required"] == ["device"]
    assert made["$defs"]["Port"]["properties"]["raw"]["anyOf"][0] == {"$ref": "#/$defs/Raw"}


@pytest.mark.long
def test_a_good_file_costs_no_syntax_tree_and_no_terminal_library() -> None:
    program = (
        "import sys; from nportpy.config import load; load(sys.argv[1]);"
        "print({'rich', 'tree_sitter', 'click'} & set(sys.modules))"
    )
    made = subprocess.run([sys.executable, "-c", program, str(SHIPPED)], capture_output=True, text=True, check=True)
    assert made.stdout == "set()\n"
