"""A file exchanged for another one in one step: whoever reads it, whenever, finds the old one or the new one.

The new one is written beside it, put on the disk, and renamed; then the folder is put on the disk. Whatever fails, or
ends this process, before the renaming leaves the old one.
"""

import contextlib
import hashlib
import logging
import os
import stat
from typing import Final

from nportpy.errors import EditError

LARGEST: Final = 1 << 20
"""Bytes of a file that is edited: more than any gateway reads."""

log = logging.getLogger(__name__)


def tag(content: bytes) -> str:
    """What tells a content from every other one: its SHA-256."""
    return hashlib.sha256(content).hexdigest()


def read(path: str) -> bytes:
    """What is in a file.

    Raises:
        EditError: it cannot be read, or is too large.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise EditError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise EditError(f"{path} is larger than 1 MiB")
    return content


def why_not(path: str) -> str:
    """Why a file cannot be exchanged; empty: it can. Nothing is tried."""
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    try:
        found = os.stat(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is no file"
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} is read-only"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"this process may not write in {folder}"
    if os.geteuid() not in (0, found.st_uid):
        return f"{path} belongs to another user, and would not any more"
    return ""


class Prepared:
    """A new content that lies beside a file, whole and on the disk."""

    def __init__(self, path: str, content: bytes, mode: int | None = None) -> None:
        """Write it; `mode` is for a file that is not there yet.

        Raises:
            OSError: it cannot be written, or not with the old one's owner. Nothing is left of it then.
        """
        self._path = os.path.realpath(path)
        self._folder, name = os.path.split(self._path)
        self._beside = os.path.join(self._folder, f".{name}.new")
        forget(path)
        file = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                self._dress(file, mode)
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            finally:
                os.close(file)
        except BaseException:
            self.abandon()
            raise

    def commit(self) -> None:
        """Put it in the old one's place. Once that is done, nothing is an error any more.

        Raises:
            OSError: it could not be done, and the old one is there.
        """
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.rename(self._beside, self._path)
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
        with contextlib.suppress(OSError):
            os.unlink(self._beside)

    def _dress(self, file: int, mode: int | None) -> None:
        """Give it the old one's owner and mode."""
        try:
            old = os.stat(self._path)
        except FileNotFoundError:
            if mode is None:
                raise
            os.fchmod(file, mode)
            return
        new = os.fstat(file)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(file, old.st_uid, old.st_gid)
        os.fchmod(file, stat.S_IMODE(old.st_mode))


def write(path: str, content: bytes, mode: int | None = None) -> None:
    """Exchange a file's content; `mode` is for one that is not there yet.

    Raises:
        OSError: see `Prepared`.
    """
    prepared = Prepared(path, content, mode)
    try:
        prepared.commit()
    except OSError:
        prepared.abandon()
        raise


def forget(path: str) -> None:
    """Take away what a process that was killed has left beside a file."""
    folder, name = os.path.split(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, f".{name}.new"))
