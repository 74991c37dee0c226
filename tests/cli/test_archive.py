"""`nportpy archive` against a running gateway, and against the file where none runs."""

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click.testing
import pytest

from nportpy.cli.archive import archive
from tests.cli.test_serve import wait_for
from tests.support.free_ports import free_port
from tests.support.modbus_server import counting, server

COMMAND = [sys.executable, "-m", "nportpy"]

pytestmark = pytest.mark.real


def run(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(archive, arguments, catch_exceptions=False)


class Site:
    """A folder with a configuration whose station is read ten times a second."""

    def __init__(self, folder: Path, target: str) -> None:
        self.port = free_port()
        self.db = folder / "state" / "archive.db"
        self.file = str(folder / "nportpy.toml")
        self.log = ""  # of the last gateway
        Path(self.file).write_text(
            f"""
[http]
listen = "127.0.0.1:{self.port}"
[archive]
path = "{self.db}"
commit = "100ms"
clock = "trusted"
[station.emon]
target = "tcp://{target}"
unit = 1
every = "100ms"
max_silence = "1s"
tags = [
  {{ name = "power", at = "40008", unit = "kW", always_at = "1s" }},
  {{ name = "a_tag_with_a_name_that_is_as_long_as_somebody_might_like_it", at = "40011" }},
]
[upstream.plant]
url = "influx+http://127.0.0.1:9/"
database = "meters"
"""
        )

    @contextmanager
    def served(self) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen([*COMMAND, "serve", "-c", self.file], stderr=subprocess.PIPE, text=True)
        try:
            wait_for(self.answers, "the gateway")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            _, self.log = process.communicate(timeout=30)
        assert process.returncode == 0, self.log

    def answers(self) -> bool:
        """Whether the gateway runs and has its archive."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/archive", timeout=10) as answer:
                return (json.load(answer) or {}).get("archive") is not None
        except OSError:
            return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With some samples; its gateway has ended."""
    with server(counting) as target:
        made = Site(tmp_path_factory.mktemp("site"), target)
        with made.served():
            wait_for(
                lambda: json.loads(run("status", "-c", made.file, "--json").stdout)["archive"]["samples"] > 9, "it"
            )
        yield made


def samples(result: click.testing.Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_status_of_a_gateway_and_of_its_file(site: Site) -> None:
    with site.served():
        wait_for(lambda: "reason" in run("status", "-c", site.file).stdout, "the upstream's reason")
        text = run("status", "-c", site.file).stdout
        assert re.search(r"samples +\d+, numbers 1 to \d+\n", text)
        assert re.search(r"upstream plant\n  away", text)
        assert re.search(r"backlog +\d+ samples", text)
    text = run("status", "-c", site.file).stdout
    assert "no gateway runs" in text
    assert re.search(r"samples +\d+, numbers 1 to \d+\n", text)


def test_e7_show_and_export_say_the_same_of_a_gateway_and_of_its_file(site: Site) -> None:
    with site.served():
        time.sleep(0.5)
        asked = samples(run("show", "-c", site.file, "--json", "--to", "now"))
        shown = run("show", "emon/power", "-c", site.file, "--csv").stdout
    read = samples(run("show", "-c", site.file, "--json"))
    assert read[: len(asked)] == asked
    assert {each["station"] for each in asked} == {"emon"}
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert {row["tag"] for row in rows} == {"power"}
    assert {row["value"] for row in rows} == {"7"}
    exported = run("export", "-c", site.file)
    assert len(list(csv.DictReader(io.StringIO(exported.stdout)))) == len(read)
    assert exported.stderr == f"{len(read)} samples\n"
    assert [each["seq"] for each in read] == list(range(1, len(read) + 1))


def test_the_table_is_whole_where_nobody_sees_its_width(site: Site) -> None:
    text = run("show", "-c", site.file).stdout
    assert "emon/a_tag_with_a_name_that_is_as_long_as_somebody_might_like_it" in text
    assert "…" not in text
    assert text.splitlines()[0].split() == ["time", "tag", "value", "unit", "quality", "late"]


def test_an_interval_and_a_tag(site: Site) -> None:
    everything = samples(run("show", "-c", site.file, "--json"))
    middle = str(everything[len(everything) // 2]["time"])
    before = samples(run("show", "-c", site.file, "--json", "--from", "1h", "--to", middle))
    after = samples(run("show", "-c", site.file, "--json", "--from", middle))
    assert len(before) + len(after) == len(everything)
    assert samples(run("show", "emon", "-c", site.file, "--json")) == everything
    assert run("show", "-c", site.file, "--from", "2020-01-01", "--to", "2020-01-02").stderr == "0 samples\n"


@pytest.mark.parametrize("gateway", [False, True])
def test_what_is_asked_wrongly(site: Site, gateway: bool) -> None:
    def ask_all() -> None:
        done = run("show", "emon/pwer", "-c", site.file)
        assert done.exit_code == 1
        assert "nothing of 'emon/pwer' was ever kept; there is" in done.output
        assert "emon/power" in done.output
        assert run("show", "-c", site.file, "--from", "soon").exit_code == 2
        assert run("show", "-c", site.file, "--json", "--csv").exit_code == 2
        if gateway:  # a file alone knows nothing of intervals that end before they begin
            done = run("show", "-c", site.file, "--from", "1h", "--to", "2h")
            assert done.exit_code == 1
            assert "ends before it begins" in done.output

    if gateway:
        with site.served():
            ask_all()
    else:
        ask_all()


def test_e7_send_needs_a_gateway_and_says_to_whom(site: Site) -> None:
    done = run("send", "plant", "--from", "1h", "-c", site.file)
    assert done.exit_code == 1
    assert "a running gateway sends: nportpy serve" in done.output
    with site.served():
        assert run("send", "plant", "--from", "1h", "-c", site.file).stdout == "on its way to plant\n"
        assert run("send", "--from", "1h", "-c", site.file).stdout == "on its way to plant\n"
        done = run("send", "other", "--from", "1h", "-c", site.file)
        assert done.exit_code == 1
        assert "there is no upstream other; there are: plant" in done.output
        assert run("send", "plant", "-c", site.file).exit_code == 2


def test_only_one_program_may_have_the_file(site: Site) -> None:
    with site.served():
        blind = Path(site.file).with_name("blind.toml")
        blind.write_text(Path(site.file).read_text().replace(f"{site.port}", f"{free_port()}"))
        done = run("status", "-c", str(blind))
        assert done.exit_code == 1
        assert "archive.db is in use by another nportpy" in done.output


def test_to_look_makes_no_archive(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(Path(site.file).read_text().replace(str(site.db), str(tmp_path / "none" / "a.db")))
    for command in ("status", "show", "export"):
        done = run(command, "-c", str(file))
        assert done.exit_code == 1
        assert "there is no archive yet" in done.output
    assert not (tmp_path / "none").exists()
    (tmp_path / "plain.toml").write_text('[port.a]\ndevice = "/dev/ttyS0"\n[[port.a.raw]]\nlisten = 4001\n')
    done = run("status", "-c", str(tmp_path / "plain.toml"))
    assert done.exit_code == 1
    assert "has no [station.NAME]" in done.output
    assert run("status", "-c", str(tmp_path / "missing.toml")).exit_code == 2


def test_export_into_a_file_shows_its_progress_on_a_terminal(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    for terminal in (False, True):
        primary, secondary = pty.openpty()
        errors = secondary if terminal else subprocess.PIPE
        process = subprocess.Popen(
            [*COMMAND, "archive", "export", "-c", site.file, "-o", str(target)],
            stdout=subprocess.PIPE, stderr=errors, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        os.close(secondary)
        seen = b""
        if terminal:
            try:
                while piece := os.read(primary, 4096):
                    seen += piece
            except OSError:  # its other end is closed
                pass
        out, piped = process.communicate(timeout=60)
        os.close(primary)
        seen += piped or b""
        assert (process.returncode, out) == (0, b"")
        assert (b"export" in seen) is terminal
        assert b" samples" in seen
        assert len(target.read_text().splitlines()) > 10


def test_a_gateway_that_stops_in_the_middle_is_an_error(site: Site, tmp_path: Path) -> None:
    class Half(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b'5\r\n{"tim')
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Half) as half:
        thread = threading.Thread(target=half.handle_request)
        thread.start()
        file = tmp_path / "nportpy.toml"
        text = Path(site.file).read_text()
        file.write_text(text.replace(f"127.0.0.1:{site.port}", f"127.0.0.1:{half.server_address[1]}"))
        done = run("export", "-c", str(file))
        thread.join(10)
    assert done.exit_code == 1
    assert "stopped in the middle" in done.output


def test_whoever_reads_the_export_may_go(site: Site) -> None:
    process = subprocess.Popen(
        [*COMMAND, "archive", "export", "-c", site.file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(30)
    process.stderr.close()
    assert "Traceback" not in errors


def test_at_sigterm_what_was_read_last_is_in_the_file(site: Site) -> None:
    with site.served():
        time.sleep(1.0)
    found = samples(run("show", "-c", site.file, "--json"))
    order = [line for line in site.log.splitlines() if "stopping" in line]
    assert len(order) == 1
    assert found[-1]["boot"] != found[0]["boot"]
    assert "Traceback" not in site.log
