"""The file that is edited: read, and why it cannot be exchanged."""

import os
from pathlib import Path

import pytest

from nportpy.editing import files
from nportpy.errors import EditError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nportpy.toml"
    path.write_bytes(b"old = 1\n")
    return path


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
