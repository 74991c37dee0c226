"""ser2net.conf, a line for each port, as files in the field are."""

import pytest

from nportpy.config import parse
from nportpy.errors import ConfigError
from nportpy.gateway.plans import GatewaySettings
from nportpy.linesettings import Flow, LineSettings
from nportpy.migration import convert
from nportpy.migration.ser2net_conf import looks_like
from nportpy.modes.rfc2217_base import WhoControls
from nportpy.network.addresses import Endpoint
from nportpy.network.service import WhenFull


def settings(text: str) -> GatewaySettings:
    return parse(convert(text, "ser2net.conf").text, "nportpy.toml")


def remarks(text: str) -> list[str]:
    """What is said of lines of the source, as `number: text`."""
    lines = convert(text, "x").text.splitlines()
    return [line.removeprefix("# line ") for line in lines if line.startswith("# line ")]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("", LineSettings(9600)),
        ("115200", LineSettings(115200)),
        ("9600 NONE 1STOPBIT 8DATABITS XONXOFF LOCAL -RTSCTS", LineSettings.parse(9600, "8N1", Flow.XONXOFF)),
        ("9600 EVEN 1STOPBIT 7DATABITS -XONXOFF LOCAL", LineSettings.parse(9600, "7E1")),
        ("2400, ODD, 2STOPBITS, RTSCTS, LOCAL", LineSettings.parse(2400, "8O2", Flow.RTSCTS)),
        ("115200n81 local", LineSettings(115200)),
    ],
)
def test_the_line(options: str, line: LineSettings) -> None:
    assert settings(f"3001:raw:0:/dev/ttyUSB0:{options}\n").ports[0].port.line == line


def test_many_lines() -> None:
    text = r"""# comment: with a colon
BANNER:hello:Port \p\r\n\
second line\r\n
TRACEFILE:all:/tmp/t-\p-\H:\i:\s
RS485CONF:half:1:0:rts_on_send
CONTROLPORT:localhost,3000

127.0.0.1,2001:raw:600:/dev/ttyS0:9600 NONE 1STOPBIT 8DATABITS LOCAL kickolduser max-connections=3
2002:telnet:0:/dev/ttyS1:19200 remctl LOCAL hello
2003:telnet:5:/dev/ttyS2:9600 LOCAL tr:all rs485=half
2004:off:0:/dev/ttyS3:9600 LOCAL
2005:rawlp:10:/dev/lp0
"""
    first, second, third = settings(text).ports
    assert [port.name for port in (first, second, third)] == ["ttyS0", "ttyS1", "ttyS2"]
    raw = first.raw[0]
    assert raw.listen == (Endpoint("127.0.0.1", 2001),)
    assert (raw.inactivity, raw.max_clients, raw.when_full) == (600, 3, WhenFull.KICK_OLDEST)
    assert second.rfc2217[0].control is WhoControls.FIRST
    assert third.rfc2217[0].control is WhoControls.NONE
    assert third.port.rs485.delay_before == 0.001
    starts = [
        "6: CONTROLPORT localhost,3000: no administration port",
        "11: ttyS3 is left out: it is switched off",
        "12: lp0 is left out: its device is written to as it is",
        '8: kickolduser = "true": one client makes room, not all',
        r'9: banner = "Port \\p\\r\\nsecond line\\r\\n": clients get',
        "10: telnet without rfc2217: the same telnet",
        r'10: trace-read = "/tmp/t-\\p-\\H:\\i:\\s": nothing is written to files',
    ]
    assert [said[: len(start)] for said, start in zip(remarks(text), starts, strict=True)] == starts


def test_defaults() -> None:
    text = (
        "DEFAULT:speed:19200\nDEFAULT:parity:EVEN\nDEFAULT:databits:7\nDEFAULT:stopbits:2\nDEFAULT:local:true\n"
        "DEFAULT:remctl:true\nDEFAULT:max_connections:7\n2001:telnet:0:/dev/x:\n2002:raw:0:/dev/y:9600 NONE 8DATABITS\n"
    )
    first, second = settings(text).ports
    assert first.port.line == LineSettings.parse(19200, "7E2")
    assert second.port.line == LineSettings.parse(9600, "8N2")
    assert first.rfc2217[0].control is WhoControls.FIRST
    assert (first.rfc2217[0].max_clients, second.raw[0].max_clients) == (7, 7)
    assert remarks(text) == []


def test_words_alone_are_told() -> None:
    assert remarks("2001:raw:0:/dev/x:9600 LOCAL timestamp -hexdump\n") == ['1: timestamp = "true": no equal']


def test_b5_one_device_under_two_speeds() -> None:
    text = "2001:raw:0:/dev/ttyS0:9600 LOCAL\n3001:telnet:0:/dev/ttyS0:19200 EVEN LOCAL remctl\n"
    [port] = settings(text).ports
    assert port.port.line == LineSettings(9600)
    assert port.raw[0].line is None
    assert port.rfc2217[0].line == LineSettings.parse(19200, "8E1")
    assert remarks(text) == []


def test_b3_a_line_that_cannot_be_read_leaves_the_others() -> None:
    text = "2001:raw:0:/dev/x:9600 LOCAL\nnonsense:\n2002:rwa:0:/dev/y:9600\n2003:raw:0:/dev/z:9600 LOCAL\n"
    written = convert(text, "x")
    assert [(each.line, each.reason) for each in written.left_out] == [
        (2, "is no line of a ser2net.conf"),
        (3, "2002: has the state rwa"),
    ]
    assert written.ports == 2


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("BANNER:b:x\nnonsense:\n", 2, "is no line of a ser2net.conf"),
        ("2001:rwa:0:/dev/x:9600\n", 1, "has the state rwa"),
        ("2001:raw:0:ttyS0:9600\n", 1, "has the device ttyS0"),
        ("2001:raw:soon:/dev/x:9600\n", 1, "is no number of seconds: soon"),
        ("2001:raw:0:/dev/x:9600 tr=none\n", 1, "there is no TRACEFILE:none before this line"),
        ("\n\ntelnet:raw:0:/dev/x:9600\n", 3, ""),
    ],
)
def test_what_cannot_be_read(text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(text, "x")
    assert caught.value.faults[0].line == line
    assert said in caught.value.faults[0].reason


def test_the_forms_are_told_apart() -> None:
    assert looks_like("# yaml: no\n\n3001:raw:0:/dev/x:9600")
    assert looks_like("BANNER:b:text: with a space")
    assert looks_like("localhost,3001:telnet:0:/dev/x:9600")
    assert not looks_like("%YAML 1.1\n---\n")
    assert not looks_like("connection: &a\n  accepter: tcp,1")
    assert not looks_like("{connections: {}}")
    assert not looks_like("")
