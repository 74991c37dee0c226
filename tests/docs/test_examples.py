"""The files by use case in etc/examples: each is whole, is taken by `nportpy check`, and says what to change."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from nportpy.cli import main
from nportpy.config import parse
from nportpy.modes.realcom_base import RealComSettings
from tests.docs.documents import ROOT, blocks

EXAMPLES = sorted((ROOT / "etc/examples").glob("*.toml"))
PLACE = "/etc/nportpy/"


def checked(text: str, folder: Path) -> str:
    """What `nportpy check` prints about a file, whose passwords lie in this folder."""
    for secret in re.findall(rf'"{PLACE}(\S+)"', text):
        (folder / secret).write_text("12345678\n")
        (folder / secret).chmod(0o600)
    file = folder / "nportpy.toml"
    file.write_text(text.replace(PLACE, f"{folder}/"))
    result = CliRunner().invoke(main, ["check", "-c", str(file)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_is_taken_and_warns_of_nothing_but_its_devices(example: Path, tmp_path: Path) -> None:
    known = r"is not here now|is in use now|is below 1024|goes over the network as it is|needs? the extra|pip install"
    output = checked(example.read_text(), tmp_path)
    warnings = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert not [line for line in warnings if not re.search(known, line)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_begins_with_what_it_is_for_and_two_things_to_change(example: Path) -> None:
    lines = example.read_text().splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    assert head[0].startswith("# For ")
    assert "# Change two things:" in head
    assert [line[4] for line in head if re.match(r"#   \d\. ", line)] == ["1", "2"]


@pytest.mark.parametrize("document", ["README.md", "docs/technician.md", "docs/replacing-an-nport.md"])
def test_the_files_in_the_text_are_whole(document: str) -> None:
    shown = list(blocks(ROOT / document, "toml"))
    assert shown
    for block in shown:
        parse(block.text, str(block))


def test_an_nports_tcp_ports_are_served_as_they_were() -> None:
    """4001 and up of TCP Server, 950 and 966 and up of Real COM, in the technician's examples."""
    shown = [parse(block.text, str(block)) for block in blocks(ROOT / "docs/technician.md", "toml")]
    raw = [service.listen[0].port for settings in shown for port in settings.ports for service in port.raw]
    assert raw == [4001, 4001]
    services = [
        service for port in shown[-1].ports for _, service in port.modes if isinstance(service, RealComSettings)
    ]
    assert [service.data[0].port for service in services] == [950, 951, 952, 953]
    assert [service.command[0].port for service in services] == [966, 967, 968, 969]
