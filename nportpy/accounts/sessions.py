"""Sessions of people who have logged in. Pure: time is an argument, in seconds of a clock that does not jump."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from nportpy.accounts.store import Account

IDLE: Final = 15 * 60.0
"""Seconds without a request after which a session ends."""

LONGEST: Final = 12 * 3600.0
"""Seconds after which it ends in any case."""

MOST: Final = 8
"""Of one account; the one that was idle longest makes room."""

MOST_OF_ALL: Final = 256


@dataclass(slots=True)
class Session:
    """One of them.

    Attributes:
        account: as it was when somebody logged in: a session does not outlive a change of it.
        began: when.
        used: when it was used last.
    """

    account: Account
    began: float
    used: float


class Sessions:
    """They, in memory only: a restart ends all. What a browser keeps is not kept here, but its SHA-256."""

    def __init__(self) -> None:
        """There is none."""
        self._open: dict[str, Session] = {}

    def begin(self, account: Account, now: float) -> str:
        """A session; the text that stands for it, 256 random bits."""
        self._sweep(now)
        own = [key for key, session in self._open.items() if session.account.name == account.name]
        while len(own) >= MOST or len(self._open) >= MOST_OF_ALL:
            among = own if len(own) >= MOST else list(self._open)
            oldest = min(among, key=lambda key: self._open[key].used)
            del self._open[oldest]
            own = [key for key in own if key != oldest]
        text = secrets.token_urlsafe(32)
        self._open[key_of(text)] = Session(account, now, now)
        return text

    def find(self, key: str, now: float, *, use: bool = True) -> Account | None:
        """Whose session it is; None: it is over, or never was. `use`: it is not idle now."""
        session = self._open.get(key)
        if session is None:
            return None
        if _over(session, now):
            del self._open[key]
            return None
        if use:
            session.used = now
        return session.account

    def end(self, key: str) -> None:
        """It is over."""
        self._open.pop(key, None)

    def __len__(self) -> int:
        """How many there are, those included that nobody has asked for since they ended."""
        return len(self._open)

    def _sweep(self, now: float) -> None:
        for key in [key for key, session in self._open.items() if _over(session, now)]:
            del self._open[key]


def key_of(text: str) -> str:
    """What a session, or a token, is found by."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _over(session: Session, now: float) -> bool:
    return now - session.used >= IDLE or now - session.began >= LONGEST
