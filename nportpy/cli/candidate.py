"""A text that is to become the configuration file, checked as `nportpy check` does, in a process of its own.

A gateway whose file is edited would carry pydantic and the schema, some 10 MB, from then on.
"""

import json
import pickle
import sys

from nportpy.config import asked_child, fault_lines, parse
from nportpy.editing.editor import Candidate, Changes
from nportpy.errors import ConfigError, EditError

PATIENCE = 60.0
"""Seconds that it may take: two on a Raspberry Pi, ten on the smallest one under load."""


def check(path: str, text: str, changes: Changes) -> Candidate:
    """What `nportpy check` says of a file of that name with that text, after some changes of single values.

    Raises:
        EditError: a change cannot be made, or the checker comes to no end.
    """
    asked = json.dumps({"path": path, "text": text, "changes": list(changes)}).encode()
    answer = asked_child(__name__, asked, PATIENCE)
    if isinstance(answer, EditError):
        raise answer
    assert isinstance(answer, Candidate)
    return answer


def answer(path: str, text: str, changes: Changes) -> Candidate | EditError:
    """The same here."""
    from nportpy.config.splice import Change, changed  # not in the process that asks

    try:
        text = changed(text, (Change(tuple(each["path"]), each.get("value"), "remove" in each) for each in changes))
    except EditError as error:
        return error
    plain = text.removeprefix("\ufeff")
    try:
        settings = parse(plain, path)
    except ConfigError as error:
        said = tuple("\n".join(fault_lines(ConfigError(path, (fault,)))) for fault in error.faults)
        return Candidate(text, error.faults, said)
    from nportpy.cli.check import all_warnings  # not in the process that asks

    return Candidate(text, warnings=tuple(all_warnings(plain, path, settings)), settings=settings)


def main() -> None:
    """Answer what stdin asks."""
    asked = json.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(answer(asked["path"], asked["text"], asked["changes"])))


if __name__ == "__main__":
    main()
