import json
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import click.testing
import pytest

from nportpy.cli import main
from nportpy.cli.check import warnings
from nportpy.config import parse, without_effect
from nportpy.network.addresses import allowed, barred_by

PORT = """
[port.a]
device = "/dev/null"
"""
SHUT = '[gateway]\nallow = ["192.168.0.0/16", "127.0.0.1", "::1"]\n'


def check(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["check", *arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def nobody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nportpy.cli.check_addresses.Sockets.occupant", lambda *_, **__: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.toml"


def test_a_good_file_is_shown_as_it_is_understood(file: Path) -> None:
    file.write_text("""
[gateway]
name = "pi-07"
allow = ["192.168.0.0/16", "127.0.0.1"]
[port.meters]
device = "/dev/null"
baudrate = 19200
format = "8E1"
rs485 = { delay_after = "2ms", termination = true }
trace = true
[[port.meters.raw]]
listen = [4001, "192.168.7.7:4002"]
allow = ["192.168.7.0/24", "10.0.0.0/8"]
[[port.meters.raw]]
listen = 4003
when_full = "kick_idle"
alive_check = "off"
takeover = false
[port.meters.rfc2217]
listen = 5001
signature = "m"
[port.spare]
device = "loop://"
rs485 = "off"
exclusive = false
""")
    result = check("-c", str(file))
    assert result.exit_code == 0
    assert result.stderr == ""
    assert (
        result.stdout
        == """\
gateway           pi-07
  connections     512 at once, 64 from one address
  stopping        up to 5s for what clients have sent
  log             info, text
http              127.0.0.1:9550
  may connect     192.168.0.0/16, 127.0.0.1/32
port meters
  device          /dev/null
  line            19200 8E1, flow control none
  RS-485          on, 0s before, 2ms after sending, RTS high while sending, bus terminated
  opening         exclusive, low latency, DTR keep, RTS keep, keep them at closing
  first client    bytes from before thrown away
  last client     unsent bytes wait 3s for the line
  trace           all bytes are logged
  raw             [::]:4001, 192.168.7.7:4002
    may connect   192.168.7.0/24
    clients       4 at once, one more is refused
    takeover      by a newcomer from a dead session's address
    alive check   7min
    inactivity    off
    half close    until the line is silent for 2s
    device away   close clients
    allowance     256KiB for a slow client
  raw-2           [::]:4003
    may connect   192.168.0.0/16, 127.0.0.1/32
    clients       4 at once, one more takes the place of one idle for 30s
    takeover      never
    alive check   off
    inactivity    off
    half close    until the line is silent for 2s
    device away   close clients
    allowance     256KiB for a slow client
  rfc2217         [::]:5001
    may connect   192.168.0.0/16, 127.0.0.1/32
    clients       4 at once, one more is refused
    control       first
    signature     "m"
    takeover      by a newcomer from a dead session's address
    alive check   7min
    inactivity    off
    half close    until the line is silent for 2s
    device away   close clients
    allowance     256KiB for a slow client
port spare
  device          loop://
  line            9600 8N1, flow control none
  RS-485          off
  opening         shared, low latency, DTR keep, RTS keep, keep them at closing
  first client    bytes from before thrown away
  last client     unsent bytes wait 3s for the line
  no service
plain             port.meters.raw[0], port.meters.raw[1], port.meters.rfc2217: others can read and change it
warning: port.spare: no service, so nobody can reach it
warning: port.meters.raw: this machine does not have the address 192.168.7.7 now
"""
    )


MODBUS = """
[gateway]
name = "pi-07"
allow = ["192.168.0.0/16", "127.0.0.1"]
[http]
listen = false
[port.meters]
device = "/dev/null"
[port.meters.modbus]
timeout = "auto"
retries = 0
[port.plc]
device = "loop://"
[[port.plc.modbus]]
listen = 5020
framing = "ascii"
silence = "5ms"
retries = 2
writes_first = true
share = false
merge = { gap = 16 }
cache = "500ms"
units = [{ units = "7-9", timeout = "3s", silence = "20ms", retries = 1 }, { units = "10" }]
unit255 = 9
rules = [
  { action = "read-write", clients = ["192.168.7.0/24"], units = "1-5,9", functions = [4, 3] },
  { action = "read-only", registers = "41001-41100" },
  { action = "deny" },
]
priorities = [{ priority = "low", registers = "coil:5" }]
[[port.plc.modbus]]
listen = 5020
protocol = "udp"
[port.old]
device = "loop://"
[port.old.modbus_master]
exceptions = false
routes = [{ units = "1-8", port = "meters" }, { units = "9", to = "tcp://plc.local" }]
[modbus.plant]
listen = 5021
unit0 = 3
routes = [
  { units = "1-31", port = "meters" },
  { units = "32-63", port = "plc", offset = -31 },
  { units = "100,255", to = "tcp://[fd00::7]:5020", unit = 1 },
]
rest = "2s"
"""
LINE = """\
  line            9600 8N1, flow control none
  RS-485          as the device tree has it
  opening         exclusive, low latency, DTR keep, RTS keep, keep them at closing
  first client    bytes from before thrown away
  last client     unsent bytes wait 3s for the line
"""
CONNECTIONS = """\
    takeover      by a newcomer from a dead session's address
    alive check   7min
    inactivity    off
    half close    until the line is silent for 2s
    allowance     256KiB for a slow client
"""


def test_modbus_is_shown_as_it_is_understood(file: Path) -> None:
    file.write_text(MODBUS)
    result = check("-c", str(file))
    assert result.exit_code == 0
    assert result.stderr == ""
    assert (
        result.stdout
        == f"""\
gateway           pi-07
  connections     512 at once, 64 from one address
  stopping        up to 5s for what clients have sent
  log             info, text
http              off
port meters
  device          /dev/null
{LINE}\
  bus             RTU, t3.5 of silence before each frame, local echo: auto
    timeout       learned, 50ms to 3s, no retry
    waiting       up to 5s, 32 requests of one client
    reads         one for all who ask the same
    broadcast     100ms for the units to obey
    raw clients   hold up a request for up to 1s, until 50ms of silence
  routes          from modbus.plant (units 1-31), port.old.modbus_master (units 1-8)
port plc
  device          loop://
{LINE}\
  bus             ASCII, 5ms of silence before each frame, local echo: auto
    timeout       1s, 2 retries of a read
    waiting       up to 5s, 32 requests of one client, writes go first
    reads         each client has its own, merged over gaps of up to 16, served again for 500ms
    units 7-9     timeout 3s, 20ms of silence before each frame, 1 retry of a read
    unit 10       like the others
    broadcast     100ms for the units to obey
    characters    up to 1s apart in a frame
    raw clients   hold up a request for up to 1s, until 50ms of silence
  modbus          [::]:5020
    may connect   192.168.0.0/16, 127.0.0.1/32
    clients       32 at once, one more is refused
    requests      Modbus TCP, 64 of one client under way
    unit 0        broadcast
    unit 255      unit 9 is meant
    unrouted      exception
    rule 1        read-write: clients 192.168.7.0/24; units 1-5,9; functions 3, 4
    rule 2        read-only: 41001-41100
    rule 3        deny: everything
    else          read-write
    priority 1    low: 00006
{CONNECTIONS}\
  modbus-2        [::]:5020
    may connect   192.168.0.0/16, 127.0.0.1/32
    clients       32 at once, one more is refused
    requests      Modbus UDP, 64 of one client under way
    unit 0        broadcast
    unit 255      unrouted
    unrouted      exception
  routes          from modbus.plant (units 32-63)
port old
  device          loop://
{LINE}\
  master          RTU, local echo: auto
    answers       too late after 1s
    exceptions    silence instead
    units 1-8     port meters
    unit 9        tcp://plc.local:502
  servers         tcp://plc.local:502
    timeout       1s, 1 retry of a read
    waiting       up to 1s, 32 requests of one client
    reads         one for all who ask the same
    connecting    no rest after it
modbus plant      [::]:5021
    may connect   192.168.0.0/16, 127.0.0.1/32
    clients       32 at once, one more is refused
    requests      Modbus TCP, 64 of one client under way
    unit 0        unit 3 is meant
    unit 255      as routed
    unrouted      exception
{CONNECTIONS}\
    units 1-31    port meters
    units 32-63   port plc, there units 1-32
    units 100,255 tcp://[fd00::7]:5020, there unit 1
  servers         tcp://[fd00::7]:5020
    timeout       1s, 1 retry of a read
    waiting       up to 5s, 32 requests of one client
    reads         one for all who ask the same
    connecting    then 2s of rest
plain             port.plc.modbus[0], modbus.plant: others can read and change it
plain for ever    port.plc.modbus[1]: UDP has no TLS; allow, and a VPN
"""
    )


def test_a_narrow_pipe_cuts_and_wraps_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    device = "/dev/serial/by-id/" + "x" * 200
    file.write_text(f'port.a.device = "{device}"\nhttp.listen = false\n')
    result = check("-c", str(file))
    assert f"  device          {device}\n" in result.stdout
    assert "\nhttp              off\nport a\n" in result.stdout


def test_faults_go_to_stderr_one_a_line(file: Path) -> None:
    file.write_text('[port.a]\ndevise = "/dev/ttyS0"\n')
    result = check("--config", str(file))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f'{file}:1: port.a.device: is missing (allowed: a line such as device = "/dev/ttyAMA0")\n'
        f'{file}:2: port.a.devise = "/dev/ttyS0": is not a key of [port.NAME]: did you mean device?\n'
    )


def test_without_a_file_the_usual_one_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nportpy.cli.check.read", lambda path: f"port.a.device = 'x:/{path}'")
    assert "  device          x://etc/nportpy/nportpy.toml\n" in check().stdout


def test_the_schema_for_editors() -> None:
    result = check("--schema")
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)["properties"]) == {
        "gateway",
        "archive",
        "station",
        "tls",
        "upstream",
        "http",
        "log",
        "discovery",
        "mdns",
        "capture",
        "port",
        "modbus",
    }


