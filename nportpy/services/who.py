"""Who asks, and why he may not."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from nportpy.accounts.roles import Right

OPEN: Final = frozenset({Right.OPEN})


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks.

    Attributes:
        name: of an account or a token, or of a certificate as in CN=anna; empty: nobody that is known.
        how: session, token, certificate; local: on this machine while there are no accounts; empty: not at all.
        rights: what he may.
        key: what the session or token is found by.
        reason: why he may no more.
    """

    name: str = ""
    how: str = ""
    rights: frozenset[Right] = OPEN
    key: str = ""
    reason: str = ""


NOBODY: Final = Who()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not, and what HTTP calls it.

    Attributes:
        status: that.
        detail: for people.
        wait: seconds after which it may be tried again; 0: that would change nothing.
    """

    status: HTTPStatus
    detail: str
    wait: float = 0.0
