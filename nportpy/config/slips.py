"""What is not TOML in a file: every place, with the line as it is probably meant.

tomllib stops at the first fault. Here the statement in which it stopped is read once more by someone who forgives
(forgiving.py), its probable form takes its place, and tomllib goes on, until it has read everything. So it alone
decides what is TOML, and a remedy that is shown is one that it takes. Where every slip has a remedy, the file as it is
meant can be checked for all the rest.
"""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from itertools import islice

from nportpy.config.forgiving import Forgiving, Unreadable
from nportpy.config.positions import Lines
from nportpy.config.schema import boolean_keys, may_be_several
from nportpy.config.toml import Path, key_path
from nportpy.errors import Fault

MOST_SLIPS = 50
"""How many are told: who has more has another kind of file."""

_MOST_TRIED = 200  # rows at which a statement may begin
_MOST_READ = 4 << 20  # bytes that tomllib gets in all
# tomllib's own messages end in a place.
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*(\[+)\s*(.*?)\s*(\]*)\s*(#.*)?")
_PAIR = re.compile(
    r"""(\s*)("[^"]*"|'[^']*'|[^\s=:"'#\[\]{}][^=:"'#\[\]{}]*?)(\s*(?:==|=>|:=|=|:)\s*|\s+(?=["'\[{“„0-9/])|\s*$)"""
)
_EXAMPLES = {
    "device": 'device = "/dev/ttyAMA0"',
    "listen": "listen = 4001",
    "format": 'format = "8N1"',
    "baudrate": "baudrate = 9600",
}
_BARE_KEY = re.compile(r"[A-Za-z0-9_.-]+")
_COMMENT = re.compile(r"(\s*)(?://|;|--|/\*|REM\b|!)\s?(.*)")
_CONFLICT = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?:\s|$)")
_SER2NET_LINE = re.compile(r"(?:[\w.:,-]+,)?\d+:(?:raw|rawlp|telnet|off):")
_YAML = re.compile(r"(?:%YAML|---\s*$|(?:connection|define|default):)")


@dataclass(slots=True)
class _Found:
    """A slip: the rows from `row` up to `end`, why, and what is meant.

    Attributes:
        column: where in the row that is to be shown.
        remedy: what to write, for the reader.
        instead: what takes the rows' place; None if nobody can tell what is meant.
        aside: what takes their place then.
        shown: which row is to be shown, counted from `row`.
    """

    row: int
    end: int
    column: int
    reason: str
    remedy: str = ""
    instead: str | None = None
    aside: str = ""
    shown: int = 0


def slips(text: str) -> tuple[list[Fault], str | None]:
    """Everything in `text` that is not TOML, and the file as it is probably meant; None where that cannot be told."""
    rows = text.replace("\r\n", "\n").split("\n")
    if other := _other_kind(rows):
        return [other], None
    faults: list[Fault] = []
    sure = True
    mended: set[int] = set()
    read = 0
    while True:
        try:
            tomllib.loads("\n".join(rows))
            break
        except RecursionError:
            return [*faults, Fault("", "is nested too deep")], None
        except ValueError as error:
            if not isinstance(error, tomllib.TOMLDecodeError):
                return [*faults, Fault("", "has a number that is too long")], None
            read += len(text)
            if len(faults) == MOST_SLIPS or read > _MOST_READ:
                return [*faults, Fault("", f"has more than {len(faults)} lines that are not TOML")], None
            found = _slip(rows, error)
        if found.row in mended:  # what was meant is no better
            sure = False
            rows[found.row : found.end] = [""] * (found.end - found.row)
            continue
        faults.append(_fault(rows, found))
        sure = sure and found.instead is not None
        mended.add(found.row)
        rows[found.row : found.end] = [
            found.aside if found.instead is None else found.instead,
            *[""] * (found.end - found.row - 1),
        ]
    return faults, "\n".join(rows) if sure else None


def _fault(rows: list[str], found: _Found) -> Fault:
    remedy = found.remedy if found.remedy.isprintable() else ""
    row = found.row + found.shown
    return Fault("", found.reason, allowed=remedy, line=row + 1, excerpt=rows[row], column=found.column + 1)


def _other_kind(rows: list[str]) -> Fault | None:
    """A file of another kind: to tell of its every line would help nobody."""
    first, row = next(
        ((n, row) for n, row in enumerate(rows) if row.strip() and not row.lstrip().startswith("#")), (0, "")
    )
    reason = ""
    if row.strip() == "{" or re.match(r"\s*\{\s*\"", row):
        reason, remedy = "is JSON, not TOML", "tables such as [port.NAME], with lines such as listen = 4001"
    elif _SER2NET_LINE.match(row) or (_YAML.match(row) and "=" not in row):
        reason, remedy = "is not TOML, but looks like a file of ser2net's", "nportpy import FILE -o nportpy.toml"
    elif row.startswith("<?xml"):
        reason, remedy = "is XML, not TOML", "tables such as [port.NAME], with lines such as listen = 4001"
    return Fault("", reason, allowed=remedy, line=first + 1, excerpt=row, column=1) if reason else None


