"""`nportpy scan` on lines and behind gateways where somebody is, or nobody, or something that makes no sense."""

import json
import os
import re
import select
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import pytest

from nportpy.cli.scan import scan
from nportpy.client import scanning
from nportpy.client.connection import Client, connect
from nportpy.client.target import Target
from nportpy.errors import LineUnsupported
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.rtu import Frame
from tests.support.modbus_server import bus, server

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-m", "nportpy", "scan"]
QUICK = ("--timeout", "300ms")
HEAD = ["unit", "holding:0"]


@pytest.fixture(autouse=True)
def without_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a search takes is the machine's business, and what it says meanwhile has a test of its own."""
    monkeypatch.setattr("nportpy.cli.progress._FIRST_LINE", 1e9)


def run(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(scan, arguments, catch_exceptions=False)


def table(done: click.testing.Result) -> list[list[str]]:
    return [re.split(r" {2,}", line) for line in done.stdout.splitlines()]


class Units:
    """Some units. Unit 1 has a value, 2 refuses, 3 says who it is, 4 has a server id, 5 ignores what it does not know.

    Attributes:
        asked: the units that were asked, in order, and the functions.
    """

    def __init__(self, absent: bytes = b"") -> None:
        """The others answer with the exception code `absent`, or not at all."""
        self.asked: list[tuple[int, int]] = []
        self._absent = absent

    def __call__(self, unit: int, pdu: bytes) -> bytes:
        self.asked.append((unit, pdu[0]))
        refusal = bytes((pdu[0] | 0x80,))
        if unit not in range(1, 6):
            return refusal + self._absent if self._absent else b""
        match pdu[0]:
            case 3:
                return refusal + b"\2" if unit == 2 else bytes((3, 2, unit, 0))
            case 43 if unit == 3 and pdu[2:] == b"\1\0":
                return b"\x2b\x0e\1\3\xff\1\1\0\4Acme"
            case 43 if unit == 3 and pdu[2:] == b"\1\1":
                return b"\x2b\x0e\1\3\0\0\2\1\3X[1\2\4\x1b[2J"
            case 43 if unit == 3:
                return b"\x2b\x0e\3\3\0\0\2\4\5Z\xe4hl.\x80\1!"
            case 17 if unit == 4:
                return b"\x11\6\4\xffPump"
            case _:
                return b"" if unit == 5 else refusal + b"\1"


def on_wire(units: Callable[[int, bytes], bytes], speed: int = 9600) -> Callable[[int, Frame], bytes]:
    """The units on a bus that has this speed."""

    def answer(baud: int, frame: Frame) -> bytes:
        pdu = units(frame.unit, frame.pdu) if baud == speed else b""
        return Frame(frame.unit, pdu).encode() if pdu else b""

    return answer


AT_9600 = ("--baudrates", "9600", "--formats", "8N1")


@pytest.mark.parametrize("rtu", [False, True], ids=["tcp", "rtu"])
def test_who_is_there(rtu: bool) -> None:
    units = Units()
    with server(units, rtu=rtu) as where:
        done = run(f"rtu+tcp://{where}" if rtu else where, "--units", "1-6", *QUICK)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "unit  holding:0    vendor  product  version  besides",
        "1     256",
        "2     exception 2",
        "3     768          Acme    X[1      \\x1b[2J  product name Zähl., 0x80 !",
        "4     1024                                   server id Pump",
        "5     1280",
    ]
    assert {function for _, function in units.asked} <= {3, 43, 17}
    assert [unit for unit, function in units.asked if function == 3] == [1, 2, 3, 4, 5, 6]


def test_json() -> None:
    with server(Units(b"\x0b")) as where:
        done = run(where, "--units", "2-7", "--json", *QUICK)
    found = json.loads(done.stdout)
    assert found["units"][1] == {
        "unit": 3,
        "value": 768,
        "exception": None,
        "identification": {
            "vendor": "Acme",
            "product": "X[1",
            "version": "\x1b[2J",
            "product name": "Zähl.",
            "0x80": "!",
        },
        "server_id": None,
    }
    assert found["units"][0]["exception"] == 2
    assert found["units"][2]["server_id"] == {"text": "Pump", "raw": "04ff50756d70"}
    assert (found["complete"], found["error"], found["absent"]) == (True, None, {"no answer": 2})
    assert done.exit_code == 0


