"""`nportpy read` against the simulated meter, a gateway in front of it, and servers that answer what they are told."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import pytest

from nportpy.cli.options import timeout_for
from nportpy.cli.read import read
from nportpy.client.target import Target
from nportpy.linesettings import LineSettings
from nportpy.simulator.process import simulated_lines
from tests.support.modbus_server import counting, server

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-m", "nportpy", "read"]
FLOAT = ("--type", "float32")
ENERGY = r"12345\.\d{1,3}"


def run(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(read, arguments, catch_exceptions=False)


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulated meter on a line without wire time: its device."""
    link = str(tmp_path_factory.mktemp("lines") / "meter")
    with simulated_lines(LineSettings.parse(9600, "8E1"), meters=[link], unpaced=True):
        yield link


@pytest.fixture(scope="module")
def modbus_tcp() -> Iterator[str]:
    with server(counting) as where:
        yield where


def test_a_device(meter: str) -> None:
    done = subprocess.run([*COMMAND, meter, "41001", *FLOAT], capture_output=True, text=True, timeout=60)
    assert re.fullmatch(rf"41001  {ENERGY}\n", done.stdout)
    assert done.stderr == ""
    assert done.returncode == 0


def test_all_spellings_are_the_same_register(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "41001", "401001", "4x1001", "holding:1000", "holding:0x3E8", "31001")
    assert [line.split() for line in done.stdout.splitlines()] == [
        [name, "1000"] for name in ("41001", "401001", "4x1001", "holding:1000", "holding:0x3E8", "31001")
    ]
    assert run(modbus_tcp, "--numbering", "pdu", "1000").stdout.split() == ["1000", "1000"]
    assert run(modbus_tcp, "--numbering", "one-based", "1001").stdout.split() == ["1001", "1000"]


def test_orders_and_raw_registers(modbus_tcp: str) -> None:
    for order, value in (("ABCD", 0x00010002), ("cdab", 0x00020001), ("BADC", 0x01000200), ("DCBA", 0x02000100)):
        done = run(modbus_tcp, "holding:1", "--type", "uint32", "--order", order, "--raw")
        assert done.stdout.split() == ["holding:1", str(value), "0001", "0002"]


def test_bits(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "coil:0-3", "10004", "--raw")
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [
        ["1"] * 2,
        ["0"] * 2,
        ["0"] * 2,
        ["1"] * 2,
        ["1"] * 2,
    ]


def test_json_has_every_fact(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "41001", "42000", "42001", "--json")
    first, last, beyond = json.loads(done.stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", first.pop("time"))
    assert first == {
        "address": "41001",
        "pdu_address": "holding:1000",
        "type": "uint16",
        "value": 1000,
        "raw": "03e8",
        "error": None,
    }
    assert last["value"] == 1999  # although its neighbour, read with it, is refused
    assert beyond["value"] is None
    assert "illegal data address" in beyond["error"]
    assert done.exit_code == 1


def test_csv(modbus_tcp: str) -> None:
    head, line = run(modbus_tcp, "41001", "--csv", "--raw").stdout.splitlines()
    assert head == "time,address,value,raw"
    assert line.split(",")[1:] == ["41001", "1000", "03e8"]


def test_json_has_no_word_for_nan() -> None:
    with server(lambda unit, pdu: bytes.fromhex("03 04 7FC00000")) as where:
        assert json.loads(run(where, "41001", *FLOAT, "--json").stdout)[0]["value"] is None
        assert run(where, "41001", *FLOAT).stdout.split() == ["41001", "nan"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1, "exception 1, illegal function: it does not know this function"),
        (2, "exception 2, illegal data address: there is nothing"),
        (6, "exception 6, server device busy: "),
        (10, "exception 10, gateway path unavailable: the gateway has no way to this unit"),
        (11, "exception 11, gateway target failed to respond: the gateway is there, but the unit did not answer"),
        (99, "exception 99, which the standard does not know"),
    ],
)
@pytest.mark.parametrize("rtu", [False, True], ids=["tcp", "rtu"])
def test_exceptions_say_what_they_mean(code: int, message: str, rtu: bool) -> None:
    with server(lambda unit, pdu: bytes((pdu[0] | 0x80, code)), rtu=rtu) as where:
        done = run(f"rtu+tcp://{where}" if rtu else where, "41001", "--unit", "7")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: 41001: unit 7 refuses: {message}")


