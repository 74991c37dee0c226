"""ser2net.yaml, both versions, as files in the field are: what they become, and what is said of the rest."""

import tomllib
from itertools import permutations
from typing import Any

import pytest

from nportpy.config import parse
from nportpy.errors import ConfigError
from nportpy.gateway.plans import GatewaySettings
from nportpy.linesettings import Flow, LineSettings, Rs485Mode
from nportpy.migration import convert
from nportpy.modes.rfc2217_base import WhoControls
from nportpy.network.addresses import Endpoint
from nportpy.network.service import WhenFull
from nportpy.protocols.packing import Packing, PackingSettings

V1 = "%YAML 1.1\n---\n"


def settings(text: str) -> GatewaySettings:
    """What the converted file means."""
    return parse(convert(text, "ser2net.yaml").text, "nportpy.toml")


def table(text: str) -> dict[str, Any]:
    return tomllib.loads(convert(text, "ser2net.yaml").text)


def remarks(text: str) -> list[str]:
    """What is said of lines of the source, as `number: text`."""
    lines = convert(text, "x").text.splitlines()
    return [line.removeprefix("# line ") for line in lines if line.startswith("# line ")]


def faults(text: str) -> list[tuple[int, str]]:
    with pytest.raises(ConfigError) as caught:
        convert(text, "x")
    return [(fault.line, f"{fault.key}: {fault.reason}") for fault in caught.value.faults]


def one(accepter: str = "tcp,2001", connector: str = "serialdev,/dev/ttyS1,9600n81,local", *more: str) -> str:
    return "\n".join(["connection: &a", f"  accepter: {accepter}", f"  connector: {connector}", *more, ""])


def options(*pairs: str, accepter: str = "tcp,2001") -> str:
    return one(accepter, "serialdev,/dev/ttyS1,9600n81,local", "  options:", *(f"    {pair}" for pair in pairs))


def test_what_most_have() -> None:
    text = one("tcp,20108", "serialdev,/dev/ttyACM0,115200n81,local", "  options:", "    kickolduser: true")
    port = settings(text).ports[0]
    assert (port.name, port.port.device, port.port.line) == ("a", "/dev/ttyACM0", LineSettings(115200))
    raw = port.raw[0]
    assert raw.listen == (Endpoint("::", 20108),)
    assert (raw.max_clients, raw.when_full) == (1, WhenFull.KICK_OLDEST)
    assert remarks(text) == []


def test_as_debian_installs_it() -> None:
    text = (
        V1
        + r"""
define: &greeting \r\nport \p device \d [\B]\r\n

connection: &slow0
    accepter: tcp,localhost,2000
    enable: on
    options:
      banner: *greeting
      kickolduser: true
      telnet-brk-on-sync: true
    connector: serialdev,
              /dev/ttyS0,
              9600n81,local

connection: &fast0
    accepter: tcp,localhost,3000
    connector: serialdev,
              /dev/ttyS0,
              19200n81,local

connection: &fast1
    accepter: tcp,localhost,3001
    connector: serialdev,
              /dev/ttyS1,
              19200n81,local
"""
    )
    ports = settings(text).ports
    assert [(port.name, port.port.line.baudrate) for port in ports] == [("slow0", 9600), ("fast1", 19200)]
    assert ports[0].raw[0].listen == (Endpoint("127.0.0.1", 2000),)
    assert (ports[0].raw[1].listen, ports[0].raw[1].line) == ((Endpoint("127.0.0.1", 3000),), LineSettings(19200))
    greeting = r'"\\r\\nport \\p device \\d [\\B]\\r\\n"'
    assert remarks(text) == [
        f"10: banner = {greeting}: clients get the line's bytes and nothing else",
    ]


def test_rfc_2217_and_its_signature() -> None:
    text = options("signature: console 7", "max-connections: 3", accepter="telnet(rfc2217),tcp,192.168.0.7,5001")
    service = settings(text).ports[0].rfc2217[0]
    assert service.listen == (Endpoint("192.168.0.7", 5001),)
    assert (service.control, service.signature, service.max_clients) == (WhoControls.FIRST, "console 7", 3)
    assert remarks(text) == []


