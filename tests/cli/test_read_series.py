"""`nportpy read` over time: names, scales, counts, files, wide rows, figures and lines."""

import csv
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import click
import click.testing
import pytest

from nportpy.cli.plot import MOST, Plot
from nportpy.cli.read import read
from nportpy.cli.tally import Tally
from tests.support.modbus_server import counting, server

COMMAND = [sys.executable, "-m", "nportpy", "read"]
FAST = ("--every", "10ms")


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(read, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def modbus_tcp() -> Iterator[str]:
    with server(counting) as where:
        yield where


def dying(after: int, until: int = 1 << 30) -> Callable[[int, bytes], bytes]:
    """A unit that does not answer from one question on, until another."""
    asked = 0

    def answer(unit: int, pdu: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return b"" if after < asked <= until else counting(unit, pdu)

    return answer


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_names(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "L1=41001", "L 2=holding:7", "41003")
    assert done.stdout == "L1     1000\nL 2    7\n41003  1002\n"


def test_names_in_csv_and_json(modbus_tcp: str) -> None:
    head, *found = run(modbus_tcp, "L1=41001", "41003", "--csv").stdout.splitlines()
    assert head == "time,name,address,value"
    assert [line.split(",", 1)[1] for line in found] == ["L1,41001,1000", "41003,41003,1002"]
    first, second = json.loads(run(modbus_tcp, "L1=41001", "41003", "--json").stdout)
    assert (first["name"], first["address"], "name" in second) == ("L1", "41001", False)


def test_faults_call_values_by_their_names(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "L1=42001", "a2=42002", "42003-42006")
    assert done.stderr.startswith("Error: L1 a2 42003-42006: unit 1 refuses")


def test_scales(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "U=holding:7", "I=holding:3", "41001", "--scale", "I=0.001", "--scale", "0.1")
    assert done.stdout.split() == ["U", "0.7", "I", "0.003", "41001", "100.0"]
    assert run(modbus_tcp, "41001", "coil:0", "--scale", "0.1").stdout.split() == ["41001", "100.0", "coil:0", "1"]
    done = run(modbus_tcp, "41001", "--scale", "41001=0.1", "--json", "--raw")
    assert [(item["value"], item["raw"]) for item in json.loads(done.stdout)] == [(100.0, "03e8")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["L1=41001", "L1=41002"], "the name L1 is there twice"),
        (["41001", "41001=41002"], "the name 41001 is there twice"),
        (["L1=41001-41003"], "a name is for one value, and 41001-41003 has 3"),
        (["=41001"], "write NAME=ADDRESS"),
        (["L1="], "write NAME=ADDRESS"),
        (["a\tb=41001"], "write NAME=ADDRESS"),
        (["41001", "--scale", "x"], "'x' is no factor"),
        (["41001", "--scale", "0"], "is no factor"),
        (["41001", "--scale", "nan"], "is no factor"),
        (["41001", "--scale", "L2=0.1"], "no value is called L2; there are 41001"),
        (["41001", "--type", "string:4", "--scale", "2"], "is a string and no number"),
        (["coil:1", "--scale", "2"], "is a bit and no number"),
        (["41001", "--count", "0"], "--count"),
        (["41001", "--plot"], "say --every TIME or --count N"),
        (["41001", "--plot", "--csv", *FAST], "give them a file with --output"),
        (["41001", "--plot", "--type", "string:4", *FAST], "--plot draws numbers, and string:4 is none"),
        (["41001", "--wide", "--json"], "--json and --wide exclude each other"),
        (["41001", "--wide", "--raw"], "--raw and --wide exclude each other"),
        (["41001", "41001", "--wide"], "there would be two columns 41001"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    done = run("127.0.0.1:1", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_number_of_rounds(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "41001", *FAST, "--count", "3")
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [["41001", "1000"]] * 3
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "        min   max  mean  read  failed",
        "41001  1000  1000  1000     3       0",
        "3 values read, 0 failed, in 3 rounds",
    ]


def test_one_round_needs_no_time(modbus_tcp: str) -> None:
    assert len(run(modbus_tcp, "41001", "--count", "1").stdout.splitlines()) == 1


def test_wide_rows(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "L1=41001", "41003-41004", "--wide", *FAST, "--count", "2")
    found = list(csv.reader(done.stdout.splitlines()))
    assert found[0] == ["time", "L1", "41003", "41004"]
    assert [row[1:] for row in found[1:]] == [["1000", "1002", "1003"]] * 2
    assert all(datetime.fromisoformat(row[0]).tzinfo for row in found[1:])


def test_names_with_commas_stay_whole(modbus_tcp: str) -> None:
    done = run(modbus_tcp, 'power, "active"=41001', "--wide")
    assert next(csv.reader(done.stdout.splitlines())) == ["time", 'power, "active"']


def test_a_unit_that_dies_in_the_middle_leaves_a_gap(tmp_path: Path) -> None:
    target = tmp_path / "values.csv"
    with server(dying(2, until=3)) as where:
        done = run(where, "L1=41001", "--wide", "--output", target, *FAST, "--count", "4", "--timeout", "50ms")
    assert [row[1] for row in rows(target)] == ["L1", "1000", "1000", "", "1000"]
    assert done.exit_code == 1
    assert "does not answer within 0.05 s" in done.stderr
    assert done.stderr.endswith("3 values read, 1 failed, in 4 rounds\n")
    assert len(done.stdout.splitlines()) == 3


def test_nobody_there_at_all(tmp_path: Path) -> None:
    target = tmp_path / "values.csv"
    done = run("127.0.0.1:1", "L1=41001", "--wide", "--output", target, *FAST, "--count", "2")
    assert [row[1] for row in rows(target)] == ["L1", "", ""]
    assert done.exit_code == 1
    assert "L1    -    -     -     0       2\n" in done.stderr


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("v.csv", [], "time,name,address,value"),
        ("v.txt", [], "time,name,address,value"),
        ("v.csv", ["--wide"], "time,L1"),
        ("v.json", [], '{"time"'),
        ("v.csv", ["--json"], '{"time"'),
        ("v.json", ["--csv"], "time,name,address,value"),
    ],
)
def test_files_have_the_shape_that_is_said(
    modbus_tcp: str, tmp_path: Path, name: str, options: list[str], expected: str
) -> None:
    done = run(modbus_tcp, "L1=41001", *FAST, "--count", "2", "--output", tmp_path / name, *options)
    assert done.exit_code == 0
    assert (tmp_path / name).read_text().startswith(expected)
    assert all("  L1  1000" in line for line in done.stdout.splitlines())  # people see it all the same


def test_one_round_in_a_file_is_a_list(modbus_tcp: str, tmp_path: Path) -> None:
    run(modbus_tcp, "41001", "--output", tmp_path / "v.json")
    assert [item["value"] for item in json.loads((tmp_path / "v.json").read_text())] == [1000]


def test_a_file_that_is_there_is_not_lost(modbus_tcp: str, tmp_path: Path) -> None:
    target = tmp_path / "v.csv"
    target.write_text("mine\n")
    done = run(modbus_tcp, "41001", "--output", target)
    assert (done.exit_code, target.read_text()) == (2, "mine\n")
    assert f"{target} is there already; --force writes over it" in done.stderr
    assert run(modbus_tcp, "41001", "--output", target, "--force").exit_code == 0
    assert target.read_text().startswith("time,")
    assert run(modbus_tcp, "41001", "--output", "/dev/null").exit_code == 0


def test_files_that_cannot_be_written(modbus_tcp: str, tmp_path: Path) -> None:
    done = run(modbus_tcp, "41001", "--output", tmp_path / "none" / "v.csv")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"Error: {tmp_path}/none/v.csv cannot be written: No such file or directory" in done.stderr
    assert "cannot be written: Is a directory" in run(modbus_tcp, "41001", "--output", tmp_path, "--force").stderr


def test_a_disk_that_is_full(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "41001", "--output", "/dev/full", *FAST, "--count", "3")
    assert done.exit_code == 1
    assert "Error: /dev/full cannot be written: No space left on device" in done.stderr


def test_ctrl_c_leaves_whole_rows_and_a_summary(modbus_tcp: str, tmp_path: Path) -> None:
    target = tmp_path / "v.csv"
    arguments = [modbus_tcp, "L1=41001", "--wide", "--output", str(target), "--every", "20ms"]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            seen = [process.stdout.readline() for _ in range(3)]
            assert len(rows(target)) >= 1 + len(seen) - 1  # nothing waits in a buffer
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert re.search(r"L1 +1000 +1000 +1000", errors)
    assert target.read_text().endswith("\n")
    assert {row[1] for row in rows(target)[1:]} == {"1000"}


@pytest.mark.long
def test_a_live_table_has_figures_and_lines() -> None:
    asked = 0

    def rising(unit: int, pdu: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return b"\3\2" + (asked * 10).to_bytes(2, "big")

    ours, theirs = os.openpty()
    command = [*COMMAND, "", "[L1]=41001", "--every", "20ms", "--count", "4", "--plot"]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    try:
        with server(rising) as where:
            command[len(COMMAND)] = where
            with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
                shown = b""
                deadline = time.monotonic() + 60
                while process.poll() is None and time.monotonic() < deadline:
                    if select.select([ours], [], [], 0.1)[0]:
                        shown += os.read(ours, 65536)
                process.kill()
                assert process.stderr is not None
                assert process.stderr.read() == b""
            while select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 0
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    last = last[last.rindex("name ") :]
    assert last.split()[:5] == ["name", "value", "min", "max", "mean"]
    assert re.search(r"\[L1\] +40 +10 +40 +25\b", last)
    assert "4 values read, 0 failed, in 4 rounds" in last
    assert any("⠁" <= each <= "⣿" for each in last)
    assert "⠤⠤ [L1]" in last


def test_lines_in_the_end_where_there_is_no_terminal(modbus_tcp: str, tmp_path: Path) -> None:
    target = tmp_path / "v.csv"
    done = run(modbus_tcp, "L1=41001", *FAST, "--count", "2", "--plot", "--output", target, "--wide")
    assert done.exit_code == 0
    assert done.stdout.rstrip().endswith("⠤⠤ L1")
    assert "\x1b" not in done.stdout


def test_nothing_to_plot() -> None:
    with server(lambda unit, pdu: bytes.fromhex("03 04 7FC00000")) as where:
        done = run(where, "41001", "--type", "float32", *FAST, "--count", "2", "--plot")
    assert done.exit_code == 1
    assert "nothing to plot: no number was read" in done.stderr


def test_the_library_is_an_extra(modbus_tcp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotille", None)
    done = run(modbus_tcp, "41001", *FAST, "--count", "2", "--plot")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "--plot needs the package plotille, which is not installed: pip install 'nportpy[plot]'" in done.stderr


def test_a_terminal_without_unicode(modbus_tcp: str) -> None:
    command = [*COMMAND, modbus_tcp, "41001", "--count", "1", "--plot"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "Error: --plot needs Unicode, and standard output is iso8859-1: set LANG=C.UTF-8\n"


START = datetime(2026, 1, 1, 12, 0, tzinfo=timezone(timedelta(hours=5)))  # the axis shows what clocks show


def plotted(*values: list[object], names: tuple[str, ...] = ("L1",), colours: bool = False) -> str:
    plot = Plot(names)
    for second, numbers in enumerate(values):
        plot.take(START + timedelta(seconds=second), numbers)
    return plot.text(80, 8, colours=colours)


def test_lines_have_gaps_and_a_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, gap = (plotted([1.0], [2.0], [third], [4.0], [5.0]) for third in (3.0, None))
    dots = [sum("⠁" <= each <= "⣿" for each in text) for text in (whole, gap)]
    assert dots[1] < dots[0]
    assert "12:00:00" in whole
    assert "12:00:03" in whole
    two = plotted([1, 3], [2, 3], names=("a", "b"))
    assert two.endswith("1 a\n2 b")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in plotted([1, 3], [2, 3], names=("a", "b"), colours=True)


@pytest.mark.parametrize(
    "values", [[[7]], [[7], [7]], [[0], [0]], [[True], [False]], [[-1e300], [1e300]], [[1e-9]], [[Decimal("0.1")]]]
)
def test_lines_of_any_numbers(values: list[list[object]]) -> None:
    assert "L1" in plotted(*values)


def test_a_long_series_is_drawn_from_its_beginning_and_loses_no_peak() -> None:
    plot = Plot(["L1", "L2"])
    for second in range(10_000):
        plot.take(
            START + timedelta(seconds=second), [99.0 if second == 4321 else second % 2, None if second < 5000 else 1]
        )
    assert len(plot._all()) <= 2 * MOST
    times, numbers = zip(*((when, values[0]) for when, values in plot._all()), strict=True)
    assert (times[0], times[-1], max(numbers), min(numbers)) == (START, START + timedelta(seconds=9999), 99.0, 0)
    gaps = [when for when, values in plot._all() if values[1] is None]
    assert START <= gaps[0] <= gaps[-1] <= START + timedelta(seconds=5064)
    assert "12:00:00" in plot.text(80, 8, colours=False)


def test_lines_of_no_numbers() -> None:
    assert plotted(["on"], [None], [float("nan")], [float("inf")]) == ""


def test_figures() -> None:
    tally = Tally.of(["a", "text", "none", "big"])
    for row in ([1, "on", None, 12345678.25], [2.5, "off", None, 12345679.75], [None, "on", None, float("nan")]):
        tally.take(row)
    assert [line.split() for line in tally.lines()] == [
        ["min", "max", "mean", "read", "failed"],
        ["a", "1", "2.5", "1.75", "2", "1"],
        ["text", "-", "-", "-", "3", "0"],
        ["none", "-", "-", "-", "0", "3"],
        ["big", "12345678.25", "12345679.75", "12345679", "3", "0"],
        ["8", "values", "read,", "4", "failed,", "in", "3", "rounds"],
    ]
