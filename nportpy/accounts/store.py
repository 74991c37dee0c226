"""The file of accounts and tokens: JSON, for its owner alone, changed whole or not at all.

Neither a password nor a token is in it: an scrypt hash of the one (passwords.py), SHA-256 of the other.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from nportpy import atomicfile
from nportpy.accounts import passwords
from nportpy.accounts.roles import Extra, Right, Role, rights
from nportpy.atomicfile import Owner
from nportpy.errors import AccountError
from nportpy.wallclock import judged

MOST: Final = 1000
"""Accounts, and tokens."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES: Final = 4 << 20
_SECRET: Final = 0o600


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody.

    Attributes:
        name: by which he logs in.
        role: what he is for.
        extras: single rights beside it.
        password: its hash.
    """

    name: str
    role: Role
    extras: tuple[Extra, ...]
    password: str

    @property
    def rights(self) -> frozenset[Right]:
        """Everything that he may."""
        return rights(self.role, self.extras)


@dataclass(frozen=True, slots=True)
class Token:
    """What a program shows instead of a password.

    Attributes:
        name: for whom it is.
        role: what it is for.
        extras: single rights beside it.
        digest: SHA-256 of it, in hexadecimal.
        end: when it ends, in seconds since the epoch; None: never.
    """

    name: str
    role: Role
    extras: tuple[Extra, ...]
    digest: str
    end: float | None

    @property
    def rights(self) -> frozenset[Right]:
        """Everything that it may."""
        return rights(self.role, self.extras)


@dataclass(frozen=True, slots=True)
class Accounts:
    """What is in the file.

    Attributes:
        accounts: those who have a password.
        tokens: what programs show.
        written: when the file was, in seconds since the epoch.
    """

    accounts: tuple[Account, ...] = ()
    tokens: tuple[Token, ...] = ()
    written: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether there is neither an account nor a token."""
        return not self.accounts and not self.tokens

    def account(self, name: str) -> Account | None:
        """The one of this name."""
        return next((each for each in self.accounts if each.name == name), None)

    def token(self, digest: str) -> Token | None:
        """The one of this digest, unless it has ended; every one is looked at, so that the time tells nothing.

        As with certificates, a clock that is not known ends none (wallclock.py): after a power cut nobody could come.
        """
        found = [each for each in self.tokens if secrets.compare_digest(each.digest, digest)]
        return next((each for each in found if each.end is None or judged(self.written) < each.end), None)


def check_name(name: str) -> str:
    """The name, if it can be one.

    Raises:
        AccountError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise AccountError(f"{name[:70]!r} is no name: letters, digits, and . _ @ - between them, 64 at most")
    return name


def load(path: str) -> Accounts:
    """What is in a file; nothing if there is none.

    Raises:
        AccountError: it cannot be read, others can read it, or it is not what it should be.
    """
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & 0o077:
                raise AccountError(f"{path} is not for its owner alone: chmod 600 {path}")
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Accounts()
    except OSError as error:
        raise AccountError(f"{path}: {error.strerror}") from error
    try:
        return replace(_parsed(data), written=found.st_mtime)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, AccountError) as error:
        raise AccountError(f"{path} is no file of accounts ({error!s:.100}): mend it, or remove it") from error


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Nobody else changes the file meanwhile.

    Raises:
        AccountError: its folder is not there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AccountError(f"{folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def change(path: str, how: Callable[[Accounts], Accounts]) -> Accounts:
    """Make what `how` makes of it; two who change it at once come one after the other.

    Raises:
        AccountError: it cannot be read or written, or `how` raises it; then it is what it was.
    """
    with locked(path):
        made = how(load(path))
        if len(made.accounts) > MOST or len(made.tokens) > MOST:
            raise AccountError(f"{MOST} accounts and {MOST} tokens at most")
        _write(path, _text(made).encode())
    return made


def _write(path: str, data: bytes) -> None:
    """Put a file there. Root adds accounts, the gateway's user reads them: it belongs to whom the folder belongs."""
    try:
        atomicfile.write(path, data, _SECRET, always=True, owner=Owner.FOLDERS)
    except OSError as error:
        raise AccountError(f"{path}: {error.strerror}") from error


def _text(made: Accounts) -> str:
    accounts = [
        {"name": each.name, "role": each.role, "rights": list(each.extras), "password": each.password}
        for each in made.accounts
    ]
    tokens = [
        {"name": each.name, "role": each.role, "rights": list(each.extras), "sha256": each.digest, "end": each.end}
        for each in made.tokens
    ]
    return json.dumps({"version": 1, "accounts": accounts, "tokens": tokens}, indent=1) + "\n"


def _parsed(data: bytes) -> Accounts:
    if len(data) > _MOST_BYTES:
        raise ValueError("it is too long")
    found = json.loads(data)
    if found["version"] != 1:
        raise ValueError("it is of another version")
    accounts = tuple(
        Account(check_name(each["name"]), Role(each["role"]), _extras(each), _hash(each["password"]))
        for each in found["accounts"]
    )
    tokens = tuple(
        Token(check_name(each["name"]), Role(each["role"]), _extras(each), _digest(each["sha256"]), _end(each["end"]))
        for each in found["tokens"]
    )
    for names in ([each.name for each in accounts], [each.name for each in tokens]):
        if len(set(names)) != len(names) or len(names) > MOST:
            raise ValueError("a name is there twice, or there are too many")
    return Accounts(accounts, tokens)


def _extras(entry: dict[str, Any]) -> tuple[Extra, ...]:
    return tuple(Extra(each) for each in entry["rights"])


def _hash(text: str) -> str:
    if not passwords.is_hash(text):
        raise ValueError("a password is no scrypt hash")
    return text


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise ValueError("a token is no SHA-256")
    return text


def _end(value: object) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError("a token's end is no number")
    return None if value is None else float(value)
