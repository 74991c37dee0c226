"""What there is to be allowed, and what a role is allowed: the one table of it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class Right(StrEnum):
    """What a route needs."""

    OPEN = "open"  # nothing: whether the gateway works, the files of the pages, to log in
    LOOK = "look"  # status, metrics, samples
    MONITOR = "monitor"  # what is on the lines, and in the log
    CAPTURE = "capture"  # the same, to take away
    ACT = "act"  # read and write units, send bytes, end clients
    EDIT = "edit"  # the configuration
    AUDIT = "audit"  # who did what
    ACCOUNTS = "accounts"  # who may what


class Role(StrEnum):
    """What an account or a token is for."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Extra(StrEnum):
    """A single right beside a role."""

    MONITOR = "monitor"
    CAPTURE = "capture"
    EDIT = "edit"


ROLES: Final[Mapping[Role, frozenset[Right]]] = {
    Role.VIEWER: frozenset({Right.OPEN, Right.LOOK}),
    Role.OPERATOR: frozenset({Right.OPEN, Right.LOOK, Right.ACT}),
    Role.ADMIN: frozenset(Right),
}
EXTRAS: Final[Mapping[Extra, frozenset[Right]]] = {
    Extra.MONITOR: frozenset({Right.MONITOR}),
    Extra.CAPTURE: frozenset({Right.MONITOR, Right.CAPTURE}),  # who may take it away sees it
    Extra.EDIT: frozenset({Right.EDIT}),
}


def rights(role: Role, extras: Iterable[Extra] = ()) -> frozenset[Right]:
    """All rights of a role with some single ones."""
    return ROLES[role].union(*(EXTRAS[each] for each in extras))
