"""`nportpy read --protocol iec62056-21` before a simulated meter on a pseudo-terminal, and what every failure says."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest

from nportpy.cli import main
from nportpy.simulator.iec62056.contents import LINES
from tests.simulator.test_tuned_lines import running


def run(*arguments: str, **environment: str) -> click.testing.Result:
    command = ["read", *arguments, "--protocol", "iec62056-21"]
    return click.testing.CliRunner().invoke(main, command, env=environment, catch_exceptions=False)


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A device with a meter that answers after 20 ms, at 19200 baud, and forgets wrong passwords soon."""
    link = tmp_path_factory.mktemp("meter") / "tty"
    with running(f"--iec62056={link},maker=SIm,speed=6,blocked=0.1,inactivity=1") as (path,):
        yield path


@pytest.mark.real
def test_all_of_a_readout(meter: str) -> None:
    done = run(meter)
    assert (done.exit_code, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["1.8.0", "77.160", "kWh"] in rows
    assert ["0.0.0", "12345678"] in rows
    assert ["C.1.0", "SIM4071"] in rows
    assert len(rows) == len(LINES) + 1  # a maximum and its time


@pytest.mark.real
def test_some_of_it_and_what_it_lacks(meter: str) -> None:
    done = run(meter, "1-0:1.8.0*255", "9.9.9", "F.F", "--json")
    rows = json.loads(done.stdout)
    assert [(row["address"], row["value"], row["unit"]) for row in rows] == [
        ("1-0:1.8.0*255", 77.16, "kWh"),
        ("9.9.9", None, ""),
        ("F.F", "00", ""),
    ]
    assert rows[1]["error"] == "the meter's readout has no 9.9.9"
    assert "Error: 9.9.9: the meter's readout has no 9.9.9" in run(meter, "1.8.0", "9.9.9").stderr
    assert done.exit_code == 1


@pytest.mark.real
def test_names_and_wide_rows(meter: str, tmp_path: Path) -> None:
    target = tmp_path / "energy.csv"
    words = ["in=1.8.0", "none=9.9.9", "--every", "1s", "--count", "2", "--wide", "--output", str(target)]
    done = run(meter, *words)
    rows = list(csv.reader(target.read_text().splitlines()))
    assert [row[1:] for row in rows] == [["in", "none"], ["77.160", ""], ["77.160", ""]]
    assert "Error: none: the meter's readout has no 9.9.9" in done.stderr
    assert done.stderr.endswith("2 values read, 2 failed, in 2 rounds\n")
    assert done.exit_code == 1


@pytest.mark.real
def test_all_of_a_readout_twice_and_in_a_file(meter: str, tmp_path: Path) -> None:
    done = run(meter, "--count", "2", "--every", "1s", "--output", str(tmp_path / "all.csv"))
    assert done.exit_code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert [row["value"] for row in rows if row["address"] == "1.8.0"] == ["77.160", "77.160"]


@pytest.mark.real
def test_registers_with_a_password(meter: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("00000000\n")
    done = run(meter, "1.8.0", "9.9.9", "--reading", "programming", "--password-file", str(file), "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["value"], row["unit"]) for row in rows] == [("77.160", "kWh"), ("", "")]
    assert rows[1]["error"] == "the meter answers ER02"
    assert done.exit_code == 1


@pytest.mark.real
def test_a_wrong_password_and_none(meter: str) -> None:
    done = run(meter, "1.8.0", "--reading", "programming", NPORTPY_PASSWORD="Geheim77")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the meter refuses the password" in done.stderr
    assert "Geheim77" not in done.stderr
    done = run(meter, "1.8.0", "--reading", "programming")
    assert "no password was sent (--password-file)" in done.stderr
    assert done.exit_code == 1


@pytest.mark.real
def test_nobody_there(meter: str) -> None:
    done = run(meter, "--device-address", "87654321")
    assert "Error: meter 87654321 does not answer the sign-on at 300 baud" in done.stderr
    assert "look at the optical head or the wiring, --device-address 87654321" in done.stderr
    assert (done.exit_code, done.stdout) == (1, "")
    done = run("/dev/nowhere")
    assert "/dev/nowhere does not exist" in done.stderr
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["192.0.2.7:4001"], "IEC 62056-21 is spoken on serial lines"),
        (["tcp://192.0.2.7"], "raw://HOST:PORT, rfc2217://HOST:PORT or a device"),
        (["/dev/null", "1.8.0("], "without ( ) / !"),
        (["/dev/null", "--reading", "programming"], "name some, as in 1.8.0"),
        (["/dev/null", "--password-file", __file__], "a readout needs no password"),
        (["/dev/null", "--password", "x"], "No such option"),
        (["/dev/null", "--device-address", "a!"], "is no device address"),
        (["/dev/null", "--highest-baudrate", "110"], "300"),
        (["/dev/null", "--json", "--csv"], "exclude each other"),
        (["/dev/null", "--every", "1ms"], "out of range"),
        (["/dev/null", "--wide"], "--wide is for values that are named beforehand"),
        (["/dev/null", "--plot", "--every", "1s"], "--plot is for values that are named beforehand"),
        (["/dev/null", "a=1.8.0", "a=2.8.0"], "the name a is there twice"),
        (["/dev/null", "1.8.0", "1.8.0", "--wide"], "two columns would have one name"),
    ],
)
def test_bad_usage_opens_nothing(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert says in done.stderr
    assert done.exit_code == 2
