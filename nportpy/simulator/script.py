"""Scripts of what goes wrong on a simulated bus, as files: from TOML to `faults.Script`.

    seed = 7                    # of the dice; default 0

    [[fault]]
    kind = "delay"              # one of those below
    delay = "20ms"              # what that kind takes
    units = "3,5-9"             # where it strikes, see `faults.Where`: units, functions, addresses,
    functions = "3,4"           # every, share, limit
    addresses = "1000-1127"
    every = 10

Durations are texts such as "20ms" or "1.5s", numbers and ranges texts such as "3,5-9" or one integer.

    kind                takes, with defaults
    delay               delay, jitter = "0ms"
    exception           code = 4
    wrong-unit          unit (the next one)
    wrong-count         add = 1, data = false
    bad-crc
    missing
    twice               gap = "0ms"
    cut                 drop = 1
    echo                drop = 0
    junk                place = "before" | "after" | "inside", data = "00" (hexadecimal), times = 1, random = 0,
                        gap = "0ms"
    pause               pause, after = 3
    answer-broadcast
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Generic, TypeVar

from nportpy import errors
from nportpy.errors import ConfigError
from nportpy.simulator import faults
from nportpy.simulator.faults import Fault, Place, Rule, Script, Where
from nportpy.simulator.lines import duration, ranges

Made = TypeVar("Made")
Parser = Callable[[object], Any]
Kinds = Mapping[str, tuple[type[Fault], Mapping[str, Parser]]]


def number_ranges(low: int, high: int) -> Parser:
    """Takes texts such as "3,5-9", with numbers between these."""
    return lambda value: ranges(value, low, high)


def integer(low: int, high: int) -> Parser:
    """Takes integers between these."""

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return parse


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def boolean(value: object) -> bool:
    """Takes true and false.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - all these say the same way what would be right
    return value


def _place(value: object) -> Place:
    try:
        return Place(str(value))
    except ValueError:
        raise ValueError(", ".join(f'"{place}"' for place in Place)) from None


def hexadecimal(value: object) -> bytes:
    """Takes bytes as hexadecimal digits.

    Raises:
        ValueError: it is no such text.
    """
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if not data:
        raise ValueError('hexadecimal digits such as "00 FF"')
    return data


WHERE: Mapping[str, Parser] = {
    "units": number_ranges(1, 247),
    "functions": number_ranges(1, 127),
    "addresses": number_ranges(0, 65535),
    "every": integer(1, 1_000_000_000),
    "share": _share,
    "limit": integer(0, 1_000_000_000),
}
_SIZE = integer(0, 4096)
KINDS: Kinds = {
    "delay": (faults.Delay, {"delay": duration, "jitter": duration}),
    "exception": (faults.Refuse, {"code": integer(0, 255)}),
    "wrong-unit": (faults.WrongUnit, {"unit": integer(0, 255)}),
    "wrong-count": (faults.WrongCount, {"add": integer(-255, 255), "data": boolean}),
    "bad-crc": (faults.BadCheck, {}),
    "missing": (faults.Missing, {}),
    "twice": (faults.Twice, {"gap": duration}),
    "cut": (faults.Cut, {"drop": integer(1, 512)}),
    "echo": (faults.EchoBefore, {"drop": _SIZE}),
    "junk": (
        faults.Junk,
        {"place": _place, "data": hexadecimal, "times": _SIZE, "random": _SIZE, "gap": duration},
    ),
    "pause": (faults.Pause, {"pause": duration, "after": _SIZE}),
    "answer-broadcast": (faults.AnswerBroadcast, {}),
}


class Language(Generic[Made]):
    """What the scripts of one kind of device may say, and what is made of them."""

    def __init__(
        self, kinds: Kinds, places: Mapping[str, Parser], make: Callable[[list[tuple[Any, dict[str, Any]]], int], Made]
    ) -> None:
        """As follows.

        Args:
            kinds: the faults that there may be, each with what it takes.
            places: what says where they strike.
            make: of the faults, each with where it strikes, and the seed of the dice.
        """
        self._kinds = kinds
        self._places = places
        self._make = make

    def load(self, path: str) -> Made:
        """What is in the file at `path`.

        Raises:
            OSError: the file cannot be read.
            ConfigError: see `parse`.
        """
        with open(path, "rb") as file:
            return self.parse(file.read(), path)

    def parse(self, text: bytes, source: str = "script") -> Made:
        """What the TOML `text` says; `source` is its name in messages.

        Raises:
            ConfigError: every fault in it, or that it is not TOML.
        """
        return self._make(*parse_rules(text, source, self._kinds, self._places))


def parse_rules(
    text: bytes, source: str, kinds: Kinds, places: Mapping[str, Parser]
) -> tuple[list[tuple[Fault, dict[str, Any]]], int]:
    """The faults in a script, each with where it strikes, and the seed of the dice.

    Args:
        text: TOML.
        source: its name in messages.
        kinds: the faults that there may be, each with what it takes.
        places: what says where they strike.

    Raises:
        ConfigError: every fault in it, or that it is not TOML.
    """
    try:
        table = tomllib.loads(text.decode())
    except ValueError as error:  # tomllib's error and that of UTF-8 are such
        raise ConfigError(source, (errors.Fault("", f"is not TOML: {error}"),)) from error
    wrong: list[errors.Fault] = []
    checked = _checked(table, "", {"seed": integer(-(1 << 63), (1 << 63) - 1), "fault": _tables}, wrong)
    tables = enumerate(checked.get("fault", ()))
    rules = [_rule(rule, f"fault[{number}].", kinds, places, wrong) for number, rule in tables]
    if wrong:
        raise ConfigError(source, tuple(wrong))
    return [rule for rule in rules if rule], checked.get("seed", 0)


def _tables(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ValueError("[[fault]] tables")
    return value


def _rule(
    table: dict[str, object], path: str, kinds: Kinds, places: Mapping[str, Parser], wrong: list[errors.Fault]
) -> tuple[Fault, dict[str, Any]] | None:
    known = ", ".join(f'"{kind}"' for kind in kinds)
    if "kind" not in table:
        wrong.append(errors.Fault(f"{path}kind", "is missing", allowed=known))
        return None
    kind = table["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        wrong.append(errors.Fault(f"{path}kind", "is none", repr(kind), known))
        return None
    make, takes = kinds[kind]
    before = len(wrong)
    given = _checked({key: value for key, value in table.items() if key != "kind"}, path, {**takes, **places}, wrong)
    needed = (field.name for field in fields(make) if field.default is MISSING)
    wrong += [errors.Fault(f"{path}{name}", "is missing") for name in needed if name not in table]
    if len(wrong) > before:
        return None
    where = {key: value for key, value in given.items() if key in places}
    return make(**{key: value for key, value in given.items() if key in takes}), where


def _checked(
    table: Mapping[str, object], path: str, parsers: Mapping[str, Parser], wrong: list[errors.Fault]
) -> dict[str, Any]:
    """The values of a table that are right; what is wrong is added to `wrong`."""
    checked = {}
    for key, value in table.items():
        if key not in parsers:
            wrong.append(errors.Fault(f"{path}{key}", "is not known here", allowed=", ".join(parsers)))
            continue
        try:
            checked[key] = parsers[key](value)
        except ValueError as error:
            wrong.append(errors.Fault(f"{path}{key}", "is wrong", repr(value), str(error)))
    return checked


_SCRIPTS = Language(
    KINDS, WHERE, lambda rules, seed: Script(tuple(Rule(fault, Where(**at)) for fault, at in rules), seed)
)
load, parse = _SCRIPTS.load, _SCRIPTS.parse
