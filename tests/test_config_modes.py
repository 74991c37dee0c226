"""The tables of an NPort's operation modes, of packing, discovery and mDNS."""

from ipaddress import ip_address, ip_network

import pytest

from nportpy.config import fault_lines, parse
from nportpy.errors import ConfigError
from nportpy.gateway.plans import Kind, listening
from nportpy.gateway.sockets import Place
from nportpy.line.stream_base import IdleLevels, StreamSettings
from nportpy.modes.commands_base import CommandSettings
from nportpy.modes.discovery_base import DiscoverySettings
from nportpy.modes.modem_base import ModemSettings, Number
from nportpy.modes.pair_base import PairSettings
from nportpy.modes.realcom_base import RealComSettings
from nportpy.modes.reverse_telnet_base import Enter, ReverseTelnetSettings
from nportpy.modes.tcp_client_base import ConnectOn, DisconnectOn, TcpClientSettings
from nportpy.modes.udp_base import Range, UdpSettings
from nportpy.network.addresses import Destination, Endpoint, Group
from nportpy.network.service import Direction, WhenJammed
from nportpy.protocols.packing import Delimiting, Packing, PackingSettings
from nportpy.services.mdns_base import MdnsSettings

HEAD = '[port.a]\ndevice = "/dev/ttyS0"\n'


def one(table: str) -> object:
    """The settings of the only mode in a file."""
    ((_, settings),) = parse(HEAD + table, "x").ports[0].modes
    return settings


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    return fault_lines(caught.value)


def test_tcp_client() -> None:
    table = """
    [port.a.tcp_client]
    to = ["Scada.example:4001", { host = "[fd00::7]:4002", local_port = 4001 }]
    connect = "any_character"
    disconnect = "inactivity"
    inactivity = "10s"
    """
    assert one(table) == TcpClientSettings(
        destinations=(Destination("scada.example", 4001), Destination("fd00::7", 4002, 4001)),
        connect=ConnectOn.ANY_CHARACTER,
        disconnect=DisconnectOn.INACTIVITY,
        inactivity=10.0,
    )


def test_udp() -> None:
    table = """
    [port.a.udp]
    listen = 4001
    allow = ["192.0.2.0/24"]
    to = ["192.0.2.1-192.0.2.9:4001", "[ff02::1]:7"]
    groups = ["239.1.1.1%eth0"]
    packing = { delimiters = "0D 0A", delimiting = "strip" }
    """
    assert one(table) == UdpSettings(
        listen=(Endpoint("::", 4001),),
        allow=((ip_network("192.0.2.0/24"),),),
        destinations=(
            Range(ip_address("192.0.2.1"), ip_address("192.0.2.9"), 4001),
            Range(ip_address("ff02::1"), ip_address("ff02::1"), 7),
        ),
        groups=(Group(ip_address("239.1.1.1"), "eth0"),),
        packing=PackingSettings(delimiters=b"\r\n", delimiting=Delimiting.STRIP),
    )


def test_pair() -> None:
    assert one('[port.a.pair]\nto = "192.0.2.20:5001"') == PairSettings(to=Destination("192.0.2.20", 5001))


def test_reverse_telnet() -> None:
    assert one('[port.a.reverse_telnet]\nlisten = 2301\nenter = "lf"') == ReverseTelnetSettings(
        listen=(Endpoint("::", 2301),), enter=Enter.LF
    )


def test_modem() -> None:
    assert one('[port.a.modem]\nnumbers = { "555*1" = "h:1" }\ninit = "E0"') == ModemSettings(
        listen=(), numbers=(Number("555*1", Destination("h", 1)),), init="E0"
    )


def test_r1_discovery_speaks_ipv6_unless_the_gateway_does_not() -> None:
    text = '[port.b]\ndevice = "/dev/ttyS1"\n[port.b.realcom]\n'
    for gateway, table, expected in (
        ("", "", "::"),
        ('[gateway]\nlisten = "0.0.0.0"\n', "", "0.0.0.0"),
        ('[gateway]\nlisten = "127.0.0.1"\n', '[discovery]\nname = "x"\n', "0.0.0.0"),
        ('[gateway]\nlisten = "::1"\n', "", "::"),
        ('[gateway]\nlisten = "0.0.0.0"\n', '[discovery]\nlisten = "[::1]:4800"\n', "::1"),
    ):
        discovery = parse(gateway + text + table, "x").discovery
        assert discovery is not None
        assert discovery.listen == (Endpoint(expected, 4800),)