OPEN = "no allow list: anyone who reaches this machine can use "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SHUT + PORT + "raw.listen = 4001", []),
        (PORT + 'raw.listen = "127.0.0.1:4001"', []),
        (PORT, ["port.a: no service, so nobody can reach it"]),
        (PORT + "raw.listen = 4001\nrfc2217 = [{ listen = 5001 }, { listen = 5002 }]", [
            OPEN + "port.a.raw, port.a.rfc2217, port.a.rfc2217-2"
        ]),
        (PORT + "raw.listen = 4001\nallow = ['10.0.0.1']", []),
        (SHUT + PORT.replace("null", "not-here") + "raw.listen = 4001", ["port.a: /dev/not-here is not here now"]),
        (SHUT + PORT + "raw.listen = [502, 1023, 1024]", [
            "port.a.raw: port 502 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
            "port.a.raw: port 1023 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
        ]),
        (SHUT + PORT + "raw = { listen = [4001, 4002], allow = ['10.0.0.0/8'] }", [
            "port.a.raw: the allow lists have no address in common, so nobody can connect"
        ]),
        (SHUT + PORT + "raw = { listen = '127.0.0.1:4001', allow = ['192.168.7.0/24'] }", [
            "port.a.raw: 127.0.0.1:4001 is for this machine alone, but 127.0.0.1 is not allowed to connect"
        ]),
        ("[gateway]\nallow = ['10.0.0.0/8']" + PORT + "raw.listen = 4001", []),
        (SHUT + PORT + "realcom = {}\nmodem.listen = 23", [
            "port.a.modem: port 23 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
            "port.a.realcom: port 950 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
            "port.a.realcom: port 966 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
        ]),
        (SHUT + PORT + "reverse_telnet.listen = 23\nudp = { listen = 1023, to = '192.168.0.1:9' }", [
            "port.a.udp: port 1023 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
            "port.a.reverse_telnet: port 23 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
        ]),
        (SHUT + PORT + "raw.listen = 4001\n[http]\nlisten = '[::]:9550'", []),
        ("[http]\nlisten = ['[::]:80', '127.0.0.1:9550']" + PORT + "raw.listen = '[::1]:4001'", [
            "http: port 80 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
            "http: [::]:80 shows anyone who reaches this machine who is connected",
        ]),
        (SHUT + PORT + "raw.listen = 4001\nflow = 'rtscts'\nrs485 = 'on'", [
            "port.a: RS-485 direction control and RTS/CTS flow control both want RTS"
        ]),
        (SHUT + PORT + "raw.listen = 4001\nflow = 'rtscts'", []),
        (PORT + "modbus = [{ listen = 502 }, { listen = 5020, protocol = 'udp' }]", [
            "port.a.modbus: port 502 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
            OPEN + "port.a.modbus, port.a.modbus-2",
        ]),
        (SHUT + PORT + "modbus = {}", ["port.a: no service, so nobody can reach it"]),
        (SHUT + PORT + "[modbus.b]\nlisten = 5020\nroutes = [{ units = '1', port = 'a' }]", []),
        (SHUT + PORT + "modbus_master.routes = [{ units = '1', to = 'tcp://b' }]", []),
        (PORT + "[modbus.b]\nlisten = 502\nunit0 = 2\nunit255 = 1\nroutes = [{ units = '1', port = 'a' }]", [
            "modbus.b: port 502 is below 1024 and takes a privilege (CAP_NET_BIND_SERVICE)",
            "modbus.b: unit0 is unit 2, which no route has",
            OPEN + "modbus.b",
        ]),
    ],
)  # fmt: skip
def test_a12_warnings(text: str, expected: list[str]) -> None:
    assert warnings(parse(text, "x")) == expected


