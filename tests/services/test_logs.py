import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.services import logs
from nportpy.services.logs import JsonFormatter, LogFormat, LogSettings, TextFormatter, configure, is_journal

log = logging.getLogger("nportpy.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The process's logging is put back."""
    root, ours = logging.getLogger(), logging.getLogger("nportpy")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def record(message: str, *args: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("nportpy.modes.raw", level, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    made.created = 1_767_225_600.25
    return made


def text(message: str, *args: object, **extra: Any) -> str:
    return TextFormatter(journal=True).format(record(message, *args, **extra)).removeprefix("<6>")


def as_json(message: str, *args: object, **extra: Any) -> dict[str, object]:
    line = JsonFormatter().format(record(message, *args, **extra))
    assert "\n" not in line
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_text() -> None:
    line = TextFormatter().format(record("client %s came", "ü", port="meters", client="192.0.2.7:4711", count=3))
    stamp, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.250[+-]\d\d:\d\d", stamp)
    assert rest == "info nportpy.modes.raw: client ü came port=meters client=192.0.2.7:4711 count=3"


def test_json() -> None:
    assert as_json("client %s came", "x", port="meters", count=3, ok=True, nothing=None, other=Path("/dev/x")) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "nportpy.modes.raw",
        "message": "client x came",
        "port": "meters",
        "count": 3,
        "ok": True,
        "nothing": None,
        "other": "/dev/x",
    }


def test_a_value_does_not_replace_what_every_object_has() -> None:
    found = as_json("x", level_name="a", logger="b", time="c")
    assert (found["logger"], found["logger_"], found["time_"]) == ("nportpy.modes.raw", "b", "c")


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, "<7>"),
        (logging.INFO, "<6>"),
        (logging.WARNING, "<4>"),
        (logging.ERROR, "<3>"),
        (logging.CRITICAL, "<2>"),
    ],
)
def test_the_journal_gets_priorities_and_no_time(level: int, priority: str) -> None:
    line = TextFormatter(journal=True).format(record("came", level=level, port="plc"))
    assert line == f"{priority}nportpy.modes.raw: came port=plc"
    line = JsonFormatter(journal=True).format(record("came", level=level))
    assert line.startswith(f'{priority}{{"time": ')


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        ("plain-1.5:[::1]", "plain-1.5:[::1]"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("x\n<0>nportpy: forged", '"x\\n<0>nportpy: forged"'),
        ("\x1b[31mred\x07", '"\\x1b[31mred\\x07"'),
        ("\u2028\u202e\x85\udcff", '"\\u2028\\u202e\\x85\\udcff"'),
        ("Zähler", "Zähler"),
        (b"\x00\xff", "\"b'\\\\x00\\\\xff'\""),
        (1.5, "1.5"),
        (None, "None"),
    ],
)
def test_values_in_text(value: object, shown: str) -> None:
    assert text("x", v=value) == f"nportpy.modes.raw: x v={shown}"


@given(st.text(), st.text())
def test_no_text_makes_a_second_line_or_reaches_the_terminal(message: str, value: str) -> None:
    line = text("%s", message, v=value)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    line.encode()
    line = JsonFormatter().format(record("%s", message, v=value))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["v"] == value


def test_what_is_too_long_keeps_both_ends() -> None:
    line = text("%s", "a" * 5000 + "b" * 5000)
    assert line.startswith("nportpy.modes.raw: aaa")
    assert line.endswith("bbb")
    assert " [6000 characters left out] " in line
    assert len(text("x", v="y" * 100_000)) < 4100


def test_an_exception_is_the_same_line() -> None:
    failed = record("session failed", port="plc")
    try:
        json.loads("no")
    except ValueError as error:
        error.args = ("no such\nthing",)
        failed.exc_info = sys.exc_info()
    line = TextFormatter(journal=True).format(failed)
    assert line.isprintable()
    assert line.startswith(
        '<6>nportpy.modes.raw: session failed port=plc error="JSONDecodeError: no such\\nthing" '
        'traceback="Traceback (most recent call last):\\n  File '
    )
    found = json.loads(JsonFormatter().format(failed))
    assert found["error"] == "JSONDecodeError: no such\nthing"
    assert found["traceback"].endswith("JSONDecodeError: no such\nthing")


def test_a_stack_is_the_same_line() -> None:
    asked = record("who called")
    asked.stack_info = "Stack (most recent call last):\n  File x"
    assert TextFormatter(journal=True).format(asked).endswith('stack="Stack (most recent call last):\\n  File x"')


def test_configure_and_again() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(LogSettings(), first)
    log.info("one", extra={"port": "a"})
    log.debug("not shown")
    logging.getLogger("asyncio").info("not ours")
    logging.getLogger("asyncio").warning("ours to know")
    configure(LogSettings("debug", LogFormat.JSON), second)
    log.debug("two")
    assert [line.split(" ", 2)[2] for line in first.getvalue().splitlines()] == [
        "nportpy.test: one port=a",
        "asyncio: ours to know",
    ]
    assert [json.loads(line)["message"] for line in second.getvalue().splitlines()] == ["two"]


def test_a_level_that_is_none() -> None:
    with pytest.raises(ValueError, match="'loud' is not a log level"):
        configure(LogSettings("loud"))


def test_quiet_others_stay_quiet() -> None:
    stream = io.StringIO()
    configure(LogSettings("error"), stream)
    logging.getLogger("asyncio").warning("no")
    log.warning("no")
    log.error("yes")
    assert stream.getvalue().endswith("nportpy.test: yes\n")
    assert stream.getvalue().count("\n") == 1


def test_is_it_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        there = os.fstat(stream.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino + 1}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": ""})
        assert not is_journal(stream, {})
    assert not is_journal(stream, {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})


def test_a_process_whose_stderr_is_the_journal(tmp_path: Path) -> None:
    program = (
        "import logging; from nportpy.services.logs import *; configure(LogSettings());"
        "logging.getLogger('nportpy.x').warning('a\\nb \\udcff', extra={'port': 'plc'})"
    )
    with (tmp_path / "log").open("w+") as stream:
        there = os.fstat(stream.fileno())
        environ = os.environ | {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}", "LC_ALL": "C"}
        subprocess.run([sys.executable, "-c", program], stderr=stream, env=environ, check=True)
        stream.seek(0)
        assert stream.read() == "<4>nportpy.x: a\\nb \\udcff port=plc\n"


def test_the_docstring_tells_the_truth() -> None:
    example = record("client came", port="meters", client="192.0.2.7:4711")
    assert logs.__doc__ is not None
    assert TextFormatter().format(example).split(" ", 1)[1] in logs.__doc__
