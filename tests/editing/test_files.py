"""A file is exchanged as a whole or not at all, whatever fails and whenever the process is killed."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nportpy.editing import files
from nportpy.errors import EditError

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
    files.write(str(file), NEW)
    after = file.stat()
    assert file.read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert beside(file) == []


def test_c32_a_link_stays_a_link(file: Path) -> None:
    link = file.with_name("link.toml")
    link.symlink_to(file.name)
    files.write(str(link), NEW)
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
                files.write(str(file), NEW)
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
from nportpy.editing import files
path, sizes = sys.argv[1], (3000, 500000, 20000)
print("go", flush=True)
for number in range(10**9):
    files.write(path, b"%09d\\n" % number * (sizes[number % 3] // 10))
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
            files.forget(str(file))
            assert beside(file) == []
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert left or KILLS < 50


def test_what_is_too_large_or_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(EditError, match="cannot be read: No such file"):
        files.read(str(path))
    path.write_bytes(b"#" * (files.LARGEST + 1))
    with pytest.raises(EditError, match="larger than 1 MiB"):
        files.read(str(path))


def test_c25_why_a_file_cannot_be_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.why_not(str(file)) == ""
    assert "No such file" in files.why_not(str(file.with_name("no.toml")))
    assert "is no file" in files.why_not(str(file.parent))
    with monkeypatch.context() as patched:
        flags = os.statvfs(file.parent)
        patched.setattr(os, "statvfs", lambda _: type("F", (), {"f_flag": flags.f_flag | os.ST_RDONLY})())
        assert "is read-only" in files.why_not(str(file))
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)
        assert "may not write" in files.why_not(str(file))
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 4711)
        patched.setattr(os, "access", lambda *_: True)
        assert "belongs to another user" in files.why_not(str(file))


def test_c32_a_file_that_is_not_there_yet_gets_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    files.write(str(path), b"{}", 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(FileNotFoundError):
        files.write(str(tmp_path / "other"), b"")
    assert [each.name for each in tmp_path.iterdir()] == ["new.json"]