LEAVE = "connect anew each minute while their line is silent, and lose what it says meanwhile"
REALCOM = SHUT + PORT + "realcom.number = 1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REALCOM, ""),
        (REALCOM + "[discovery]\nname = 'x'", ""),
        (REALCOM + "[discovery]\nlisten = false", (
            f"discovery is off, so the drivers of port.a.realcom {LEAVE}; leave [discovery] out, or its listen = false"
        )),
        (SHUT + PORT + "raw.listen = 4001\n[discovery]\nlisten = false", ""),
        (REALCOM + "[discovery]\nlisten = '[::]:4801'", (
            f"discovery does not listen on [::]:4800, so drivers of port.a.realcom that connect there {LEAVE}"
        )),
        (REALCOM + "[discovery]\nlisten = '0.0.0.0:4800'", (
            f"discovery does not listen on [::]:4800, so drivers of port.a.realcom that connect there {LEAVE}"
        )),
        (SHUT + "listen = '0.0.0.0'" + PORT + "realcom.number = 1", ""),
        (SHUT + "listen = '192.0.2.7'" + PORT + "realcom.number = 1", ""),
        (SHUT + "listen = '192.0.2.7'" + PORT + "realcom.number = 1\n[discovery]\nlisten = '192.0.2.8:4800'", (
            f"discovery does not listen on 192.0.2.7:4800, so drivers of port.a.realcom that connect there {LEAVE}"
        )),
        (REALCOM + "[discovery]\nallow = ['127.0.0.7']", (
            f"discovery.allow leaves out some who may use port.a.realcom, and their drivers {LEAVE}"
        )),
        (SHUT + PORT + "realcom.allow = ['127.0.0.7']\n[discovery]\nallow = ['127.0.0.0/29']", ""),
    ],
)  # fmt: skip
def test_r3_drivers_that_nobody_would_answer(text: str, expected: str) -> None:
    found = [warning for warning in warnings(parse(text, "x")) if LEAVE in warning]
    assert found == ([expected] if expected else [])