def test_telnet_alone_keeps_the_telnet_and_not_the_control() -> None:
    text = one("telnet,tcp,4999")
    assert settings(text).ports[0].rfc2217[0].control is WhoControls.NONE
    assert remarks(text) == ["2: telnet without rfc2217: the same telnet; settings that a client asks for are not done"]


@pytest.mark.parametrize(
    ("accepter", "listen"),
    [
        ("tcp,2001", [Endpoint("::", 2001)]),
        ("telnet,2001", [Endpoint("::", 2001)]),  # an address alone is TCP
        ("tcp, 127.0.0.1, 2001", [Endpoint("127.0.0.1", 2001)]),
        ("tcp,ipv4,2001", [Endpoint("0.0.0.0", 2001)]),
        ("tcp,ipv6,fd00::7,2001", [Endpoint("fd00::7", 2001)]),
        ("tcp(nodelay,reuseaddr=true),::1,2001", [Endpoint("::1", 2001)]),
        ("tcp,10.0.0.1,2001,10.0.0.2,2002", [Endpoint("10.0.0.1", 2001), Endpoint("10.0.0.2", 2002)]),
    ],
)
def test_where_it_listens(accepter: str, listen: list[Endpoint]) -> None:
    port = settings(one(accepter)).ports[0]
    assert list((*port.raw, *port.rfc2217)[0].listen) == listen


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", LineSettings(9600)),
        (",local", LineSettings(9600)),
        (",2400e71,local", LineSettings.parse(2400, "7E1")),
        (",speed=3000000N82,local rtscts", LineSettings.parse(3_000_000, "8N2", Flow.RTSCTS)),
        (",1200o,local,xonxoff", LineSettings.parse(1200, "8O1", Flow.XONXOFF)),
        (",300,local,xonxoff=false,rtscts=false", LineSettings(300)),
    ],
)
def test_the_line(words: str, line: LineSettings) -> None:
    assert settings(one(connector=f"serialdev,/dev/ttyS1{words}")).ports[0].port.line == line


def test_outputs_and_direction_control() -> None:
    text = one(connector="serialdev,/dev/ttyS1,9600n81,local,dtr=off,rts=on,hangup-when-done,rs485=2:5:rts_on_send")
    port = settings(text).ports[0].port
    assert (port.dtr, port.rts, port.on_close) == ("off", "on", "drop")
    assert (port.rs485.mode, port.rs485.delay_before, port.rs485.delay_after) == (Rs485Mode.ON, 0.002, 0.005)
    assert port.rs485.rts_on_send
    assert not port.rs485.rx_during_tx
    assert settings(one()).ports[0].port.rs485.mode is Rs485Mode.KEEP
    assert settings(one(connector="serialdev,/dev/x,9600n81,local,rs485=off")).ports[0].port.rs485.mode is Rs485Mode.OFF


def test_what_is_wider_than_before_is_told() -> None:
    assert remarks(one("tcp,ipv6,2001")) == ["2: ipv6 without an address: IPv4 hosts may come, too; see `allow`"]
    assert remarks(one("tcp(nodelay=false,tcpd=on),2001")) == [
        "2: tcpd=on of tcp: no equal",
        "2: nodelay=false: small segments are never held back here",
    ]


def test_timeout() -> None:
    assert settings(one(more := "tcp,2001")).ports[0].raw[0].inactivity == 0
    assert settings(one(more, "serialdev,/dev/x,local", "  timeout: 600")).ports[0].raw[0].inactivity == 600
    assert settings(one(more, "serialdev,/dev/x,local", "  timeout: 0")).ports[0].raw[0].inactivity == 0
    assert faults(one(more, "serialdev,/dev/x,local", "  timeout: soon")) == [
        (4, "a.timeout: is no number of seconds: soon")
    ]


def test_who_may_come() -> None:
    text = options("remaddr: 192.168.1.63,0;2001:db8::63,0", "remaddr: '10.0.0.1,7000'")
    assert table(text)["port"]["a"]["raw"]["allow"] == ["192.168.1.63", "2001:db8::63", "10.0.0.1"]
    assert remarks(text) == [
        '6: remaddr = "10.0.0.1,7000": 10.0.0.1,7000: the address may connect from any port of its own'
    ]
    assert faults(options("remaddr: office.example,0")) == [
        (5, 'a.remaddr = "office.example,0": office.example,0 is no address and port')
    ]


