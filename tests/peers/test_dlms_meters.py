"""The simulated DLMS meters, read by two libraries that nobody here wrote: gurux-dlms by short and by logical names,
dlms-cosem by logical names. Each is a program of its own, on a pseudo-terminal."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.cosem.mt880 import CONFORMANCE, mt880
from nportpy.simulator.cosem.zmd import zmd
from nportpy.simulator.process import simulated_lines

HERE = Path(__file__).parent
FAST = LineSettings.parse(115200)
COLUMNS = ["0.0.1.0.0.255", "0.0.96.10.1.255", "1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.3.8.0.255"]


def absent(module: str) -> bool:
    return importlib.util.find_spec(module) is None


pytestmark = [pytest.mark.peer, pytest.mark.real]
gurux = pytest.mark.skipif(absent("gurux_dlms"), reason="no gurux-dlms here")
dlms_cosem = pytest.mark.skipif(absent("dlms_cosem"), reason="no dlms-cosem here")
cryptography = pytest.mark.skipif(absent("cryptography"), reason="no cryptography here")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One line with three meters: 1/0 by short names, 1/59 and 1/60 by logical names."""
    link = str(tmp_path_factory.mktemp("meters") / "line")
    with simulated_lines(FAST, zmds=[link], mt880s=[link, link]):
        yield link


def read(program: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", str(HERE / program), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def dotted(name: bytes) -> str:
    return ".".join(str(part) for part in name)


@gurux
@pytest.mark.parametrize("who", [("16", "0"), ("32", "0", "00000000")], ids=["public", "password"])
def test_gurux_reads_by_short_names(line: str, who: tuple[str, ...]) -> None:
    told = read("gurux_reader.py", line, "short", *who)
    held = {(dotted(part.obis), part.class_id, part.base_name) for part in zmd().objects}
    assert {(name, class_id, base) for name, class_id, _, base in told["objects"]} == held
    assert told["scalers"] == {"1.0.1.8.0.255": [1.0, 30], "1.0.32.7.0.255": [0.1, 35]}
    assert told["values"]["0.0.96.1.0.255"] == "94407512"
    common(told)


@gurux
@pytest.mark.parametrize(
    "who",
    [
        ("1", "59", "12345678"),
        ("16", "59"),
        ("3", "59", "12345678", "HIGH_MD5"),
        ("4", "59", "12345678", "HIGH_SHA1"),
        ("6", "59", "12345678", "HIGH_SHA256"),
        pytest.param(("5", "59", "12345678", "HIGH_GMAC"), marks=cryptography),
        pytest.param(("5", "59", "12345678", "HIGH_GMAC", "ciphered"), marks=cryptography),
    ],
    ids=["password", "public", "MD5", "SHA-1", "SHA-256", "GMAC", "ciphered"],
)
def test_gurux_reads_by_logical_names(line: str, who: tuple[str, ...]) -> None:
    told = read("gurux_reader.py", line, "logical", *who)
    assert {(name, class_id) for name, class_id, *_ in told["objects"]} == {
        (dotted(part.obis), part.class_id) for part in mt880().objects
    }
    assert int(f"{told['conformance']:024b}"[::-1], 2) == CONFORMANCE  # it counts bits from the other end
    assert told["scalers"] == {"1.0.1.8.0.255": [1.0, 30], "1.0.32.7.0.255": [0.1, 35]}
    assert told["values"]["0.0.96.1.0.255"] == "72211943"
    common(told)


def common(told: dict[str, Any]) -> None:
    assert 220 < told["values"]["1.0.32.7.0.255"] < 240
    assert told["values"]["1.0.1.8.0.255"] > 77_000_000
    clock = datetime.fromisoformat(told["values"]["0.0.1.0.0.255"])
    assert abs((clock - datetime.now(UTC)).total_seconds()) < 5
    if "rows" in told:
        assert told["columns"] == COLUMNS
        stamps = [datetime.fromisoformat(row[0]) for row in told["rows"]]
        assert [(later - stamps[0]).total_seconds() for later in stamps] == [0, 900, 1800]
        energies = [row[2] for row in told["rows"]]
        assert energies == sorted(set(energies))


@gurux
def test_gurux_is_refused_with_a_wrong_password(line: str) -> None:
    command = [sys.executable, "-W", "ignore", str(HERE / "gurux_reader.py"), line, "logical", "1", "60", "87654321"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode
    assert "Authentication" in ended.stderr


@dlms_cosem
def test_dlms_cosem_reads_by_logical_names(line: str) -> None:
    told = read("dlms_cosem_reader.py", line, "1", "59", "12345678")
    assert told["energy"] > 77_000_000
    assert told["scaler"] == [-1, 35]
    assert 2200 < told["voltage"] < 2400
    assert told["serial"] == "72211943"
    assert set(told["objects"]) == {dotted(part.obis) for part in mt880().objects}
    assert told["columns"] == COLUMNS
    assert [row[0][10:16] for row in told["rows"]] == ["000000", "000f00", "001e00"]
    energies = [row[2] for row in told["rows"]]
    assert energies == sorted(set(energies))
