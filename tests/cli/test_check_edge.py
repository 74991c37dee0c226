"""What `nportpy check` shows of stations, the archive and upstreams."""

from pathlib import Path

import click.testing
import pytest

from nportpy.cli.check import check

FILE = """
[archive]
path = "{folder}/archive.db"
{archive}
[station.emon]
target = "tcp://192.0.2.10"
unit = 7
every = "10s"
tags = [
  {{ name = "power", at = "41009", type = "float32", order = "CDAB", unit = "kW", deadband = 0.5 }},
  {{ name = "energy", at = "31001", type = "uint64", scale = 0.1, always_at = "15min" }},
  {{ name = "door", at = "coil:5" }},
]
[upstream.plant]
url = "mqtts://broker.example"
"""


def shown(folder: Path, archive: str = "") -> click.testing.Result:
    file = folder / "nportpy.toml"
    file.write_text(FILE.format(folder=folder, archive=archive))
    return click.testing.CliRunner().invoke(check, ["-c", str(file)], catch_exceptions=False)


def test_every_tag_as_written_and_as_it_is_read(tmp_path: Path) -> None:
    done = shown(tmp_path)
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    assert "41009 -> FC03 holding:1008, 2 registers, float32 CDAB, kW, a change beyond 0.5" in text
    assert "31001 -> FC04 input:1000, 4 registers, uint64 ABCD, x 0.1" in text
    assert "each 15 min of the clock" in text or "each 15min of the clock" in text
    assert "coil:5 -> FC01 coil:5, 1 bit, bit" in text
    assert "modbus, unit 7 at tcp://192.0.2.10:502" in text


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "believed once it is synchronised; samples are uncertain until then"),
        ('clock = "synchronised"', "believed once it is synchronised; samples are uncertain until then"),
        ('clock = "trusted"', "believed as it is"),
    ],
)
def test_e17_it_says_when_the_clock_is_believed(tmp_path: Path, written: str, said: str) -> None:
    assert said in shown(tmp_path, written).stdout


def test_another_word_for_the_clock_is_a_fault_with_its_line(tmp_path: Path) -> None:
    done = shown(tmp_path, 'clock = "ntp"')
    assert done.exit_code != 0
    assert "nportpy.toml:4" in done.output
    assert "synchronised" in done.output
