"""Filters and triggers of a monitor: terms that a row must meet, all of them; what a term lists, any of it.

    unit:5            unit:1,5-7          function:3,16        register:41001-41010,input:7
    dir:rx            kind:modem          client:192.0.2.7     text:"line down"
    fault:any         fault:crc,late      exception:02         gap:100ms
    hex:0103??10      hex:"01 03 ?? 10"   not:unit:5, or -unit:5 where no shell takes that for an option

A trigger is such a filter, and how many rows before and after are wanted; a count marks what matches, and
stops nothing.
"""

import re
import shlex
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from nportpy.protocols.capture.records import Kind
from nportpy.protocols.capture.rows import Row, printable
from nportpy.protocols.modbus.addresses import AddressRange, parse_range

MOST_TERMS: Final = 32
LONGEST: Final = 1000
"""Characters of a filter."""

MOST_ROWS: Final = 10_000
"""Rows before a trigger that are kept."""

MOST_HELD: Final = 2 << 20
"""Bytes of the line in them: a raw client can write much at once, and many may wait for something."""

FAULTS: Final = (
    "exception", "no_answer", "crc", "junk", "foreign", "unfit", "late", "unreachable", "expired", "queue_full",
    "line_down", "forbidden", "ignored", "uart", "down", "purged", "lost",
)  # fmt: skip

Test = Callable[[Row], bool]

_KINDS: Final = tuple(str(kind) for kind in Kind)
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(us|ms|s)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_PATTERN = re.compile(r"(?:[0-9a-fA-F]{2}|\?\?)+")


class Filter:
    """Rows that meet all terms."""

    def __init__(self, text: str = "") -> None:
        """Understand `text`; without terms everything passes.

        Raises:
            ValueError: it is no filter; the message says what would be.
        """
        self.text = text
        self._tests = [_term(word) for word in _words(text)]

    def __call__(self, row: Row) -> bool:
        """Whether a row passes."""
        return all(test(row) for test in self._tests)


class Trigger:
    """Lets rows pass from so many before the first match on, and so many after it.

    Attributes:
        done: nothing more will pass.
        matches: rows that matched.
    """

    def __init__(self, wanted: Filter, before: int, after: int) -> None:
        """Nothing has matched.

        Raises:
            ValueError: too many rows.
        """
        if not (0 <= before <= MOST_ROWS and 0 <= after <= MOST_ROWS):
            raise ValueError(f"rows before and after are 0 to {MOST_ROWS}")
        self.done = False
        self.matches = 0
        self._wanted = wanted
        self._before: deque[Row] = deque()
        self._most = before
        self._held = 0
        self._after = after

    def feed(self, row: Row) -> Iterator[Row]:
        """The rows that pass now."""
        if self.done:
            return
        matches = self._wanted(row)
        self.matches += matches
        row.marked = row.marked or matches
        if self.matches and not (matches and self.matches == 1):
            yield row
            self._after -= 1
        elif matches:
            yield from self._before
            self._before.clear()
            yield row
        else:
            self._keep(row)
        self.done = self.matches > 0 and self._after <= 0

    def _keep(self, row: Row) -> None:
        self._before.append(row)
        self._held += len(row.data)
        while len(self._before) > self._most or self._held > MOST_HELD:
            self._held -= len(self._before.popleft().data)


class Count:
    """Marks the rows that match, and numbers them; all pass.

    Attributes:
        matches: rows that matched.
    """

    def __init__(self, wanted: Filter) -> None:
        """Nothing has matched."""
        self.matches = 0
        self._wanted = wanted

    def look(self, row: Row) -> None:
        """Count a row, if it is one of those."""
        if self._wanted(row):
            self.matches += 1
            row.marked, row.count = True, self.matches


def _words(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise ValueError(f"a filter has {LONGEST} characters at most")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text[:40]!r}: {str(error).lower()}") from None
    if len(words) > MOST_TERMS:
        raise ValueError(f"a filter has {MOST_TERMS} terms at most")
    return words


def _term(word: str) -> Test:
    negated = word.removeprefix("not:").removeprefix("-")
    name, colon, value = negated.partition(":")
    make = _TERMS.get(name)
    if not colon or make is None:
        raise ValueError(f"{word[:40]!r} is no term; terms are {', '.join(f'{term}:' for term in _TERMS)}")
    if not value:
        raise ValueError(f"{name}: wants a value, as in {_EXAMPLES[name]}")
    test = make(value)
    return (lambda row: not test(row)) if negated != word else test


