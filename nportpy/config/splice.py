"""One value set, added or removed in a TOML text, and every other byte left as it is.

A form of the console changes a value, and the file belongs to people: comments, order and blanks are theirs. So only
the characters of that value are exchanged, a line is put behind the last one of its table, or whole lines are taken
out. The result is read by tomllib and has to be the old data with exactly that change; else it is refused.
"""

import tomllib
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, NamedTuple

from nportpy.config.layout import Layout, Pair, Section, Value
from nportpy.config.toml import Path, key_path, key_text, whole_text
from nportpy.errors import EditError


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one value.

    Attributes:
        path: keys, and numbers from 0 in arrays; one behind the last appends.
        value: what it is to be, as tomllib would give it.
        remove: it is to be taken out instead.
    """

    path: Path
    value: object = None
    remove: bool = False


class _Cut(NamedTuple):
    """What is exchanged: from `start` up to `end`."""

    start: int
    end: int
    text: str = ""


def changed(text: str, changes: Iterable[Change]) -> str:
    """The text with some changes, one after the other.

    Raises:
        EditError: of one of them; the message says which and why.
    """
    for change in changes:
        try:
            text = _changed(text, change)
        except EditError as error:
            raise EditError(f"{key_path(change.path)}: {error}") from error
        except RecursionError as error:
            raise EditError(f"{key_path(change.path)}: is nested too deeply") from error
    return text


def singles(text: str) -> Iterator[tuple[Path, object]]:
    """The values that one may set in a form: texts, numbers, booleans, and lists of them; none where it is not TOML."""
    try:
        data = _data(text)
    except EditError:
        return
    yield from _singles((), data)


def _singles(path: Path, value: object) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _singles((*path, key), each)
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for number, each in enumerate(value):
            yield from _singles((*path, number), each)
    elif all(isinstance(each, str | int | float) for each in (value if isinstance(value, list) else [value])):
        yield path, value


def _changed(text: str, change: Change) -> str:
    if not change.path:
        raise EditError("the file as a whole is for the text editor")
    old = _data(text)
    allowed = list(_wanted(old, change))
    if not change.remove and _same(old, allowed[0]):
        return text
    layout = Layout(text)
    cuts = _removed(layout, change.path) if change.remove else [_set(layout, old, change.path, change.value)]
    new = _exchanged(text, cuts)
    try:
        found = _data(new)
    except EditError as error:
        raise EditError("cannot be changed here without touching more: use the text editor") from error
    if not any(_same(found, wanted) for wanted in allowed):
        raise EditError("cannot be changed here without touching more: use the text editor")
    return new


def _data(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise EditError(f"the file is not TOML: {error}") from error


def _exchanged(text: str, cuts: Iterable[_Cut]) -> str:
    for cut in sorted(cuts, reverse=True):
        text = text[: cut.start] + cut.text + text[cut.end :]
    return text


# What the data should be.


def _wanted(old: dict[str, Any], change: Change) -> Iterator[dict[str, Any]]:
    """The old data with the change.

    Of a removal also without the tables that were there only because of what is taken out.
    """
    new = deepcopy(old)
    if not change.remove:
        _check(change.value)
        place: Any = new
        for number, step in enumerate(change.path):
            last = number == len(change.path) - 1
            _fits(place, step)
            if isinstance(place, list) and step == len(place):
                place.append(deepcopy(change.value) if last else {})
            elif last:
                place[step] = deepcopy(change.value)
            elif isinstance(place, dict):
                place.setdefault(step, {})
            place = place[step]
        yield new
        return
    path = change.path
    while path:
        parent: Any = new
        for step in path[:-1]:
            _there(parent, step)
            parent = parent[step]
        _there(parent, path[-1])
        del parent[path[-1]]
        yield deepcopy(new)
        if parent or not isinstance(parent, dict):
            return
        path = path[:-1]


def _fits(place: object, step: str | int) -> None:
    if isinstance(place, dict) and isinstance(step, str):
        return
    if isinstance(place, list) and type(step) is int and 0 <= step <= len(place):
        return
    raise EditError("leads into a value that has no such key")


def _there(place: object, step: str | int) -> None:
    _fits(place, step)
    if step not in place if isinstance(place, dict) else step == len(place):  # type: ignore[arg-type]  # it fits
        raise EditError("is not in the file")


def _check(value: object) -> None:
    """Whether it can stand in a TOML file."""
    match value:
        case list():
            for each in value:
                _check(each)
        case dict():
            for key, each in value.items():
                if not isinstance(key, str):
                    raise EditError("has a key that is no text")
                _check(each)
        case bool() | int() | float() | datetime() | date() | time():
            pass
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise EditError("is no text that a file can have") from error
        case _:
            raise EditError("is nothing that TOML has")


def _same(one: object, other: object) -> bool:
    """Whether two values are the same in type as well; a NaN is the same as another."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other or repr(one) == repr(other) if not isinstance(one, float) else repr(one) == repr(other)


