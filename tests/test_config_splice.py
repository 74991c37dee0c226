"""Single values set, added and removed in TOML texts: everything else stays, to the byte."""

import math
import tomllib
from copy import deepcopy
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nportpy.config.layout import Layout
from nportpy.config.splice import Change, changed
from nportpy.errors import EditError

ETC = (Path(__file__).parents[1] / "etc/nportpy.toml").read_text()

KEYS = st.sampled_from(["a", "b", "c", "d-1", '"a b"', "'c.d'", '"\\u00e9"', "12"])
SCALARS = st.sampled_from(
    ["1", "0x7f", "1_000", "1.5", "1e3", "inf", "-nan", "true", "'lit # x'", '"q # \\" x"',
     '"""m\n# no comment\n\\" """', "'''\nl ' ''\n'''", '""""q"""""', "1979-05-27", "1979-05-27 07:32:00Z",
     "1979-05-27T07:32:00.5+01:00", "07:32:00", '""']
)  # fmt: skip
GAPS = st.sampled_from(["", " ", "\n", "  \n\t", " # in, [an] array\n "])


def _array(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    rows = st.lists(st.tuples(GAPS, inside, GAPS), max_size=3)

    def written(drawn: tuple[list[tuple[str, str, str]], bool, str]) -> str:
        items, comma, gap = drawn
        return f"[{','.join(map(''.join, items))}{',' if items and comma else ''}{gap}]"

    return st.tuples(rows, st.booleans(), GAPS).map(written)


def _inline(inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(KEYS, inside), max_size=3, unique_by=lambda pair: pair[0].strip("\"'"))
    return pairs.map(lambda found: f"{{{', '.join(f'{key} = {value}' for key, value in found)} }}")


VALUES = st.recursive(SCALARS, lambda inside: _array(inside) | _inline(inside), max_leaves=5)
STATEMENTS = st.one_of(
    st.tuples(st.lists(KEYS, min_size=1, max_size=3), VALUES).map(lambda drawn: f"{'.'.join(drawn[0])} = {drawn[1]}"),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: f"[{' . '.join(keys)}]"),
    st.lists(KEYS, min_size=1, max_size=2).map(lambda keys: f"[[{'.'.join(keys)}]]"),
    st.sampled_from(["", "# a comment", "#"]),
)
PLAIN = st.one_of(
    *(st.integers(), st.booleans(), st.floats(), st.text(max_size=6), st.dates()),
    st.times().map(lambda found: found.replace(microsecond=0)),
)
DATA = st.recursive(
    PLAIN,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=5,
)


def parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except ValueError:
        return None


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Files as people write them, and as they do not."""
    text = ""
    for statement in draw(st.lists(STATEMENTS, max_size=12)):
        indent, tail = draw(st.sampled_from(["", "", "  ", "\t"])), draw(st.sampled_from(["", "", "  # tail = 1"]))
        more = f"{text}{indent}{statement}{tail}\n"
        if parsed(more) is not None:
            text = more
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return "\ufeff" * draw(st.booleans()) + text


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all values and tables."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in pairs for found in places(each, (*path, key)))]


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return (one == other and math.copysign(1, one) == math.copysign(1, other)) or (one != one and other != other)
    return bool(one == other)


def outside(old: str, new: str) -> str:
    """What of the old text is no more: between all that both begin and end with."""
    start = next((n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), None)
    start = min(len(old), len(new)) if start is None else start
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return old[start : len(old) - end]


@pytest.mark.long
@given(documents(), DATA, st.data())
@hypothesis_settings(deadline=None, max_examples=80)
def test_c27_a_value_is_set_and_nothing_else_is_touched(text: str, value: Any, data: st.DataObject) -> None:
    old = parsed(text)
    assert old is not None
    path = data.draw(st.sampled_from(places(old)))
    assume(path)
    try:
        new = changed(text, [Change(path, value)])
    except EditError as error:
        event(f"refused: {str(error).rpartition(': ')[2]}")
        assert isinstance(at(old, path), dict | list), "a single value can always be set"
        return
    wanted = deepcopy(old)
    at(wanted, path[:-1])[path[-1]] = value
    found = parsed(new)
    assert same(found, wanted)
    if not isinstance(at(old, path), dict | list):
        gone = outside(text, new)
        assert "tail = 1" not in gone
        assert "#" not in gone or isinstance(at(old, path), str)


@pytest.mark.long
@given(documents(), DATA, st.data())
@hypothesis_settings(deadline=None, max_examples=80)
def test_c27_a_value_is_added_and_every_byte_stays(text: str, value: Any, data: st.DataObject) -> None:
    old = parsed(text)
    assert old is not None
    holder = data.draw(st.sampled_from([path for path in places(old) if isinstance(at(old, path), dict | list)]))
    there = at(old, holder)
    step: str | int = len(there) if isinstance(there, list) else data.draw(st.sampled_from(["new", "né w", "a", "b"]))
    assume(isinstance(there, list) or step not in there)
    try:
        new = changed(text, [Change((*holder, step), value)])
    except EditError as error:
        event(f"refused: {str(error).rpartition(': ')[2]}")
        return
    wanted = deepcopy(old)
    if isinstance(there, list):
        at(wanted, holder).append(value)
    else:
        at(wanted, holder)[step] = value
    assert same(parsed(new), wanted)
    assert not outside(text, new).strip()  # blanks in { }
    event("added")


@pytest.mark.long
@given(documents(), st.data())
@hypothesis_settings(deadline=None, max_examples=80)
def test_c27_a_value_is_removed_and_every_other_byte_stays(text: str, data: st.DataObject) -> None:
    old = parsed(text)
    assert old is not None
    path = data.draw(st.sampled_from(places(old)))
    assume(path)
    try:
        new = changed(text, [Change(path, remove=True)])
    except EditError as error:
        event(f"refused: {str(error).rpartition(': ')[2]}")
        return
    found = parsed(new)
    fits = []
    while path:
        wanted = deepcopy(old)
        del at(wanted, path[:-1])[path[-1]]
        fits.append(same(found, wanted))
        if at(wanted, path[:-1]):
            break
        path = path[:-1]
    assert any(fits)
    rest = iter(text)
    assert all(each in rest for each in new)  # nothing has come, and the order is the same
    event("removed")


@given(st.text(alphabet="ab.=[]{}\"'#\n\r ,1\\", max_size=30), st.data())
@hypothesis_settings(deadline=None, max_examples=80)
def test_c27_any_text_is_refused_or_changed_right(text: str, data: st.DataObject) -> None:
    steps: list[str | int] = ["a", "b", 0, 1]
    path = tuple(data.draw(st.lists(st.sampled_from(steps), max_size=3)))
    try:
        new = changed(text, [Change(path, 7)])
    except EditError:
        return
    found = parsed(new)
    assert found is not None
    assert at(found, path) == 7


@pytest.mark.long
@given(documents())
@hypothesis_settings(deadline=None)
def test_c27_every_value_is_found_where_it_stands(text: str) -> None:
    layout, data = Layout(text), parsed(text)
    assert data is not None
    for path, value in layout.values.items():
        written = text[value.start : value.end]
        assert same(tomllib.loads(f"x = {written}")["x"], at(data, path))


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("a.b = 1\nz = 2\n", Change(("a", "new"), {"x": 1}), "a.b = 1\na.new = { x = 1 }\nz = 2\n"),
        ("[a.x]\ny = 1\n[b]\nz = 2\n[a.y]\n", Change(("a", "z"), 1), None),
        ("x = 1", Change(("y",), 2), "x = 1\ny = 2"),
        ("x = 1\r\n[t]\r\n  y = 2 # two\r\n", Change(("t", "z"), "é"),
         'x = 1\r\n[t]\r\n  y = 2 # two\r\n  z = "é"\r\n'),
        ("\ufeffx = 1\n", Change(("x",), 2), "\ufeffx = 2\n"),
        ("\ufeffx = 1\ny = 1\n", Change(("x",), remove=True), "\ufeffy = 1\n"),
        ("", Change(("x",), 1), "x = 1\n"),
        ("[t]\n", Change(("x",), 1), "x = 1\n[t]\n"),
        ("x = [1, 2] # c\n", Change(("x", 2), 3), "x = [1, 2, 3] # c\n"),
        ("x = [\n  1, # one, and\n  2,\n]\n", Change(("x", 0), remove=True), "x = [\n  # one, and\n  2,\n]\n"),
        ("x = [\n  1,\n  2,\n]\n", Change(("x", 0), remove=True), "x = [\n  2,\n]\n"),
        ("x = {}\n", Change(("x", "a", "b"), 1), "x = { a = { b = 1 } }\n"),
        ("[[a]]\nx = 1\n# of the second\n[[a]]\nx = 2\n", Change(("a", 0, "y"), 3),
         "[[a]]\nx = 1\ny = 3\n# of the second\n[[a]]\nx = 2\n"),
        ("[[a]]\nx = 1\n# of the second\n[[a]]\nx = 2\n", Change(("a", 1), remove=True), "[[a]]\nx = 1\n"),
        ("[[a]]\nx = 1\n\n[b]\n", Change(("a", 1), {"x": 2}), "[[a]]\nx = 1\n\n[[a]]\nx = 2\n\n[b]\n"),
        ("[a]\nx = 1\n[a.b]\ny = 2\n[c]\n", Change(("a",), remove=True), "[c]\n"),
        ("raw.listen = 4001\n", Change(("raw", "listen"), remove=True), ""),
        ("x = 1\n", Change(("x",), datetime(2026, 1, 2, 3, 4, 5)), "x = 2026-01-02 03:04:05\n"),  # noqa: DTZ001
        ("x = 1\n", Change(("x",), [date(2026, 1, 2), time(3)]), "x = [2026-01-02, 03:00:00]\n"),
    ],
)  # fmt: skip
def test_c27_places(before: str, change: Change, after: str | None) -> None:
    new = changed(before, [change])
    if after is not None:
        assert new == after


@pytest.mark.parametrize(
    ("text", "change", "reason"),
    [
        ("x = 1\n", Change(("x", "y"), 1), "leads into a value"),
        ("x = 1\n", Change(("y",), remove=True), "is not in the file"),
        ("x = [1]\n", Change(("x", 2), 1), "leads into a value"),
        ("x = [1]\n", Change(("x", "a"), 1), "leads into a value"),
        ("[t]\nx = 1\n", Change(("t",), 5), "is a table of its own"),
        ("x = 1\n", Change((), 5), "as a whole"),
        ("x = 1\n", Change(("x",), None), "is nothing that TOML has"),
        ("x = 1\n", Change(("x",), "\ud800"), "no text that a file can have"),
        ("x = 1\n", Change(("x",), {1: 2}), "a key that is no text"),
        ("x 1\n", Change(("x",), 2), "is not TOML"),
        ("[[a]]\nx = 1\n", Change(("a", 1), 5), "a table is wanted"),
    ],
)
def test_c27_what_is_refused(text: str, change: Change, reason: str) -> None:
    with pytest.raises(EditError, match=reason):
        changed(text, [change])


def test_c27_what_is_so_already_changes_nothing() -> None:
    text = "x = 0x10 # sixteen\n"
    assert changed(text, [Change(("x",), 16)]) == text


def test_c27_each_key_of_the_example_can_be_set_and_the_comments_stay() -> None:
    data = tomllib.loads(ETC)
    for path in places(data)[1:]:
        if isinstance(at(data, path), dict):
            continue
        new = changed(ETC, [Change(path, "another")])
        assert len(ETC.splitlines()) == len(new.splitlines())
        assert sum(one != other for one, other in zip(ETC.splitlines(), new.splitlines(), strict=True)) == 1
    new = changed(ETC, [Change(("port", "second"), {"device": "/dev/ttyS1", "raw": {"listen": 4002}})])
    assert not outside(ETC, new)
    assert changed(new, [Change(("port", "second"), remove=True)]) == ETC
