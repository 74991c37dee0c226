"""The file that is edited: read, told from others, and whether it can be exchanged (atomicfile.py does that)."""

import hashlib
import os
import stat
from typing import Final

from nportpy.errors import EditError

LARGEST: Final = 1 << 20
"""Bytes of a file that is edited: more than any gateway reads."""


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
