"""What tomllib gave: values by a pattern of keys, and both as one writes them in TOML, for messages."""

import re
from collections.abc import Iterator

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_DEEPEST = 3
_MOST_ITEMS = 20

Path = tuple[str | int, ...]


def key_path(path: Path) -> str:
    """A key path such as `port.meters.raw[1].listen`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + key_text(step)
    return text


def toml_text(value: object, longest: int = 80) -> str:
    """A value of tomllib's as TOML text on one line, cut to `longest` characters."""
    text = _text(value, 0)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def whole_text(value: object) -> str:
    """A value of tomllib's as TOML text on one line, whole."""
    if isinstance(value, list):
        return f"[{', '.join(map(whole_text, value))}]"
    if isinstance(value, dict):
        return (
            f"{{ {', '.join(f'{key_text(key)} = {whole_text(item)}' for key, item in value.items())} }}"
            if value
            else "{}"
        )
    return _text(value, 0)


def key_text(name: str) -> str:
    """A key as it is written."""
    return name if _BARE.fullmatch(name) else _quoted(name)


def _text(value: object, depth: int) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # Python refuses to write very long integers in decimal; TOML can have them in hexadecimal, without a sign.
        return str(value) if value < 1 << 64 else hex(value)
    if isinstance(value, (list, dict)) and value and depth >= _DEEPEST:
        return "..."
    if isinstance(value, list):
        return f"[{', '.join(_text(item, depth + 1) for item in value[:_MOST_ITEMS])}]"
    if isinstance(value, dict):
        pairs = list(value.items())[:_MOST_ITEMS]
        inside = ", ".join(f"{key_text(key)} = {_text(item, depth + 1)}" for key, item in pairs)
        return f"{{ {inside} }}" if inside else "{}"
    return str(value)


def _quoted(text: str) -> str:
    return '"' + "".join(_character(character) for character in text) + '"'


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    # A message must not move the cursor of the terminal that shows it.
    if character.isprintable():
        return character
    return f"\\u{ord(character):04X}" if ord(character) < 0x10000 else f"\\U{ord(character):08X}"


def table(data: dict[str, object], name: str) -> dict[str, object]:
    """The table of that name; an empty one if there is none."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def leaves(value: object, path: Path, rest: tuple[str, ...]) -> Iterator[tuple[Path, object]]:
    """The values under a pattern of keys: `*` is any key, and a list stands for each of its items."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*path, number), rest)
    elif not rest:
        yield path, value
    elif isinstance(value, dict):
        for key in value if rest[0] == "*" else [rest[0]]:
            if key in value:
                yield from leaves(value[key], (*path, key), rest[1:])
