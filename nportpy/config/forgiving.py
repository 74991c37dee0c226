"""What the value of a line that is not TOML is probably meant to be: a reader that forgives.

It takes what people write who know other languages (bare words, curly quotes, `True`, `[a b]`, `{a: 1}`) and gives the
same as TOML, with what it had to forgive. Whether that is TOML indeed, the caller finds out: tomllib is the judge.
"""

import re
import tomllib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from nportpy.config.values import format_meant

IN_QUOTES: Final = "a text stands in quotes"

# Opening marks that people and their word processors write, and what may close them.
_QUOTES = {
    '"': '"',
    "'": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT DOUBLE QUOTATION MARK}"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '\N{RIGHT DOUBLE QUOTATION MARK}"',
    "\N{DOUBLE LOW-9 QUOTATION MARK}": '\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"',
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}": "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}",
    "\N{LEFT SINGLE QUOTATION MARK}": "\N{RIGHT SINGLE QUOTATION MARK}'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "\N{RIGHT SINGLE QUOTATION MARK}'",
    "`": "`'",
}
_CLOSING = "".join({mark for marks in _QUOTES.values() for mark in marks})
_TRUE, _FALSE = ("true", "yes", "on", "enable", "enabled"), ("false", "no", "off", "disable", "disabled")
_NOTHING = ("null", "none", "nil", "undefined", "~")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+")
_ZEROS = re.compile(r"([+-]?)0+([0-9]+)")
_HALF = re.compile(r"([+-]?)\.([0-9]+)")
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s+([A-Za-z]+)")
_SPEED_AND_FORMAT = re.compile(r"([1-9][0-9]*)[\s/-]+([5-8][NEOMSneoms][12])")
_V6_AND_PORT = re.compile(r"\[[0-9a-fA-F]*:[0-9a-fA-F:.]*\]:[0-9]")
_COMMENT = re.compile(r"#|(?:(?<=\s)|^)(?://|;|--(?=\s))")
# A line that begins a statement of its own, so that what came before it has ended.
_STATEMENT = re.compile(r"""[ \t]*(?:[A-Za-z0-9_.-]+[ \t]*=|"[^"\n]*"[ \t]*=|\[\[?[ \t]*["A-Za-z])""")
_DEEPEST = 8


class Unreadable(ValueError):
    """Nobody can tell what is meant; the text says why."""


@dataclass(frozen=True, slots=True)
class Forgiven:
    """Something that was not TOML: why, and where in the text it was."""

    reason: str
    at: int


