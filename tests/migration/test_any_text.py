"""Whatever a file says: it becomes a configuration that is accepted, or faults with lines; nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.config import parse
from nportpy.errors import ConfigError
from nportpy.migration import convert

YAML = r"""%YAML 1.1
---
define: &b \r\n[\B]
default:
  name: speed
  value: 9600e71
  class: serialdev
connection: &one
  accepter: telnet(rfc2217=true),tcp,localhost,3001
  timeout: 600
  enable: on
  connector: serialdev,
    /dev/ttyS0,
    115200n81,local rtscts
  options:
    banner: *b
    kickolduser: true
    max-connections: 3
    remaddr: 10.0.0.1,0;::1,0
    sendon: '\r\n'
connection: &two
  accepter: udp,3002
  connector: keepopen(retry-time=1),serialdev,/dev/ttyS1,9600,rs485=1:2:rts_on_send,dtr=on
rotator: &all
  accepter: tcp,3003
  connections: [*one, *two]
"""
PLAIN = """defines:
  d: /dev/ttyS
connections:
  one:
    accepter: tcp,3001
    connector: serialdev,=(d)0,9600n81
  two: {accepter: 'telnet,tcp,3002', connector: 'tcp,10.0.0.1,23'}
---
delete_defaults: {local: [serialdev]}
"""
CONF = r"""BANNER:b:hello\r\n
RS485CONF:r:1:2:rts_on_send
2001:raw:600:/dev/ttyS0:9600 NONE 1STOPBIT 8DATABITS XONXOFF LOCAL -RTSCTS b rs485=r
127.0.0.1,2002:telnet:0:/dev/ttyS1:19200 remctl max-connections=3 \
  kickolduser tr:x
"""
PIECES = st.sampled_from(
    ["\n", "  ", ":", ": ", ",", "(", ")", "*", "&", "=(", "*(b)", "'", '"', "\\", "[", "{", "-", "#", "0", "on", "\t",
     "serialdev", "tcp,", "default:\n", "ssl,", "rs485=x", "!", "\x85", "\ufeff", "%", "|\n"]
)  # fmt: skip


def check(text: str) -> None:
    try:
        written = convert(text, "x")
    except ConfigError as error:
        faults = error.faults
    else:
        parse(written.text, "y")
        assert len(written.origins) == written.text.count("\n")
        return
    assert faults
    assert all(0 <= fault.line <= len(text.splitlines()) + 1 for fault in faults)


@settings(deadline=None)
@given(
    st.sampled_from([YAML, PLAIN, CONF]),
    st.lists(st.tuples(st.integers(0, 800), st.integers(0, 8), PIECES), max_size=4),
)
def test_files_with_something_else_in_them(text: str, changes: list[tuple[int, int, str]]) -> None:
    for place, length, piece in changes:
        text = text[:place] + piece + text[place + length :]
    check(text)


@settings(deadline=None)
@given(st.text())
@pytest.mark.long
def test_text_of_any_kind(text: str) -> None:
    check(text)
