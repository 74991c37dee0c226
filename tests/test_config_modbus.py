"""The Modbus tables of a configuration file: good ones, and single values. Bad ones: test_config_faults_modbus.txt."""

import contextlib
from dataclasses import fields
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.config import fault_lines, modbus_tables, modbus_values, parse
from nportpy.config.values import ValueFault
from nportpy.errors import ConfigError
from nportpy.gateway.plans import PortPlan, RouterPlan
from nportpy.line.turns import Priority
from nportpy.modbus.settings import (
    UNITS,
    Action,
    BusSettings,
    Framing,
    Matching,
    PriorityRule,
    Route,
    RoutingSettings,
    Rule,
    ServerSettings,
    Timeout,
    UnitSettings,
    Unrouted,
)
from nportpy.modes.modbus_base import Access, MasterSettings, ModbusSettings
from nportpy.network.addresses import Endpoint
from nportpy.network.service import WhenFull
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.functions import Span, Table

PORT = '[port.a]\ndevice = "/dev/ttyS0"\n'
EVERYTHING = """
[gateway]
listen = "0.0.0.0"
allow = ["192.168.0.0/16"]

[port.meters]
device = "/dev/ttyAMA0"
allow = ["192.168.7.0/24"]

[[port.meters.modbus]]
listen = [502, "[::1]:502"]
allow = ["192.168.7.20"]
max_clients = 8
when_full = "kick_idle"
idle_after = "1min"
takeover = false
alive_check = "off"
inactivity = "1h"
half_close = "1s"
allowance = "64KiB"
protocol = "rtu"
outstanding = 16
unit0 = 1
unit255 = 2
unrouted = "silence"
rules = [
  { action = "ignore", clients = ["192.168.7.0/24", "fd00::/8"], units = "0-5, 9,255", functions = [3, 4] },
  { action = "deny", registers = "41001-41100" },
  { action = "read-only", registers = "coil:7" },
  { action = "read-write" },
]
priorities = [{ priority = "high", units = "1" }, { priority = "low" }, { priority = "normal", functions = [16] }]
framing = "ascii"
timeout = "auto"
timeout_min = "10ms"
timeout_max = "2s"
retries = 0
isolate = false
deadline = "1s"
queue = 4
silence = "0ms"
turnaround = "200ms"
echo = "yes"
writes_first = true
share = false
merge = { gap = 0 }
cache = "500ms"
character_timeout = "2s"
patience = "3s"
idle_gap = "20ms"
units = [
  { units = "7-9", timeout = "3s", silence = "20ms", retries = 2, isolate = true },
  { units = "10", timeout = "auto" },
  { units = "11" },
]

[[port.meters.modbus]]
listen = 502
protocol = "udp"

[port.bus]
device = "/dev/ttyAMA1"
modbus = {}

[port.plc]
device = "/dev/ttySC0"
[port.plc.modbus_master]
framing = "ascii"
echo = "no"
exceptions = false
deadline = "300ms"
retries = 3
routes = [{ units = "1-31", port = "meters" }, { units = "32", to = "tcp://PLC.local." }]

[modbus.plant]
listen = 1502
allow = ["192.168.8.0/24"]
unit255 = "unrouted"
unit0 = "broadcast"
timeout = "700ms"
retries = 2
deadline = "2s"
queue = 5
share = false
merge = { gap = 16 }
cache = "1s"
rest = "1500ms"
units = [{ units = "247", timeout = "5s", retries = 0 }]
routes = [
  { units = "1-31", port = "meters" },
  { units = "32-63,200", port = "bus", offset = -31 },
  { units = "100-101", to = "tcp://192.0.2.10:1502", unit = 247 },
  { units = "255", to = "tcp://[fd00::7]", offset = -8 },
  { units = "250", port = "bus", unit = 247 },
]

[modbus."plant-2"]
listen = 1503
merge = false
routes = [{ units = "1", port = "meters" }]
"""
GATEWAY_RING = (ip_network("192.168.0.0/16"),)


def faults_in(text: str) -> list[str]:
    try:
        parse(text, "f")
    except ConfigError as error:
        return fault_lines(error)
    return []


