"""A foreign configuration as ours: read, understood, written, and checked as any configuration is."""

import re
from collections.abc import Iterator

from nportpy.config import parse
from nportpy.errors import ConfigError, Fault
from nportpy.migration import ser2net_conf, ser2net_yaml
from nportpy.migration.meaning import understand
from nportpy.migration.source import Notes
from nportpy.migration.writing import Written, write

_SECTION = re.compile(r"\s*\[[^\[\]{}:,&*]+\]\s*")


def convert(text: str, source: str) -> Written:
    """Our configuration for what a ser2net.yaml or ser2net.conf says; `source` names it in messages.

    The result is a configuration that `nportpy check` accepts.

    Raises:
        ConfigError: everything in `text` that cannot be read or converted, with its line.
    """
    _refuse_sections(text, source)
    notes = Notes()
    reader = ser2net_conf if ser2net_conf.looks_like(text) else ser2net_yaml
    connections = reader.read(text, notes)
    lines = [line for connection in connections if (line := understand(connection, notes)) is not None]
    if notes.faults:
        faults = (*notes.faults, *(fault for each in notes.left_out for fault in each.faults))
        raise ConfigError(source, tuple(sorted(faults, key=lambda fault: fault.line)))
    written = write(lines, notes, source, reader.FORM)
    if not written.ports:
        raise ConfigError(source, tuple(_reasons(notes)))
    try:
        parse(written.text, source)
    except ConfigError as error:
        raise ConfigError(source, tuple(written.at_source(fault) for fault in error.faults)) from error
    return written


def _reasons(notes: Notes) -> Iterator[Fault]:
    """Why nothing of a file could be converted."""
    faults = [fault for each in notes.left_out for fault in each.faults]
    others = [Fault("", each.text, line=each.line) for each in notes.left_out if not each.faults]
    others += [Fault("", remark.text, line=remark.line) for remark in notes.remarks]
    yield from sorted((*faults, *others), key=lambda fault: fault.line)
    if others or not faults:
        yield Fault("", "has no connection that could be converted")


def _refuse_sections(text: str, source: str) -> None:
    """Say it clearly where somebody tries an NPort's export: it begins with a [section].

    Raises:
        ConfigError: it does.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _SECTION.fullmatch(line):
            reason = "is in [sections], as what an NPort exports: that form is not documented publicly, and not read"
            allowed = "a ser2net.yaml or ser2net.conf; docs/replacing-an-nport.md has an NPort's settings one by one"
            raise ConfigError(source, (Fault("", reason, allowed=allowed, line=number),))
        return
