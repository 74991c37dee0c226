"""A gateway as a process whose file is edited: what that costs it, and what it starts with after a kill."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from nportpy.editing import files
from tests.support.free_ports import free_ports

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.slow]

FILE = """[http]
listen = "127.0.0.1:{}"
console = "edit"

[port.a]
device = "loop://"
[port.a.raw]
listen = "127.0.0.1:{}"
"""


def ask(port: int, path: str, body: object = None, **headers: str) -> Any:
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", sent, {"Content-Type": "application/json"} | headers
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def start(file: Path, port: int) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-m", "nportpy", "serve", "-c", str(file)])
    answering(port)
    return child


def answering(port: int) -> None:
    for _ in range(600):
        try:
            ask(port, "/api/v1/status")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nobody answers")


def memory(child: subprocess.Popen[bytes]) -> int:
    """Bytes of its own that it has in memory."""
    text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_", "Anonymous:")))


def test_c26_c30_memory_stays_and_a_kill_in_the_window_starts_with_the_old_file(tmp_path: Path) -> None:
    here, raw, there = free_ports(3)
    file = tmp_path / "nportpy.toml"
    old = FILE.format(here, raw)
    file.write_text(old)
    child = start(file, here)
    try:
        checked = ask(here, "/api/v1/config/check", {"text": FILE.format(there, raw)})
        before = memory(child)
        for _ in range(2):
            checked = ask(here, "/api/v1/config/check", {"text": FILE.format(there, raw)})
            assert checked["ok"]
            assert not ask(here, "/api/v1/config/check", {"text": "x = 1\n"})["ok"]
        assert memory(child) - before < 2 << 20
        tag = ask(here, "/api/v1/config")["tag"]
        number = ask(here, "/api/v1/config/apply", {"text": checked["text"]}, **{"If-Match": f'"{tag}"'})["number"]
        answering(there)
        with pytest.raises(urllib.error.URLError):
            ask(here, "/api/v1/status")
        assert file.read_text() == old
        child.send_signal(signal.SIGKILL)
        child.wait()
        left, *others = sorted(os.listdir(tmp_path))
        assert others == ["nportpy.toml", "nportpy.toml.history"]
        assert re.fullmatch(r"\.nportpy\.toml\.[0-9a-f]{8}\.new", left)
        child = start(file, here)
        entries = ask(here, "/api/v1/config/history")["entries"]
        assert [(each["number"], each["fate"]) for each in entries] == [(number, "interrupted"), (1, "found")]
        assert sorted(os.listdir(tmp_path)) == ["nportpy.toml", "nportpy.toml.history"]
        # And one that is confirmed is the file.
        tag = files.tag(file.read_bytes())
        new = old.replace(f"127.0.0.1:{raw}", f"127.0.0.1:{there}")
        number = ask(here, "/api/v1/config/apply", {"text": new}, **{"If-Match": f'"{tag}"'})["number"]
        assert ask(here, "/api/v1/config/confirm", {"number": number})["fate"] == "confirmed"
        assert file.read_text() == new
    finally:
        child.kill()
        child.wait()
