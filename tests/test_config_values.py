"""Single values, their texts, and where they stand in a file."""

import contextlib
import tomllib
from datetime import date
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nportpy.config import values
from nportpy.config.positions import Lines
from nportpy.config.toml import key_path, toml_text
from nportpy.config.values import ValueFault
from nportpy.network.addresses import Endpoint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("0s", 0.0),
        ("0.1ms", 0.0001),
        ("7min", 420.0),
        ("0.5h", 1800.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert values.duration(text, "0s", "7d") == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 s", "1e3s", "1.s", ".5s", "1m", "1sec", "1S", "\u0661s", "1s ", "on"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueFault):
        values.duration(text, "0s", "7d", off=True)


@given(
    st.integers(0, 7 * 86400 * 1000).map(lambda count: count / 1000) | st.floats(0, 604800).map(lambda x: round(x, 6))
)
def test_durations_survive_being_written(seconds: float) -> None:
    assert values.duration(values.duration_text(seconds), "0s", "7d") == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.5, "500ms"), (1.5, "1500ms"), (90.0, "90s"), (420.0, "7min"), (86400.0, "1d"), (0.0005, "0.5ms")],
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert values.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("0B", 0), ("512B", 512), ("10kB", 10000), ("64KiB", 65536), ("1.5KiB", 1536), ("1MB", 10**6), ("1MiB", 1 << 20)],
)
def test_sizes(text: str, count: int) -> None:
    assert values.size(text, "0B", "1MiB") == count


@given(st.integers(0, 1 << 26))
def test_sizes_survive_being_written(count: int) -> None:
    assert values.size(values.size_text(count), "0B", "64MiB") == count


@pytest.mark.parametrize("milliseconds", range(101))
def test_every_whole_millisecond_is_an_rs485_delay(milliseconds: int) -> None:
    assert values.rs485_delay(f"{milliseconds}ms") == milliseconds / 1000


@given(st.ip_addresses(), st.integers(1, 65535))
def test_endpoints_survive_being_written(address: object, port: int) -> None:
    endpoint = Endpoint(str(address), port)
    assert values.endpoint(str(endpoint)) == endpoint
    assert values.listener(str(endpoint)) == endpoint


@given(st.text())
def test_any_text_is_an_endpoint_or_a_fault(text: str) -> None:
    for parse in (values.endpoint, values.listener, values.network, values.address, values.device, values.line_format):
        with contextlib.suppress(ValueFault):
            parse(text)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_ipv4_networks(address: IPv4Address, length: int) -> None:
    expected = ip_network(f"{address}/{length}", strict=False)
    assert values.network(str(expected)) == expected
    assert values.network(expected.with_netmask) == expected
    assert values.network(str(address)) == ip_network(f"{address}/32")


@given(st.ip_addresses(v=6), st.integers(1, 128))
def test_ipv6_networks(address: IPv6Address, length: int) -> None:
    assume(address.ipv4_mapped is None)
    expected = ip_network(f"{address}/{length}", strict=False)
    assert values.network(str(expected)) == expected
    assert values.network(str(address)) == ip_network(f"{address}/128")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (-5, "-5"),
        (1.5, "1.5"),
        (float("inf"), "inf"),
        (1 << 70, "0x400000000000000000"),
        ('a"\\\n\x1b\x9b\u2028é', r'"a\"\\\n\u001B\u009B\u2028é"'),
        ("\U000e0001", r'"\U000E0001"'),
        ([], "[]"),
        ({}, "{}"),
        ([1, ["x"]], '[1, ["x"]]'),
        ({"a b": {"c": 1}}, '{ "a b" = { c = 1 } }'),
        ([[[[[1]]]]], "[[[...]]]"),
        (date(2024, 2, 29), "2024-02-29"),
        ("x" * 100, '"' + "x" * 76 + "..."),
    ],
)
def test_values_are_written_as_toml(value: object, text: str) -> None:
    assert toml_text(value) == text


@given(st.text(max_size=8))
def test_strings_and_keys_are_toml(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert tomllib.loads(f"x = {toml_text(text, 1000)}") == {"x": text}
    assert tomllib.loads(f"{key_path((text, 'x'))} = 1") == {text: {"x": 1}}


FILE = """\
top = 1 # one

[port.meters]   # a comment
device = "x"
rs485.delay_before = "1ms"
"rs485" . 'delay_after' = "1ms"
[port.meters.raw]
listen = [
  4001,  # first

  4002,
  { deep = [
    1] } ]
text = \"\"\"
device = 5
\"\"\"

[[port.plc.raw]]
listen = 1
[[port.plc.raw]]
[port.plc.raw.inner]
x = 1
[ "port" . "a\\u0062 ]" ]
device = { here = 1, "there" = 2 }
[port.plc]
device = "y"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("port",), 3),
        (("port", "meters"), 3),
        (("port", "meters", "missing"), 3),
        (("port", "meters", "device"), 4),
        (("port", "meters", "rs485"), 5),
        (("port", "meters", "rs485", "delay_before"), 5),
        (("port", "meters", "rs485", "delay_after"), 6),
        (("port", "meters", "raw"), 7),
        (("port", "meters", "raw", "listen"), 8),
        (("port", "meters", "raw", "listen", 0), 9),
        (("port", "meters", "raw", "listen", 1), 11),
        (("port", "meters", "raw", "listen", 2), 12),
        (("port", "meters", "raw", "listen", 2, "deep", 0), 13),
        (("port", "meters", "raw", "text"), 14),
        (("port", "plc", "raw"), 18),
        (("port", "plc", "raw", 0), 18),
        (("port", "plc", "raw", 0, "listen"), 19),
        (("port", "plc", "raw", 1), 20),
        (("port", "plc", "raw", 1, "listen"), 20),
        (("port", "plc", "raw", 1, "inner"), 21),
        (("port", "plc", "raw", 1, "inner", "x"), 22),
        (("port", "ab ]"), 23),
        (("port", "ab ]", "device", "there"), 24),
        (("port", "plc"), 25),
        (("port", "plc", "device"), 26),
        (("nothing",), 0),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines(path: tuple[str | int, ...], line: int, newline: str) -> None:
    text = FILE.replace("\n", newline)
    tomllib.loads(text)
    assert Lines(text).of(path) == line


KEYS = st.text(st.sampled_from("ab-1é \"'.\n"), max_size=3)
VALUES = st.recursive(
    st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_every_key_of_a_file_has_its_line(data: dict[str, object]) -> None:
    """Keys in order, one a line, however they are nested."""
    text = "".join(f"{key_path((key,))} = {toml_text(value, 10**6)}\n" for key, value in data.items())
    if "..." in text:
        return
    assert tomllib.loads(text) == data
    lines = Lines(text)
    for number, (key, value) in enumerate(data.items(), 1):
        assert lines.of((key,)) == number
        if isinstance(value, dict):
            assert all(lines.of((key, inside)) == number for inside in value)