def test_defaults_hold_from_where_they_stand() -> None:
    text = (
        V1
        + one("tcp,1")
        + "default:\n  name: speed\n  value: 115200e81\n  class: serialdev\n"
        + "default:\n  name: local\n  value: true\n"
        + "default:\n  name: max-connections\n  value: 5\n  class: ser2net\n"
        + "connection: &b\n  accepter: tcp,2\n  connector: serialdev,/dev/ttyS2\n"
        + "delete_default:\n  name: speed\n  class: serialdev\n"
        + "connection: &c\n  accepter: tcp,3\n  connector: serialdev,/dev/ttyS3\n"
    )
    ports = settings(text).ports
    assert [port.port.line for port in ports] == [
        LineSettings(9600),
        LineSettings.parse(115200, "8E1"),
        LineSettings(9600),
    ]
    assert [port.raw[0].max_clients for port in ports] == [1, 5, 5]
    assert remarks(text) == []


def test_aliases_in_values_and_set_anew() -> None:
    text = V1 + (
        'define: &base "/dev/serial/by-path/pci-0000:00:1d.0"\n'
        'define: &hub "*(base)-usb-0:1.8"\n'
        'define: &hub "*(base)-usb-0:2.8"\n'
        "connection: &a\n  accepter: tcp,1\n  connector: serialdev,*(hub)-port0,9600n81,local\n"
    )
    assert settings(text).ports[0].port.device == "/dev/serial/by-path/pci-0000:00:1d.0-usb-0:2.8-port0"
    assert faults(one("tcp,*(nowhere)1")) == [(2, "*(nowhere): is not defined before this line")]
    assert faults(one(connector="serialdev,/dev/x,*{/etc/speed}"))[0] == (
        3,
        "*{...}: a file in a value is not read: write the text itself",
    )


def test_version_2_with_two_documents() -> None:
    text = """%YAML 1.1
---
defines:
  disk: /dev/serial/by-id
  hello: Port \\N
defaults:
  local:
    value: true
    class: serialdev
admins:
  boss:
    accepter: tcp,2000
leds:
  led1:
    driver: sysfs
    options:
      device: "input3::capslock"
connections:
  meter.1:
    accepter: telnet(rfc2217),tcp,3001
    connector: serialdev,=(disk)/usb-meter,2400e81
    options:
      banner: =(hello)
      led-tx: led1
  meter 2:
    enable: off
    accepter: tcp,3002
    connector: serialdev,=(disk)/usb-other,2400e81
---
delete_defaults:
  local: [serialdev]
connections:
  console:
    accepter: tcp,3003
    connector: serialdev,/dev/ttyS3,9600N81
rotators:
  any:
    accepter: tcp,3010
    connections: [console, "meter.1"]
"""
    assert [(port.name, port.port.device) for port in settings(text).ports] == [
        ("meter-1", "/dev/serial/by-id/usb-meter"),
        ("console", "/dev/ttyS3"),
    ]
    assert remarks(text) == [
        "11: admin boss: no administration port: GET /api/v1/status of [http] shows what is going on",
        "14: led led1: no LEDs are driven; what goes over a line is counted in /metrics",
        "25: meter 2 is left out: it is switched off",
        "37: rotator any: no rotator: each port has its own TCP port",
        """23: banner = "Port \\\\N": clients get the line's bytes and nothing else""",
        '24: led-tx = "led1": no LEDs are driven; what goes over a line is counted in /metrics',
        "35: without local, ser2net hung up when DCD dropped: here modem inputs are ignored",
    ]


def test_two_on_one_device() -> None:
    text = one("tcp,2001") + one("tcp,2002").replace("&a", "&b") + one("telnet(rfc2217),tcp,2003").replace("&a", "&c")
    port = settings(text).ports[0]
    assert [raw.listen[0].port for raw in port.raw] == [2001, 2002]
    assert [service.listen[0].port for service in port.rfc2217] == [2003]
    assert remarks(text) == [
        f"{line}: shares the device with line 1, at the same time; ser2net lets one in at a time" for line in (4, 7)
    ]