def test_rtu_over_tcp() -> None:
    with server(counting, rtu=True) as where:
        done = run(f"rtu+tcp://{where}", "41001-41003", "41500")
        assert [line.split()[1] for line in done.stdout.splitlines()] == ["1000", "1001", "1002", "1499"]
        assert done.exit_code == 0


@pytest.mark.parametrize("scheme", ["", "tcp://", "rtu+tcp://"])
def test_nobody_answers(scheme: str) -> None:
    with server(counting, rtu=scheme == "rtu+tcp://") as where:
        done = run(scheme + where, "41001", "--unit", "9", "--timeout", "50ms")
    hint = f": nothing at all came from {where}. A raw port? Then write rtu+tcp://{where}"
    hint = "" if scheme == "rtu+tcp://" else hint
    assert done.stderr == f"Error: unit 9 does not answer within 0.05 s{hint}\n"
    assert done.stdout == ""
    assert done.exit_code == 1


def test_no_unit_nine_on_a_device(meter: str) -> None:
    done = run(meter, "41001", "--unit", "9", "--timeout", "50ms")
    assert (done.exit_code, done.stderr) == (1, "Error: unit 9 does not answer within 0.05 s\n")


def test_nobody_is_there(tmp_path: Path) -> None:
    with server(counting) as where:
        pass
    done = run(where, "41001")
    assert (done.exit_code, done.stderr) == (1, f"Error: cannot connect to {where}: Connection refused\n")
    done = run(f"{tmp_path}/none", "41001")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {tmp_path}/none ")