def test_realcom_is_where_drivers_expect_the_ports_number() -> None:
    text = '[port.a]\ndevice = "/dev/ttyS0"\n[port.b]\ndevice = "/dev/ttyS1"\n[port.b.realcom]\n'
    settings = parse(text, "x")
    assert settings.ports[1].modes == (
        (Kind.REALCOM, RealComSettings(data=(Endpoint("::", 951),), command=(Endpoint("::", 967),), number=2)),
    )
    discovery = Place(Endpoint("::", 4800), udp=True)
    http = Place(Endpoint("127.0.0.1", 9550))
    assert listening(settings) == [Place(Endpoint("::", 951)), Place(Endpoint("::", 967)), discovery, http]
    assert settings.discovery == DiscoverySettings(name=settings.name)
    settings = parse(f"{text}number = 17\ncommand = 4966\n", "x")
    ((_, realcom),) = settings.ports[1].modes
    assert (realcom.data, realcom.command) == ((Endpoint("::", 982),), (Endpoint("::", 4966),))


def test_discovery_can_be_switched_off() -> None:
    assert parse(HEAD, "x").discovery is None
    assert parse(f"discovery.listen = false\n{HEAD}[port.a.realcom]", "x").discovery is None


def test_discovery_and_mdns() -> None:
    text = """
    discovery = { mac = "00:90:e8:01:02:03", allow = ["192.0.2.0/24"], name = "x" }
    mdns = { interfaces = "192.0.2.1", http = false }
    """
    settings = parse(text + HEAD, "x")
    assert settings.discovery == DiscoverySettings(
        mac=bytes.fromhex("0090e8010203"), allow=((ip_network("192.0.2.0/24"),),), name="x"
    )
    assert settings.mdns == MdnsSettings(interfaces=("192.0.2.1",), http=False)


def test_what_all_stream_modes_share() -> None:
    text = """
    buffer = "64KiB"
    idle_levels = "low"
    [port.a.raw]
    listen = 4001
    when_jammed = "skip"
    commands = { answers = { delimiters = "0A" }, response_timeout = "off" }
    [port.a.rfc2217]
    listen = 5001
    direction = "to_network"
    packing = { mode = "gap", gap = 3.5 }
    """
    (port,) = parse(HEAD + text, "x").ports
    assert port.stream == StreamSettings(buffer=65536, idle_levels=IdleLevels.LOW)
    assert port.raw[0].when_jammed is WhenJammed.SKIP
    assert port.raw[0].commands == CommandSettings(answers=PackingSettings(delimiters=b"\n"), response_timeout=0.0)
    assert port.rfc2217[0].packing == PackingSettings(Packing.GAP, gap=3.5)
    assert port.rfc2217[0].direction is Direction.TO_NETWORK


def test_command_by_command_is_not_packed() -> None:
    (told,) = faults(f'{HEAD}[port.a.raw]\nlisten = 4001\ncommands = true\npacking = "rtu"\n')
    assert told.startswith("f:3: port.a.raw = ")
    assert "commands go with neither packing nor direction" in told


def test_command_by_command_in_a_word() -> None:
    for word, wanted in (("true", CommandSettings()), ("false", None)):
        (port,) = parse(f"{HEAD}raw = {{ listen = 4001, commands = {word} }}", "x").ports
        assert port.raw[0].commands == wanted


def test_several_of_a_kind() -> None:
    (port,) = parse(HEAD + '[[port.a.pair]]\nto = "h:1"\n[[port.a.pair]]\nto = "h:2"', "x").ports
    assert [settings.to.port for _, settings in port.modes] == [1, 2]


BAD = """\
[port.a]
device = "/dev/ttyS0"
buffer = "1B"
[port.a.raw]
listen = 950
packing = { length = 5, delimiters = "0D" }
commands = { answers = "immediate" }
[[port.a.tcp_client]]
to = ["host", { host = "h2:2", local_port = 70000 }]
[[port.a.tcp_client]]
to = "h:1"
connect = "dsr"
disconnect = "dcd"
[[port.a.tcp_client]]
to = ["h:1", "h:2", "h:3", "h:4", "h:5"]
[[port.a.tcp_client]]
to = "h:1"
connect = "any_character"
disconnect = "inactivity"
[port.a.udp]
listen = 4001
to = ["192.0.2.9-192.0.2.5:99", "192.0.2.1:0", "fd00::1:7", "x:1"]
groups = ["10.1.1.1", "ff02::1%"]
packing = { delimiters = "0D 0A 0B" }
[port.a.pair]
settings = "pull"
[[port.a.modem]]
numbers = { "12x" = "x:1" }
[[port.a.modem]]
init = "D1"
[port.a.realcom]
[discovery]
listen = "0.0.0.0:950"
mac = "1:2"
"""


def test_every_fault_is_told() -> None:
    told = faults(BAD)
    assert [line.partition(": ")[0] for line in told] == [
        f"f:{number}" for number in (3, 6, 7, 9, 9, 10, 14, 16, 22, 22, 22, 22, 23, 23, 24, 25, 26, 28, 29, 31, 34)
    ], "\n".join(told)
    assert "f:31: port.a.realcom.number = 950: [::]:950 is taken by port.a.raw.listen, line 5" in told[19]