def test_who_may_connect(file: Path) -> None:
    file.write_text(
        '[gateway]\nallow = ["10.0.0.0/8", "fd00::/8"]\n'
        '[port.a]\ndevice = "loop://"\nallow = ["10.7.0.0/16", "10.8.0.0/16", "fd00::1", "172.16.0.0/12"]\n'
        'raw = [{ listen = 1, allow = ["0.0.0.0/0"] }, { listen = 2, allow = ["10.7.7.7", "10.9.0.0/16"] },'
        ' { listen = 3, allow = ["192.168.0.0/16"] }]\n[http]\nlisten = "127.0.0.1:9550"\n'
    )
    who = [line.split(maxsplit=2)[2] for line in check("-c", str(file)).stdout.splitlines() if "may connect" in line]
    assert who == ["10.0.0.0/8, fd00::/8, 127.0.0.0/8", "10.7.0.0/16, 10.8.0.0/16", "10.7.7.7/32", "nobody"]
    file.write_text('[port.a]\ndevice = "loop://"\nraw.listen = 4001\nrfc2217.listen = ["127.0.0.1:1", "[::1]:1"]\n')
    who = [line.split(maxsplit=2)[2] for line in check("-c", str(file)).stdout.splitlines() if "may connect" in line]
    assert who == ["anyone on this machine", "anyone", "anyone on this machine"]