@pytest.mark.parametrize(
    ("connector", "device"),
    [
        ("echo", "loop://"),
        ("keepopen(retry-time=2000),serialdev,/dev/ttyUSB0,local", "/dev/ttyUSB0"),
        ("tcp,10.0.0.9,4001", "socket://10.0.0.9:4001"),
        ("telnet(rfc2217),tcp,fd00::9,4001", "rfc2217://[fd00::9]:4001"),
    ],
)
def test_other_ends(connector: str, device: str) -> None:
    assert settings(one(connector=connector)).ports[0].port.device == device


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (one("telnet,mux,certauth(),ssl,tcp,2001"), "its accepter needs mux, certauth, ssl, which has no equal: there"),
        (one("sctp,2001"), "its accepter needs sctp, which has no equal"),
        (one(connector="ipmisol,lan -U x -P y 10.0.0.1,9600"), "its connector is ipmisol, which has no equal"),
        (one(connector="telnet,tcp,10.0.0.9,23"), "its connector is telnet, tcp, which has no equal"),
        (one(connector="serialdev,/dev/lp0,wronly,local"), "its device is written to as it is"),
        (one("tcp,2001", "serialdev,/dev/x,local", "  enable: off"), "it is switched off"),
    ],
)
def test_what_is_left_out_says_why(text: str, reason: str) -> None:
    whole = text + one("tcp,9").replace("&a", "&b").replace("ttyS1", "ttyS9")
    assert [port.name for port in settings(whole).ports] == ["b"]
    assert remarks(whole)[0].startswith(f"1: a is left out: {reason}")
    assert faults(text)[-1] == (0, ": has no connection that could be converted")
    assert faults(text)[0][1].startswith(f": a is left out: {reason}")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("openstr: 'ATZ\\r'", 'openstr = "ATZ\\\\r": nothing is sent to the device when a client comes'),
        ("trace-both: /var/log/t", 'trace-both = "/var/log/t": nothing is written to files; `trace = true` of the'),
        ("mdns: true", 'mdns = "true": [mdns] announces services, of all ports'),
        ("net-to-dev-bufsize: 4096", 'net-to-dev-bufsize = "4096": buffers have sizes of their own; see `allowance`'),
        ("pamauth: login", 'pamauth = "login": there are no logins; see `allow`'),
        ("colour: blue", 'colour = "blue": no equal'),
    ],
)
def test_options_without_an_equal(option: str, said: str) -> None:
    assert [line.removeprefix("5: ")[: len(said)] for line in remarks(options(option))] == [said]


@pytest.mark.parametrize(
    "option",
    [
        "chardelay: false",
        "mdns: false",
        "mdns-name: x",
        "banner:",
        "telnet-brk-on-sync: true",
        "accepter-retry-time: 10",
        "sendon: ''",
    ],
)
def test_options_that_are_nothing_new(option: str) -> None:
    assert remarks(options(option)) == []


@pytest.mark.parametrize(
    ("given", "packing"),
    [
        (["chardelay-scale: 35"], PackingSettings(Packing.GAP, gap=3.5)),
        (["chardelay-min: 10000"], PackingSettings(Packing.GAP, gap=9.6)),  # 10 ms at 9600
        (["chardelay-scale: 900"], PackingSettings(Packing.GAP, gap=19.2)),  # chardelay-max ends it after 20 ms
        (["chardelay-scale: 900", "chardelay-max: 1000000"], PackingSettings(Packing.GAP, gap=90.0)),
        (["chardelay: true"], PackingSettings()),
        (["chardelay: false", "chardelay-scale: 35"], PackingSettings()),
        (["sendon: '\\r\\n'"], PackingSettings(delimiters=b"\r\n", force_transmit=0.002)),
        (["sendon: '\\003'", "chardelay-min: 50000"], PackingSettings(delimiters=b"\3", force_transmit=0.02)),
        (["sendon: 'x\\x7e'"], PackingSettings(delimiters=b"x~", force_transmit=0.002)),
    ],
)
def test_how_bytes_are_put_together(given: list[str], packing: PackingSettings) -> None:
    text = options(*given)
    assert settings(text).ports[0].raw[0].packing == packing
    assert remarks(text) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["sendon: 'end'"], 'sendon = "end": a delimiter has one byte or two'),
        (["sendon: '\\d'"], 'sendon = "\\\\d": \\d has no fixed bytes'),
        (["sendon: x", "chardelay: false"], 'sendon = "x": with chardelay off, ser2net did not wait for it either'),
        (["chardelay-scale: much"], 'chardelay-scale = "much": is no number'),
    ],
)
def test_what_is_no_packing(given: list[str], said: str) -> None:
    assert remarks(options(*given)) == [f"5: {said}"]


