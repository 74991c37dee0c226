"""A file is exchanged as a whole or not at all, whatever fails and whenever the process is killed."""

import errno
import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nportpy import atomicfile
from nportpy.atomicfile import Owner

OLD, NEW = b"old = 1\n" * 1000, b"new = 2\n" * 3000
KILLS = int(os.environ.get("NPORTPY_KILLS", "24"))
CALLS = ("open", "stat", "fstat", "fchmod", "fchown", "write", "fsync", "close", "rename", "unlink")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nportpy.toml"
    path.write_bytes(OLD)
    return path


def beside(file: Path) -> list[str]:
    return [each.name for each in file.parent.iterdir() if each.name != file.name]


def test_c32_mode_and_owner_stay(file: Path) -> None:
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65533)
    before = file.stat()
    atomicfile.write(str(file), NEW)
    after = file.stat()
    assert file.read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert beside(file) == []


def test_c32_a_link_stays_a_link(file: Path) -> None:
    link = file.with_name("link.toml")
    link.symlink_to(file.name)
    atomicfile.write(str(link), NEW)
    assert link.is_symlink()
    assert file.read_bytes() == NEW


class Failing:
    """The system's calls, of which the Nth fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
        self.calls: list[str] = []
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name), number, code))

    def _counted(self, name: str, call: object, number: int, code: int) -> object:
        def counted(*arguments: object, **named: object) -> object:
            self.calls.append(name)
            if len(self.calls) == number:
                if name == "close":
                    call(*arguments, **named)  # type: ignore[operator]
                raise OSError(code, os.strerror(code))
            if name == "write":
                return call(arguments[0], bytes(arguments[1])[:7000])  # type: ignore[operator, call-overload]
            return call(*arguments, **named)  # type: ignore[operator]

        return counted


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_c32_whatever_call_fails_it_is_the_old_file_or_the_new_one(file: Path, code: int) -> None:
    seen = set()
    for number in range(1, 60):
        with pytest.MonkeyPatch.context() as monkeypatch:
            calls = Failing(monkeypatch, number, code)
            failed = False
            try:
                atomicfile.write(str(file), NEW)
            except OSError as error:
                failed = error.errno == code
        renamed = "rename" in calls.calls[: number - 1]
        if number > len(calls.calls):
            assert file.read_bytes() == NEW
            break
        assert failed != renamed or calls.calls[number - 1] == "unlink"
        assert file.read_bytes() == (OLD if failed else NEW)
        seen.add(calls.calls[number - 1])
        monkeypatch.undo()
        left = beside(file)
        assert left == [] or calls.calls[number - 1] == "unlink"
        file.write_bytes(OLD)
    assert {"open", "write", "fsync", "rename"} <= seen
    assert number < 59


KILLED = """
import sys
from nportpy import atomicfile
path, sizes = sys.argv[1], (3000, 500000, 20000)
print("go", flush=True)
for number in range(10**9):
    atomicfile.write(path, b"%09d\\n" % number * (sizes[number % 3] // 10))
"""


@pytest.mark.process
@pytest.mark.long
def test_c32_killed_at_random_points(file: Path) -> None:
    chance = random.Random(13)
    file.write_bytes(b"000000000\n")
    children: list[subprocess.Popen[bytes]] = []
    left = 0
    try:
        for _ in range(KILLS):
            child = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE)
            children.append(child)
            assert child.stdout is not None
            assert child.stdout.readline() == b"go\n"
            time.sleep(chance.random() * 0.02)
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
            content = file.read_bytes()
            rows = set(content.splitlines())
            assert len(rows) == 1, "a file of one number only"
            assert len(content) in (10, 3000, 500000, 20000)
            left += bool(beside(file))
            atomicfile.forget(str(file))
            assert beside(file) == []
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert left or KILLS < 50


def test_c32_a_file_that_is_not_there_yet_gets_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    atomicfile.write(str(path), b"{}", 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(FileNotFoundError):
        atomicfile.write(str(tmp_path / "other"), b"")
    assert [each.name for each in tmp_path.iterdir()] == ["new.json"]


def test_what_a_killed_one_has_left_goes_and_what_another_one_writes_stays(file: Path) -> None:
    left = file.with_name(f".{file.name}.0123abcd.new")
    left.write_bytes(b"half")
    others = [file.with_name(name) for name in (f".{file.name}.bak", ".other.0123abcd.new", "x.new")]
    for each in others:
        each.write_bytes(b"somebody's")
    writing = atomicfile.Prepared(str(file), NEW)
    second = atomicfile.Prepared(str(file), b"second")
    assert not left.exists()
    assert len(beside(file)) == len(others) + 2
    second.commit()
    writing.commit()
    assert file.read_bytes() == NEW
    assert sorted(beside(file)) == sorted(each.name for each in others)


def test_who_tidies_up_while_one_begins_to_write_takes_nothing_from_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open
    tidied: list[str] = []

    def tidying(path: str, flags: int, *more: int) -> int:
        made = opened(path, flags, *more)
        if flags & os.O_CREAT and not tidied:
            tidied.append(path)
            atomicfile.forget(str(file))
            assert not os.path.exists(path)
        return made

    monkeypatch.setattr(os, "open", tidying)
    atomicfile.write(str(file), NEW)
    assert tidied
    assert file.read_bytes() == NEW
    assert beside(file) == []


def test_a_mode_that_holds_always(file: Path) -> None:
    file.chmod(0o644)
    atomicfile.write(str(file), NEW, 0o600, always=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    atomicfile.write(str(file), OLD, 0o644)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("root", "owner", "refused"), [
    (False, Owner.KEPT, True), (False, Owner.KEPT_IF_ALLOWED, False), (False, Owner.FOLDERS, False),
    (True, Owner.KEPT_IF_ALLOWED, True), (True, Owner.FOLDERS, True),
])  # fmt: skip
def test_a_file_that_cannot_be_given_away(
    file: Path, monkeypatch: pytest.MonkeyPatch, root: bool, owner: Owner, refused: bool
) -> None:
    given: list[tuple[int, int]] = []
    fstat = os.fstat

    def refuse(_: int, user: int, group: int) -> None:
        given.append((user, group))
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def another(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:]))

    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 4711)
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "fstat", another)
    if refused:
        with pytest.raises(PermissionError):
            atomicfile.write(str(file), NEW, owner=owner)
    else:
        atomicfile.write(str(file), NEW, owner=owner)
    assert given == [(file.stat().st_uid, file.stat().st_gid)]
    assert file.read_bytes() == (OLD if refused else NEW)
    assert beside(file) == []


@pytest.mark.parametrize("owner", Owner)
def test_a_new_file_is_its_folders_only_where_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Owner
) -> None:
    given = []
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda file: os.stat_result((*fstat(file)[:4], 4711, *fstat(file)[5:])))
    monkeypatch.setattr(os, "fchown", lambda _file, user, group: given.append((user, group)))
    atomicfile.write(str(tmp_path / "new"), b"", 0o600, owner=owner)
    folder = tmp_path.stat()
    assert given == ([(folder.st_uid, folder.st_gid)] if owner is Owner.FOLDERS else [])


def test_a_file_system_without_locks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    left = file.with_name(f".{file.name}.0123abcd.new")
    left.write_bytes(b"of whom?")
    atomicfile.write(str(file), NEW)
    assert file.read_bytes() == NEW
    assert beside(file) == [left.name], "nobody can tell whether it is left over"