def test_what_to_ask() -> None:
    asked: list[bytes] = []

    def inputs(unit: int, pdu: bytes) -> bytes:
        asked.append(pdu)
        return b"\4\2\0\7" if pdu[0] == 4 else b"\2\1\1" if pdu[0] == 2 else bytes((pdu[0] | 0x80, 1))

    with server(inputs) as where:
        assert table(run(where, "--units", "255", "--ask", "31001")) == [["unit", "input:1000"], ["255", "7"]]
        assert table(run(where, "--units", "0", "--ask", "discrete:7")) == [["unit", "discrete:7"], ["0", "1"]]
    assert asked[0] == bytes.fromhex("04 03E8 0001")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            b"\x0a",
            "Error: the gateway has no way to any of these units (exception 10): its line is down, or no route\n",
        ),
        (b"\x0b", "Error: the gateway is there, but none of these units answers it (exception 11)\n"),
        (b"", "Error: nobody answers: 3 units asked, 7-8,20\n"),
    ],
)
@pytest.mark.parametrize("rtu", [False, True], ids=["tcp", "rtu"])
def test_a7_nobody_behind_a_gateway(code: bytes, message: str, rtu: bool) -> None:
    with server(Units(code), rtu=rtu) as where:
        done = run(f"rtu+tcp://{where}" if rtu else where, "--units", "7,20,8", *QUICK)
    if not rtu and not code:
        message += f"nothing at all came from {where}. A raw port? Then write rtu+tcp://{where}\n"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", message)


def test_some_have_no_route() -> None:
    with server(Units(b"\x0a")) as where:
        done = run(where, "--units", "1,6-7", *QUICK)
    assert table(done) == [HEAD, ["1", "256"]]
    assert done.stderr == "the gateway has no way to 2 units (exception 10)\n"
    assert done.exit_code == 0


def test_a_device_that_does_not_look_at_the_unit() -> None:
    with server(lambda unit, pdu: b"\3\2\0\1" if pdu[0] == 3 else bytes((pdu[0] | 0x80, 1))) as where:
        done = run(where, "--units", "1-10")
    assert len(table(done)) == 11
    assert "one device, probably, that does not look at the unit id" in done.stderr


def test_the_speed_is_found() -> None:
    speeds: list[int] = []
    units = Units()

    def answer(speed: int, frame: Frame) -> bytes:
        speeds.append(speed)
        return on_wire(units, 19200)(speed, frame)

    with bus(answer) as device:
        tried = ("--units", "1,9", "--baudrates", "4800,19200,9600", "--formats", "8N1,8N2", *QUICK)
        done = run(device, *tried)
        assert table(done) == [["unit", "line", "holding:0"], ["1", "19200 8N1", "256"]]
        assert (done.exit_code, done.stderr) == (0, "")
        assert list(dict.fromkeys(speeds)) == [4800, 19200]
        speeds.clear()
        done = run(device, *tried, "--all")
        assert [row[:2] for row in table(done)[1:]] == [["1", "19200 8N1"], ["1", "19200 8N2"]]
        assert list(dict.fromkeys(speeds)) == [4800, 19200, 9600]
        done = run(device, *tried, "--json")
        assert [json.loads(done.stdout)["units"][0][key] for key in ("baudrate", "format")] == [19200, "8N1"]


def test_nobody_on_a_line() -> None:
    with bus(lambda speed, frame: b"") as device:
        done = run(device, "--units", "1-2", "--baudrates", "9600", "--formats", "8N1,8E1", *QUICK)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == "Error: nobody answers at 9600 8N1, 9600 8E1: 2 units asked, 1-2\n"
        done = run(device, "--units", "1", "--timeout", "1ms")
        assert done.stderr == "Error: nobody answers at any of 32 speeds and formats: 1 unit asked, 1\n"


def test_noise_is_told_and_the_silent_are_asked_once_more() -> None:
    """Unit 2 is spoilt by noise the first time, and so is unit 3, which then is silent; unit 4 makes noise for ever."""
    units = Units()
    times: dict[int, int] = {}

    def answer(speed: int, frame: Frame) -> bytes:
        first = (frame.unit, frame.pdu[0]) not in units.asked
        good = on_wire(units)(speed, frame)
        times[frame.unit] = times.get(frame.unit, 0) + (frame.pdu[0] == 3)
        if frame.unit == 4:
            return b"\xe0\xff\x80\x04"
        return good if not first else good[:-1] + b"\0" if frame.unit == 2 else b"" if frame.unit == 3 else good

    with bus(answer) as device:
        done = run(device, *AT_9600, "--units", "1-4,9", *QUICK)
    assert [row[0] for row in table(done)[1:]] == ["1", "2", "3"]
    assert times == {1: 1, 2: 2, 3: 2, 4: 2, 9: 2}
    assert "at 9600 8N1, when asking unit 4: bytes came that are no frame. Somebody is there" in done.stderr


def test_silence_alone_is_not_asked_again() -> None:
    units = Units()
    with bus(on_wire(units)) as device:
        run(device, *AT_9600, "--units", "7-9", *QUICK)
    assert units.asked == [(7, 3), (8, 3), (9, 3)]


