"""Sessions of a gateway as a process: they end with it, however that comes."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

import pytest

from nportpy.accounts import changing
from nportpy.accounts.roles import Role
from tests.support.free_ports import free_ports

pytestmark = pytest.mark.process

GOOD = "correct horse battery"


def ask(port: int, path: str, body: object = None, **headers: str) -> HTTPResponse:
    sent = None if body is None else json.dumps(body).encode()
    own = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", sent, own | headers)
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=20)
    with answer:
        answer.read()
    return answer


def status(port: int, **headers: str) -> int:
    try:
        return ask(port, "/api/v1/status", **headers).status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def start(file: Path, port: int) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-m", "nportpy", "serve", "-c", str(file)])
    for _ in range(600):
        try:
            ask(port, "/healthz")
        except OSError:
            time.sleep(0.05)
        else:
            return child
    child.kill()
    raise AssertionError("nobody answers")


def test_s21_a_restart_ends_all(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    file = tmp_path / "nportpy.toml"
    file.write_text(f'[http]\nlisten = "127.0.0.1:{port}"\n[port.a]\ndevice = "loop://"\n')
    changing.add(str(tmp_path / "accounts.json"), "anna", Role.VIEWER, [], GOOD)
    child = start(file, port)
    try:
        answer = ask(port, "/api/v1/session", {"name": "anna", "password": GOOD})
        cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
        assert status(port, Cookie=cookie) == 200
        child.send_signal(signal.SIGHUP)  # a reload ends none
        assert status(port, Cookie=cookie) == 200
        child.terminate()
        child.wait(20)
        child = start(file, port)
        assert status(port, Cookie=cookie) == 401
        kept = [each for each in tmp_path.rglob("*") if each.is_file() and cookie.encode() in each.read_bytes()]
        assert not kept
    finally:
        child.kill()
        child.wait()
