"""The manual: made, taken by the programs that show it, and complete."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nportpy.cli import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with man1 and man5."""
    share = tmp_path_factory.mktemp("share")
    subprocess.run([sys.executable, ROOT / "etc/packaging/generate.py", share], check=True, timeout=60)
    return share / "man"


def shown(page: Path) -> str:
    """A page's words as a reader sees them, in one line."""
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc here")
    command = ["mandoc", "-T", "utf8", "-O", "width=1000", str(page)]
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    while "\b" in text:  # bold: a letter, a backspace, the letter once more
        before, _, after = text.partition("\b")
        text = before[:-1] + after
    return " ".join(text.split())


@pytest.mark.long
def test_every_command_has_a_page(pages: Path) -> None:
    names = {page.stem for page in (pages / "man1").iterdir()}
    assert {"nportpy"} | {f"nportpy-{name}" for name in COMMANDS} <= names
    assert {"nportpy-archive-show", "nportpy-read-dlms", "nportpy-scan-dlms"} <= names
    assert all(name.replace("-", "").isalnum() for name in names)


@pytest.mark.peer
def test_pages_have_no_faults(pages: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc here")
    command = ["mandoc", "-T", "lint", "-W", "warning", *map(str, pages.glob("*/*"))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout == ""


@pytest.mark.peer
def test_a_page_says_what_the_help_says(pages: Path) -> None:
    text = shown(pages / "man1/nportpy-read.1")
    assert "NAME nportpy-read - Read values of a Modbus device" in text
    assert "SYNOPSIS nportpy read [OPTIONS] TARGET ADDRESS..." in text
    assert "--unit INTEGER RANGE Unit id." in text
    assert "-h, --help" in text
    assert "nportpy-read-dlms(1)" in text
    assert "SYNOPSIS nportpy read --protocol dlms [OPTIONS] TARGET" in shown(pages / "man1/nportpy-read-dlms.1")
    assert "See nportpy-serve(1)" in shown(pages / "man1/nportpy.1")


@pytest.mark.peer
def test_the_page_of_the_configuration_has_all_of_its_words(pages: Path) -> None:
    text = shown(pages / "man5/nportpy.toml.5")
    source = (ROOT / "etc/nportpy.toml").read_text()
    missing = [word for word in dict.fromkeys(source.split()) if word.strip("#-.") not in text]
    assert missing == []