def test_an_answer_that_comes_when_the_next_is_asked() -> None:
    """Unit 1 is late once, unit 2 always."""
    units = Units()
    held: list[bytes] = []

    def answer(speed: int, frame: Frame) -> bytes:
        good = on_wire(units)(speed, frame)
        before = b"".join(held)
        held.clear()
        if frame.pdu[0] == 3 and (frame.unit == 2 or units.asked.count((1, 3)) == frame.unit == 1):
            held.append(good)
            return before
        return before + good

    with bus(answer) as device:
        done = run(device, *AT_9600, "--units", "1-3,9", *QUICK)
    assert sorted(row[0] for row in table(done)[1:]) == ["1", "2", "3"]
    assert [row[2] for row in table(done) if row[0] == "2"] == ["late or wrong"]
    assert "try a longer --timeout" in done.stderr


def test_answers_over_tcp_that_come_too_late() -> None:
    class OneBehind(socketserver.BaseRequestHandler):
        """Answers each request when the next one comes."""

        def handle(self) -> None:
            reader = mbap.Reader()
            before: mbap.Adu | None = None
            while data := self.request.recv(4096):
                for event in reader.feed(data):
                    assert isinstance(event, mbap.Adu)
                    if before is not None:
                        self.request.sendall(mbap.encode(before.transaction, before.unit, b"\3\2\0\1"))
                    before = event

    with socketserver.TCPServer(("127.0.0.1", 0), OneBehind) as listening:
        thread = threading.Thread(target=listening.handle_request)
        thread.start()
        done = run(f"127.0.0.1:{listening.server_address[1]}", "--units", "1-3", *QUICK)
        thread.join(30)
    assert done.exit_code == 1
    assert "answers that came too late to tell whose they are: 2; try a longer --timeout\n" in done.stderr


def test_an_echo_is_nobody() -> None:
    units = Units()
    with bus(on_wire(units), echo=True) as device:
        done = run(device, *AT_9600, "--units", "1,9", *QUICK)
    assert [row[0] for row in table(done)[1:]] == ["1"]
    assert done.stderr == ""


def test_the_device_is_lost_under_way() -> None:
    units = Units()

    def answer(speed: int, frame: Frame) -> bytes:
        if frame.unit == 4:
            raise ConnectionAbortedError
        return on_wire(units)(speed, frame)

    with bus(answer) as device:
        done = run(device, *AT_9600, "--units", "1-9", *QUICK)
        assert [row[0] for row in table(done)[1:]] == ["1", "2", "3"]
        assert done.stderr.startswith(f"Error: cut short after 3 of 9 questions: {device}")
        assert done.exit_code == 1


def test_lost_before_anybody_was_found() -> None:
    def answer(speed: int, frame: Frame) -> bytes:
        if frame.unit == 2:
            raise ConnectionAbortedError
        return b""

    with bus(answer) as device:
        done = run(device, *AT_9600, "--units", "1-9", *QUICK)
        assert done.stderr.startswith("Error: cut short after 1 of 9 questions: ")
        assert done.stderr.count("\n") == 1
        assert (done.exit_code, done.stdout) == (1, "")


def test_a_speed_that_the_driver_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    async def picky(target: Target, line: LineSettings, patience: float) -> Client:
        if line.baudrate != 9600:
            raise LineUnsupported(f"{target}: the driver refused {line}")
        return await connect(target, line, patience)

    monkeypatch.setattr(scanning, "connect", picky)
    with bus(on_wire(Units())) as device:
        done = run(device, "--units", "1", "--baudrates", "250000,9600", "--formats", "8N1", *QUICK)
        assert table(done)[1][:2] == ["1", "9600 8N1"]
        assert done.stderr == f"left out: {device}: the driver refused 250000 8N1\n"
        assert run(device, "--units", "1", "--baudrates", "250000").exit_code == 1


def test_a_server_that_hangs_up_on_whom_it_does_not_know() -> None:
    def strict(unit: int, pdu: bytes) -> bytes:
        if unit not in (1, 3):
            raise ConnectionAbortedError
        return units(unit, pdu)

    units = Units()
    with server(strict) as where:
        done = run(where, "--units", "1-3", *QUICK)
        assert [row[0] for row in table(done)[1:]] == ["1", "3"]
        assert done.stderr == "the connection was closed when asking 1 unit\n"
        done = run(where, "--units", "1-20", *QUICK)
        assert [row[0] for row in table(done)[1:]] == ["1", "3"]
        assert f"Error: cut short after 5 of 20 questions: {where} closed the connection" in done.stderr
        assert done.exit_code == 1


