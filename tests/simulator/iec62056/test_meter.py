"""A meter of IEC 62056-21 on its wire."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.device import Answer
from nportpy.simulator.iec62056.contents import LINES, ODD_LINES
from nportpy.simulator.iec62056.messages import SPEEDS, bcc, block, command, readout
from nportpy.simulator.iec62056.meter import Meter, State
from nportpy.simulator.iec62056.settings import Confirm, MeterSettings, Mode
from nportpy.simulator.wire import PacedWire
from tests.simulator.tool import Tool

W1 = bytes.fromhex("2F 3F 21 0D 0A")
REST = LineSettings.parse(300, "7E1")
SETTINGS = MeterSettings()


def tool(settings: MeterSettings = SETTINGS, lines: Sequence[str] = LINES, *, echo: bool = False) -> tuple[Tool, Meter]:
    meter = Meter(settings, lines=lines, started=100.0)
    return Tool(PacedWire(meter, REST, watched=False, local_echo=echo), REST), meter


def sign_on(near: Tool, speed: str = "5", mode: str = "0", protocol: str = "0", address: str = "") -> bytes:
    """Up to the change of speed; the identification."""
    heard = near.ask(f"/?{address}!\r\n".encode())
    near.say(f"\x06{protocol}{speed}{mode}\r\n".encode(), wait=0.3)
    near.tune(SPEEDS[speed])
    return heard


@pytest.mark.parametrize("speed", "0123456")
def test_readout_at_every_speed(speed: str) -> None:
    near, meter = tool(replace(SETTINGS, speed=speed))
    assert sign_on(near, speed) == f"/SIM{speed}4071\r\n".encode()
    begun = near.now
    message = near.hear(5.0)
    assert message == readout(LINES)
    wire_time = len(message) * near.settings.character_time
    assert near.now - begun - wire_time == pytest.approx(0.2 + 0.1 + 10 * near.settings.character_time, abs=0.01)
    near.say(b"\x06", wait=0.3)
    assert meter.state is State.IDLE
    assert meter.counts()["too_early"] == 0


def test_vector_w2_is_sent() -> None:
    near, _ = tool(lines=("0.0.0(12345678)", "1.8.0(000077.160*kWh)", "32.7(230.6*V)"))
    sign_on(near)
    assert near.hear(5.0).endswith(bytes.fromhex("21 0D 0A 03 08"))


def test_who_stays_at_300_hears_rubbish_and_who_changes_early_spoils_nothing_but_is_counted() -> None:
    near, _ = tool()
    near.ask(W1)
    near.say(b"\x06050\r\n", wait=0.3)
    rubbish = near.hear(5.0)
    assert b"1.8.0" not in rubbish
    assert near.wire.spoilt


@pytest.mark.parametrize(("asked", "answered"), [("", True), ("12345678", True), ("0012345678", True), ("1", False)])
def test_only_the_one_with_that_address_answers(asked: str, answered: bool) -> None:
    near, meter = tool()
    assert bool(near.ask(f"/?{asked}!\r\n".encode())) is answered
    assert meter.counts().get("sign_ons", 0) == answered


@pytest.mark.parametrize(("maker", "reaction"), [("SIM", 0.2), ("SIm", 0.02)])
def test_reaction_time(maker: str, reaction: float) -> None:
    near, meter = tool(replace(SETTINGS, maker=maker))
    end = near.say(W1)
    near.hear(3.0, quiet=0.0)
    first = near.now - len("/SIM54071\r\n") * REST.character_time - 10 * REST.character_time
    assert first - end == pytest.approx(reaction, abs=1e-6)
    near.say(b"\x06000\r\n", wait=0.0)
    assert meter.counts()["too_early"] == (10 * REST.character_time < reaction)


def test_no_option_gives_the_readout_at_300() -> None:
    near, _ = tool()
    assert near.ask(W1) == b"/SIM54071\r\n"
    assert near.hear(30.0, quiet=1.0) == readout(LINES)


def test_nak_repeats_three_times() -> None:
    near, meter = tool()
    sign_on(near)
    near.hear(5.0)
    for _ in range(3):
        assert near.ask(b"\x15", wait=0.3) == readout(LINES)
    assert near.ask(b"\x15", wait=0.3) == b""
    assert meter.state is State.IDLE


@pytest.mark.parametrize("mode", "AB")
def test_modes_without_option(mode: str) -> None:
    near, _ = tool(replace(SETTINGS, mode=Mode(mode), speed="E"))
    assert near.ask(W1) == (b"/SIM 4071\r\n" if mode == "A" else b"/SIME4071\r\n")
    if mode == "B":
        near.tune(9600)
    assert near.hear(5.0) == readout(LINES)


def test_mode_d_pushes() -> None:
    near, _ = tool(replace(SETTINGS, mode=Mode.D, every=30.0))
    near.tune(2400)
    text = "".join(f"{line}\r\n" for line in LINES)
    assert near.hear(40.0) == f"/SIM34071\r\n\r\n{text}!\r\n".encode()
    assert near.hear(40.0).startswith(b"/SIM3")
    assert near.ask(W1) == b""


def test_programming() -> None:
    near, meter = tool()
    sign_on(near, mode="1")
    assert near.hear(3.0) == bytes.fromhex("01 50 30 02 28 31 32 33 34 35 36 37 38 29 03 68")
    assert near.ask(command("R1", "1.8.0()"), wait=0.3) == block("(ER01)")
    assert near.ask(command("P1", "(00000000)"), wait=0.3) == b"\x06"
    assert near.ask(bytes.fromhex("01 52 31 02 31 2E 38 2E 30 28 29 03 5A"), wait=0.3) == bytes.fromhex(
        "02 28 30 30 30 30 37 37 2E 31 36 30 2A 6B 57 68 29 03 65"
    )
    assert near.ask(bytes.fromhex("01 52 31 02 31 2E 38 2E 30 28 29 03 10"), wait=0.3) == b"\x15"
    assert near.ask(command("R1", "9.9.9()"), wait=0.3) == block("(ER02)")
    assert near.ask(b"\x15", wait=0.3) == block("(ER02)")
    assert near.ask(bytes.fromhex("01 57 35 02 30 2E 39 2E 31 28 31 38 35 38 31 35 29 03 5A"), wait=0.3) == b"\x06"
    near.say(bytes.fromhex("01 42 30 03 71"), wait=0.3)
    assert meter.state is State.IDLE
    assert meter.line == REST
    near.tune(300)
    assert near.ask(W1, wait=0.3)


def test_p2_and_a_wrong_password_locks_for_a_while() -> None:
    near, _ = tool()
    sign_on(near, mode="1")
    near.hear(3.0)
    assert near.ask(command("P2", "(87654321)"), wait=0.3) == b"\x06"
    assert near.ask(command("P1", "(11111111)"), wait=0.3) == block("(ER01)")
    assert near.ask(command("P1", "(00000000)"), wait=0.3) == block("(ER01)")
    near.pass_(50.0)
    near.ask(command("R1", "0.0.0()"))
    near.pass_(20.0)
    assert near.ask(command("P1", "(00000000)"), wait=0.3) == b"\x06"


def trusted(near: Tool) -> None:
    sign_on(near, mode="1")
    near.hear(3.0)
    assert near.ask(command("P1", "(00000000)"), wait=0.3) == b"\x06"


def test_load_profile() -> None:
    near, _ = tool()
    trusted(near)
    asked = bytes.fromhex(
        "01 52 35 02 50 2E 30 31 28 31 32 36 31 31 32 31 30 30 30 30 3B 31 32 36 31 31 32 31 30 31 30 30 29 03 22"
    )
    answer = near.ask(asked, wait=0.3)
    header = "P.01(1261121000000)(00000000)(15)(2)(1.5)(kW)(2.5)(kvar)\r\n"
    assert answer.startswith(b"\x02" + header.encode() + b"(0.123)(0.045)\r\n")
    assert answer.count(b"\r\n") == 6
    assert near.ask(command("R5", "P.01(0201121000000;)"), wait=0.3).count(b"\r\n") == 97
    assert near.ask(command("R5", "P.01(0301121000000;)"), wait=0.3) == block("(ER04)")
    assert near.ask(command("R5", "P.01(x;)"), wait=0.3) == block("(ER02)")


def test_load_profile_in_blocks() -> None:
    near, meter = tool(replace(SETTINGS, block_lines=40))
    trusted(near)
    first = near.ask(bytes.fromhex("01 52 36 02 50 2E 30 31 28 3B 29 03 20"), wait=0.3)
    assert first[-2] == 0x04
    assert bcc(first[1:]) == 0
    assert near.ask(b"\x15", wait=0.3) == first
    second = near.ask(b"\x06", wait=0.3)
    third = near.ask(b"\x06", wait=0.3)
    assert (second[-2], third[-2]) == (0x04, 0x03)
    assert sum(piece.count(b"\r\n") for piece in (first, second, third)) == 97
    assert near.ask(b"\x06", wait=0.3) == b""
    assert meter.state is State.PROGRAMMING


def test_a_session_ends_by_itself_and_is_deaf_to_a_sign_on_before() -> None:
    near, meter = tool()
    sign_on(near, mode="1")
    near.hear(3.0)
    near.tune(300)
    near.pass_(30.0)
    assert near.ask(W1) == b""
    near.pass_(59.0)
    assert meter.state is State.IDLE
    assert near.ask(W1) == b"/SIM54071\r\n"


class _Hdlc:
    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        return (Answer(b"\x7e" + data[::-1], 0.01),)

    def silence(self, now: float) -> Sequence[Answer]:
        return ()

    def counts(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize("confirm", Confirm)
def test_mode_e(confirm: Confirm) -> None:
    meter = Meter(
        replace(SETTINGS, maker="LGZ", speed="4", enhanced=True, text="ZMD4054407.B31", confirm=confirm), hdlc=_Hdlc()
    )
    near = Tool(PacedWire(meter, REST, watched=False), REST)
    assert near.ask(W1) == bytes.fromhex("2F 4C 47 5A 34 5C 32 5A 4D 44 34 30 35 34 34 30 37 2E 42 33 31 0D 0A")
    near.say(b"\x06242\r\n", wait=0.3)
    if confirm is Confirm.BEFORE:
        assert near.hear(1.0) == b"\x06242\r\n"
    near.tune(4800, "7E1" if confirm is Confirm.AFTER else "8N1")
    if confirm is Confirm.AFTER:
        assert near.hear(1.0) == b"\x06242\r\n"
        near.tune(4800, "8N1")
    assert near.ask(b"\x81\x93", wait=0.3) == b"\x7e\x93\x81"
    near.pass_(61.0)
    assert meter.state is State.IDLE


def test_mode_e_without_hdlc_is_a_readout() -> None:
    near, _ = tool(replace(SETTINGS, enhanced=True))
    near.ask(W1)
    near.say(b"\x06252\r\n", wait=0.3)
    near.tune(9600)
    assert near.hear(3.0) == readout(LINES)


def test_wake_up() -> None:
    near, meter = tool(replace(SETTINGS, wakes=True))
    assert near.ask(W1) == b""
    near.pass_(5.0)
    near.say(bytes(66))  # 2.2 s
    assert near.ask(W1, wait=0.2) == b""
    near.pass_(5.0)
    near.say(bytes(66))
    assert near.ask(W1, wait=1.6) == b"/SIM54071\r\n"
    assert meter.counts()["asleep"] > 0


def test_an_optical_head_echoes() -> None:
    near, _ = tool(echo=True)
    assert near.ask(W1) == W1 + b"/SIM54071\r\n"


def test_odd_lines_and_8n1_with_parity_by_software() -> None:
    near, _ = tool(lines=ODD_LINES)
    near.tune(300, "8N1")
    assert near.ask(W1) == b""
    near.pass_(2.0)
    answer = near.ask(bytes.fromhex("AF 3F 21 8D 0A"))
    assert bytes(byte & 0x7F for byte in answer) == b"/SIM54071\r\n"
    assert all(byte.bit_count() % 2 == 0 for byte in answer)


def test_strict_meters_do_not_hear_what_comes_too_early() -> None:
    near, meter = tool(replace(SETTINGS, strict=True))
    end = near.ask(W1)
    assert end
    near.say(b"\x06050\r\n")  # 0.1 s of quiet and 10 characters: late enough
    assert meter.counts()["too_early"] == 0
