"""Those who are known: the accounts and tokens of a file, and sessions. Imported once there is such a file."""

import asyncio
import logging
import os
from http import HTTPStatus
from typing import Final

from nportpy.accounts import passwords, store
from nportpy.accounts.changing import TOKEN
from nportpy.accounts.guesses import Guesses
from nportpy.accounts.sessions import Sessions, key_of
from nportpy.accounts.store import Account, Accounts
from nportpy.errors import AccountError
from nportpy.services.audit import Audit
from nportpy.services.who import Refusal, Who

QUEUE: Final = 8
"""Passwords that wait to be looked at; it takes a fifth of a second for each, and one is looked at at a time."""

log = logging.getLogger(__name__)


class Logins:
    """They.

    Attributes:
        accounts: those of the file.
        trouble: why it cannot be read; empty: it can.
        sessions: of those who have logged in.
    """

    def __init__(self, path: str, audit: Audit) -> None:
        """Nothing is read yet."""
        self.accounts = Accounts()
        self.trouble = ""
        self.sessions = Sessions()
        self._path = path
        self._audit = audit
        self._guesses = Guesses()
        self._waiting = 0
        self._one_at_a_time = asyncio.Lock()
        self._read_once = False
        self._had_any = False

    def read(self, by: Who, client: str) -> None:
        """Read the file anew. A bad one lets nobody in: it may have taken somebody's rights away.

        `by` has changed it, from `client`; nobody: that was done on this machine.
        """
        before = self.accounts
        if self._had_any and not os.path.exists(self._path):
            # Without accounts all is open on this machine: that is not what a lost disk may bring about.
            self.accounts, self.trouble = Accounts(), f"{self._path} is gone: bring it back, or start the gateway anew"
            log.error("nobody can log in", extra={"reason": self.trouble})
            return
        try:
            self.accounts, self.trouble = store.load(self._path), ""
            self._had_any = not self.accounts.empty
        except AccountError as error:
            self.accounts, self.trouble = Accounts(), str(error)
            log.error("nobody can log in", extra={"reason": str(error)})
            return
        for event, name, result in differences(before, self.accounts) if self._read_once else ():
            self._audit.tell(event, who=by.name, how=by.how or "file", client=client, result=result, subject=name)
        if not self._read_once:
            counts = {"accounts": len(self.accounts.accounts), "tokens": len(self.accounts.tokens)}
            self._audit.tell("accounts", who="", how="file", client="", result="read", file=self._path, **counts)
        self._read_once = True

    # Who somebody is.

    def by_token(self, scheme: str, text: str) -> Who:
        """By what stands in an Authorization header (RFC 6750)."""
        if scheme.lower() != "bearer" or not text.startswith(TOKEN):
            return Who(reason="what is wanted is Authorization: Bearer np_...")
        token = self.accounts.token(key := key_of(text))
        if token is None:
            return Who(reason="there is no such token, or it has ended")
        return Who(token.name, "token", token.rights, key)

    def by_session(self, text: str) -> Who:
        """By what stands in a session's cookie."""
        key = key_of(text)
        account = self.sessions.find(key, asyncio.get_running_loop().time())
        if account is None or self.accounts.account(account.name) != account:  # gone, or changed since
            self.sessions.end(key)
            return Who(reason="the session is over: log in again")
        return Who(account.name, "session", account.rights, key)

    def lasts(self, who: Who) -> bool:
        """Whether somebody with a session or token may still do what he began."""
        if who.how == "session":
            account = self.sessions.find(who.key, asyncio.get_running_loop().time(), use=False)
            return account is not None and self.accounts.account(account.name) == account
        token = self.accounts.token(who.key)
        return token is not None and token.rights == who.rights

    # Logging in.

    async def log_in(self, address: object, name: str, password: str, client: str) -> tuple[Account, str] | Refusal:
        """Whose name and password these are, and what stands for the session from now on; or why there is none.

        `address` is what guesses are counted by, `client` what the audit is told.
        """
        now = asyncio.get_running_loop().time()
        if self._waiting >= QUEUE:
            self._audit.flood("queue", now, "login", client=client, result="too many at once", subject=name)
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{QUEUE} log in already", 1.0)
        if wait := self._guesses.admit(address, name, now):
            self._audit.flood(address, now, "login", client=client, result="too soon", subject=name)
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many tries", wait)
        account = self.accounts.account(name)
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                stored = passwords.NOBODY if account is None else account.password
                right = await asyncio.to_thread(passwords.fits, password, stored)
        finally:
            self._waiting -= 1
        if account is None or not right or self.accounts.account(name) != account:  # changed meanwhile
            self._audit.tell("login", who="", how="password", client=client, result="failed", subject=name)
            return Refusal(HTTPStatus.UNAUTHORIZED, "name or password is wrong")
        now = asyncio.get_running_loop().time()
        self._guesses.succeeded(address, name, now)
        text = self.sessions.begin(account, now)
        self._audit.tell("login", who=name, how="password", client=client, result="done", role=account.role)
        return account, text

    def forget(self, text: str) -> None:
        """A browser has another session now: what stood for the one before, which it may share, is worth nothing."""
        self.sessions.end(key_of(text))

    def log_out(self, who: Who, client: str) -> None:
        """The session is over."""
        self.sessions.end(who.key)
        self._audit.tell("logout", who=who.name, how="session", client=client, result="done")


def differences(before: Accounts, after: Accounts) -> list[tuple[str, str, str]]:
    """What was done to accounts and tokens: account or token, its name, added, changed or removed."""
    found = []
    kinds = (("account", before.accounts, after.accounts), ("token", before.tokens, after.tokens))
    for event, old, new in kinds:
        was, is_now = {each.name: each for each in old}, {each.name: each for each in new}
        for name in [*was, *(name for name in is_now if name not in was)]:
            if was.get(name) != is_now.get(name):
                result = "added" if name not in was else "removed" if name not in is_now else "changed"
                found.append((event, name, result))
    return found
