"""Notice of the opening of a file: inotify(7), as far as it is needed here. Python does not wrap it."""

import contextlib
import ctypes
import os

_IN_OPEN = 0x20  # linux/inotify.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def watch_openings(path: str) -> int:
    """A descriptor that is readable whenever somebody has opened `path`; `forget_openings` makes it quiet again.

    Raises:
        OSError: there is no such file, or no more watches (fs.inotify.max_user_instances).
    """
    fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise _error(path)
    if _LIBC.inotify_add_watch(fd, os.fsencode(path), _IN_OPEN) < 0:
        error = _error(path)
        os.close(fd)
        raise error
    return int(fd)


def forget_openings(fd: int) -> None:
    """Take what the kernel has to tell. How often it was opened cannot be told: equal events are merged."""
    with contextlib.suppress(BlockingIOError):
        os.read(fd, 4096)


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