def test_a_line_with_everything() -> None:
    meters = parse(EVERYTHING, "x").ports[0]
    here = ip_network("::1/128")  # it listens there, too, which is for this machine
    outer = (GATEWAY_RING, (ip_network("192.168.7.0/24"),))
    rings = tuple((*ring, here) for ring in outer)
    whole = (Route(frozenset(UNITS), "meters"),)
    assert meters.bus == BusSettings(
        framing=Framing.ASCII,
        timeout=Timeout(None, 0.01, 2.0),
        retries=0,
        isolate=False,
        deadline=1.0,
        queue=4,
        silence=0.0,
        turnaround=0.2,
        echo=Echo.YES,
        writes_first=True,
        share=False,
        merge=0,
        cache=0.5,
        character_timeout=2.0,
        patience=3.0,
        idle_gap=0.02,
        units=(
            UnitSettings(frozenset({7, 8, 9}), Timeout(3.0, 0.01, 2.0), 0.02, 2, True),
            UnitSettings(frozenset({10}), Timeout(None, 0.01, 2.0)),
            UnitSettings(frozenset({11})),
        ),
    )
    assert meters.modbus == (
        ModbusSettings(
            listen=(Endpoint("0.0.0.0", 502), Endpoint("::1", 502)),
            allow=(*rings, (ip_network("192.168.7.20/32"),)),
            max_clients=8,
            when_full=WhenFull.KICK_IDLE,
            idle_after=60.0,
            takeover=False,
            alive_check=0.0,
            inactivity=3600.0,
            half_close=1.0,
            allowance=65536,
            protocol=Access.RTU,
            outstanding=16,
            routing=RoutingSettings(
                whole,
                unit0=1,
                unit255=2,
                unrouted=Unrouted.SILENCE,
                rules=(
                    Rule(
                        Matching(
                            (ip_network("192.168.7.0/24"), ip_network("fd00::/8")),
                            frozenset({0, 1, 2, 3, 4, 5, 9, 255}),
                            frozenset({3, 4}),
                        ),
                        Action.IGNORE,
                    ),
                    Rule(Matching(span=Span(Table.HOLDING_REGISTERS, 1000, 100)), Action.DENY),
                    Rule(Matching(span=Span(Table.COILS, 7, 1)), Action.READ_ONLY),
                    Rule(Matching(), Action.READ_WRITE),
                ),
                priorities=(
                    PriorityRule(Matching(units=frozenset({1})), Priority.HIGH),
                    PriorityRule(Matching(), Priority.LOW),
                    PriorityRule(Matching(functions=frozenset({16})), Priority.NORMAL),
                ),
            ),
        ),
        ModbusSettings(
            listen=(Endpoint("0.0.0.0", 502),), allow=outer, protocol=Access.UDP, routing=RoutingSettings(whole)
        ),
    )


def test_a_line_that_is_only_there_for_routes() -> None:
    bus = parse(EVERYTHING, "x").ports[1]
    assert bus == PortPlan("bus", PortSettings("/dev/ttyAMA1"), bus=BusSettings())
    assert parse(PORT, "x").ports[0].bus is None


def test_a_master() -> None:
    plc = parse(EVERYTHING, "x").ports[2]
    asked = BusSettings(retries=3, deadline=0.3)
    assert plc.bus is None
    assert plc.master == MasterSettings(
        framing=Framing.ASCII,
        echo=Echo.NO,
        exceptions=False,
        deadline=0.3,
        routing=RoutingSettings((
            Route(frozenset(range(1, 32)), "meters"),
            Route(frozenset({32}), ServerSettings(Endpoint("plc.local", 502), asked)),
        )),
    )  # fmt: skip


def test_a_masters_servers_have_its_deadline() -> None:
    text = PORT + 'modbus_master = { routes = [{ units = "1", to = "tcp://x" }] }'
    master = parse(text, "x").ports[0].master
    route = Route(frozenset({1}), ServerSettings(Endpoint("x", 502), BusSettings(deadline=1.0)))
    assert master == MasterSettings(routing=RoutingSettings((route,)), deadline=1.0)


