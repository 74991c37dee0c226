"""Who has a device open: what /proc and the lock files tell, without touching the device.

Three sources, because none of them tells everything:

- /proc/PID/fd names every open file, but only of processes whose owner we are (all of them for root);
- /proc/locks names whoever holds a flock(2), and everybody may read it;
- /run/lock/LCK..NAME is what older serial programs leave, with the process id in it (FHS 3.0, 5.9).

Command lines come from other people's processes: what does not print is replaced.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST_COMMAND = 80


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the system's trees are; tests bring their own.

    Attributes:
        sys: sysfs.
        dev: device nodes.
        proc: procfs.
        lock: lock files.
    """

    sys: str = "/sys"
    dev: str = "/dev"
    proc: str = "/proc"
    lock: str = "/run/lock"


HERE = Roots()


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a device open.

    Attributes:
        pid: its process id.
        command: its command line, cut to 80 characters; empty where it cannot be read.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})" if self.command else f"pid {self.pid}"


def who_holds(path: str, roots: Roots = HERE) -> list[Holder]:
    """The processes that have the device at `path` open, lowest process id first.

    This process counts only where it has locked the device: whoever asks may have opened it in vain just now.
    May be incomplete without root's rights, see `sees_all`. Never raises: a process may end while it is looked at.
    """
    return holders([path], roots)[path]


def holders(paths: Iterable[str], roots: Roots = HERE) -> dict[str, list[Holder]]:
    """`who_holds` for several devices, with one walk through /proc."""
    devices = {path: os.path.realpath(path) for path in paths}
    found: dict[str, set[int]] = {device: set() for device in devices.values()}
    for pid in _processes(roots):
        for target in open_files(roots, pid):
            if target in found:
                found[target].add(pid)
    for device, pids in found.items():
        pids.discard(os.getpid())
        pids.update(_flock_holders(roots, device))
        pids.update(_lock_file_holder(roots, device))
    commands = {pid: _command(roots, pid) for pids in found.values() for pid in pids}
    return {path: [Holder(pid, commands[pid]) for pid in sorted(found[device])] for path, device in devices.items()}


def who_has_open(target: str, roots: Roots = HERE) -> list[Holder]:
    """The processes but this one that have open what /proc calls `target`, as in `socket:[4711]`. See `who_holds`."""
    pids = sorted(pid for pid in _processes(roots) if pid != os.getpid() and target in open_files(roots, pid))
    return [Holder(pid, _command(roots, pid)) for pid in pids]


def sees_all(roots: Roots = HERE) -> bool:
    """Whether we may look into every process, so that nobody found means that nobody is there."""
    return os.access(f"{roots.proc}/1/fd", os.R_OK | os.X_OK)


def printable(text: str) -> str:
    """`text` with a `?` for whatever would not show on a terminal as itself."""
    return "".join(character if character.isprintable() else "?" for character in text)


def read(path: str) -> str:
    """A small file's text without the white space around it; empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _processes(roots: Roots) -> Iterator[int]:
    try:
        names = os.listdir(roots.proc)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdecimal())


def open_files(roots: Roots, pid: int) -> Iterator[str]:
    """What a process has open, by the names of /proc: nothing where we may not see it."""
    directory = f"{roots.proc}/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return  # it has ended, or is none of ours
    for name in names:
        try:
            yield os.readlink(f"{directory}/{name}")
        except OSError:
            continue


def _flock_holders(roots: Roots, device: str) -> Iterator[int]:
    """/proc/locks: `1: FLOCK  ADVISORY  WRITE 812 00:05:123 0 EOF`, the device number in hex; see proc_locks(5)."""
    try:
        status = os.stat(device)
    except OSError:
        return
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in read(f"{roots.proc}/locks").splitlines():
        fields = line.split()
        # a process that waits for the lock has "->" in the second field and does not hold anything
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5] == wanted and fields[4].isdecimal():
            yield int(fields[4])


def _lock_file_holder(roots: Roots, device: str) -> Iterator[int]:
    text = read(f"{roots.lock}/LCK..{os.path.basename(device)}").split()
    # such files outlive a crash, so the process must still be there
    if text and text[0].isdecimal() and os.path.isdir(f"{roots.proc}/{int(text[0])}"):
        yield int(text[0])


def _command(roots: Roots, pid: int) -> str:
    line = read(f"{roots.proc}/{pid}/cmdline").replace("\0", " ") or read(f"{roots.proc}/{pid}/comm")
    return printable(re.sub(r"\s+", " ", line).strip())[:LONGEST_COMMAND]
