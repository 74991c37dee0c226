"""The floors of docs/design.md: who may import whom, who may touch I/O, and that every module says what it is."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
MODULES = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "nportpy").rglob("*.py"))]
# From the ground up. A part may import what stands below it; parts of one floor do not import each other.
FLOORS = (
    {"atomicfile", "errors", "linesettings", "throttle", "wallclock"},
    {"status"},
    {"protocols"},
    {"network", "accounts"},
    {"services", "port", "security", "editing"},
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
MAY_IMPORT_SERIAL = {
    "nportpy/port/tty.py",
    "nportpy/port/rfc2217s.py",
    "nportpy/port/url.py",
    "nportpy/simulator/client.py",
    "nportpy/cli/demo.py",
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of all modules that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class Facts(NamedTuple):
    """What the tests ask of a module; its tree is not kept, since all of them together slow the tests that follow."""

    imported: frozenset[str]
    documented: bool
    raised_in_groups: list[int]
    """Lines on which a handler of `except*` raises."""


@cache
def facts_of(path: str) -> Facts:
    """A module, parsed when the first test asks for it: collecting tests should cost nothing."""
    text = (ROOT / path).read_text()
    tree = ast.parse(text)
    groups = [node for node in ast.walk(tree) if isinstance(node, ast.TryStar)] if "except*" in text else []
    raised = [
        inner.lineno
        for node in groups
        for handler in node.handlers
        for inner in ast.walk(handler)
        if isinstance(inner, ast.Raise)
    ]
    return Facts(frozenset(imported(tree)), bool(ast.get_docstring(tree)), raised)


def part_of(module: str) -> str:
    """`line` for nportpy.port.tty and for nportpy/port/tty.py."""
    return module.removesuffix(".py").replace("/", ".").split(".")[1]


def ours(names: Iterable[str]) -> set[str]:
    """The parts of nportpy among imported names. The package itself (its version) stands below everything."""
    parts = {part_of(name) for name in names if name.startswith("nportpy.")}
    return parts - {"__version__"}


def tops(path: str) -> set[str]:
    """The packages that a module imports from."""
    return {name.split(".")[0] for name in facts_of(path).imported}


def test_imports_go_downward_only() -> None:
    assert not ours(facts_of("nportpy/__init__.py").imported)
    upward = [
        f"{path} imports {part}"
        for path in MODULES
        if path != "nportpy/__init__.py"
        for part in ours(facts_of(path).imported) - {part_of(path)}
        if HEIGHTS[part] >= HEIGHTS[part_of(path)]
    ]
    assert not upward


def test_protocols_are_pure() -> None:
    paths = [path for path in MODULES if part_of(path) == "protocols"]
    assert len(paths) > 50
    assert not [f"{path} imports {name}" for path in paths for name in tops(path) & IO]


def test_few_know_the_serial_library() -> None:
    assert {path for path in MODULES if tops(path) & SERIAL} <= MAY_IMPORT_SERIAL


def test_every_module_says_what_it_is() -> None:
    assert not [path for path in MODULES if not facts_of(path).documented]


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
    assert ours(imported(tree)) == {"gateway", "modes"}


def test_nothing_is_raised_where_a_group_is_caught() -> None:
    # Debian 12 has Python 3.11.2, which wraps in a group what `except*` raises; whoever waits for that error misses it.
    raised = [f"{path}:{line}" for path in MODULES for line in facts_of(path).raised_in_groups]
    assert raised == []
