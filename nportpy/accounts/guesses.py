"""How often a password may be tried: never a lock for good, and nobody can lock the owner out.

Pure: time is an argument, in seconds of a clock that does not jump.

Each try of an address makes the next one of it wait, 1 s and doubling to 5 minutes. What an account waits doubles with
each *address* that has tried it in vain, so that one attacker costs its owner, who comes from elsewhere, a second at
most; and an address from which the right password came is not held up by others. A try counts when it begins: many at
once are not cheaper than one after the other.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, TypeVar

FIRST, LONGEST = 1.0, 300.0
"""Seconds between two tries: after the first one in vain, and at most."""

FORGOTTEN: Final = 900.0
"""Seconds after the end of a wait in which nothing was tried: then all is as before."""

LIMIT: Final = 1024
"""Addresses, and accounts, that are remembered. Beyond it the one that may try soonest is forgotten."""

_DOUBLINGS: Final = 9  # 2**9 s is more than LONGEST


@dataclass(slots=True)
class _Tried:
    count: int = 0
    until: float = float("-inf")


@dataclass(slots=True)
class _Account(_Tried):
    by: set[Hashable] = field(default_factory=set)  # those who failed; as many as make a difference
    known: set[Hashable] = field(default_factory=set)  # those who did not


class Guesses:
    """What was tried lately."""

    def __init__(self) -> None:
        """Nothing."""
        self._addresses: dict[Hashable, _Tried] = {}
        self._accounts: dict[str, _Account] = {}

    def admit(self, address: Hashable, account: str, now: float) -> float:
        """Seconds to wait; 0: it may be tried now, and counts as in vain until `succeeded`."""
        by_address = _of(self._addresses, address, now, _Tried)
        by_account = _of(self._accounts, account, now, _Account)
        until = by_address.until
        if address not in by_account.known:
            until = max(until, by_account.until)
        if now < until:
            return until - now
        by_address.count = min(by_address.count + 1, _DOUBLINGS + 1)
        by_address.until = now + _wait(by_address.count)
        if address not in by_account.known:
            if len(by_account.by) <= _DOUBLINGS:
                by_account.by.add(address)
            by_account.until = now + _wait(len(by_account.by))
        return 0.0

    def succeeded(self, address: Hashable, account: str, now: float) -> None:
        """It was the right password."""
        self._addresses.pop(address, None)
        if (found := self._accounts.get(account)) is not None:
            found.by.discard(address)
            if len(found.known) < _DOUBLINGS:
                found.known.add(address)
            if not found.by:
                found.until = now

    def __len__(self) -> int:
        """How much is remembered."""
        return len(self._addresses) + len(self._accounts)


def _wait(count: int) -> float:
    return min(FIRST * 2.0 ** (count - 1), LONGEST)


_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T", bound=_Tried)


def _of(kept: dict[_K, _T], key: _K, now: float, make: type[_T]) -> _T:
    found = kept.get(key)
    if found is not None and now < found.until + FORGOTTEN:
        return found
    if found is None and len(kept) >= LIMIT:
        del kept[min(kept, key=lambda each: kept[each].until)]
    kept[key] = fresh = make(until=now)
    return fresh
