"""A file exchanged for another one in one step: whoever reads it, whenever, finds the old one or the new one.

The new one is written beside it, put on the disk, and renamed; then the folder is put on the disk. Whatever fails, or
ends this process, before the renaming leaves the old one. What a process that was killed has left beside it goes with
the next writing: who writes holds a lock on it, so what nobody holds is left over (flock(2)).

Where the path is a link, what it leads to is exchanged.
"""

import contextlib
import fcntl
import logging
import os
import re
import secrets
import stat
from enum import Enum, auto
from typing import Final

_SECRET: Final = 0o600  # until it is known whose it is
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

log = logging.getLogger(__name__)


class Owner(Enum):
    """To whom the new one belongs."""

    KEPT = auto()
    """To whom the old one did, or nothing is written."""
    KEPT_IF_ALLOWED = auto()
    """The same, where this process may give a file away; else to its own user."""
    FOLDERS = auto()
    """The same, and one that is not there yet belongs to whom its folder does."""


class Prepared:
    """A new content that lies beside a file, whole and on the disk."""

    def __init__(
        self, path: str, content: bytes, mode: int | None = None, *, always: bool = False, owner: Owner = Owner.KEPT
    ) -> None:
        """Write it.

        Args:
            path: the file.
            content: what is to be in it.
            mode: of a file that is not there yet.
            always: of one that is there, too: else that keeps its own.
            owner: whose it is.

        Raises:
            OSError: it cannot be written, or not with that owner. Nothing is left of it then.
        """
        self._path = os.path.realpath(path)
        self._folder, name = os.path.split(self._path)
        forget(path)
        for last in (False, False, True):  # who tidies up may take a file for left over that nobody holds yet
            self._beside = os.path.join(self._folder, f".{name}.{secrets.token_hex(4)}.new")
            self._file = os.open(self._beside, _CREATE, _SECRET)
            try:
                if (_held(self._file) is not False and os.fstat(self._file).st_nlink) or last:
                    self._dress(mode, always, owner)
                    rest = memoryview(content)
                    while rest:
                        rest = rest[os.write(self._file, rest) :]
                    os.fsync(self._file)
                    return
            except BaseException:
                self.abandon()
                raise
            self.abandon()

    def commit(self) -> None:
        """Put it in the old one's place. Once that is done, nothing is an error any more.

        Raises:
            OSError: it could not be done, and the old one is there.
        """
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.rename(self._beside, self._path)
            self._let_go()
            try:
                os.fsync(folder)
            except OSError as error:
                extra = {"file": self._path, "reason": error.strerror}
                log.warning("a new file may be the old one again after a loss of power", extra=extra)
        finally:
            with contextlib.suppress(OSError):
                os.close(folder)

    def abandon(self) -> None:
        """Take it away."""
        if self._file != -1:
            with contextlib.suppress(OSError):
                os.unlink(self._beside)
            self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, -1
        with contextlib.suppress(OSError):  # it is on the disk, or is not wanted
            os.close(file)

    def _dress(self, mode: int | None, always: bool, owner: Owner) -> None:
        """Give it its owner and mode."""
        old: os.stat_result | None
        try:
            old = os.stat(self._path)
        except FileNotFoundError:
            if mode is None:
                raise
            old = None
        like = os.stat(self._folder) if old is None and owner is Owner.FOLDERS else old
        if like is not None:
            self._give(like, owner)
        if mode is None or not always:
            mode = mode if old is None else stat.S_IMODE(old.st_mode)
        assert mode is not None  # else there is an old one
        os.fchmod(self._file, mode)

    def _give(self, like: os.stat_result, owner: Owner) -> None:
        new = os.fstat(self._file)
        if (new.st_uid, new.st_gid) == (like.st_uid, like.st_gid):
            return
        try:
            os.fchown(self._file, like.st_uid, like.st_gid)
        except PermissionError:
            if owner is Owner.KEPT or os.geteuid() == 0:
                raise


def write(
    path: str, content: bytes, mode: int | None = None, *, always: bool = False, owner: Owner = Owner.KEPT
) -> None:
    """Exchange a file's content at once; see `Prepared`.

    Raises:
        OSError: it could not be done, and the old one is there.
    """
    prepared = Prepared(path, content, mode, always=always, owner=owner)
    try:
        prepared.commit()
    finally:
        prepared.abandon()


def forget(path: str) -> None:
    """Take away what processes that were killed have left beside a file, as far as that can be done."""
    folder, name = os.path.split(os.path.realpath(path))
    pattern = re.compile(rf"\.{re.escape(name)}\.([0-9a-f]{{8}}\.)?new")
    with contextlib.suppress(OSError):
        for each in os.listdir(folder):
            if pattern.fullmatch(each):
                _forget(os.path.join(folder, each))


def _forget(path: str) -> None:
    with contextlib.suppress(OSError):
        file = os.open(path, _LOOK)
        try:
            if stat.S_ISREG(os.fstat(file).st_mode) and _held(file):
                os.unlink(path)
        finally:
            os.close(file)


def _held(file: int) -> bool | None:
    """Whether it is held by us now; False: somebody else holds it; None: this file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
