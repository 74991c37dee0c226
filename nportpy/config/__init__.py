"""The configuration file: read, checked and turned into frozen settings, once.

    values.py     single values: durations, sizes, addresses, networks
    tables.py     what tables are made of
    schema.py     the tables and their keys
    clashes.py    what keys have to do with each other; idle_keys.py which of them do nothing where they stand
    slips.py      what is not TOML, and what was meant; forgiving.py reads that
    modbus_*.py   the same for the Modbus tables
    faults.py     what is wrong, in words; positions.py: on which line
    build.py      the settings of every part
    splice.py     one value set in the text, all else left as it is; layout.py: where what stands in it
    devices.py    settings without a file
    collect_*.py  the collector's file: etc/collect.toml
    editors.py    the JSON schema

The file's keys are described in etc/nportpy.toml.
"""

import pickle
import subprocess
import sys
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nportpy.errors import ConfigError, EditError, Fault

if TYPE_CHECKING:  # `serve` starts loading before it imports what it will run
    from collections.abc import Callable

    from nportpy.gateway.plans import GatewaySettings

__all__ = [
    "DEFAULT_PATH",
    "asked_child",
    "fault_lines",
    "load",
    "parse",
    "read",
    "start_loading",
    "toml_of",
    "without_effect",
]

DEFAULT_PATH = "/etc/nportpy/nportpy.toml"
# Far more than any gateway needs, and not so much that the wrong file eats the machine.
_LARGEST = 1 << 20
_WIDEST = 100  # characters of a line that are shown


def load(path: str) -> "GatewaySettings":
    """Read a configuration file.

    Raises:
        ConfigError: the file cannot be read, or `parse` found faults in it.
    """
    return parse(read(path), path)


def read(path: str) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: it cannot be read, is too large or no text.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(path, (Fault("", f"cannot be read: {error.strerror}"),)) from error
    if len(content) > _LARGEST:
        raise ConfigError(path, (Fault("", "is larger than 1MiB"),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, (Fault("", "is not UTF-8 text", line=line),)) from error


def start_loading(path: str) -> "Callable[[], GatewaySettings]":
    """Start reading a configuration file in a process of its own; the result gives its settings, as `load` does.

    A gateway would carry pydantic and the schema, some 10 MB, for as long as it runs, for the moment in which it
    reads its file; and while one processor does that, another can import the rest.
    """
    command = [sys.executable, "-m", __name__, path]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603

    def result() -> "GatewaySettings":
        answer, _ = child.communicate()
        if child.returncode:
            return load(path)  # it said why on stderr; whatever it lacked, this process may have
        settings: GatewaySettings | ConfigError = pickle.loads(answer)  # noqa: S301 - our own child's
        if isinstance(settings, ConfigError):
            raise settings
        return settings

    return result


def asked_child(module: str, asked: bytes, patience: float) -> Any:
    """What a module of ours answers in a process of its own: it reads `asked` and writes one object, pickled.

    Args:
        module: its name.
        asked: what it reads.
        patience: seconds that it may take.

    Raises:
        EditError: it comes to no end, or to a bad one.
    """
    command = [sys.executable, "-m", module]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
    try:
        answer, _ = child.communicate(asked, patience)
    except subprocess.TimeoutExpired as error:
        raise EditError(f"the checker has not come to an end in {patience:.0f} s") from error
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
    if child.returncode:
        raise EditError(f"the checker has failed with exit code {child.returncode}")
    return pickle.loads(answer)  # noqa: S301 - our own child's


def parse(text: str, source: str) -> "GatewaySettings":
    """Read a configuration from its text; `source` names it in messages.

    Raises:
        ConfigError: every fault at once, in the order of their lines. Where the text is not TOML and nobody can tell
            what is meant, only what is not TOML.
    """
    # Here, because whoever only wants `start_loading` should not pay for them.
    from pydantic import ValidationError

    from nportpy.config.build import build
    from nportpy.config.clashes import clashes, origins
    from nportpy.config.edge_build import edge_faults
    from nportpy.config.faults import faults_of
    from nportpy.config.positions import Lines
    from nportpy.config.schema import File

    text, data, faults = toml_of(text, source)
    lines = Lines(text)
    faults += clashes(data, lines)
    file = None
    try:
        file = File.model_validate(data)
    except ValidationError as error:
        faults += faults_of(error, data, lines)
    if file is not None:
        faults += edge_faults(file, lines)
    if faults or file is None:
        raise ConfigError(source, tuple(sorted(faults, key=lambda fault: (fault.line, fault.key))))
    return replace(build(file), origins=origins(data, lines, source))


def toml_of(text: str, source: str) -> "tuple[str, dict[str, Any], list[Fault]]":
    """What a text says in TOML: the text that is meant, its tables, and what is not TOML in it.

    Raises:
        ConfigError: nobody can tell what is meant.
    """
    try:
        text.encode()
        return text, tomllib.loads(text), []
    except UnicodeEncodeError as error:
        raise ConfigError(source, (Fault("", "is not UTF-8 text"),)) from error
    except (ValueError, RecursionError) as error:
        from nportpy.config.slips import slips

        faults, meant = slips(text)
        if meant is None:
            raise ConfigError(source, tuple(sorted(faults, key=lambda fault: fault.line))) from error
        return meant, tomllib.loads(meant), faults


def without_effect(text: str, source: str) -> list[str]:
    """What is right in a configuration without faults and does nothing where it stands, each on one line."""
    from nportpy.config.idle_keys import idle_keys
    from nportpy.config.positions import Lines

    return [_line(source, idle) for idle in idle_keys(tomllib.loads(text), Lines(text))]


def fault_lines(error: ConfigError, *, excerpts: bool = True) -> list[str]:
    """Each fault on one line: `file:line: key.path = value: reason (allowed: ...)`.

    With `excerpts`, the line and a caret stand below one that is about how something is written.
    """
    return [
        line for fault in error.faults for line in (_line(error.source, fault), *(_excerpt(fault) if excerpts else ()))
    ]


def _line(source: str, fault: Fault) -> str:
    where = f"{source}:{fault.line}" if fault.line else source
    what = f"{fault.key} = {fault.value}" if fault.value else fault.key
    allowed = f" (allowed: {fault.allowed})" if fault.allowed else ""
    return ": ".join(part for part in (where, what, fault.reason + allowed) if part)


def _excerpt(fault: Fault) -> list[str]:
    """The line of the file, as much of it as fits around the place, and a caret below that."""
    if not fault.excerpt.strip():
        return []
    # One column for each character: a tab is a blank, and what would move the cursor a dot.
    text = "".join(each if each.isprintable() else " " if each == "\t" else "." for each in fault.excerpt)
    start = max(0, fault.column - 1 - _WIDEST // 2) if len(text) > _WIDEST else len(text) - len(text.lstrip())
    start = min(start, fault.column - 1)
    return [f"    {text[start : start + _WIDEST].rstrip()}", f"    {' ' * (fault.column - 1 - start)}^"]