def test_a3_addresses_and_interfaces_that_are_not_here(file: Path) -> None:
    file.write_text("""
[gateway]
listen = "203.0.113.1"
[http]
listen = "203.0.113.2:9550"
[discovery]
listen = "203.0.113.3:4800"
[mdns]
interfaces = ["203.0.113.4", "127.0.0.1"]
[port.a]
device = "/dev/null"
raw = [{ listen = "127.0.0.1:1111" }, { listen = ["[::]:1110", "203.0.113.5:1112"] }]
modem.listen = 1113
realcom = { data = 1114, command = "203.0.113.6:1115" }
udp = { listen = "0.0.0.0:1116", groups = "239.1.1.2%nowhere0", multicast_interface = "nowhere0" }
[port.b]
device = "/dev/zero"
modbus.listen = "203.0.113.7:502"
[modbus.plant]
listen = "[2001:db8::1]:502"
routes = [{ units = "1", port = "b" }]
""")
    result = check("-c", str(file))
    assert result.exit_code == 0, result.stderr
    found = [line.removeprefix("warning: ") for line in result.stdout.splitlines() if " now" in line]
    lacks = "this machine does not have the address"
    assert found == [
        f"port.a.raw-2: {lacks} 203.0.113.5 now",
        f"port.a.modem: {lacks} 203.0.113.1 now",
        f"port.a.realcom: {lacks} 203.0.113.1 now",
        f"port.a.realcom: {lacks} 203.0.113.6 now",
        f"port.b.modbus: {lacks} 203.0.113.7 now",
        f"modbus.plant: {lacks} 2001:db8::1 now",
        f"discovery: {lacks} 203.0.113.3 now",
        f"http: {lacks} 203.0.113.2 now",
        "port.a.udp: there is no network interface nowhere0 now",
        f"mdns.interfaces: {lacks} 203.0.113.4 now",
    ]