def _slip(rows: list[str], error: tomllib.TOMLDecodeError) -> _Found:
    """What is wrong where tomllib stopped."""
    message = str(error)
    place = _PLACE.search(message)
    stopped = int(place[1]) - 1 if place and place[1] else len(rows) - 1
    column = int(place[2]) - 1 if place and place[2] else 0
    reason = message[: place.start()] if place else message
    row = _beginning(rows, min(stopped, len(rows) - 1))
    if not _parses(rows[row]) or row != stopped:
        found = _mended(rows, row)
        if found is not None:
            return found
    elif twice := _twice(rows, row):
        return twice
    where = min(column, len(rows[row])) if row == stopped else 0
    return _Found(row, row + 1, where, f"is not TOML: {reason[:1].lower()}{reason[1:]}")


def _beginning(rows: list[str], stopped: int) -> int:
    """The row in which the statement begins that tomllib could not read: all before it can be read."""
    last = next((row for row in range(stopped, -1, -1) if rows[row].strip()), 0)
    candidates = (row for row in range(last, -1, -1) if row == last or not _parses(rows[row]))
    for row in islice(candidates, max(2, min(_MOST_TRIED, _MOST_READ // sum(map(len, rows))))):
        if _parses("\n".join(rows[:row])):
            return row
    return last


def _parses(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# One statement.


def _mended(rows: list[str], row: int) -> _Found | None:
    text = rows[row]
    blank = len(text) - len(text.lstrip())
    if odd := _odd_character(text, row):
        return odd
    if _CONFLICT.match(text):
        return _Found(row, row + 1, 0, "is a mark of a merge conflict", "one of the two versions, without the marks")
    if match := _COMMENT.fullmatch(text):
        remedy = f"# {match[2]}".rstrip()
        return _Found(row, row + 1, blank, "is not TOML: a comment begins with #", remedy, match[1] + remedy)
    if text.lstrip().startswith("["):
        return _header(row, text)
    return _pair(rows, row)


def _odd_character(text: str, row: int) -> _Found | None:
    """A character that nobody sees: a blank of another kind, or a control character."""
    at = next((n for n, each in enumerate(text) if each != "\t" and not each.isprintable()), -1)
    if at < 0:
        return None
    name = unicodedata.name(text[at], f"control character {ord(text[at]):02X}").lower()
    meant = "".join(
        " " if unicodedata.category(each) == "Zs" else each for each in text if unicodedata.category(each) != "Cf"
    )
    remedy = meant.strip() if meant.isprintable() and meant.strip() else ""
    return _Found(
        row, row + 1, at, f"is not TOML: has a character that nobody sees, {name}", remedy, meant if remedy else None
    )


def _header(row: int, text: str) -> _Found | None:
    """The name of a table, in brackets."""
    match = _HEADER.fullmatch(text)
    assert match is not None
    opening, name, _, comment = match.groups()
    column = match.start(2) + len(name)
    if "]" in name:
        reason = "is not TOML: the name of a table has its line for itself"
        inside, _, behind = name.partition("]")
        remedy = f"{opening}{inside}{']' * len(opening)}, and on a line of its own {behind.strip('] ')}"
        aside = f"{opening}{inside}{']' * len(opening)}"
        return _Found(row, row + 1, match.start(2) + len(inside) + 1, reason, remedy, aside=aside)
    brackets = min(len(opening), 2)
    meant = _header_name(name)
    remedy = f"{'[' * brackets}{meant}{']' * brackets}"
    if not _parses(remedy):
        return None
    if meant != name.strip():
        where = next((n for n, pair in enumerate(zip(name, meant, strict=False)) if pair[0] != pair[1]), 0)
        column, reason = match.start(2) + where, "the name of a table has no blanks, and points between its parts"
    else:
        reason = f"the name of a table ends with {']' * brackets}"
    return _Found(row, row + 1, column, f"is not TOML: {reason}", remedy, f"{remedy}  {comment or ''}".rstrip())


def _header_name(name: str) -> str:
    name = name.strip().strip(".")
    name = re.sub(r"^(port|modbus)\s*[\s:/]\s*", r"\1.", name)
    parts = [part.strip().strip("\"'“”") for part in re.split(r"[.:/]", name)]
    return ".".join(re.sub(r"[^A-Za-z0-9_-]+", "-", part).strip("-") for part in parts if part)


def _pair(rows: list[str], row: int) -> _Found | None:
    """A key and its value."""
    text = rows[row]
    match = _PAIR.match(text)
    if match is None:
        return None
    key, sign = match[2], match[3].strip()
    reason, column = "", match.start(2)
    if not (_BARE_KEY.fullmatch(key) and not re.search(r"^\.|\.\.|\.$", key)) and key[0] not in "\"'":
        reason = "a key has no blanks"
        key = re.sub(r"[^A-Za-z0-9_.-]+", "_", key.strip(" .")).strip("_")
    if sign != "=":
        column = match.start(3) + len(match[3]) - len(match[3].lstrip()) if not reason else column
        reason = reason or "= stands between a key and its value"
    reader = Forgiving("\n".join(rows[row:]), match.end(), boolean_keys())
    try:
        value = reader.statement(key.rpartition(".")[2])
    except Unreadable as error:
        return _without_remedy(row, key, reader, column, reason, str(error))
    if not reason and not reader.forgiven:
        return None
    shown = 0
    if not reason:
        reason, (shown, column) = reader.forgiven[0].reason, reader.place(reader.forgiven[0].at)
    found = _Found(row, row + reader.lines() + 1, column, f"is not TOML: {reason}", shown=shown)
    meant = f"{key} = {value}"
    if _parses(meant):
        found.remedy = f"{meant}, and on a line of its own {reader.beside}" if reader.beside else meant
        found.instead = match[1] + meant
    return found


def _without_remedy(row: int, key: str, reader: Forgiving, column: int, reason: str, why: str) -> _Found:
    shown = 0
    if reader.forgiven:
        first = reader.forgiven[0]
        if first.reason == "has no value":
            if key in boolean_keys():
                return _Found(
                    row, row + 1, first.at, f"is not TOML: {key} has no value", f"{key} = true", f"{key} = true"
                )
            return _Found(row, row + 1, first.at, f"is not TOML: {key} has no value", _example(key))
        if not reason:
            reason, (shown, column) = first.reason, reader.place(first.at)
    end = row + reader.lines() + 1
    return _Found(row, end, column, f"is not TOML: {reason or why}", why if reason else "", shown=shown)


def _example(key: str) -> str:
    known = {
        "device": 'device = "/dev/ttyAMA0"',
        "listen": "listen = 4001",
        "format": 'format = "8N1"',
        "baudrate": "baudrate = 9600",
    }
    return known.get(key, f"a value behind the =, or no line {key}")


# Statements that are TOML for themselves, and not in this place.


def _twice(rows: list[str], row: int) -> _Found | None:
    before = Lines("\n".join(rows[:row]))
    text = rows[row]
    blank = len(text) - len(text.lstrip())
    path = _path(text)
    if text.lstrip().startswith("["):
        return _table_twice(rows, row, path, before, blank)
    here = next((_path(rows[n]) for n in range(row - 1, -1, -1) if _is_header(rows[n])), ())
    if here:
        here = _last_of(rows[:row], here)
    line = before.of((*here, *path)) if path else 0
    reason = f"has the key {key_path(path)} twice, or under a key that is a value"
    return _Found(row, row + 1, blank, reason, f"one of the two; the other is line {line}" if line else "")


def _table_twice(rows: list[str], row: int, path: Path, before: Lines, blank: int) -> _Found:
    name, line = key_path(path), before.of(path)
    first = line - 1
    reason = f"has the table [{name}] twice, or adds it to an inline table"
    aside = f"[again.line-{row}]"  # what stands in it is not to be told of as well
    other = _is_header(rows[first]) and _path(rows[first]) == path if line else False
    if other and may_be_several(path):
        rows[first] = f"[[{name}]]"
        remedy = f"[[{name}]], here and in line {line}: each is a service of its own"
        return _Found(row, row + 1, blank, f"has the table [{name}] twice", remedy, f"[[{name}]]")
    if other and len(path) == 2 and path[0] in ("port", "modbus"):
        meant = f"[{key_path((path[0], f'{path[1]}-2'))}]"
        remedy = f"a name of its own, such as {meant}, or all keys in the table of line {line}"
        return _Found(row, row + 1, blank, f"has the table [{name}] twice", remedy, aside=aside)
    if other:
        remedy = f"all keys in the table of line {line}"
        return _Found(row, row + 1, blank, f"has the table [{name}] twice", remedy, aside=aside)
    return _Found(row, row + 1, blank, reason, f"the same words in line {line}" if line else "")


def _is_header(row: str) -> bool:
    return row.lstrip().startswith("[") and _parses(row)


def _path(row: str) -> Path:
    """The keys that a statement's row sets, down to the one that it is about."""
    try:
        found: object = tomllib.loads(row)
    except (ValueError, RecursionError):
        return ()
    depth = len(row.split("=")[0].split(".")) if not row.lstrip().startswith("[") else 99
    path: Path = ()
    while depth and ((isinstance(found, dict) and len(found) == 1) or (isinstance(found, list) and len(found) == 1)):
        if isinstance(found, list):
            found = found[0]
            continue
        key, found = next(iter(found.items()))
        path, depth = (*path, key), depth - 1
    return path


def _last_of(rows: list[str], path: Path) -> Path:
    """The table that a header means: of several of a name, the last."""
    data: object = tomllib.loads("\n".join(rows))
    full: Path = ()
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
        full = (*full, key)
        if isinstance(data, list) and data:
            full, data = (*full, len(data) - 1), data[-1]
    return full
