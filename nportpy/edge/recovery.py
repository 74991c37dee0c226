"""What lies beside the archive's file: the mark of used numbers, and a damaged file that was set aside.

The mark is a number below which every sample number may have been used. It is raised in large steps, so it is seldom
written, and it outlives the file: whatever happens to that, no number is used twice.
"""

import contextlib
import glob
import os
import time

from nportpy import atomicfile
from nportpy.atomicfile import Owner

STEP = 1_000_000
"""Numbers by which the mark is raised."""


def read_mark(path: str) -> int:
    """The mark of the archive at `path`; 1 if there is none that can be read."""
    try:
        with open(path + ".mark", encoding="ascii") as file:
            return max(1, int(file.read(32)))
    except (OSError, ValueError):
        return 1


def write_mark(path: str, mark: int) -> None:
    """Set the mark, on the disk when this returns.

    Raises:
        OSError: it could not be written; the old one is there.
    """
    atomicfile.write(path + ".mark", f"{mark}\n".encode(), 0o644, owner=Owner.KEPT_IF_ALLOWED)


def has_room(path: str, size: int) -> bool:
    """Whether the disk would give `size` bytes more: they are asked for and given back (a quota counts, too)."""
    temporary = path + ".room"
    try:
        with open(temporary, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)
    return True


def set_aside(path: str) -> str:
    """Rename a damaged file and its WAL out of the way. Of earlier damaged ones none is kept: a disk has its bounds.

    Returns:
        Its new name; empty if there was no file.

    Raises:
        OSError: it cannot be renamed.
    """
    earlier = glob.glob(glob.escape(path) + ".damaged-*")
    aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    renamed = False
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + end, aside + end)
            renamed = renamed or not end
    for old in set(earlier) - {aside, aside + "-wal"}:
        with contextlib.suppress(OSError):
            os.remove(old)
    return aside if renamed else ""