def test_a4_a_port_that_another_program_has_now(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        is_gateway = False

        def __str__(self) -> str:
            return "ser2net -c /etc/ser2net.yaml (pid 812)"

    found = Found()
    monkeypatch.setattr(
        "nportpy.cli.check_addresses.Sockets.occupant", lambda _, place, **__: found if place.port == 4001 else None
    )
    file.write_text(SHUT + PORT + "raw.listen = 4001\nrfc2217.listen = 5001\n")
    text = "warning: port.a.raw: [::]:4001 is in use now by ser2net -c /etc/ser2net.yaml (pid 812)\n"
    assert check("-c", str(file)).stdout.endswith(text)
    found.is_gateway = True  # which is to read this file: no news
    assert text not in check("-c", str(file)).stdout


def test_a2_loopback_services_are_for_this_machine() -> None:
    here = ip_address("127.0.0.1")
    rings = "[gateway]\nallow = ['192.168.7.0/24']\n" + PORT + "allow = ['192.168.7.8/30']\n"
    text = rings + (
        "raw.listen = ['127.0.0.1:4001', 4002]\nrfc2217.listen = 5001\nmodbus.listen = '[::1]:502'\n"
        "udp.listen = '127.0.0.1:4001'\nmodem.listen = '127.3.2.1:4003'\n"
        "realcom = { data = '127.0.0.1:4004', command = '127.0.0.1:4005' }\n"
    )
    settings = parse(text, "x")
    (port,) = settings.ports
    assert settings.http is not None
    assert allowed(here, settings.http.allow)
    assert not allowed(ip_address("::1"), settings.http.allow)  # nobody comes there from that
    assert allowed(here, port.raw[0].allow)
    assert barred_by(here, port.rfc2217[0].allow) == "gateway.allow"
    assert allowed(ip_address("::1"), port.modbus[0].allow)
    assert [allowed(here, settings.allow) for _, settings in port.modes] == [True, True, True]
    own = parse(rings + "raw = { listen = '127.0.0.1:4001', allow = ['192.168.7.9'] }", "x").ports[0].raw[0]
    assert barred_by(here, own.allow) == "port.a.raw.allow"
    assert barred_by(ip_address("192.168.7.10"), own.allow) == "port.a.raw.allow"
    assert barred_by(ip_address("192.168.7.20"), own.allow) == "port.a.allow"
    assert barred_by(ip_address("192.168.8.9"), own.allow) == "gateway.allow"
    assert barred_by(ip_address("192.168.7.9"), own.allow) == ""


IDLE = """\
[gateway]
allow = ["10.0.0.0/8"]
[http]
listen = false
allow = ["127.0.0.1"]
[port.p1]
device = "/dev/null"
buffer = "64KiB"
flush_on_first_client = true
[port.p1.modbus]
timeout_min = "100ms"
character_timeout = "2s"
[port.p2]
device = "loop://"
[[port.p2.modbus]]
listen = 5020
idle_after = "10s"
rules = [{ action = "deny" }, { action = "read-only", units = "1" }]
[[port.p2.modbus]]
listen = 5020
protocol = "udp"
alive_check = "1min"
[port.p3]
device = "loop://"
buffer = "64KiB"
flush_on_first_client = true
[port.p3.modbus]
timeout = "2s"
[port.p3.udp]
listen = 4001
reply_time = "5s"
packing = { delimiting = "strip", length = 3, gap = 3.5 }
[port.p3.modem]
max_clients = 2
[port.p3.tcp_client]
to = "192.0.2.10:4001"
direction = "to_line"
packing = "gap"
[port.p4]
device = "loop://"
[port.p4.modbus_master]
deadline = "2s"
cache = "1s"
routes = [{ units = "1", port = "p1" }]
[modbus.plant]
listen = 5021
cache = "1s"
units = [{ units = "3", timeout = "5s" }]
routes = [{ units = "1-31", port = "p1" }, { units = "32", port = "p2", unit = 1 }]
[modbus.mixed]
listen = 5022
cache = "1s"
routes = [{ units = "1-31", port = "p1" }, { units = "32", to = "tcp://192.0.2.10" }]
"""
KICK = 'when_full = "kick_idle"'
ONE_WAY = 'with direction = "to_line" nobody hears the line'
TO_LINES = "all routes of this table lead to lines"
UNITS = '[{ units = "3", timeout = "5s" }]'
NOWHERE = (
    "it listens nowhere, and no route leads here (allowed: a listen in it, or a route of [modbus.NAME] that leads to "
    "this port)"
)
UNREACHED = "the rule before it holds for everything (port.p2.modbus[0].rules[0]) (allowed: this one first)"
IN_LINES = "[port.p1.modbus] or [port.p2.modbus]"
NO_STREAM = (
    "it is about streams, and no service of this port is one (allowed: no such line, or a service such as "
    "[port.NAME.raw])"
)


def test_a10_keys_without_effect_say_where_they_belong(file: Path) -> None:
    file.write_text(IDLE)
    result = check("-c", str(file))
    assert result.exit_code == 0
    found = [line.split(": ", 2)[1:] for line in result.stdout.splitlines() if "has no effect" in line]
    assert [": ".join(parts).replace(f"{file}:", "").replace(" has no effect:", "") for parts in found] == [
        '5: http.allow = ["127.0.0.1"]: http is off (listen = false) (allowed: a listen that is an address)',
        f'8: port.p1.buffer = "64KiB": {NO_STREAM}',
        f"9: port.p1.flush_on_first_client = true: {NO_STREAM}",
        '11: port.p1.modbus.timeout_min = "100ms": it is about a timeout that is learned (allowed: timeout = "auto")',
        '12: port.p1.modbus.character_timeout = "2s": it is about ASCII frames (allowed: framing = "ascii")',
        f'17: port.p2.modbus[0].idle_after = "10s": it is about {KICK} (allowed: {KICK})',
        f'18: port.p2.modbus[0].rules[1] = {{ action = "read-only", units = "1" }}: {UNREACHED}',
        '22: port.p2.modbus[1].alive_check = "1min": over UDP there are no connections (allowed: no such line)',
        "26: port.p3.flush_on_first_client = true: with a buffer nothing is thrown away (allowed: one of the two)",
        f'27: port.p3.modbus = {{ timeout = "2s" }}: {NOWHERE}',
        '31: port.p3.udp.reply_time = "5s": reply_to_last is not on (allowed: reply_to_last = true)',
        '32: port.p3.udp.packing.delimiting = "strip": there are no delimiters (allowed: delimiters = "0D 0A")',
        '32: port.p3.udp.packing.gap = 3.5: they are about mode "gap" and "rtu" (allowed: mode = "gap")',
        "34: port.p3.modem.max_clients = 2: this modem only dials (allowed: a listen beside it)",
        f'38: port.p3.tcp_client.packing = "gap": {ONE_WAY} (allowed: no such line)',
        f'43: port.p4.modbus_master.cache = "1s": {TO_LINES} (allowed: cache in [port.p1.modbus])',
        f'47: modbus.plant.cache = "1s": {TO_LINES} (allowed: cache in {IN_LINES})',
        f"48: modbus.plant.units = {UNITS}: {TO_LINES} (allowed: units in {IN_LINES})",
    ]


def test_a10_the_commented_file_has_no_key_without_effect() -> None:
    path = Path(__file__).parents[2] / "etc" / "nportpy.toml"
    assert without_effect(path.read_text(), "f") == []


def test_a20_a_port_that_a_route_uses_has_a_service(file: Path) -> None:
    file.write_text(IDLE)
    lines = check("-c", str(file)).stdout.splitlines()
    assert "  no service" not in lines
    ways = "modbus.plant (units 1-31), modbus.mixed (units 1-31), port.p4.modbus_master (unit 1)"
    assert f"  routes          from {ways}" in lines


def test_a20_json_has_the_settings_and_the_warnings(file: Path) -> None:
    file.write_text(IDLE)
    result = check("--json", "-c", str(file))
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["file"], found["ok"], found["faults"]) == (str(file), True, [])
    assert any("modbus.plant.cache" in warning for warning in found["warnings"])
    plant = found["settings"]["routers"][0]["service"]
    assert plant["listen"] == ["[::]:5021"]
    assert plant["routing"]["routes"][1] == {"units": [32], "to": "p2", "offset": 0, "unit": 1}