class Forgiving:
    """Reads one value.

    Attributes:
        forgiven: what was not TOML, in order.
        at: where in the text the reader is.
        beside: a line that goes with it, where one value was two.
    """

    def __init__(self, text: str, at: int, booleans: AbstractSet[str]) -> None:
        """Read `text` from `at` on; `booleans` are the keys that are true or false."""
        self.forgiven: list[Forgiven] = []
        self.at = at
        self.beside = ""
        self._text = text
        self._booleans = booleans

    def statement(self, key: str) -> str:
        """The value of `key`, to the end of its line.

        Raises:
            Unreadable: there is none, or more than one thing stands there.
        """
        found = [self._value(key, "\n", 0)]
        while True:
            self._blanks(" \t")
            rest = self._rest_of_line()
            if self._text.startswith("#", self.at) or not rest:
                break
            if rest[0] in ",;" and not rest[1:].strip():
                self._forgive(f"nothing stands behind a value, no {rest[0]} either")
                self.at += len(rest)
                break
            if _COMMENT.match(self._text, self.at):
                self._forgive("a comment begins with #")
                break
            if rest[0] != "," and rest[0] not in _QUOTES:
                second = _STATEMENT.match(self._text, self.at)
                self._forgive("a second key stands on this line" if second else "something stands behind the value")
                raise Unreadable("each key on a line of its own" if second else "one key and one value stand on a line")
            self._forgive("several values stand in an array")
            if rest[0] == ",":
                self.at += 1
                self._blanks(" \t")
            found.append(self._value(key, ",\n", 0))
        return found[0] if len(found) == 1 else f"[{', '.join(found)}]"

    def lines(self) -> int:
        """How many lines it has read to their end."""
        return self._text.count("\n", 0, self.at)

    def place(self, at: int) -> tuple[int, int]:
        """Line and column, from 0, of a place in the text."""
        return self._text.count("\n", 0, at), at - self._text.rfind("\n", 0, at) - 1

    def _forgive(self, reason: str, at: int | None = None) -> None:
        self.forgiven.append(Forgiven(reason, self.at if at is None else at))

    def _blanks(self, which: str) -> None:
        while self.at < len(self._text) and self._text[self.at] in which:
            self.at += 1

    def _rest_of_line(self) -> str:
        end = self._text.find("\n", self.at)
        return self._text[self.at : len(self._text) if end < 0 else end].rstrip()

    def _value(self, key: str, ends: str, depth: int) -> str:
        if depth > _DEEPEST:
            raise Unreadable("it is nested too deep")
        if self._text.startswith(('"""', "'''"), self.at):
            raise Unreadable("a text over several lines has no place here: one line in one pair of quotes")
        first = self._text[self.at : self.at + 1]
        if first in _QUOTES and first:
            return self._quoted(first, ends)
        if first == "[" and not _V6_AND_PORT.match(self._text, self.at):
            return self._array(key, depth)
        if first == "{":
            return self._table(depth)
        return self._bare(key, ends)

    def _quoted(self, mark: str, ends: str) -> str:
        start = self.at
        line = self._rest_of_line()
        close = next(
            (n for n in range(1, len(line)) if line[n] in _QUOTES[mark] and (mark != '"' or not _escaped(line, n))), 0
        )
        if close:
            inside, self.at = line[1:close], start + close + 1
            text = line[: close + 1]
        else:
            comment = _COMMENT.search(line)
            cut = re.split(r"[,\]}]", line)[0] if ends != "\n" else line[: comment.start()] if comment else line
            cut = cut.rstrip()
            inside, self.at = cut[1:].rstrip(_CLOSING + " ,;"), start + len(cut)
            self._forgive(f"the text that begins with {mark} does not end with it", start)
            return _text(inside)
        if mark not in "\"'":
            self._forgive('quotes are the straight ones, "', start)
            return _text(inside)
        if not _is_toml(text):
            self._forgive(
                "a \\ in a text means something else: single quotes take it as it is", start + max(text.find("\\"), 0)
            )
            return _text(inside)
        return text

    def _array(self, key: str, depth: int) -> str:
        start = self.at
        self.at += 1
        items: list[str] = []
        separated = True
        while True:
            self._blanks(" \t\r\n")
            self._skip_comment()
            here = self._text[self.at : self.at + 1]
            if here == "]":
                self.at += 1
                break
            if not here or (self._begins_line() and _STATEMENT.match(self._text, self._line_start())):
                self._forgive("the array that begins with [ does not end: ] is missing", start)
                self.at = self._end_before(self.at, start)
                break
            if here in "\n#":
                continue
            if here in ",;":
                if here == ";":
                    self._forgive("the items of an array have commas between them")
                self.at += 1
                separated = True
                continue
            if not separated:
                self._forgive("the items of an array have commas between them")
            items.append(self._value(key, " \t,;]\n", depth + 1))
            separated = False
        return f"[{', '.join(items)}]"

    def _table(self, depth: int) -> str:
        start = self.at
        self.at += 1
        pairs: list[str] = []
        separated = True
        while True:
            before = self.at
            self._blanks(" \t\r\n")
            self._skip_comment()
            crossed = "\n" in self._text[before : self.at]
            here = self._text[self.at : self.at + 1]
            if crossed and (here == "{" or (not separated and here not in ("}", ","))):
                self.at = before
                self._forgive("the table that begins with { does not end: } is missing", start)
                break
            if crossed:
                self._forgive("a table in braces stands on one line", start)
            if here == "}":
                self.at += 1
                if separated and pairs:
                    self._forgive("no comma stands before }", self.at - 1)
                break
            over = self._begins_line() and re.match(r"[ \t]*\[", self._text[self._line_start() :])
            if not here or here == "]" or over:
                self._forgive("the table that begins with { does not end: } is missing", start)
                self.at = self._end_before(self.at, start)
                break
            if here in "\n#":
                continue
            if here in ",;":
                self.at += 1
                separated = True
                continue
            if not separated:
                self._forgive("the keys of a table in braces have commas between them")
            pairs.append(self._pair(depth))
            separated = False
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"

    def _pair(self, depth: int) -> str:
        match = re.compile(r"""["']?([A-Za-z0-9_.*-]+)["']?[ \t]*(=>|:=|==|=|:)[ \t]*""").match(self._text, self.at)
        if match is None:
            raise Unreadable("a table in braces has keys and values, as in { gap = 16 }")
        if match[2] != "=":
            self._forgive("= stands between a key and its value", match.start(2))
        self.at = match.end()
        key = match[1] if re.fullmatch(r"[A-Za-z0-9_.-]+", match[1]) else f'"{match[1]}"'
        return f"{key} = {self._value(match[1], ',}' + chr(10), depth + 1)}"

    def _bare(self, key: str, ends: str) -> str:
        start = self.at
        line = self._rest_of_line()
        comment = _COMMENT.search(line)
        line = line[: comment.start()].rstrip() if comment else line
        if ends == "\n":
            return self._bare_line(key, line)
        size = next((n for n, character in enumerate(line) if character in ends), len(line))
        self.at = start + size
        word = line[:size].rstrip()
        if not word:
            raise Unreadable("a value is missing")
        return self._word(key, word, start)

    def _bare_line(self, key: str, line: str) -> str:
        """A bare value that has its line for itself."""
        start, word = self.at, line.rstrip(" ,;")
        if "=" in word:
            self._forgive("a second key stands on this line", start + word.index("="))
            raise Unreadable("each key on a line of its own")
        parts = [part.strip() for part in word.split(",")] if key != "format" else [word]
        self.at = start + len(line)
        if _THOUSANDS.fullmatch(word):
            self._forgive("a number has no comma in it", start + word.index(","))
            return word.replace(",", "")
        if len(parts) > 1 and all(parts):
            self._forgive("several values stand in an array", start + word.index(","))
            return f"[{', '.join(self._word(key, part, start) for part in parts)}]"
        found = self._word(key, word, start)
        if word != line:
            self._forgive(
                f"nothing stands behind a value, no {line[len(word) :].strip()[:1]} either", start + len(word)
            )
        return found

    def _word(self, key: str, word: str, at: int) -> str:
        """A value without quotes."""
        if not word:
            self._forgive("has no value", at)
            raise Unreadable("a value is missing")
        if _is_toml(word):
            return word
        small = word.lower()
        if small in ("true", "false"):
            self._forgive("true and false are small letters", at)
            return small
        if key in self._booleans and small in (*_TRUE, *_FALSE):
            self._forgive("such a key is true or false", at)
            return "true" if small in _TRUE else "false"
        if small in _NOTHING:
            self._forgive("there is no null in TOML: what is not set has no line", at)
            raise Unreadable("no such line")
        if match := _ZEROS.fullmatch(word):
            self._forgive("a number does not begin with 0", at)
            return match[1].removeprefix("+") + match[2]
        if match := _HALF.fullmatch(word):
            self._forgive("a digit stands before the point", at)
            return f"{match[1]}0.{match[2]}"
        if key == "baudrate" and (match := _SPEED_AND_FORMAT.fullmatch(word)):
            self._forgive("speed and format are two keys", at)
            self.beside = f'format = "{match[2].upper()}"'
            return match[1]
        self._forgive(IN_QUOTES, at)
        if key == "format" and (meant := format_meant(word)):
            return f'"{meant}"'
        amount = _AMOUNT.fullmatch(word)
        return _text("".join(amount.groups()) if amount else word.strip(_CLOSING))

    def _skip_comment(self) -> None:
        while self.at < len(self._text) and self._text[self.at] == "#":
            end = self._text.find("\n", self.at)
            self.at = len(self._text) if end < 0 else end
            self._blanks(" \t\r\n")

    def _line_start(self) -> int:
        return self._text.rfind("\n", 0, self.at) + 1

    def _begins_line(self) -> bool:
        return not self._text[self._line_start() : self.at].strip() and self._line_start() > 0

    def _end_before(self, at: int, start: int) -> int:
        """Where the last line before `at` ends that has something on it."""
        return start + len(self._text[start:at].rstrip()) if self._text[start:at].strip() else at


def _escaped(line: str, at: int) -> bool:
    """Whether a backslash that is none's own stands before a place."""
    before = line[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1 and _is_toml(before + '""')


def _is_toml(value: str) -> bool:
    try:
        tomllib.loads(f"x = {value}")
    except (ValueError, RecursionError):
        return False
    return "\n" not in value


def _text(inside: str) -> str:
    """A text in the quotes that take it as it is."""
    if '"' not in inside and "\\" not in inside:
        return f'"{inside}"'
    if "'" not in inside:
        return f"'{inside}'"
    return '"' + inside.replace("\\", "\\\\").replace('"', '\\"') + '"'