def test_routing_over_several_lines() -> None:
    asked = BusSettings(
        timeout=Timeout(0.7),
        retries=2,
        deadline=2.0,
        queue=5,
        share=False,
        merge=16,
        cache=1.0,
        units=(UnitSettings(frozenset({247}), Timeout(5.0), None, 0),),
    )
    routes = (
        Route(frozenset(range(1, 32)), "meters"),
        Route(frozenset({*range(32, 64), 200}), "bus", offset=-31),
        Route(frozenset({100, 101}), ServerSettings(Endpoint("192.0.2.10", 1502), asked, 1.5), unit=247),
        Route(frozenset({255}), ServerSettings(Endpoint("fd00::7", 502), asked, 1.5), offset=-8),
        Route(frozenset({250}), "bus", unit=247),
    )
    assert parse(EVERYTHING, "x").routers == (
        RouterPlan(
            "plant",
            ModbusSettings(
                listen=(Endpoint("0.0.0.0", 1502),),
                allow=(GATEWAY_RING, (ip_network("192.168.8.0/24"),)),
                routing=RoutingSettings(routes),
            ),
        ),
        RouterPlan(
            "plant-2",
            ModbusSettings(
                listen=(Endpoint("0.0.0.0", 1503),),
                allow=(GATEWAY_RING,),
                routing=RoutingSettings((Route(frozenset({1}), "meters"),)),
            ),
        ),
    )


def test_what_is_not_said_is_the_settings_default() -> None:
    assert parse(PORT + "modbus = { listen = 502 }", "x").ports[0] == PortPlan(
        "a",
        PortSettings("/dev/ttyS0"),
        bus=BusSettings(),
        modbus=(ModbusSettings(listen=(Endpoint("::", 502),), routing=RoutingSettings.whole("a")),),
    )


def test_the_tables_use_the_names_of_the_settings() -> None:
    def names(*settings: type) -> set[str]:
        return {field.name for kind in settings for field in fields(kind)}

    routing = names(RoutingSettings) - {"routes"}
    of_streams = {"when_down", "when_jammed", "packing", "direction", "line", "when_busy"}
    service = (names(ModbusSettings) - {"routing"} - of_streams) | routing
    learned = {"timeout_min", "timeout_max"}
    assert set(modbus_tables.LineModbus.model_fields) == service | names(BusSettings) | learned
    at_servers = set(modbus_tables.AtServers.model_fields)
    assert at_servers - {"rest"} < names(BusSettings) | learned
    assert set(modbus_tables.Routed.model_fields) == service | at_servers | {"routes"}
    assert set(modbus_tables.Master.model_fields) == (names(MasterSettings) - {"routing"}) | at_servers | {"routes"}
    assert set(modbus_tables.RouteTable.model_fields) == names(Route) | {"port", "tls"}
    assert set(modbus_tables.DifferentOnLine.model_fields) == names(UnitSettings)
    assert set(modbus_tables.Match.model_fields) == (names(Matching) - {"span"}) | {"registers"}


@pytest.mark.parametrize(
    "text",
    [
        "[port.a.modbus]\nlisten = 502\nprotocol = 'udp'\n[port.a.raw]\nlisten = 502",
        "[[port.a.modbus]]\nlisten = 502\nprotocol = 'udp'\n[[port.a.modbus]]\nlisten = 502",
        "[port.a.modbus]\nlisten = '0.0.0.0:9550'\nprotocol = 'udp'",
        "modbus.listen = '127.0.0.1:1'\n[modbus.b]\nlisten = '127.0.0.2:1'\nroutes = [{ units = '1', port = 'a' }]",
    ],
)
def test_listeners_that_do_not_meet(text: str) -> None:
    assert faults_in(PORT + text) == []


def test_one_server_of_two_tables_that_say_the_same_in_other_words() -> None:
    text = "".join(
        f"[modbus.{name}]\nlisten = {port}\ntimeout = '{timeout}'\nroutes = [{{ units = '{units}', to = '{to}' }}]\n"
        for name, port, timeout, units, to in (
            ("a", 502, "1s", "1", "tcp://PLC"),
            ("b", 503, "1000ms", "2-3", "tcp://plc:502/"),
        )
    )
    assert faults_in(PORT + text) == []
    assert len(faults_in(PORT + text.replace("1000ms", "1001ms"))) == 1