def test_a20_json_has_the_faults(file: Path) -> None:
    file.write_text("[port.p1]\ndevice = /dev/ttyS0\nbaudrate = 0\n")
    result = check("--json", "-c", str(file))
    assert result.exit_code == 2
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert (found["ok"], found["settings"]) == (False, None)
    assert found["faults"] == [
        {
            "line": 2,
            "column": 10,
            "key": None,
            "value": None,
            "reason": "is not TOML: a text stands in quotes",
            "allowed": 'device = "/dev/ttyS0"',
            "excerpt": "device = /dev/ttyS0",
        },
        {
            "line": 3,
            "column": None,
            "key": "port.p1.baudrate",
            "value": "0",
            "reason": "is out of range",
            "allowed": "1 to 2147483647",
            "excerpt": None,
        },
    ]


def test_a22_mdns_without_zeroconf(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(SHUT + "[mdns]" + PORT + "raw.listen = 4001\n")
    assert "zeroconf" not in check("-c", str(file)).stdout
    monkeypatch.setattr("nportpy.cli.check.find_spec", lambda name: None)
    result = check("-c", str(file))
    assert result.exit_code == 0
    assert "warning: mdns: the package zeroconf is not installed" in result.stdout
    assert "pip install 'nportpy[mdns]', or apt install python3-zeroconf" in result.stdout


SAME = "all services have the line at the same settings"
OWN = PORT + '[[port.a.raw]]\nlisten = "127.0.0.1:4001"\n[[port.a.raw]]\nlisten = "127.0.0.1:4002"\n'


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("baudrate = 300\n", []),
        ('when_busy = "wait"\n', [f"port.a.raw-2: when_busy has no effect: {SAME}"]),
        ("baudrate = 9600\n", ["port.a.raw-2: its settings are those of the port"]),
        (
            'baudrate = 300\n[port.a.tcp_client]\nto = "192.0.2.1:7"\n',
            ["port.a.raw-2: nobody gets in while port.a.tcp_client is connected, which is at once: see when_busy"],
        ),
        ('baudrate = 300\nwhen_busy = "kick"\n[port.a.tcp_client]\nto = "192.0.2.1:7"\n', []),
    ],
)  # fmt: skip
def test_b5_settings_of_ones_own_that_mean_little(more: str, said: list[str]) -> None:
    assert warnings(parse(OWN + more, "x")) == said


def test_b5_settings_of_ones_own_are_shown(file: Path) -> None:
    file.write_text(OWN + 'baudrate = 300\nformat = "7E1"\nwhen_busy = "wait"\n')
    lines = check("-c", str(file)).stdout.splitlines()
    assert "    line          300 7E1, flow control none" in lines
    assert "    line busy     who comes while it is at other settings waits" in lines


@pytest.mark.process
def test_a_check_imports_nothing_that_serves() -> None:
    """C26: who edits in a browser waits for it, and so does each start of a gateway."""
    code = "import sys, nportpy.cli.check, nportpy.config.build, nportpy.config.clashes; print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    served = {"asyncio", "ssl", "nportpy.status", "nportpy.line.arbiter", "nportpy.gateway.running"}
    assert served.isdisjoint(shown)