# Setting.


def _set(layout: Layout, old: dict[str, Any], path: Path, value: object) -> _Cut:
    if path in layout.values:
        there = layout.values[path]
        return _Cut(there.start, there.end, whole_text(value))
    at, place = (), old  # type: tuple[Path, Any]
    for step in path:
        if (isinstance(place, list) and step == len(place)) or (isinstance(place, dict) and step not in place):
            break
        at, place = (*at, step), place[step]
    if at == path:
        raise EditError("is a table of its own: set its keys, or use the text editor")
    first, rest = path[len(at)], path[len(at) + 1 :]
    for step in reversed(rest):
        value = {step: value}
    if at in layout.values:
        return _inside(layout, layout.values[at], first, value)
    if isinstance(place, list):
        return _new_sections(layout, at, _sections((*at, first), value))
    if (dotted := _dotted(layout, at)) is not None:
        section, pair = dotted
        keys = [*(str(step) for step in at[len(section.path) :]), str(first)]
        return _new_line(layout, section, pair, keys, value)
    if (isinstance(value, dict) and value) or _is_tables(value):
        return _new_sections(layout, at, _sections((*at, first), value))
    for own in layout.sections:
        if own.path == at:
            return _new_line(layout, own, own.pairs[-1] if own.pairs else None, [str(first)], value)
    return _new_sections(layout, at, _sections(at, {first: value}))


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) and each for each in value)


def _dotted(layout: Layout, at: Path) -> tuple[Section, Pair] | None:
    """The last pair whose dotted key leads through a table, which no header may name then."""
    for section in reversed(layout.sections):
        depth = len(at) - len(section.path)
        if depth > 0 and section.path == at[: len(section.path)]:
            for pair in reversed(section.pairs):
                if len(pair.keys) > depth and tuple(pair.keys[:depth]) == at[len(section.path) :]:
                    return section, pair
    return None


def _inside(layout: Layout, place: Value, step: str | int, value: object) -> _Cut:
    """One more in an array or an inline table."""
    text = whole_text(value) if place.pairs is None else f"{key_text(str(step))} = {whole_text(value)}"
    if place.items is None and place.pairs is None:
        raise EditError("leads into a value that has no such key")
    ends = [each.end for each in place.items or ()] + [each.value.end for each in place.pairs or ()]
    if ends:
        return _Cut(ends[-1], ends[-1], f", {text}")
    opening = place.start + 1
    inner = layout.text[opening : place.end - 1]
    if place.pairs is not None and not inner.strip():
        return _Cut(opening, place.end - 1, f" {text} ")
    return _Cut(opening, opening, text)


def _new_line(layout: Layout, section: Section, behind: Pair | None, keys: list[str], value: object) -> _Cut:
    """A line behind the one of a pair, or of a header."""
    text = layout.text
    line = f"{'.'.join(map(key_text, keys))} = {whole_text(value)}"
    if behind is None and not section.path:  # the top of the file, which has no line
        return _Cut(section.end, section.end, line + _line_end(text, 0))
    beginning, place = (behind.start, behind.value.end) if behind is not None else (section.start, section.end)
    indent = text[text.rfind("\n", 0, beginning) + 1 : beginning].lstrip("\ufeff")
    place = _behind(text, place)
    if not text[:place].endswith("\n"):  # the file's last line, without an end
        return _Cut(place, place, f"{_line_end(text, 0)}{indent}{line}")
    return _Cut(place, place, f"{indent}{line}{_line_end(text, beginning)}")


def _sections(path: Path, value: object) -> Iterator[str]:
    """The lines of a table or an array of tables with headers of its own."""
    name = ".".join(key_text(step) for step in path if isinstance(step, str))
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _sections((*path, number), each)
        return
    if not isinstance(value, dict):
        raise EditError("is one of several tables: a table is wanted")
    brackets = 2 if isinstance(path[-1], int) else 1
    tables = {key: each for key, each in value.items() if (isinstance(each, dict) and each) or _is_tables(each)}
    if brackets == 2 or not tables or len(tables) < len(value):
        yield ""
        yield f"{'[' * brackets}{name}{']' * brackets}"
    for key, each in value.items():
        if key not in tables:
            yield f"{key_text(key)} = {whole_text(each)}"
    for key, each in tables.items():
        yield from _sections((*path, key), each)