def test_one_server_of_a_service_and_a_master_that_waits_as_long() -> None:
    text = (
        PORT + "modbus_master = { routes = [{ units = '1', to = 'tcp://plc' }] }\n"
        "[modbus.b]\nlisten = 503\nroutes = [{ units = '1', to = 'tcp://plc' }]\n"
    )
    assert len(faults_in(text)) == 1
    assert faults_in(text + "deadline = '1s'\n") == []


@given(st.frozensets(st.integers(1, 255), min_size=1))
def test_units_survive_being_written(units: frozenset[int]) -> None:
    assert modbus_values.units(modbus_values.units_text(units), 1, 255) == units


def test_units_are_written_short() -> None:
    assert modbus_values.units_text({9, 1, 2, 3, 5, 6}) == "1-3,5-6,9"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://192.0.2.10:1502", Endpoint("192.0.2.10", 1502)),
        ("tcp://192.0.2.10", Endpoint("192.0.2.10", 502)),
        ("TCP://Plc-7.Example.Org/", Endpoint("plc-7.example.org", 502)),
        ("tcp://[FD00::0007]:502", Endpoint("fd00::7", 502)),
        ("tcp://[fe80::1%Eth0]", Endpoint("fe80::1%Eth0", 502)),
        ("tcp://plc_7", Endpoint("plc_7", 502)),
        ("tcp://7plc", Endpoint("7plc", 502)),
    ],
)
def test_servers(text: str, expected: Endpoint) -> None:
    assert modbus_values.server(text) == expected


@given(st.ip_addresses().filter(lambda address: not address.is_unspecified), st.integers(1, 65535))
def test_servers_survive_being_written(address: object, port: int) -> None:
    server = ServerSettings(Endpoint(str(address), port))
    assert modbus_values.server(server.name) == server.endpoint


@pytest.mark.parametrize(
    "text",
    [
        "tcp://", "tcp://:502", "tcp://a..b", "tcp://a b", "tcp://7", "tcp://a:65536", "tcp://é", "tcp://a-",
        "tcp://" + "a" * 64, "tcp://" + "a." * 127 + "aaa", "tcp://a@b", "tcp://[::]", "tcp://[a]",
    ],
)  # fmt: skip
def test_no_servers(text: str) -> None:
    with pytest.raises(ValueFault):
        modbus_values.server(text)


@given(st.text() | st.text().map("tcp://{}".format))
def test_any_text_is_a_value_or_a_fault(text: str) -> None:
    for parse_value in (modbus_values.server, modbus_values.registers, modbus_values.priority, modbus_values.port):
        with contextlib.suppress(ValueFault):
            parse_value(text)
    with contextlib.suppress(ValueFault):
        modbus_values.units(text, 0, 255)
    with contextlib.suppress(ValueFault):
        modbus_values.unit_or(text, "broadcast")
    with contextlib.suppress(ValueFault):
        modbus_values.timeout(text, "0s", "1h")


@settings(deadline=None)
@given(st.data())
def test_mutated_files_raise_nothing_but_config_error(data: st.DataObject) -> None:
    text = EVERYTHING
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 30))
        pieces = st.one_of(
            st.text(max_size=6),
            st.sampled_from(
                ["[", "]", "{", "}", '"', "=", "\n", "[[port.plc.modbus]]\n", "routes = [", "-1", "units = ", "{}"]
            ),
            st.just(text[end : end + 60]),
        )
        text = text[:start] + data.draw(pieces) + text[end:]
    assert all(line.isprintable() for line in faults_in(text))


def test_b8_routes_to_servers_alone_need_no_port() -> None:
    found = parse('[modbus.m]\nlisten = 502\nroutes = [{ units = "1", to = "tcp://192.0.2.1:502" }]\n', "x")
    assert (found.ports, [router.name for router in found.routers]) == ((), ["m"])
