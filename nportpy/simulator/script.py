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
from typing import Any

from nportpy import errors
from nportpy.errors import ConfigError
from nportpy.simulator import faults
from nportpy.simulator.faults import Fault, Place, Rule, Script, Where
from nportpy.simulator.lines import duration, ranges

Parser = Callable[[object], Any]


def _ranges(low: int, high: int) -> Parser:
    return lambda value: ranges(value, low, high)


def _integer(low: int, high: int) -> Parser:
    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return parse


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - all these say the same way what would be right
    return value


def _place(value: object) -> Place:
    try:
        return Place(str(value))
    except ValueError:
        raise ValueError(", ".join(f'"{place}"' for place in Place)) from None


def _hexadecimal(value: object) -> bytes:
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if not data:
        raise ValueError('hexadecimal digits such as "00 FF"')
    return data


_WHERE: Mapping[str, Parser] = {
    "units": _ranges(1, 247),
    "functions": _ranges(1, 127),
    "addresses": _ranges(0, 65535),
    "every": _integer(1, 1_000_000_000),
    "share": _share,
    "limit": _integer(0, 1_000_000_000),
}
_SIZE = _integer(0, 4096)
_KINDS: Mapping[str, tuple[type[Fault], Mapping[str, Parser]]] = {
    "delay": (faults.Delay, {"delay": duration, "jitter": duration}),
    "exception": (faults.Refuse, {"code": _integer(0, 255)}),
    "wrong-unit": (faults.WrongUnit, {"unit": _integer(0, 255)}),
    "wrong-count": (faults.WrongCount, {"add": _integer(-255, 255), "data": _boolean}),
    "bad-crc": (faults.BadCheck, {}),
    "missing": (faults.Missing, {}),
    "twice": (faults.Twice, {"gap": duration}),
    "cut": (faults.Cut, {"drop": _integer(1, 512)}),
    "echo": (faults.EchoBefore, {"drop": _SIZE}),
    "junk": (
        faults.Junk,
        {"place": _place, "data": _hexadecimal, "times": _SIZE, "random": _SIZE, "gap": duration},
    ),
    "pause": (faults.Pause, {"pause": duration, "after": _SIZE}),
    "answer-broadcast": (faults.AnswerBroadcast, {}),
}


def load(path: str) -> Script:
    """The script in the file at `path`.

    Raises:
        OSError: the file cannot be read.
        ConfigError: see `parse`.
    """
    with open(path, "rb") as file:
        return parse(file.read(), path)


def parse(text: bytes, source: str = "script") -> Script:
    """The script that is the TOML `text`; `source` is its name in messages.

    Raises:
        ConfigError: every fault in it, or that it is not TOML.
    """
    try:
        table = tomllib.loads(text.decode())
    except ValueError as error:  # tomllib's error and that of UTF-8 are such
        raise ConfigError(source, (errors.Fault("", f"is not TOML: {error}"),)) from error
    wrong: list[errors.Fault] = []
    checked = _checked(table, "", {"seed": _integer(-(1 << 63), (1 << 63) - 1), "fault": _tables}, wrong)
    rules = [_rule(rule, f"fault[{number}].", wrong) for number, rule in enumerate(checked.get("fault", ()))]
    if wrong:
        raise ConfigError(source, tuple(wrong))
    return Script(tuple(rule for rule in rules if rule), checked.get("seed", 0))


def _tables(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ValueError("[[fault]] tables")
    return value


def _rule(table: dict[str, object], path: str, wrong: list[errors.Fault]) -> Rule | None:
    known = ", ".join(f'"{kind}"' for kind in _KINDS)
    if "kind" not in table:
        wrong.append(errors.Fault(f"{path}kind", "is missing", allowed=known))
        return None
    kind = table["kind"]
    if not isinstance(kind, str) or kind not in _KINDS:
        wrong.append(errors.Fault(f"{path}kind", "is none", repr(kind), known))
        return None
    make, takes = _KINDS[kind]
    before = len(wrong)
    given = _checked({key: value for key, value in table.items() if key != "kind"}, path, {**takes, **_WHERE}, wrong)
    needed = (field.name for field in fields(make) if field.default is MISSING)
    wrong += [errors.Fault(f"{path}{name}", "is missing") for name in needed if name not in table]
    if len(wrong) > before:
        return None
    where = Where(**{key: value for key, value in given.items() if key in _WHERE})
    return Rule(make(**{key: value for key, value in given.items() if key in takes}), where)


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