def test_one_way_only() -> None:
    assert table(options("no-con-to-acc: true"))["port"]["a"]["raw"]["direction"] == "to_line"
    assert table(options("no-acc-to-con: true"))["port"]["a"]["raw"]["direction"] == "to_network"
    assert "direction" not in table(options("no-acc-to-con: false"))["port"]["a"]["raw"]
    both = options("no-con-to-acc: true", "no-acc-to-con: true")
    assert remarks(both)[0].startswith("6: no-acc-to-con")


def test_udp() -> None:
    text = one("udp,127.0.0.1,3001", "serialdev,/dev/x,local", "  timeout: 30", "  options:", "    max-connections: 3")
    assert table(text)["port"]["a"]["udp"] == {
        "listen": "127.0.0.1:3001",
        "reply_to_last": True,
        "reply_time": "30s",
    }
    assert remarks(text) == ["2: udp: what the line says goes to whoever spoke last"]
    assert table(one("udp,3001"))["port"]["a"]["udp"]["reply_time"] == "1d"


def test_hosts_that_are_called() -> None:
    text = options("connback: 'tcp,10.0.0.1,4001;tcp,fd00::1,4001;telnet,tcp,10.0.0.2,23'", "max-connections: 3")
    assert table(text)["port"]["a"] == {
        "device": "/dev/ttyS1",
        "baudrate": 9600,
        "format": "8N1",
        "raw": {"listen": 2001, "max_clients": 1},
        "tcp_client": {"to": ["10.0.0.1:4001", "[fd00::1]:4001"], "connect": "any_character"},
    }
    assert remarks(text) == ['5: connback = "telnet,tcp,10.0.0.2,23": TCP client calls hosts in plain TCP']


def test_who_is_called_has_the_only_place() -> None:
    text = one("tcp,1", "serialdev,/dev/x,local", "  timeout: 60", "  options:", "    connback: tcp,host.example,4001")
    port = table(text)["port"]["a"]
    assert "raw" not in port
    assert port["tcp_client"] == {
        "to": ["host.example:4001"],
        "connect": "any_character",
        "disconnect": "inactivity",
        "inactivity": "1min",
    }


def test_a_connect_back_address_is_let_in_and_nobody_else() -> None:
    text = options("remaddr: '!10.0.0.1,4001'")
    assert table(text)["port"]["a"]["raw"]["allow"] == ["10.0.0.1"]
    assert remarks(text) == ['5: remaddr = "!10.0.0.1,4001": !10.0.0.1,4001: [port.NAME.tcp_client] calls hosts']


def test_each_of_a_name_is_told() -> None:
    text = options("mdns: true", "mdns-txt: a=1", "mdns-txt: b=2")
    assert remarks(text)[1:] == ['6: mdns-txt = "a=1": no equal', '7: mdns-txt = "b=2": no equal']


def test_a_remark_stays_on_its_line_and_harmless() -> None:
    text = options('banner: "one\\ntwo\\e[31m\\u2028"')
    [said] = remarks(text)
    assert said.startswith(r'5: banner = "one\ntwo\u001B[31m\u2028": clients get')


