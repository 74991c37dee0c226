"""The floors of docs/design.md: who may import whom, who may touch I/O, and that every module says what it is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted((ROOT / "nportpy").rglob("*.py"))
}
# From the ground up. A part may import what stands below it; parts of one floor do not import each other.
FLOORS = (
    {"errors", "linesettings", "throttle"},
    {"status"},
    {"protocols"},
    {"network"},
    {"services", "port"},
    {"line"},
    {"client", "modbus", "attach", "meters"},
    {"modes", "simulator", "edge", "console"},
    {"gateway"},
    {"config"},
    {"migration"},
    {"cli"},
    {"__main__"},
)
HEIGHTS = {part: height for height, floor in enumerate(FLOORS) for part in floor}
IO = {
    "aiohttp", "asyncio", "concurrent", "fcntl", "http", "io", "logging", "multiprocessing", "os", "pathlib", "pty",
    "random", "select", "selectors", "serial", "serial_asyncio", "signal", "socket", "ssl", "subprocess", "sys",
    "tempfile", "termios", "threading", "time", "tty", "urllib", "uvloop",
}  # fmt: skip
SERIAL = {"serial", "serial_asyncio"}
# The gateway's way to a device, and the two who play a client of the gateway, as other people's programs do.
MAY_IMPORT_SERIAL = {"nportpy/port/tty.py", "nportpy/port/url.py", "nportpy/simulator/client.py", "nportpy/cli/demo.py"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of all modules that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """`line` for nportpy.port.tty and for nportpy/port/tty.py."""
    return module.removesuffix(".py").replace("/", ".").split(".")[1]


def ours(tree: ast.AST) -> set[str]:
    """The parts of nportpy that a module imports. The package itself (its version) stands below everything."""
    parts = {part_of(name) for name in imported(tree) if name.startswith("nportpy.")}
    return parts - {"__version__"}


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_downward_only(path: str) -> None:
    if path == "nportpy/__init__.py":
        assert not ours(MODULES[path])
        return
    mine = part_of(path)
    for part in ours(MODULES[path]) - {mine}:
        assert HEIGHTS[part] < HEIGHTS[mine], f"{path} imports {part}"


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) == "protocols"])
def test_protocols_are_pure(path: str) -> None:
    assert not {name.split(".")[0] for name in imported(MODULES[path])} & IO


@pytest.mark.parametrize("path", MODULES)
def test_few_know_the_serial_library(path: str) -> None:
    knows = {name.split(".")[0] for name in imported(MODULES[path])} & SERIAL
    assert not knows or path in MAY_IMPORT_SERIAL


@pytest.mark.parametrize("path", MODULES)
def test_every_module_says_what_it_is(path: str) -> None:
    assert ast.get_docstring(MODULES[path])


def test_every_part_has_its_floor() -> None:
    assert {part_of(path) for path in MODULES} - set(HEIGHTS) <= {"__init__"}


def test_the_floors_are_those_of_the_design() -> None:
    """docs/design.md draws them from the top, without the one line that is nportpy/__main__.py."""
    text = (ROOT / "docs/design.md").read_text()
    drawing = text.partition("## Floors")[2].partition("Imports go downward only")[0]
    drawn = [set(re.findall(r"\w+", floor)) for floor in drawing.split("->")]
    assert drawn == [floor for floor in reversed(FLOORS) if floor != {"__main__"}]
    rooms = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    assert rooms == {part for part in HEIGHTS if (ROOT / "nportpy" / part).is_dir()}


def test_the_rules_find_what_breaks_them() -> None:
    tree = ast.parse(
        "def f():\n    import serial.tools\n    from nportpy import gateway\n    from nportpy.modes.raw import x"
    )
    assert {"serial.tools", "nportpy.gateway", "nportpy.modes.raw"} <= set(imported(tree))
    assert ours(tree) == {"gateway", "modes"}
