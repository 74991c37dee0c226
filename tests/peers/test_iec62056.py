"""`iec62056-21` from PyPI, in a process of its own: it reads what we send, and we read what it writes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nportpy.protocols.iec62056.datasets import DataSet, Line
from nportpy.protocols.iec62056.messages import Command, Option, acknowledgement, command, sign_on
from nportpy.protocols.iec62056.reader import Check, MessageEnd, Reader
from tests.protocols.iec62056.vectors import WIRE

pytestmark = pytest.mark.peer

PROGRAM = Path(__file__).with_name("iec62056_messages.py")


def peer(read: list[tuple[str, bytes]], written: list[dict[str, str]]) -> tuple[list[Any], list[bytes]]:
    if importlib.util.find_spec("iec62056_21") is None:
        pytest.skip("no iec62056-21 here")
    asked = {"read": [{"kind": kind, "hex": data.hex()} for kind, data in read], "written": written}
    done = subprocess.run(
        [sys.executable, PROGRAM], input=json.dumps(asked), capture_output=True, text=True, timeout=60
    )
    assert not done.returncode, done.stderr
    answer = json.loads(done.stdout)
    return answer["read"], [bytes.fromhex(each) for each in answer["written"]]


def test_it_reads_what_we_send() -> None:
    read, _ = peer(
        [
            ("RequestMessage", sign_on("12345678")),
            ("AckOptionSelectMessage", acknowledgement("5")),
            ("AckOptionSelectMessage", acknowledgement("5", Option.PROGRAMMING)),
            ("CommandMessage", command(Command.READ, "1.8.0")),
            ("CommandMessage", command(Command.PASSWORD, "", "00000000")),
        ],
        [],
    )
    assert read == ["12345678", ["5", "0"], ["5", "1"], ["R", "1", "1.8.0", ""], ["P", "1", None, "00000000"]]


def test_it_understands_meters_as_we_do() -> None:
    theirs, _ = peer([("ReadoutDataMessage", WIRE["W2"]), ("AnswerDataMessage", WIRE["answer with its address"])], [])
    for name, found in zip(("W2", "answer with its address"), theirs, strict=True):
        ours = [each for event in Reader().feed(WIRE[name]) if isinstance(event, Line) for each in event.sets]
        assert [[each.address or None, each.value, each.unit or None] for each in ours] == found


def test_it_writes_what_we_do_and_we_read_its_readout() -> None:
    _, written = peer(
        [],
        [
            {"kind": "read", "address": "1.8.0"},
            {"kind": "password", "password": "00000000"},
            {"kind": "break"},
            {"kind": "option", "speed": "5", "option": "1"},
            {"kind": "readout"},
        ],
    )
    assert written[:4] == [
        command(Command.READ, "1.8.0"),
        command(Command.PASSWORD, "", "00000000"),
        command(Command.BREAK),
        acknowledgement("5", Option.PROGRAMMING),
    ]
    assert Reader().feed(written[4])[-1] == MessageEnd(Check.GOOD)
    sets = [each for event in Reader().feed(written[4]) if isinstance(event, Line) for each in event.sets]
    assert sets[0] == DataSet("1.8.0", "000077.160", "kWh")