def test_nobody_is_there(tmp_path: Path) -> None:
    with server(Units()) as where:
        pass
    done = run(where)
    assert done.exit_code == 1
    assert done.stderr == f"Error: cut short after 0 of 247 questions: cannot connect to {where}: Connection refused\n"
    done = run(f"{tmp_path}/none")
    assert done.exit_code == 1
    assert f"{tmp_path}/none" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'TARGET'"),
        (["ftp://127.0.0.1"], "is no target"),
        (["/dev/ttyS0", "--units", "0-3"], "0: the units of a line are 1 to 247"),
        (["/dev/ttyS0", "--units", "240-250"], "248: the units of a line are 1 to 247"),
        (["127.0.0.1", "--units", "1-256"], "'1-256' is no unit and no range of units; they are as in 1-10,20"),
        (["127.0.0.1", "--units", "9-3"], "'9-3' is no unit and no range"),
        (["127.0.0.1", "--units", "1,,2"], "'' is no unit"),
        (["127.0.0.1", "--baudrates", "9600"], "Modbus TCP has no speed and no format"),
        (["rtu+tcp://127.0.0.1:1", "--baudrates", "9600,19200"], "not ours to set over TCP"),
        (["/dev/ttyS0", "--baudrates", "fast"], "'fast' are no speeds; speeds are as in 9600,19200"),
        (["/dev/ttyS0", "--baudrates", "0"], "baud rate 0 is not in"),
        (["/dev/ttyS0", "--formats", "8N1,9X9"], "'9X9' is not a format"),
        (["/dev/ttyS0", "--ask", "1000"], "PDU address 1000 is holding:1000"),
        (["/dev/ttyS0", "--timeout", "5"], "has no unit"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in " ".join(done.stderr.split())


@contextmanager
def stuck() -> Iterator[tuple[str, threading.Event]]:
    """A bus with unit 1, and an event that says that unit 9 was asked, who is silent."""
    asked = threading.Event()

    def answer(speed: int, frame: Frame) -> bytes:
        if frame.unit == 9:
            asked.set()
        return on_wire(Units())(speed, frame)

    with bus(answer) as device:
        yield device, asked


@pytest.mark.parametrize("shape", [(), ("--json",)], ids=["table", "json"])
def test_ctrl_c_shows_what_was_found(shape: tuple[str, ...]) -> None:
    with stuck() as (device, asked):
        command = [*COMMAND, device, *AT_9600, "--units", "1,9,10", "--timeout", "60s", *shape]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert asked.wait(60)
                process.send_signal(signal.SIGINT)
                output, errors = process.communicate(timeout=60)
            finally:
                process.kill()
    assert process.returncode == 1
    assert errors == "Error: cut short after 1 of 3 questions: interrupted\n"
    if shape:
        found = json.loads(output)
        assert (found["complete"], found["error"], found["units"][0]["unit"]) == (False, "interrupted", 1)
    else:
        assert output.splitlines() == ["unit  line      holding:0", "1     9600 8N1  256"]


def test_a_terminal_gets_a_bar() -> None:
    ours, theirs = os.openpty()
    try:
        with stuck() as (device, asked):
            command = [*COMMAND, device, *AT_9600, "--units", "1,9,10", "--timeout", "60s"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
                try:
                    assert asked.wait(60)
                    shown = b""
                    deadline = time.monotonic() + 30
                    while b"found 1, 9600 8N1, unit 9" not in shown:
                        assert time.monotonic() < deadline, shown
                        assert select.select([ours], [], [], 30)[0], shown
                        shown += os.read(ours, 4096)
                    process.send_signal(signal.SIGINT)
                    output, _ = process.communicate(timeout=60)
                finally:
                    process.kill()
            while select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 4096)
        assert b"1/3" in shown
        assert b"interrupted" in shown
        assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")  # the cursor is back
        assert output.endswith(b"256\n")
    finally:
        os.close(ours)
        os.close(theirs)


def test_rich_is_not_loaded_for_a_pipe() -> None:
    with server(Units()) as where:
        code = (
            "import sys; from nportpy.cli import main\n"
            f"try: main(['scan', {where!r}, '--units', '1'])\n"
            "except SystemExit: print('rich' in sys.modules)"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


def test_a18_progress_is_told_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nportpy.cli.progress._FIRST_LINE", 0.0)
    monkeypatch.setattr("nportpy.cli.progress._NEXT_LINE", 0.0)
    with server(Units(b"\x0b")) as where:
        done = run(where, "--units", "1-3,7", "--json", *QUICK)
    assert json.loads(done.stdout)["asked"] == 4
    assert done.stderr.splitlines() == [
        "0 of 4 asked, found 0, unit 1",
        "1 of 4 asked, found 1, unit 2",
        "2 of 4 asked, found 2, unit 3",
        "3 of 4 asked, found 3, unit 7",
    ]