def test_not_modbus_tcp() -> None:
    class Greeter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
            self.request.recv(100)

    with socketserver.TCPServer(("127.0.0.1", 0), Greeter) as listening:
        thread = threading.Thread(target=listening.handle_request)
        thread.start()
        done = run(f"127.0.0.1:{listening.server_address[1]}", "41001")
        thread.join(30)
    assert done.exit_code == 1
    assert "does not speak Modbus TCP" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["127.0.0.1:502"], "Missing argument 'ADDRESS...'"),
        (["127.0.0.1:502", "1001"], "PDU address 1001 is holding:1001"),
        (["127.0.0.1:502", "41001", "--type", "float"], "'float' is no type"),
        (["127.0.0.1:502", "41001", "--type", "bit"], "the type bit does not fit"),
        (["127.0.0.1:502", "00001", "--type", "int16"], "the type int16 does not fit"),
        (["127.0.0.1:502", "41001-41003", *FLOAT], "3 addresses, and a value has 2"),
        (["127.0.0.1:502", "41001", "--every", "5"], "has no unit"),
        (["127.0.0.1:502", "41001", "--unit", "256"], "--unit"),
        (["127.0.0.1:70000", "41001"], "a TCP port is 1 to 65535"),
        (["rtu+tcp://127.0.0.1", "41001"], "names no TCP port"),
        (["ftp://127.0.0.1", "41001"], "is no target"),
        (["127.0.0.1:502", "41001", "--csv", "--json"], "--json and --csv exclude each other"),
        (["/dev/ttyS0", "41001", "--format", "9X9"], "'9X9' is not a format"),
        (["/dev/ttyS0", "41001", "--unit", "0"], "none of them answers"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr


@contextmanager
def reading(*arguments: str, stdout: int = subprocess.PIPE) -> Iterator["subprocess.Popen[str]"]:
    command = [*COMMAND, *arguments]
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("shape", ["", "--json", "--csv"])
def test_again_and_again_until_told_to_end(modbus_tcp: str, shape: str) -> None:
    with reading(modbus_tcp, "41001", "--every", "20ms", *[shape] * bool(shape)) as process:
        lines = [line_of(process) for _ in range(4)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.fullmatch(
        r" +min +max +mean +read +failed\n41001  1000  1000  1000 .*\n\d+ values? read, .* rounds?\n", errors
    )
    if shape == "--json":
        assert {json.loads(line)["value"] for line in lines} == {1000}
    elif shape == "--csv":
        assert lines[0] == "time,address,value\n"
        assert lines[1].endswith(",41001,1000\n")
    else:
        assert re.fullmatch(r"\S+T\S+  41001  1000\n", lines[0])


def test_a_lost_connection_is_made_anew() -> None:
    answered = 0

    def one_in_two(unit: int, pdu: bytes) -> bytes:
        nonlocal answered
        answered += 1
        if answered == 2:
            raise ConnectionAbortedError
        return counting(unit, pdu)

    with server(one_in_two) as where, reading(where, "41001", "--every", "20ms") as process:
        assert "41001  1000" in line_of(process)
        assert "41001  1000" in line_of(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "closed the connection" in errors
    assert process.returncode == 0


def test_a_terminal_gets_a_live_table(modbus_tcp: str) -> None:
    ours, theirs = os.openpty()
    try:
        with reading(modbus_tcp, "41001", "42001", "--every", "50ms", stdout=theirs) as process:
            shown = b""
            deadline = time.monotonic() + 30
            while b"3 values read, 3 failed, in 3 rounds" not in shown:
                assert time.monotonic() < deadline, shown
                assert select.select([ours], [], [], 30)[0], shown
                shown += os.read(ours, 4096)
            assert b"1000" in shown
            assert b"illegal data address" in shown
            process.send_signal(signal.SIGINT)
            while process.poll() is None and time.monotonic() < deadline + 30:
                if select.select([ours], [], [], 0.1)[0]:
                    shown += os.read(ours, 4096)
            assert process.returncode == 0
            while select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 4096)
            assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")  # the cursor is back
    finally:
        os.close(ours)
        os.close(theirs)


def test_through_a_gateway() -> None:
    command = [sys.executable, "-m", "nportpy", "demo", "--free-ports"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        try:
            line = ""
            while not (found := re.match(r" +Modbus TCP (\d+) +raw TCP (\d+) +RFC 2217 (\d+)", line)):
                line = line_of(demo)
                assert line
            places = "127.0.0.1:{}", "rtu+tcp://127.0.0.1:{}", "rfc2217://127.0.0.1:{}"
            for target in (place.format(port) for place, port in zip(places, found.groups(), strict=True)):
                command = [*COMMAND, target, "41001", *FLOAT, "--format", "8E1", "--timeout", "20s"]
                done = subprocess.run(command, capture_output=True, text=True, timeout=60)
                assert done.stderr == ""
                assert re.fullmatch(rf"41001  {ENERGY}\n", done.stdout)
        finally:
            demo.kill()


def test_rich_is_not_loaded_for_a_pipe(modbus_tcp: str) -> None:
    code = (
        "import sys; from nportpy.cli import main\n"
        f"try: main(['read', {modbus_tcp!r}, '41001'])\n"
        "except SystemExit: print('rich' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("scheme", ["", "rtu+tcp://"])
def test_a6_a_gateway_has_the_time_to_say_that_nobody_answered_it(scheme: str) -> None:
    def late(unit: int, pdu: bytes) -> bytes:
        time.sleep(1.5)  # as a gateway that asks twice
        return bytes((pdu[0] | 0x80, 11))

    with server(late, rtu=bool(scheme)) as where:
        done = run(scheme + where, "41001")
    assert done.exit_code == 1
    assert "exception 11, gateway target failed to respond: the gateway is there" in done.stderr


def test_a6_a_device_of_this_machine_is_waited_for_as_long_as_before() -> None:
    def waited(text: str) -> float:
        return timeout_for(Target.parse(text), None)

    assert waited("/dev/ttyUSB0") == 1.0
    assert {waited(text) for text in ("gateway", "tcp://gateway", "rtu+tcp://gateway:1", "rfc2217://gateway:2")} == {
        3.0
    }
    assert timeout_for(Target.parse("gateway"), 0.2) == 0.2


def test_a7_silence_after_an_answer_is_no_raw_port() -> None:
    """Who has answered once speaks Modbus TCP: what is silent then is the unit."""
    with server(lambda unit, pdu: counting(unit, pdu) if pdu[1:3] == b"\x03\xe8" else b"") as where:
        done = run(where, "41001", "41900", "--timeout", "50ms")
    assert done.stderr == "Error: unit 1 does not answer within 0.05 s\n"


def test_a7_a_raw_port_that_echoes() -> None:
    with server(lambda unit, pdu: pdu) as where:
        done = run(where, "41001", "--timeout", "50ms")
    assert done.exit_code == 1
    assert done.stderr == f"Error: {where} sends back what it gets. A raw port? Then write rtu+tcp://{where}\n"


def test_a7_a_modbus_tcp_port_that_is_taken_for_a_raw_one() -> None:
    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)

    with socketserver.TCPServer(("127.0.0.1", 0), HangUp) as listening:
        thread = threading.Thread(target=listening.handle_request)
        thread.start()
        where = f"127.0.0.1:{listening.server_address[1]}"
        done = run(f"rtu+tcp://{where}", "41001")
        thread.join(30)
    reason = f"rtu+tcp://{where} closed the connection. A Modbus TCP port? Then write {where}"
    assert (done.exit_code, done.stderr) == (1, f"Error: {reason}\n")


@pytest.mark.parametrize("rtu", [False, True], ids=["tcp", "rtu"])
def test_a8_a_read_that_a_rule_forbids(rtu: bool) -> None:
    with server(lambda unit, pdu: bytes((pdu[0] | 0x80, 1)), rtu=rtu) as where:
        done = run(f"rtu+tcp://{where}" if rtu else where, "41001")
    assert done.stderr.endswith("perhaps the value lies in another table, or a rule of the gateway forbids it\n")


def test_a19_csv_has_a_row_for_what_could_not_be_read(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "41001", "42001", "--csv", "--raw")
    rows = [line.split(",")[1:] for line in done.stdout.splitlines()[1:]]
    assert rows == [["41001", "1000", "03e8"], ["42001", "", ""]]
    assert "42001: unit 1 refuses" in done.stderr
    done = run(modbus_tcp, "41001", "41002", "--csv", "--unit", "9", "--timeout", "50ms")
    assert [line.split(",")[1:] for line in done.stdout.splitlines()[1:]] == [["41001", ""], ["41002", ""]]
    assert done.stderr.count("Error") == 1


def test_a19_json_has_an_object_for_what_could_not_be_read(modbus_tcp: str) -> None:
    done = run(modbus_tcp, "41001", "--json", "--unit", "9", "--timeout", "50ms")
    assert [(item["address"], item["value"]) for item in json.loads(done.stdout)] == [("41001", None)]
    assert "unit 9 does not answer" in json.loads(done.stdout)[0]["error"]
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("addresses", "named"),
    [
        (["42001-42125"], "42001-42125"),
        (["42001-42006", *FLOAT], "42001-42006"),
        (["holding:2000-2009"], "holding:2000-2009"),
        (["holding:0x7D0-0x7D9"], "holding:2000-2009"),
        (["holding:0x7D0", "holding:0x7D1", "holding:0x7D2"], "holding:0x7D0-0x7d2"),
        (["42001-42002"], "42001 42002"),
        (["42001-42003", "42010", "42020-42030"], "42001-42003 42010 42020-42030"),
    ],
)
def test_a19_many_addresses_are_named_as_a_range(modbus_tcp: str, addresses: list[str], named: str) -> None:
    assert run(modbus_tcp, *addresses).stderr.startswith(f"Error: {named}: unit 1 refuses: exception 2")
