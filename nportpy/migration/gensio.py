"""Gensio strings (gensio(5)): what ser2net listens on, and what it connects to.

type[(option,...)],type[(option,...)],...,argument,argument
"""

import re
from dataclasses import dataclass

# What ends a stack of layers; what follows are its arguments.
_TERMINALS = frozenset(
    (
        "tcp", "udp", "sctp", "unix", "serialdev", "dev", "stdio", "pty", "ipmisol", "echo", "file", "dummy", "mdns",
        "conacc", "sound", "afskmdm", "vsock",
    )
)  # fmt: skip
_FILTERS = frozenset(
    (
        "telnet", "ssl", "mux", "certauth", "msgdelim", "relpkt", "trace", "perf", "kiss", "ax25", "xlt", "keepopen",
        "script", "ratelimit", "cm108gpio",
    )
)  # fmt: skip
# The kind of addresses may stand before the type or behind it.
_FAMILIES = frozenset(("ipv4", "ipv6", "ipv6n4"))
_OF_FAMILIES = frozenset(("tcp", "udp"))
_LAYER = re.compile(r"([A-Za-z_][\w-]*)\s*(?:\((.*)\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layer:
    """One type with the options in its brackets; an option that is only named has the value ""."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str | None:
        """The last value of an option; None if it is not there."""
        return next((value for key, value in reversed(self.options) if key == name), None)


@dataclass(frozen=True, slots=True)
class Stack:
    """A whole string.

    Attributes:
        filters: the layers above the last, from the outside.
        terminal: the last.
        arguments: what follows it.
    """

    filters: tuple[Layer, ...]
    terminal: Layer
    arguments: tuple[str, ...]

    def filter(self, name: str) -> Layer | None:
        """The layer of that type among the filters."""
        return next((layer for layer in self.filters if layer.name == name), None)


def parse(text: str) -> Stack:
    """A gensio string.

    Raises:
        ValueError: brackets or quotes that do not end, or no type that ends the stack.
    """
    parts = [part.strip() for part in _split(text, ",")]
    filters: list[Layer] = []
    for number, part in enumerate(parts):
        layer = _layer(part)
        if part.startswith("/"):
            # A path alone is a device (gensio(5), str_to_gensio).
            return Stack(tuple(filters), Layer("serialdev"), tuple(parts[number:]))
        behind = _layer(parts[number + 1]) if part in _FAMILIES and number + 1 < len(parts) else None
        if behind is not None and behind.name in _OF_FAMILIES:
            return Stack(tuple(filters), behind, (part, *parts[number + 2 :]))
        if layer is not None and layer.name in _TERMINALS:
            return Stack(tuple(filters), layer, tuple(parts[number + 1 :]))
        if layer is not None and layer.name in _FILTERS:
            filters.append(layer)
        elif re.search(r"(^|,)\d+$", ",".join(parts[number:])):
            # ser2net(8): an address alone is TCP, as before version 4
            return Stack(tuple(filters), Layer("tcp"), tuple(parts[number:]))
        else:
            break
    raise ValueError("is of no type that is known here")


def _layer(part: str) -> Layer | None:
    found = _LAYER.fullmatch(part)
    if found is None:
        return None
    options = (option.partition("=") for option in _split(found[2] or "", ", \t\n") if option)
    return Layer(found[1].lower(), tuple((name.strip().lower(), value.strip()) for name, _, value in options))


def _split(text: str, separators: str) -> list[str]:
    """Parts between separators that stand in neither brackets nor quotes; quotes and backslashes are taken off."""
    parts, depth, quote = [""], 0, ""
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            parts[-1] += next(letters, "")
        elif quote:
            quote = "" if letter == quote else quote
            parts[-1] += "" if not quote else letter
        elif letter in "\"'":
            quote = letter
        elif letter in separators and not depth:
            parts.append("")
        else:
            depth += (letter == "(") - (letter == ")")
            if depth < 0:
                raise ValueError("has a bracket that was not opened")
            parts[-1] += letter
    if depth or quote:
        raise ValueError("has a bracket or a quote that does not end")
    return parts
