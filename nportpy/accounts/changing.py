"""What can be done to a file of accounts, by a command or from the console."""

import math
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from nportpy import wallclock
from nportpy.accounts import passwords, store
from nportpy.accounts.roles import Extra, Right, Role
from nportpy.accounts.sessions import key_of
from nportpy.accounts.store import Account, Accounts, Token
from nportpy.errors import AccountError

TOKEN: Final = "np_"  # noqa: S105 - how one begins, so that it is known where it does not belong


def add(path: str, name: str, role: Role, extras: Iterable[Extra], password: str) -> None:
    """An account.

    Raises:
        AccountError: it is there already, the name cannot be one, the password is too weak, or the file is bad.
    """
    store.check_name(name)
    made = Account(name, role, tuple(dict.fromkeys(extras)), _hashed(password, name))

    def how(found: Accounts) -> Accounts:
        if found.account(name) is not None:
            raise AccountError(f"there is an account {name} already")
        return replace(found, accounts=(*found.accounts, made))

    store.change(path, how)


def set_password(path: str, name: str, password: str) -> None:
    """Another password; sessions of the account end.

    Raises:
        AccountError: there is no such account, the password is too weak, or the file is bad.
    """
    hashed = _hashed(password, name)
    store.change(path, lambda found: _with(found, name, lambda account: replace(account, password=hashed)))


def set_role(path: str, name: str, role: Role, extras: Iterable[Extra], *, keep_one: bool = False) -> None:
    """Another role; sessions of the account end. `keep_one`: not that of the last that can change accounts.

    Raises:
        AccountError: there is no such account, or the file is bad.
    """

    def how(found: Accounts) -> Accounts:
        changed = _with(found, name, lambda account: replace(account, role=role, extras=tuple(dict.fromkeys(extras))))
        return _kept(changed) if keep_one else changed

    store.change(path, how)


def remove(path: str, name: str, *, keep_one: bool = False) -> None:
    """An account goes; its sessions end. `keep_one`: not the last that can change accounts.

    Raises:
        AccountError: there is no such account, or the file is bad.
    """

    def how(found: Accounts) -> Accounts:
        _known(found, name)
        left = replace(found, accounts=tuple(each for each in found.accounts if each.name != name))
        return _kept(left) if keep_one else left

    store.change(path, how)


def add_token(path: str, name: str, role: Role, extras: Iterable[Extra], end: float | None) -> str:
    """A token: 256 random bits, which are told here and never again.

    Raises:
        AccountError: there is one of this name, or the file is bad, or it is to end and nobody knows the time.
    """
    store.check_name(name)
    if end is not None and not wallclock.known():
        raise AccountError("the clock of this machine is not known to be right: set it, or let the token not end")
    text = TOKEN + secrets.token_urlsafe(32)
    made = Token(name, role, tuple(dict.fromkeys(extras)), key_of(text), end)

    def how(found: Accounts) -> Accounts:
        if any(each.name == name for each in found.tokens):
            raise AccountError(f"there is a token {name} already")
        return replace(found, tokens=(*found.tokens, made))

    store.change(path, how)
    return text


def remove_token(path: str, name: str, *, keep_one: bool = False) -> None:
    """A token is worth nothing any more. `keep_one`: not the last that can change accounts.

    Raises:
        AccountError: there is none of this name, or the file is bad.
    """

    def how(found: Accounts) -> Accounts:
        rest = tuple(each for each in found.tokens if each.name != name)
        if len(rest) == len(found.tokens):
            names = ", ".join(each.name for each in found.tokens) or "none"
            raise AccountError(f"there is no token {name[:70]}; there are: {names}")
        left = replace(found, tokens=rest)
        return _kept(left) if keep_one else left

    store.change(path, how)


def _with(found: Accounts, name: str, one: Callable[[Account], Account]) -> Accounts:
    """The same with one account changed."""
    _known(found, name)
    return replace(found, accounts=tuple(one(each) if each.name == name else each for each in found.accounts))


def _kept(left: Accounts) -> Accounts:
    """What is left, if somebody is left who can change it: without anybody, all is open on this machine again."""
    now = time.time() if wallclock.known(left.written) else math.inf
    tokens = [each.rights for each in left.tokens if each.end is None or each.end > now]
    rights = [each.rights for each in left.accounts] + tokens
    if not any(Right.ACCOUNTS in each for each in rights):
        raise AccountError("nobody would be left who can change accounts: nportpy user remove, on the gateway itself")
    return left


def _known(found: Accounts, name: str) -> None:
    if found.account(name) is None:
        names = ", ".join(each.name for each in found.accounts) or "none"
        raise AccountError(f"there is no account {name[:70]}; there are: {names}")


def _hashed(password: str, name: str) -> str:
    if weakness := passwords.weakness(password, name):
        raise AccountError(weakness)
    return passwords.hashed(password)
