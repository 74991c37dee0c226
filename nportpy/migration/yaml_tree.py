"""YAML as ser2net reads it: as libyaml's events, with repeated keys and aliases that are no YAML.

A version 1 ser2net.yaml has the key `connection` many times, and an alias may be set anew; an ordinary loader refuses
that or keeps the last one. PyYAML's scanner is libyaml's twin, so what ser2net takes is taken here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

# A connection's option is four deep.
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. Lines count from 1."""

    text: str
    line: int
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """A `*name` that stands for a value."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in their order; a key may come twice."""

    pairs: "tuple[tuple[Scalar, Value], ...]"
    line: int
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: "tuple[Value, ...]"
    line: int


Value = Scalar | Alias | Mapping | Sequence


class UnreadableError(Exception):
    """The text is not YAML: the line, from 1, and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def documents(text: str) -> list[Value]:
    """The documents of a file.

    Raises:
        UnreadableError: it is not YAML.
    """
    try:
        return list(_Reader(text).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "cannot be read"
        raise UnreadableError(mark.line + 1 if mark else 0, f"is not YAML: {reason}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableError(line, "has a character that YAML does not allow") from error


class _Reader:
    """One pass over the events."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)

    def documents(self) -> Iterator[Value]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                yield self._value(next(self._events), 0)

    def _value(self, event: yaml.Event, depth: int) -> Value:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if depth > _DEEPEST:
            raise UnreadableError(line, "is nested too deep")
        match event:
            case yaml.AliasEvent():
                return Alias(event.anchor or "", line)
            case yaml.ScalarEvent():
                return Scalar(event.value, line, event.anchor or "")
            case yaml.SequenceStartEvent():
                return Sequence(tuple(self._inside(yaml.SequenceEndEvent, depth)), line)
            case yaml.MappingStartEvent():
                values = list(self._inside(yaml.MappingEndEvent, depth))
                keys = [self._key(key) for key in values[::2]]
                return Mapping(tuple(zip(keys, values[1::2], strict=True)), line, event.anchor or "")
            case _:
                raise UnreadableError(line, "is not YAML: a value was expected")

    def _inside(self, end: type[yaml.Event], depth: int) -> Iterator[Value]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield self._value(event, depth + 1)

    @staticmethod
    def _key(key: Value) -> Scalar:
        if not isinstance(key, Scalar):
            raise UnreadableError(key.line, "has a key that is not a word")
        return key
