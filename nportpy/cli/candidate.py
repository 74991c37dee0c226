"""A text that is to become the configuration file, checked as `nportpy check` does, in a process of its own.

A gateway whose file is edited would carry pydantic and the schema, some 10 MB, from then on.
"""

import gc
import json
import os
import pickle
import sys
from difflib import unified_diff

from nportpy.config import asked_child, fault_lines, parse
from nportpy.editing.candidate import Candidate, Changes
from nportpy.errors import ConfigError, EditError

PATIENCE = 60.0
"""Seconds that it may take: two on a Raspberry Pi, ten on the smallest one under load."""


def check(path: str, text: str, changes: Changes, base: str) -> Candidate:
    """What `nportpy check` says of a file of that name with that text, after some changes of single values.

    It is compared with `base` here, too: that takes time of the processor, which a gateway has not.

    Raises:
        EditError: a change cannot be made, or the checker comes to no end.
    """
    asked = json.dumps({"path": path, "text": text, "changes": list(changes), "base": base}).encode()
    found = asked_child(__name__, asked, PATIENCE)
    if isinstance(found, EditError):
        raise found
    assert isinstance(found, Candidate)
    return found


def answer(path: str, text: str, changes: Changes, base: str) -> Candidate:
    """The same here."""
    from nportpy.config.splice import Change, changed, singles  # not in the process that asks

    text = changed(text, (Change(tuple(each["path"]), each.get("value"), "remove" in each) for each in changes))
    plain, diff = text.removeprefix("\ufeff"), _diff(base, text, os.path.basename(path))
    try:
        settings = parse(plain, path)
    except ConfigError as error:
        said = tuple("\n".join(fault_lines(ConfigError(path, (fault,)))) for fault in error.faults)
        return Candidate(text, error.faults, said, diff=diff, values=tuple(singles(text)))
    from nportpy.cli.check import all_warnings  # not in the process that asks

    warnings = tuple(all_warnings(plain, path, settings))
    return Candidate(text, (), (), warnings, diff, tuple(singles(text)), settings)


def _diff(old: str, new: str, name: str) -> str:
    """A unified diff, as diff(1) and git write it."""
    lines = unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def main() -> None:
    """Answer what stdin asks."""
    gc.disable()  # this process is soon over, and somebody waits for it
    asked = json.load(sys.stdin.buffer)
    found: Candidate | EditError
    try:
        found = answer(**asked)
    except EditError as error:
        found = error
    sys.stdout.buffer.write(pickle.dumps(found))


if __name__ == "__main__":
    main()
