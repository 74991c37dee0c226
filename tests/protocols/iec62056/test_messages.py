"""What is sent to meters: all vectors; nothing else can be."""

import pytest

from nportpy.protocols.iec62056.characters import block_check, parity_errors, with_parity, without_parity
from nportpy.protocols.iec62056.identification import Identification, Mode, identification, speed_character
from nportpy.protocols.iec62056.messages import Command, Control, Option, acknowledgement, command, sign_on
from tests.protocols.iec62056.vectors import WIRE


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("W1", sign_on()),
        ("W1a", sign_on("12345678")),
        ("W3", command(Command.READ, "1.8.0")),
        ("W4", command(Command.BREAK)),
        ("W5", acknowledgement("0")),
        ("W6", acknowledgement("5")),
        ("W7", acknowledgement("5", Option.PROGRAMMING)),
        ("W8", acknowledgement("5", Option.BINARY, Control.HDLC)),
        ("W10", command(Command.PASSWORD, "", "00000000")),
        ("W11", command(Command.PASSWORD_RESULT, "", "87654321")),
        ("profile from to", command(Command.READ_PROFILE, "P.01", "12611210000;12611210100")),
        ("profile", command(Command.READ_PROFILE, "P.01", ";")),
        ("profile in parts", command(Command.READ_PROFILE_PART, "P.01", ";")),
    ],
)
def test_vectors(name: str, wire: bytes) -> None:
    assert wire == WIRE[name]


@pytest.mark.parametrize("name", ["W2", "W3", "W9", "W12", "W13", "error", "answer"])
def test_block_checks(name: str) -> None:
    assert block_check(WIRE[name][1:-1]) == WIRE[name][-1]


def test_w1_on_an_8n1_port() -> None:
    wire = with_parity(sign_on())
    assert wire == bytes.fromhex("AF 3F 21 8D 0A")
    assert without_parity(wire) == sign_on()
    assert not parity_errors(wire)
    assert parity_errors(sign_on()) == 2


@pytest.mark.parametrize("device", ["1" * 33, "1!", "ä", "1/2"])
def test_no_device_address(device: str) -> None:
    with pytest.raises(ValueError, match="device address"):
        sign_on(device)


@pytest.mark.parametrize("value", ["a)b", "a(b", "a*b", "a!b", "a/b", "ä", "1" * 33, "a\x03"])
def test_what_would_break_the_grammar_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ValueError, match="printable") as caught:
        command(Command.PASSWORD, "", value)
    assert value not in str(caught.value)


@pytest.mark.parametrize("speed", ["", "10", "A"])
def test_no_speed(speed: str) -> None:
    with pytest.raises(ValueError, match="speed"):
        acknowledgement(speed)


@pytest.mark.parametrize(
    ("line", "mode", "baudrate", "reaction"),
    [
        ("LGZ4\\2ZMD", Mode.E, 4800, 0.2),
        ("ISk5MT", Mode.C, 9600, 0.02),
        ("ABCAx", Mode.B, 600, 0.2),
        ("ABCFx", Mode.B, 19200, 0.2),
        ("ABCGx", Mode.A, 300, 0.2),
        ("ABC x", Mode.A, 300, 0.2),
        ("ABC0", Mode.C, 300, 0.2),
        ("ISK7x", Mode.C, 38400, 0.2),
        ("ABC9x", Mode.A, 300, 0.2),
        ("ABC6\\@\\2x", Mode.E, 19200, 0.2),
        ("ABC5\\Wx", Mode.C, 9600, 0.2),
    ],
)
def test_identifications(line: str, mode: Mode, baudrate: int, reaction: float) -> None:
    found = identification(line)
    assert found is not None
    assert (found.mode, found.baudrate, found.reaction) == (mode, baudrate, reaction)


@pytest.mark.parametrize("line", ["", "?!", "AB", "ABC", "A1C5x", "ABC5\x01"])
def test_no_identifications(line: str) -> None:
    assert identification(line) is None


def test_pairs_of_unknown_meaning_are_skipped() -> None:
    assert identification("ABC5\\@\\2Text") == Identification("ABC", "5", "@2", "Text")


def test_speeds() -> None:
    assert [speed_character("5", limit) for limit in (38400, 9600, 9599, 300, 1)] == ["5", "5", "4", "0", "0"]
    assert speed_character("0", 9600) == "0"