def test_all_faults_at_once_in_their_order() -> None:
    text = V1 + (
        "connection: &a\n  accepter: tcp,some.host,2001\n  connector: serialdev,/dev/usb2p2 115200n81,local\n"
        "connection: &b\n  accepter: tcp,telnet\n  connector: nothing,/dev/x\n  enable: perhaps\n"
        "connection: &c\n  accepter: tcp(nodelay,1\n  speed: 9600\n"
        "port: 3\n"
    )
    assert faults(text) == [
        (4, 'a.accepter = "tcp,some.host,2001": some.host is a name: here a service listens on an address'),
        (5, 'a.connector: "/dev/usb2p2 115200n81": has a space: is a comma missing before the speed?'),
        (7, 'b.accepter = "tcp,telnet": telnet is no port by number'),
        (8, 'b.connector = "nothing,/dev/x": is of no type that is known here'),
        (9, "b.enable: is neither on nor off"),
        (10, "c.connector: is missing"),
        (12, "c.speed: is no key of a connection"),
        (13, "port: is no key of ser2net.yaml"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("connection: &a\naccepter: tcp,1\nconnector: echo\n", 1, "has no name or nothing in it"),
        ("connection:\n  accepter: tcp,1\n  connector: echo\n", 1, "has no name or nothing in it"),
        ("connections:\n  - accepter: tcp,1\n", 1, "is a list: ser2net wants a name before each"),
        ("include: /etc/ser2net/*.yaml\n", 1, "other files are not read"),
        ("a: [1\nb: 2\n", 2, "is not YAML"),
        ("connection: &a\n\taccepter: tcp,1\n", 2, "is not YAML"),
        ("connection: &a\n  accepter: tcp,\x07\n", 2, "has a character that YAML does not allow"),
        ("x: " + "[" * 40 + "]" * 40, 1, "is nested too deep"),
        ("- tcp\n", 1, "is not a ser2net.yaml: it has no keys"),
        ("just words\n", 1, "is not a ser2net.yaml: it has no keys"),
        ("[Basic Information (not changeable)]\nFirmware version=0x1060000\n", 1, "is in [sections]"),
        (one("tcp,0"), 2, "port 0 is no port that can be listened on"),
        (one(connector="serialdev,/dev/x,9600n85"), 3, ""),
        (one(connector="serialdev,ttyS1,9600n81"), 3, "is no whole path"),
        (one(connector="serialdev,/dev/x,rs485=on"), 3, "has no delays"),
        (options("max-connections: many"), 5, "is no number of clients"),
        (options("kickolduser: sometimes"), 5, "is neither true nor false"),
    ],
)
def test_what_cannot_be_read(text: str, line: int, said: str) -> None:
    if not said:  # an unknown word of the line is a remark: ser2net says no more of it
        assert remarks(text)
        return
    found = faults(text)
    assert found[0][0] == line
    assert said in found[0][1]


def left_out(text: str) -> list[tuple[int, str, str]]:
    return [(each.line, each.name, each.reason) for each in convert(text, "x").left_out]


@pytest.mark.parametrize(
    ("first", "second"),
    [("tcp,2001", "tcp,2001"), ("tcp,2001", "tcp,127.0.0.1,2001"), ("tcp,ipv4,2001", "telnet,tcp,ipv4,2001")],
)
def test_b8_a_port_that_is_taken_names_the_line_of_the_source(first: str, second: str) -> None:
    text = one(first) + "# a comment\n" + one(second, "serialdev,/dev/ttyS2,local").replace("&a", "&b")
    assert left_out(text) == [(5, "b", "port 2001 is taken by line 1")]


def test_b8_a_port_may_be_used_by_tcp_and_udp_and_at_two_addresses() -> None:
    text = one("tcp,127.0.0.1,2001") + one("tcp,127.0.0.2,2001", "serialdev,/dev/ttyS2,local").replace("&a", "&b")
    assert left_out(text + one("udp,2001", "serialdev,/dev/ttyS3,local").replace("&a", "&c")) == []


def test_b8_the_port_of_metrics_is_taken() -> None:
    text = one() + one("tcp,9550", "serialdev,/dev/ttyS2,local").replace("&a", "&b")
    assert left_out(text) == [(4, "b", "port 9550 is taken by /metrics, unless [http] says otherwise")]


@pytest.mark.parametrize("seconds", ["604801", "999999999", "99999999999999999"])
def test_b8_a_timeout_that_is_longer_than_ours(seconds: str) -> None:
    text = one("tcp,2001", "serialdev,/dev/ttyS1,9600n81,local", f"  timeout: {seconds}")
    assert settings(text).ports[0].raw[0].inactivity == 7 * 86400
    assert remarks(text) == [f"4: timeout: {seconds}: the longest is 7d"]
    text = one("udp,2001", "serialdev,/dev/ttyS1,9600n81,local", f"  timeout: {seconds}")
    assert table(text)["port"]["a"]["udp"]["reply_time"] == "1d"


