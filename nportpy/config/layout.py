"""Where in a TOML text each table, key and value stands, to the character.

tomllib reads the values and says no word about places. The text is valid TOML here, as tomllib has accepted it, so this
only finds where things end (TOML 1.0; of 1.1 what inline tables may have in addition).
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

from nportpy.config.toml import Path
from nportpy.errors import EditError

_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d [0-9][0-9:.+\-Zz]*|[^\s,\]}#]+")


@dataclass(slots=True)
class Value:
    """A value: from `start` on, up to and without `end`.

    Attributes:
        path: of the value.
        start: where it begins.
        end: where it has ended.
        items: of an array; None: it is none.
        pairs: of an inline table; None: it is none.
    """

    path: Path
    start: int
    end: int = 0
    items: "list[Value] | None" = None
    pairs: "list[Pair] | None" = None


@dataclass(slots=True)
class Pair:
    """A key, dotted or not, and its value."""

    start: int
    keys: list[str]
    value: Value


@dataclass(slots=True)
class Section:
    """A header and the pairs below it; the first one has none, and is the top of the file.

    Attributes:
        path: of its table; of one of several, with its number.
        start: where the header begins; of the first, where the text does.
        end: where the header has ended.
        pairs: the pairs, as they stand.
    """

    path: Path
    start: int
    end: int
    pairs: list[Pair] = field(default_factory=list)


class Layout:
    """The places of one text.

    Attributes:
        text: the text, as it is.
        sections: its sections, as they stand.
        values: every value that is written as one, by its path.
    """

    def __init__(self, text: str) -> None:
        """Look through a text that tomllib accepts.

        Raises:
            EditError: it is not understood.
        """
        self.text = text
        first = int(text.startswith("\ufeff"))
        self.sections = [Section((), first, first)]
        self.values: dict[Path, Value] = {}
        self._at = first
        self._lengths: dict[Path, int] = {}  # arrays of tables so far
        try:
            self._document()
        except RecursionError as error:
            raise EditError("the file is nested too deeply") from error

    def _document(self) -> None:
        while self._skip(_BETWEEN) < len(self.text):
            if self.text[self._at] == "[":
                self._header()
            else:
                section = self.sections[-1]
                section.pairs.append(self._pair(section.path))

    def _header(self) -> None:
        start, brackets = self._at, 2 if self.text.startswith("[[", self._at) else 1
        self._at += brackets
        keys = self._keys()
        self._expect("]" * brackets)
        path: Path = ()
        for key in keys[:-1]:
            path = self._last((*path, key))
        path = (*path, keys[-1])
        if brackets == 2:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = self._last(path)
        self.sections.append(Section(path, start, self._at))

    def _last(self, path: Path) -> Path:
        """The table that a header means where it names an array of tables: its last one."""
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, table: Path) -> Pair:
        start = self._at
        keys = self._keys()
        self._expect("=")
        self._skip(_BLANK)
        return Pair(start, keys, self._value((*table, *keys)))

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            match = _BARE_KEY.match(self.text, self._at)
            if match is None:
                match = next((found for form in _STRINGS[2:] if (found := form.match(self.text, self._at))), None)
            if match is None:
                raise self._lost()
            self._at = match.end()
            keys.append(match[0] if match[0][0] not in "\"'" else next(iter(tomllib.loads(f"{match[0]} = 0"))))
            self._skip(_BLANK)
            if not self.text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, path: Path) -> Value:
        value = self.values[path] = Value(path, self._at)
        if self.text.startswith("[", self._at):
            value.items = []
            for _ in self._inside("]"):
                value.items.append(self._value((*path, len(value.items))))
        elif self.text.startswith("{", self._at):
            value.pairs = []
            for _ in self._inside("}"):
                value.pairs.append(self._pair(path))
        else:
            forms = _STRINGS if self.text.startswith(('"', "'"), self._at) else (_PLAIN,)
            match = next((found for form in forms if (found := form.match(self.text, self._at))), None)
            if match is None:
                raise self._lost()
            self._at = match.end()
        value.end = self._at
        return value

    def _inside(self, closing: str) -> Iterator[None]:
        """Stand before each of what is in brackets, and in the end behind them."""
        self._at += 1
        self._skip(_BETWEEN)
        while not self.text.startswith(closing, self._at):
            yield
            self._skip(_BETWEEN)
            self._at += self.text.startswith(",", self._at)
            self._skip(_BETWEEN)
        self._at += 1

    def _skip(self, what: re.Pattern[str]) -> int:
        match = what.match(self.text, self._at)
        assert match is not None  # both match nothing, too
        self._at = match.end()
        return self._at

    def _expect(self, what: str) -> None:
        self._skip(_BLANK)
        if not self.text.startswith(what, self._at):
            raise self._lost()
        self._at += len(what)

    def _lost(self) -> EditError:
        line = self.text.count("\n", 0, self._at) + 1
        return EditError(f"line {line} is not understood: use the text editor")
