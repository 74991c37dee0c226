"""What a command line says of one device: `LINK,key=value,key=value`, where the keys are settings of the device."""

from collections.abc import Mapping
from dataclasses import Field, fields
from enum import StrEnum
from typing import Any, get_type_hints

_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def split(text: str) -> tuple[str, dict[str, str]]:
    """The link and the settings.

    Raises:
        ValueError: a part is no setting.
    """
    link, *parts = text.split(",")
    given: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} in {text!r} is no setting such as key=value")
        given[key.strip().replace("-", "_")] = value
    return link, given


def settings(cls: type[Any], given: Mapping[str, str]) -> Any:
    """An instance of the dataclass with those settings.

    Raises:
        ValueError: there is no such setting, or a value is wrong.
    """
    known = {field.name: field for field in fields(cls)}
    hints = get_type_hints(cls)
    values = {name: _value(known, hints, name, text) for name, text in given.items()}
    return cls(**values)


def _value(known: Mapping[str, Field[Any]], hints: Mapping[str, Any], name: str, text: str) -> object:
    if name not in known:
        raise ValueError(f"{name} is not known here; there are " + ", ".join(known))
    hint = hints[name]
    try:
        if hint is bool:
            return _TRUTH[text]
        if isinstance(hint, type) and issubclass(hint, (StrEnum, int, str)):
            return hint(text)
        return float(text)
    except (KeyError, ValueError):
        raise ValueError(f"{name}={text} is wrong" + _allowed(hint)) from None


def _allowed(hint: object) -> str:
    if hint is bool:
        return ": true or false"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ": one of " + ", ".join(hint)
    return ""