@pytest.mark.parametrize("connector", ["/dev/ttyS1,9600n81,local", "keepopen,/dev/ttyS1,9600n81,local"])
def test_b8_a_connector_without_a_type_is_a_device(connector: str) -> None:
    assert settings(one(connector=connector)).ports[0].port.line == LineSettings(9600)


@pytest.mark.parametrize("banner", ["banner:", 'banner: ""', "banner: ~"])
def test_b8_a_banner_without_text(banner: str) -> None:
    assert len(settings(options(banner)).ports) == 1
    assert len(settings(V1 + "define: &b\n" + options("banner: *b")).ports) == 1


# As ser2net 4.3.11 takes them: filters, then the kind of addresses and the type in either order.
ORDERS = [
    (["ipv4", "tcp"], "0.0.0.0"),
    (["tcp", "ipv4"], "0.0.0.0"),
    (["ipv4"], "0.0.0.0"),
    (["ipv4", "tcp", "ipv4"], "0.0.0.0"),
    (["ipv6", "tcp"], "::"),
    (["tcp", "ipv6"], "::"),
    (["ipv6"], "::"),
    (["tcp"], "::"),
    (["tcp(nodelay)", "ipv4"], "0.0.0.0"),
    (["ipv4", "tcp(nodelay)"], "0.0.0.0"),
    (["ipv4", "tcp", "127.0.0.1"], "127.0.0.1"),
    (["tcp", "ipv4", "127.0.0.1"], "127.0.0.1"),
    (["ipv4", "localhost"], "127.0.0.1"),
    ([], "::"),
    (["localhost"], "127.0.0.1"),
]


@pytest.mark.parametrize(("words", "host"), ORDERS)
@pytest.mark.parametrize("before", ["", "telnet(rfc2217),", "telnet(rfc2217=true), ", "telnet,"])
def test_b3_every_order_of_words_that_ser2net_takes(words: list[str], host: str, before: str) -> None:
    port = settings(one(before + ",".join([*words, "5001"]))).ports[0]
    assert (len(port.raw), len(port.rfc2217)) == ((0, 1) if before else (1, 0))
    assert (port.rfc2217 or port.raw)[0].listen == (Endpoint(host, 5001),)
    if before:
        assert port.rfc2217[0].control is (WhoControls.FIRST if "rfc2217" in before else WhoControls.NONE)


@pytest.mark.parametrize("words", [["ipv4", "udp"], ["udp", "ipv4"]])
def test_b3_of_udp_too(words: list[str]) -> None:
    assert table(one(",".join([*words, "5001"])))["port"]["a"]["udp"]["listen"] == "0.0.0.0:5001"


GOOD = one("tcp,7001", "serialdev,/dev/ttyS7,9600n81,local").replace("&a", "&good")
STRANGE = [
    one("tcp,telnet(rfc2217),2001"),
    one("ipv4,telnet(rfc2217),tcp,2001"),
    one("tcp(nodelay,2001"),
    one("nothing"),
    one("tcp,some.host,2001"),
    one("ssl,tcp,2001"),
    one(connector="nothing,/dev/x"),
    one(connector="serialdev,ttyS1,9600n81"),
    one("tcp,2001", "serialdev,/dev/ttyS1,9600n81", "  timeout: soon"),
    one("tcp,2001", "serialdev,/dev/ttyS1,9600n81", "  enable: perhaps"),
    one("tcp,2001", "serialdev,/dev/ttyS1,9600n81", "  speed: 9600"),
    options("max-connections: many"),
    options("banner: '*(nothing)'"),
    "connection: &a\n  accepter: tcp,2001\n",
    "connection: &a\n",
]


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("first", [True, False])
def test_b3_one_connection_that_cannot_be_understood_leaves_the_rest(strange: str, *, first: bool) -> None:
    text = strange + GOOD if first else GOOD + strange
    written = convert(text, "x")
    assert [port.name for port in settings(text).ports] == ["good"]
    [out] = written.left_out
    assert (out.line, out.name) in ((1 if first else 4, "a"), (1 if first else 4, f"line {out.line}"))
    assert out.reason
    assert f"# line {out.line}: {out.text}"[:60] in written.text


