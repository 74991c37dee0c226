"""`nportpy status` against statuses that are made up, and against nobody."""

import http.server
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import click.testing
import pytest

from nportpy.cli import asking, where
from nportpy.cli import status as command
from nportpy.cli.status_screen import MOST_UNITS, screen, size
from nportpy.services import report
from nportpy.services.http_base import HttpSettings
from nportpy.status import GatewayStatus
from tests.services import samples
from tests.services.test_verdict import EVEN, NOW, bus, client, unit
from tests.support.free_ports import free_port

PORT = '[port.meters]\ndevice = "/dev/ttyAMA0"\n[port.meters.raw]\nlisten = 4001\n'
HOG = client("192.0.2.9:5000", 2000, 120.0)


def troubled() -> GatewayStatus:
    """A gateway with a line that is away, a dead unit and a hog; and a server elsewhere."""
    status = samples.every_mode()
    busy = bus(unit(1), unit(9, silent=True), clients=(*EVEN, HOG, client("192.0.2.8", 0, 0.0, left=NOW - 60)))
    away = replace(samples.bus("tcp://192.0.2.10:502"), up=False)
    return replace(status, lines=(samples.line(), samples.line("plc", "lost")), buses=(busy, away))


class Site(http.server.ThreadingHTTPServer):
    """Answers as a gateway does, with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = troubled()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.asked.append(path)
        code, text = 404, "404 Not Found\n"
        if path == "/api/v1/status":
            code, text = 200, "".join(report.document(self.server.status, NOW))
        elif path == "/api/v1/verdict":
            name = urllib.parse.parse_qs(query).get("bus", [None])[0]
            found = report.verdicts(self.server.status, name, NOW)
            code, text = (200, json.dumps(found)) if found is not None else (404, "404 Not Found: no such bus")
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base's name


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def run(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(command.status, arguments, catch_exceptions=False)


def test_one_screen(site: Site) -> None:
    result = run("--url", site.url)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("pi-07: nportpy ")
    assert lines[0].endswith(", up 60 min, ready, 5 faults")
    titles = [line for line, before in zip(lines[1:], lines, strict=False) if not before]
    assert titles == ["Faults", "Lines", "Certificates", "Services", "Clients", "Who asks", "Units"]
    text = result.stdout
    for words in (
        "60 min  plc                   /dev/ttyAMA0 is lost: No such file or directory",
        "10 min  meters                unit 9 is dead",
        "192.0.2.9:5000 has too much of the bus",
        "tcp://192.0.2.10:502          down",
        "meters  raw             0.0.0.0:4001",
        "192.0.2.9:5000  meters modbus",
        "unit 1 FC3 0",
    ):
        assert words.split() == [word for word in words.split() if word in text], words
    dead = next(line for line in lines if line.endswith("silent"))
    assert dead.split()[:2] == ["meters", "9"]
    assert [line.split()[-3:] for line in lines if line.endswith("ago")] == [["60", "s", "ago"], ["40", "min", "ago"]]
    assert max(map(len, lines)) < 140


def test_json_is_the_whole_document(site: Site) -> None:
    found = json.loads(run("--url", site.url, "--json").stdout)
    assert found == json.loads("".join(report.document(site.status, NOW)))


def test_a_bus_in_words(site: Site) -> None:
    result = run("--url", site.url, "--bus", "meters")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].startswith("192.0.2.9:5000 hogs the bus")
    assert any(line.startswith("Unit 9 is dead") for line in lines)
    assert lines[-1].startswith("The gateway is innocent")
    found = json.loads(run("--url", site.url, "--bus", "meters", "--json").stdout)
    assert found[0]["hogs"] == ["192.0.2.9:5000"]
    assert [(each["unit"], each["ill"]) for each in found[0]["units"]] == [(9, "dead")]
    assert found[0]["innocent"] is True
    everywhere = run("--url", site.url, "--bus", "*").stdout
    assert "tcp://192.0.2.10:502 is down." in everywhere


def test_a_bus_that_is_none(site: Site) -> None:
    result = run("--url", site.url, "--bus", "metres")
    assert result.exit_code == 2
    assert "no bus is called 'metres'; there are: meters, tcp://192.0.2.10:502" in result.stderr
    plain = run("--url", site.url, "--bus", "plc")
    assert plain.exit_code == 2
    assert "plc is a line without a Modbus service" in " ".join(plain.stderr.split())
    site.status = samples.gateway()
    result = run("--url", site.url, "--bus", "meters")
    assert "this gateway has none: nothing speaks Modbus" in result.stderr


@pytest.mark.parametrize("text", ["ftp://h:1", "http://", "http:///x"])
def test_a_url_that_is_none(text: str) -> None:
    result = run("--url", text)
    assert result.exit_code == 2
    assert "http://192.0.2.10:9550" in result.stderr


def test_a_url_without_its_scheme_and_with_a_path(site: Site) -> None:
    assert run("--url", site.url.removeprefix("http://") + "/").exit_code == 0
    assert run("--url", site.url + "/elsewhere").exit_code == 1
    assert site.asked[-1] == "/elsewhere/api/v1/status"


def test_no_gateway_and_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    result = run("--url", f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: no gateway answers at 127.0.0.1:{port} (")
    assert f"curl http://127.0.0.1:{port}/healthz" in result.stderr
    file = tmp_path / "nportpy.toml"
    file.write_text(f'{PORT}[http]\nlisten = "127.0.0.1:{port}"\n')
    result = run("-c", str(file))
    assert result.exit_code == 1
    assert f"start it: nportpy serve -c {file}" in result.stderr
    monkeypatch.setattr(where, "DEFAULT_PATH", str(file))
    assert "start it: systemctl start nportpy" in run().stderr
    monkeypatch.setattr(where, "DEFAULT_PATH", str(tmp_path / "none"))
    monkeypatch.setattr(where, "HttpSettings", lambda: HttpSettings((("127.0.0.1", port),)))
    assert "start it: nportpy serve\n" in run().stderr


def test_where_the_configuration_says(tmp_path: Path, site: Site) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(f'{PORT}[http]\nlisten = "0.0.0.0:{site.server_address[1]}"\n')
    assert run("-c", str(file)).exit_code == 0
    file.write_text(f"{PORT}[http]\nlisten = 17.5\n")
    bad = run("-c", str(file))
    assert bad.exit_code == 2
    assert "http.listen" in bad.stderr
    assert run("-c", str(file), "--url", site.url).exit_code == 2
    assert asking.url_of(HttpSettings((("::", 9550),))) == "http://[::1]:9550"


def test_http_that_is_off(tmp_path: Path) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(f"{PORT}[http]\nlisten = false\n")
    result = run("-c", str(file))
    assert result.exit_code == 1
    assert f"[http] is off, so the gateway cannot be asked; switch [http] on in {file}" in result.stderr


def test_an_answer_that_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> bytes:
            raise ConnectionResetError

    monkeypatch.setattr(asking, "opened", lambda *_, **__: Short())
    with pytest.raises(asking.Unreachable, match="broke off"):
        asking.asked(asking.Place("http://127.0.0.1:1"), "/")


def test_many_of_anything_are_cut() -> None:
    many = bus(*(unit(number) for number in range(1, 100)), clients=tuple(client(f"c{n}", 1, 0.1) for n in range(90)))
    status = replace(samples.gateway(), buses=(many,))
    lines = screen(json.loads("".join(report.document(status, NOW))))
    assert len(lines) < 70
    assert f"... and {99 - MOST_UNITS + 1} more: --json" in lines


def test_a_document_of_an_older_gateway_is_shown_as_far_as_it_goes() -> None:
    document: dict[str, Any] = json.loads("".join(report.document(troubled(), NOW)))
    for name in ("time", "faults", "loop"):
        del document[name]
    for each in document["buses"]:
        for name in ("clients", "recent", "own"):
            del each[name]
        for one in each["units"]:
            del one["recent"]
    assert "meters" in "\n".join(screen(document))


def test_sizes() -> None:
    assert [size(each) for each in (0, 999, 1000, 1_500_000, 2_000_000_000)] == [
        "0 B", "999 B", "1.0 kB", "1.5 MB", "2.0 GB"
    ]  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipe", "terminal"])
def test_watching_until_ctrl_c(site: Site, on_terminal: bool) -> None:
    ours, its = pty.openpty()
    arguments = [sys.executable, "-m", "nportpy", "status", "--url", site.url, "--watch", "--every", "100ms"]
    with subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=its if on_terminal else subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        os.close(its)
        until = time.monotonic() + 30
        while len(site.asked) < 5 and time.monotonic() < until:
            time.sleep(0.02)
        site.status = samples.gateway("other")
        count = len(site.asked)
        while len(site.asked) < count + 3 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        if on_terminal:
            shown = _all_of(ours)
        else:
            assert process.stdout is not None
            shown = process.stdout.read()
        assert process.wait(10) == 0
    os.close(ours)
    assert b"unit 9 is dead" in shown
    assert b"other" in shown
    assert (b"\x1b[" in shown) is on_terminal


def _all_of(descriptor: int) -> bytes:
    """Until nobody writes there any more."""
    found = b""
    while True:
        try:
            found += os.read(descriptor, 65536)
        except OSError:
            return found
