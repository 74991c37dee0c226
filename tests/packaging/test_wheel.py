"""Wheel and sdist: what they carry, and where it lies when it is installed."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from nportpy.cli import COMMANDS
from tests.packaging.conftest import Built

pytestmark = [pytest.mark.packages, pytest.mark.timeout(300)]
ETC = Path(__file__).parents[2] / "etc"
SHARED = {
    f"nportpy/{path.relative_to(ETC)}"
    for path in ETC.rglob("*")
    if path.is_file() and "packaging" not in path.parts and "__pycache__" not in path.parts
}
BESIDE = {
    "bash-completion/completions/nportpy",
    "zsh/site-functions/_nportpy",
    "fish/vendor_completions.d/nportpy.fish",
    "man/man5/nportpy.toml.5",
    "man/man1/nportpy.1",
    *(f"man/man1/nportpy-{name}.1" for name in COMMANDS),
}


def test_the_wheel_carries_etc_manual_and_completion(built: Built) -> None:
    with zipfile.ZipFile(built("nportpy-*.whl")) as wheel:
        names = wheel.namelist()
    carried = {name.partition(".data/data/share/")[2] for name in names}
    assert carried >= SHARED | BESIDE
    assert "nportpy/nportpy.toml" in SHARED
    assert "nportpy/nportpy.service" in SHARED
    assert [name for name in names if "packaging" in name or name.startswith("tests/")] == []


def test_a_wheel_can_be_made_of_the_sdist(built: Built) -> None:
    with tarfile.open(built("nportpy-*.tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {f"build/share/{name}" for name in BESIDE} <= names
    assert {"etc/packaging/hatch_build.py", "pyproject.toml", "README.md", "LICENSE", "Makefile"} <= names
    # `make dist` made the wheel of it, so that all it needs is there


def test_what_pip_installs_is_where_the_documentation_says(built: Built, tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=False)
    program = [sys.executable, "-m", "pip", f"--python={tmp_path / 'bin/python'}", "install", "--quiet", "--no-deps"]
    subprocess.run([*program, "--no-index", built("nportpy-*.whl")], check=True, timeout=120)
    assert {name for name in SHARED | BESIDE if not (tmp_path / "share" / name).is_file()} == set()
    site = next(tmp_path.glob("lib/python*/site-packages"))
    # its dependencies are those of this interpreter
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    done = subprocess.run([tmp_path / "bin/nportpy", "--version"], stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.startswith("nportpy, version")