def _unit(text: str) -> Test:
    ranges = _ranges("unit", text, 255)
    return lambda row: row.unit is not None and any(low <= row.unit <= high for low, high in ranges)


def _function(text: str) -> Test:
    ranges = _ranges("function", text, 127)
    return lambda row: any(low <= row.function <= high for low, high in ranges)


def _exception(text: str) -> Test:
    ranges = _ranges("exception", text, 255)
    return lambda row: row.exception > 0 and any(low <= row.exception <= high for low, high in ranges)


def _register(text: str) -> Test:
    wanted = [parse_range(part) for part in text.split(",")]
    return lambda row: any(_overlap(row, each) for each in wanted)


def _overlap(row: Row, wanted: AddressRange) -> bool:
    table, first = wanted.first
    last = first if wanted.last is None else wanted.last.number
    return any(
        span.table == table and span.address <= last and first < span.address + span.quantity for span in row.spans
    )


def _direction(text: str) -> Test:
    words = _choices("dir", text, ("rx", "tx"))
    return lambda row: row.kind in words


def _kind(text: str) -> Test:
    words = _choices("kind", text, _KINDS)
    return lambda row: row.kind in words


def _fault(text: str) -> Test:
    words = _choices("fault", text, ("any", *FAULTS))
    if "any" in words:
        return lambda row: bool(row.faults)
    return lambda row: any(fault in words for fault in row.faults)


def _client(text: str) -> Test:
    wanted = text.lower()
    return lambda row: any(wanted in client.lower() for client in row.clients)


def _text(text: str) -> Test:
    wanted = text.lower()
    return lambda row: wanted in row.text.lower() or wanted in printable(row.data).lower()


def _gap(text: str) -> Test:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"gap:{text[:20]} is no time, as in {_EXAMPLES['gap']}")
    least = float(match[1]) * _UNITS[match[2]]
    return lambda row: row.gap is not None and row.gap >= least


def _hex(text: str) -> Test:
    digits = text.replace(" ", "")
    if not _PATTERN.fullmatch(digits):
        raise ValueError(f"hex:{text[:40]} is no row of bytes, as in {_EXAMPLES['hex']}")
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    pattern = re.compile(
        b"".join(b"." if pair == "??" else re.escape(bytes.fromhex(pair)) for pair in pairs), re.DOTALL
    )
    return lambda row: row.kind in ("rx", "tx") and pattern.search(row.data) is not None


def _choices(name: str, text: str, known: tuple[str, ...]) -> frozenset[str]:
    words = frozenset(text.split(","))
    if unknown := words - set(known):
        raise ValueError(f"{name}:{min(unknown)[:20]} is not known; {name} is of {', '.join(known)}")
    return words


def _ranges(name: str, text: str, most: int) -> list[tuple[int, int]]:
    found = []
    for part in text.split(","):
        low, hyphen, high = part.partition("-")
        ends = (low, high if hyphen else low)
        if not all(end.isascii() and end.isdigit() and len(end) <= 3 for end in ends):
            raise ValueError(f"{name}:{part[:20]} is no number, as in {_EXAMPLES[name]}")
        first, last = map(int, ends)
        if not first <= last <= most:
            raise ValueError(f"{name}:{part[:20]} is not within 0-{most}")
        found.append((first, last))
    return found


_TERMS: Final[dict[str, Callable[[str], Test]]] = {
    "unit": _unit, "function": _function, "register": _register, "dir": _direction, "kind": _kind, "fault": _fault,
    "exception": _exception, "client": _client, "text": _text, "gap": _gap, "hex": _hex,
}  # fmt: skip
_EXAMPLES: Final = {
    "unit": "unit:1,5-7", "function": "function:3,16", "register": "register:41001-41010", "dir": "dir:rx",
    "kind": "kind:modem", "fault": "fault:any", "exception": "exception:2", "client": "client:192.0.2.7",
    "text": 'text:"line down"', "gap": "gap:100ms", "hex": "hex:0103??10",
}  # fmt: skip