def _new_sections(layout: Layout, at: Path, lines: Iterable[str]) -> _Cut:
    """Sections behind the last one that belongs to a table."""
    text, found = layout.text, list(lines)[1:]
    own = [place for place, each in enumerate(layout.sections) if place and each.path[: len(at)] == at]
    place = _end(layout, own[-1] if own else len(layout.sections) - 1)
    end = _line_end(text, 0)
    block = end.join(found) + end
    before, behind = text[:place].removeprefix("\ufeff"), text[place:]
    if before and not before.endswith("\n"):
        block = end + block
    if before.strip() and not before.replace("\r", "").endswith("\n\n"):
        block = end + block
    return _Cut(place, place, block + end if behind else block)


def _line_end(text: str, start: int) -> str:
    """How lines end there."""
    place = text.find("\n", start)
    return "\r\n" if place > 0 and text[place - 1] == "\r" else "\n"


def _behind(text: str, place: int) -> int:
    """Where the line has ended."""
    return text.find("\n", place) + 1 or len(text)


def _body_end(section: Section) -> int:
    return section.pairs[-1].value.end if section.pairs else section.end


def _end(layout: Layout, number: int) -> int:
    """Where a section has ended: comments right above a header belong to that."""
    text = layout.text
    if number + 1 == len(layout.sections):
        return len(text)
    place = text.rfind("\n", 0, layout.sections[number + 1].start) + 1
    least = _behind(text, _body_end(layout.sections[number])) if number or layout.sections[0].pairs else 0
    while place > least:
        above = text.rfind("\n", 0, place - 1) + 1
        if above < least or not text[above:place].lstrip(" \t\ufeff").startswith("#"):
            break
        place = above
    return place


# Removing.


def _removed(layout: Layout, path: Path) -> list[_Cut]:
    if path in layout.values:
        return [_without(layout, path)]
    cuts = []
    for number, section in enumerate(layout.sections):
        if number and section.path[: len(path)] == path:
            start = _end(layout, number - 1) if number > 1 or layout.sections[0].pairs else section.start
            cuts.append(_Cut(min(start, section.start), _end(layout, number)))
            continue
        cuts += [
            _whole_lines(layout.text, pair.start, pair.value.end)
            for pair in section.pairs
            if (*section.path, *pair.keys)[: len(path)] == path
        ]
    if not cuts:
        raise EditError("is not written as a table of its own: use the text editor")
    return cuts


def _whole_lines(text: str, start: int, end: int) -> _Cut:
    first = text.rfind("\n", 0, start) + 1
    return _Cut(first + text.startswith("\ufeff", first), _behind(text, end))


def _without(layout: Layout, path: Path) -> _Cut:
    """A value that is written as one, with its key."""
    for section in layout.sections:
        for pair in section.pairs:
            if pair.value.path == path:
                return _whole_lines(layout.text, pair.start, pair.value.end)
    holder = next((path[:depth] for depth in range(len(path) - 1, 0, -1) if path[:depth] in layout.values), None)
    assert holder is not None  # what is in no section is in a value
    place = layout.values[holder]
    spans = [(each.start, each.end) for each in place.items or ()]
    spans += [(each.start, each.value.end) for each in place.pairs or ()]
    paths = [each.path for each in place.items or ()] + [each.value.path for each in place.pairs or ()]
    number = paths.index(path)
    return _unlisted(layout.text, spans, number, place.end - 1)


def _unlisted(text: str, spans: list[tuple[int, int]], number: int, closing: int) -> _Cut:
    """One of several in brackets, with a comma beside it."""
    start, end = spans[number]
    if number + 1 < len(spans):
        comma = _comma(text, end)
        behind = comma + 1
        while behind < closing and text[behind] in " \t":
            behind += 1
        blank = text[text.rfind("\n", 0, start) + 1 : start]
        if not blank.strip() and text[behind : behind + 2].startswith(("\n", "\r\n")):  # alone in its line
            return _Cut(start - len(blank), _behind(text, behind))
        return _Cut(start, behind)
    before = spans[number - 1][1] if number else start
    if number and "#" not in text[before:start]:
        return _Cut(before, end)
    return _Cut(start, end)


def _comma(text: str, place: int) -> int:
    """The next comma; comments between may have others."""
    while text[place] != ",":
        place = _behind(text, place) if text[place] == "#" else place + 1
    return place