WORDS = ("57600", "EVEN", "7DATABITS", "2STOPBITS")


@pytest.mark.parametrize("words", list(permutations(WORDS)))
@pytest.mark.parametrize("between", [",", " "])
def test_b4_the_old_words_in_any_order(words: tuple[str, ...], between: str) -> None:
    text = one(connector=f"serialdev,/dev/ttyS1,{between.join((*words, 'local'))}")
    assert settings(text).ports[0].port.line == LineSettings.parse(57600, "7E2")
    assert remarks(text) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("57600,EVEN,7DATABITS", "57600 7E1"),
        ("57600,even,7databits,1stopbit", "57600 7E1"),
        ("9600n81,ODD", "9600 8O1"),
        ("ODD,9600n81", "9600 8N1"),
        ("ODD,9600", "9600 8O1"),
        ("19200e,2STOPBITS", "19200 8E2"),
        ("NONE,1STOPBIT,8DATABITS,9600,-XONXOFF,RTSCTS", "9600 8N1 rtscts"),
        ("speed=2400,parity=mark,databits=7,stopbits=2", "2400 7M2"),
        ("", "9600 8N1"),
    ],
)
def test_b4_words_of_both_forms(words: str, line: str) -> None:
    port = settings(one(connector=f"serialdev,/dev/ttyS1,{words},local")).ports[0]
    assert str(port.port.line) == line
    if "-" not in words and "=" not in words:
        old = settings_of_conf(f"2001:raw:0:/dev/ttyS1:{words.replace(',', ' ')} LOCAL\n").ports[0]
        assert old.port.line == port.port.line


def settings_of_conf(text: str) -> GatewaySettings:
    return parse(convert(text, "ser2net.conf").text, "nportpy.toml")


def two_speeds(second: str, first: str = "serialdev,/dev/ttyS1,9600n81,local", accepter: str = "tcp,2002") -> str:
    return one("tcp,2001", first) + one(accepter, second).replace("&a", "&b")


def test_b5_one_device_at_two_speeds() -> None:
    text = two_speeds("serialdev,/dev/ttyS1,300e71,local,xonxoff", "serialdev,/dev/ttyS1,9600n81,local,rtscts")
    text += one("telnet(rfc2217),tcp,2003", "serialdev,/dev/ttyS1,9600n81,local").replace("&a", "&c")
    [port] = settings(text).ports
    assert [raw.line for raw in port.raw] == [None, LineSettings.parse(300, "7E1", Flow.XONXOFF)]
    assert port.rfc2217[0].line == LineSettings(9600)
    assert left_out(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (two_speeds("serialdev,/dev/ttyS1,300e71,local,dtr=on"), "in speed, format and flow control alone"),
        (two_speeds("serialdev,/dev/ttyS1,300e71,local", accepter="udp,2002"), "which udp uses at all times"),
        (
            two_speeds("serialdev,/dev/ttyS1,300e71,local") + "  options:\n    connback: tcp,192.0.2.1,7000\n"
            "    max-connections: 2\n",
            "which tcp_client uses at all times",
        ),
    ],
)
def test_b5_what_cannot_share_a_device_is_left_out_and_counted(text: str, said: str) -> None:
    [(line, name, reason)] = left_out(text)
    assert (line, name) == (4, "b")
    assert said in reason


def test_b5_what_was_switched_off_is_not_missed() -> None:
    text = one() + one("tcp,2002", "serialdev,/dev/ttyS2,local", "  enable: off").replace("&a", "&b")
    assert left_out(text) == []
    assert remarks(text) == ["4: b is left out: it is switched off"]


def test_an_alias_of_aliases_does_not_grow_without_end() -> None:
    text = V1 + 'define: &x "' + "x" * 1000 + '"\n'
    for _ in range(12):
        text += 'define: &x "' + "*(x)" * 10 + '"\n'
    assert "is longer than any value can be" in faults(text + one())[0][1]
