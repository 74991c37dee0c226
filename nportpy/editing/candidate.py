"""A text that may become the configuration file, and what is known of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nportpy.errors import Fault


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text, and what `nportpy check` says of it.

    Attributes:
        text: the text.
        faults: what is wrong with it.
        said: the same as `nportpy check` writes it, a fault each.
        warnings: what is odd about it.
        diff: how it differs from the text that it was compared with: a unified diff.
        values: what a form can show: paths and values, as JSON has them; none where the text is not TOML.
        settings: what it means to the gateway; None where there are faults.
    """

    text: str
    faults: tuple[Fault, ...] = ()
    said: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diff: str = ""
    values: tuple[tuple[tuple[str | int, ...], Any], ...] = ()
    settings: Any = None


Changes = Sequence[Mapping[str, Any]]
"""Changes of single values, as JSON has them: `path`, and `value` or `remove`."""

Checker = Callable[[str, str, Changes, str], Candidate]
"""Checks the text of a file of some name, after some changes, in a process of its own, and compares it with another
text; waits for that."""
