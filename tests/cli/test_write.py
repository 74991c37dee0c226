"""`nportpy write` against servers that hold what they are given, or do not."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click.testing
import pytest

from nportpy.cli.write import write
from nportpy.protocols.modbus.rtu import Frame
from tests.support.modbus_server import Store, bus, server

pytestmark = pytest.mark.process

FLOAT = ("--type", "float32")


def run(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(write, arguments, catch_exceptions=False)


@contextmanager
def stored(**fields: object) -> Iterator[tuple[str, Store]]:
    store = Store(**fields)  # type: ignore[arg-type]  # names are checked by use
    with server(store) as where:
        yield where, store


def test_one_register() -> None:
    with stored() as (where, store):
        done = run(where, "41001=50", "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "41001  1000 -> 50\nwritten, and read back the same\n"
    assert store.registers[1000] == 50
    assert store.writes == [bytes.fromhex("06 03E8 0032")]


def test_several_registers_go_in_one_request() -> None:
    with stored() as (where, store):
        done = run(where, "41001=12345.681", "41003=-1", *FLOAT, "--yes")
        assert done.stdout.splitlines()[1] == "41003  1.3754183e-36 -> -1.0"
        assert store.writes == [bytes.fromhex("10 03E8 0004 08 4640E6B9 BF800000")]
        run(where, "41001=12345.681", *FLOAT, "--order", "cdab", "--yes")
        assert store.registers[1000:1002] == [0xE6B9, 0x4640]
        run(where, "holding:7=Pump", "--type", "string:6", "--yes")
        assert store.registers[7:10] == [0x5075, 0x6D70, 0]
        assert run(where, "--numbering", "pdu", "0x10=-2", "--type", "int16", "--yes").exit_code == 0
        assert store.registers[16] == 0xFFFE


def test_coils() -> None:
    with stored() as (where, store):
        done = run(where, "coil:3=on", "00010=true", "--yes")
        assert done.stdout.splitlines()[:2] == ["coil:3  0 -> 1", "00010   0 -> 1"]
        assert store.writes == [bytes.fromhex("05 0003 FF00"), bytes.fromhex("05 0009 FF00")]
        assert run(where, "coil:0-9=1", "coil:10=off", "--yes").exit_code == 0
        assert store.writes[-1] == bytes.fromhex("0F 0000 000B 02 FF03")
        assert store.coils[:12] == [1] * 10 + [0] * 2


def test_the_way_that_a_device_needs() -> None:
    with stored() as (where, store):
        assert run(where, "41001-41002=7", "coil:0-1=on", "--single", "--yes").exit_code == 0
        assert [pdu[0] for pdu in store.writes] == [6, 6, 5, 5]
        store.writes.clear()
        assert run(where, "41001=8", "coil:0=off", "--multiple", "--yes").exit_code == 0
        assert store.writes == [bytes.fromhex("10 03E8 0001 02 0008"), bytes.fromhex("0F 0000 0001 01 00")]
    with stored(functions=frozenset((3, 16))) as (where, store):
        done = run(where, "41001=8", "--yes")
        assert done.exit_code == 1
        assert done.stderr == (
            "Error: 41001: unit 1 refuses: exception 1, illegal function: a rule of the gateway forbids it "
            "(rules in its configuration), or it does not know this function: try --multiple\n"
        )
        assert run(where, "41001=8", "--multiple", "--yes").exit_code == 0


def test_a_refusal_ends_it_and_says_what_was_written() -> None:
    with stored() as (where, store):
        done = run(where, "41001=1", "42001=2", "41003=3", "--yes")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1] == "42001  (cannot be read) -> 2"
    assert "Error: 42001: unit 1 refuses: exception 2, illegal data address" in done.stderr
    assert done.stderr.endswith("; written before it: 41001\n")
    assert store.registers[1000:1003] == [1, 1001, 1002]


def test_what_is_not_there_afterwards() -> None:
    def stubborn(unit: int, pdu: bytes) -> bytes:
        return pdu[:5] if pdu[0] == 6 else store(unit, pdu)

    store = Store()
    with server(stubborn) as where:
        done = run(where, "41001=50", "--yes")
        assert done.exit_code == 1
        assert done.stderr == "Error: 41001: 50 was written, but 1000 is read back\n"
        done = run(where, "41001=50", "--yes", "--no-verify")
        assert (done.exit_code, done.stdout) == (0, "41001  1000 -> 50\nwritten\n")


def test_a_register_that_can_only_be_written() -> None:
    with stored(functions=frozenset((6,))) as (where, store):
        done = run(where, "41001=50", "--yes")
        assert done.stdout == "41001  (cannot be read) -> 50\n"
        assert "Error: 41001: written, but it cannot be read back: unit 1 refuses: exception 1" in done.stderr
        assert done.exit_code == 1
        assert run(where, "41001=50", "--yes", "--no-verify").exit_code == 0
        assert len(store.writes) == 2


def test_a_text_that_the_device_fills_up_is_the_same_text() -> None:
    def padding(unit: int, pdu: bytes) -> bytes:
        if pdu[0] == 3:
            return b"\x03\x06Pump  "
        return store(unit, pdu)

    store = Store()
    with server(padding) as where:
        assert run(where, "41001=Pump", "--type", "string:6", "--yes").exit_code == 0


def test_nan_is_what_it_is() -> None:
    with stored() as (where, _):
        assert run(where, "41001=nan", *FLOAT, "--yes").exit_code == 0


def test_nothing_is_written_twice() -> None:
    def forgetful(unit: int, pdu: bytes) -> bytes:
        return store(unit, pdu) if pdu[0] == 3 else store(unit, pdu)[:0]

    store = Store()
    with server(forgetful) as where:
        done = run(where, "41001=1", "41005=2", "--yes", "--timeout", "300ms")
    assert done.exit_code == 1
    assert done.stderr == ("Error: 41001: unit 1 does not answer within 0.3 s; whether it was written is not known\n")
    assert len(store.writes) == 1


def test_a_unit_that_is_not_there_is_not_written_to() -> None:
    with stored() as (where, store):
        done = run(where, "41001=1", "--unit", "9", "--yes", "--timeout", "300ms")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "Error: nothing was written: unit 9 does not answer within 0.3 s: nothing at all came"
    )
    assert store.writes == []


def test_nobody_is_there() -> None:
    with server(Store()) as where:
        pass
    done = run(where, "41001=1", "--yes")
    assert (done.exit_code, done.stderr) == (1, f"Error: cannot connect to {where}: Connection refused\n")


@pytest.mark.parametrize("echo", [False, True])
def test_a_device(echo: bool) -> None:
    store = Store()
    with bus(lambda speed, frame: Frame(1, store(1, frame.pdu)).encode(), echo=echo) as device:
        done = run(device, "41001=50", "--yes", "--baudrate", "19200")
    assert (done.exit_code, done.stderr) == (0, "")
    assert store.registers[1000] == 50


def test_an_echo_is_no_answer() -> None:
    """Of a write of one register the echo looks like the answer; here the unit dies after it was read."""

    def dying(speed: int, frame: Frame) -> bytes:
        return Frame(1, store(1, frame.pdu)).encode() if frame.pdu[0] == 3 else b""

    store = Store()
    with bus(dying, echo=True) as device:
        done = run(device, "41001=50", "--yes", "--timeout", "300ms")
    assert done.exit_code == 1
    assert "whether it was written is not known" in done.stderr


def test_junk_before_answers_leaves_open_whether_there_is_an_echo() -> None:
    """So it is found out before the write: its answer is not taken for an echo."""
    asked: list[int] = []  # functions

    def junky(speed: int, frame: Frame) -> bytes:
        asked.append(frame.pdu[0])
        return b"\0\xff" + Frame(1, store(1, frame.pdu)).encode() if frame.unit == 1 else b""

    store = Store()
    with bus(junky) as device:
        assert run(device, "41001=50", "--yes").exit_code == 0
    assert asked == [3, 3, 6, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["127.0.0.1:502"], "Missing argument 'ADDRESS=VALUE...'"),
        (["127.0.0.1:502", "41001", "50"], "'41001' is no assignment"),
        (["127.0.0.1:502", "31001=5"], "31001: input registers cannot be written"),
        (["127.0.0.1:502", "discrete:0=1"], "discrete:0: discrete inputs cannot be written"),
        (["127.0.0.1:502", "41001=70000"], "41001: 70000 is beyond uint16, 0 to 65535"),
        (["127.0.0.1:502", "41001=1.5"], "41001: '1.5' is no whole number"),
        (["127.0.0.1:502", "coil:0=2"], "coil:0: '2' is no bit"),
        (["127.0.0.1:502", "coil:0=2", "--type", "int16"], "the type int16 does not fit"),
        (["127.0.0.1:502", "41001-41003=1", *FLOAT], "3 addresses, and a value has 2"),
        (["127.0.0.1:502", "41001=1", "41002=1", *FLOAT], "41001=1 and 41002=1 both write holding:1001"),
        (["127.0.0.1:502", "41001=", "--type", "string:250"], "takes 125 registers, a request carries 123"),
        (["127.0.0.1:502", "41001=5", "--timeout", "5"], "has no unit"),
        (["127.0.0.1:502", "41001=5", "--single", "--multiple"], "exclude each other"),
        (["/dev/ttyS0", "41001=5", "--unit", "0"], "none of them answers"),
        (["/dev/ttyS0", "41001=5", "--format", "9X9"], "'9X9' is not a format"),
        (["127.0.0.1:502", "41001=5"], "nobody is there to ask"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr


@contextmanager
def asked(*arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The command on a terminal; it has asked. And the terminal."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "nportpy", "write", *arguments]
    try:
        with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as process:
            try:
                shown = b""
                deadline = time.monotonic() + 30
                while b"[y/N]" not in shown:
                    assert time.monotonic() < deadline, shown
                    assert select.select([ours], [], [], 30)[0], shown
                    shown += os.read(ours, 4096)
                yield process, ours
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("answer", "code", "value"), [(b"y\n", 0, 50), (b"n\n", 1, 1000), (b"\n", 1, 1000)])
def test_it_asks(answer: bytes, code: int, value: int) -> None:
    with stored() as (where, store):
        with asked(where, "41001=50") as (process, terminal):
            os.write(terminal, answer)
            output, _ = process.communicate(timeout=60)
        assert process.returncode == code
        assert output.startswith(b"41001  1000 -> 50\n")
        assert store.registers[1000] == value


def test_ctrl_c_at_the_question() -> None:
    with stored() as (where, store):
        with asked(where, "41001=50") as (process, _):
            for _ in range(5):  # a signal just before it waits for a line is heard with the next one
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=5)
                    break
        assert process.returncode == 1
        assert store.writes == []


def test_ctrl_c_while_it_writes() -> None:
    writing = threading.Event()

    def mute(unit: int, pdu: bytes) -> bytes:
        if pdu[0] == 6:
            writing.set()
            return b""
        return store(unit, pdu)

    store = Store()
    with server(mute) as where:
        command = [sys.executable, "-m", "nportpy", "write", where, "41001=50", "--yes", "--timeout", "60s"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                assert writing.wait(60)
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=60)
            finally:
                process.kill()
    assert process.returncode == 1
    assert errors == b"Error: interrupted; what was written is not known\n"


def test_the_connection_that_ends_while_the_user_thinks() -> None:
    asked_once = threading.Event()

    def impatient(unit: int, pdu: bytes) -> bytes:
        if asked_once.is_set():
            raise ConnectionAbortedError
        asked_once.set()
        return store(unit, pdu)

    store = Store()
    with server(impatient) as where, asked(where, "41001=50") as (process, terminal):
        os.write(terminal, b"y\n")
        process.communicate(timeout=60)
        assert process.returncode == 1
    assert store.writes == []


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["41001=8"], "try --multiple"),
        (["41001=8", "--multiple"], "try --single"),
        (["41001=8", "41002=9"], "try --single"),
        (["41001=8", "41002=9", "--single"], "try --multiple"),
        (["coil:1=on"], "try --multiple"),
    ],
)
def test_a8_a_write_that_a_rule_forbids_gets_the_right_hint(arguments: list[str], hint: str) -> None:
    with stored(functions=frozenset((1, 3))) as (where, _):
        done = run(where, *arguments, "--yes")
    assert done.exit_code == 1
    assert "illegal function: a rule of the gateway forbids it (rules in its configuration), or " in done.stderr
    assert done.stderr.endswith(f"it does not know this function: {hint}\n")


def test_a8_no_gateway_is_on_the_way_to_a_device() -> None:
    with bus(
        lambda speed, frame: Frame(frame.unit, Store(functions=frozenset((3,)))(frame.unit, frame.pdu)).encode()
    ) as device:
        done = run(device, "41001=8", "--yes")
    assert done.stderr.endswith("illegal function: it does not know this function: try --multiple\n")


def test_a19_many_addresses_are_named_as_a_range() -> None:
    with stored(functions=frozenset((3,))) as (where, _):
        done = run(where, "41001-41100=8", "--yes")
    assert done.stderr.startswith("Error: 41001-41100: unit 1 refuses")


def test_a20_json_has_what_was_and_what_is() -> None:
    with stored() as (where, _):
        done = run(where, "41001=50", "coil:3=on", "--yes", "--json")
    assert (done.exit_code, done.stderr) == (0, "written, and read back the same\n")
    assert json.loads(done.stdout) == {
        "target": where,
        "unit": 1,
        "ok": True,
        "values": [
            {
                "address": "41001",
                "pdu_address": "holding:1000",
                "type": "uint16",
                "before": 1000,
                "value": 50,
                "written": True,
                "after": 50,
            },
            {
                "address": "coil:3",
                "pdu_address": "coil:3",
                "type": "bit",
                "before": 0,
                "value": 1,
                "written": True,
                "after": 1,
            },
        ],
        "errors": [],
    }


def test_a20_json_says_what_was_not_written() -> None:
    with stored() as (where, _):
        done = run(where, "41001=1", "42001=2", "--yes", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [(each["written"], each["before"], each["after"]) for each in found["values"]] == [
        (True, 1000, None),
        (False, None, None),
    ]
    assert found["ok"] is False
    assert done.stderr == f"Error: {found['errors'][0]}\n"
    with stored() as (where, _):
        done = run(where, "41001=1", "--yes", "--json", "--unit", "9", "--timeout", "50ms")
    assert json.loads(done.stdout)["errors"][0].startswith("nothing was written: unit 9 does not answer")
