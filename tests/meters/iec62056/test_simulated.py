"""The client against simulated meters that were written by others, from the standard alone: their wire, their clock."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from nportpy.meters.iec62056.client import Iec62056Client, Readout, Register
from nportpy.meters.iec62056.errors import MeterSilent, MeterUnreadable, PasswordRefused
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from nportpy.protocols.iec62056 import profile
from nportpy.protocols.iec62056.identification import Mode
from nportpy.protocols.iec62056.messages import Command
from nportpy.protocols.iec62056.reader import Check
from nportpy.simulator.iec62056 import settings as simulated
from nportpy.simulator.iec62056.contents import LINES, ODD_LINES
from nportpy.simulator.iec62056.meter import Meter
from nportpy.simulator.iec62056.script import parse
from nportpy.simulator.iec62056.settings import MeterSettings
from tests.meters.iec62056.meter import run
from tests.support.wired import WiredLine

PROGRAMMING = Iec62056Settings(reading=Reading.PROGRAMMING, password="00000000")


def made(settings: MeterSettings | None = None, script: str = "", lines: Sequence[str] = LINES) -> Meter:
    return Meter(settings, lines=lines, spoils=parse(script.encode()) if script else None, started=1000.0)


def read_out(meter: Meter, settings: Iec62056Settings | None = None, *, echo: bool = False) -> Readout:
    async def conversation() -> Readout:
        return await Iec62056Client(settings or Iec62056Settings()).readout(WiredLine(meter, echo=echo))

    return run(conversation)


def registers(meter: Meter, addresses: Sequence[str], settings: Iec62056Settings = PROGRAMMING) -> list[Register]:
    async def conversation() -> list[Register]:
        return await Iec62056Client(settings).registers(WiredLine(meter), addresses)

    return run(conversation)


def fault(kind: str, **keys: object) -> str:
    lines = [f'kind = "{kind}"', *(f"{key} = {value!r}".replace("'", '"') for key, value in keys.items())]
    return "[[fault]]\n" + "\n".join(lines)


def shown(readout: Readout) -> list[str]:
    """As the meter's lines are written."""
    found: list[str] = []
    for each in readout.sets:
        text = f"({each.value}{'*' * bool(each.unit)}{each.unit})"
        if each.repeated:
            found[-1] += text
        else:
            found.append(each.address + text)
    return found


@pytest.mark.parametrize("speed", "0123456")
@pytest.mark.parametrize("maker", ["SIM", "SIm"])
def test_mode_c_at_every_speed(speed: str, maker: str) -> None:
    meter = made(MeterSettings(speed=speed, maker=maker, strict=True))
    readout = read_out(meter)
    assert shown(readout) == list(LINES)
    assert readout.check is Check.GOOD
    assert not meter.counts()["too_early"]


@pytest.mark.parametrize(("mode", "speed"), [(simulated.Mode.A, "0"), *((simulated.Mode.B, each) for each in "ABCDEF")])
def test_modes_a_and_b(mode: simulated.Mode, speed: str) -> None:
    readout = read_out(made(MeterSettings(mode=mode, speed=speed)))
    assert shown(readout) == list(LINES)
    assert readout.mode == Mode(mode)


@pytest.mark.parametrize("mode", [simulated.Mode.A, simulated.Mode.B])
def test_old_meters_without_stx_and_check(mode: simulated.Mode) -> None:
    meter = made(MeterSettings(mode=mode, speed="C"), fault("no-stx", messages="readout"))
    readout = read_out(meter)
    assert (shown(readout), readout.check) == (list(LINES), Check.ABSENT)


def test_mode_d() -> None:
    meter = made(MeterSettings(mode=simulated.Mode.D, every=5.0))
    readout = read_out(meter, Iec62056Settings(reading=Reading.LISTEN))
    assert (shown(readout), readout.mode) == (list(LINES), Mode.D)


def test_mode_e_is_read_as_c() -> None:
    readout = read_out(made(MeterSettings(enhanced=True)))
    assert (shown(readout), readout.mode, readout.identification.hdlc) == (list(LINES), Mode.E, True)


@pytest.mark.parametrize("software", [False, True])
def test_through_an_optical_head(software: bool) -> None:
    readout = read_out(made(), Iec62056Settings(software_parity=software), echo=True)
    assert shown(readout) == list(LINES)


def test_on_a_battery() -> None:
    meter = made(MeterSettings(wakes=True))
    assert shown(read_out(meter, Iec62056Settings(wake_up=True))) == list(LINES)
    with pytest.raises(MeterSilent):
        read_out(made(MeterSettings(wakes=True)))


def test_by_its_address() -> None:
    assert shown(read_out(made(), Iec62056Settings(device="12345678"))) == list(LINES)
    with pytest.raises(MeterSilent, match="meter 87654321"):
        read_out(made(), Iec62056Settings(device="87654321"))


@pytest.mark.parametrize(
    "script",
    [
        fault("bad-bcc", messages="readout", limit=2),
        fault("bad-bcc", messages="readout", limit=3),
        fault("flipped-bit", messages="readout", limit=1),
        fault("flipped-bit", messages="identification", limit=1),
        fault("lost-start", messages="readout", limit=1),
        fault("cut", messages="readout", limit=1),
        fault("missing", messages="readout", limit=1),
        fault("missing", messages="identification", limit=2),
        fault("junk", messages="readout", limit=1),
        fault("junk", messages="identification", limit=1),
        fault("delay", messages="readout", delay="1s"),
        fault("twice", messages="readout", limit=1),
        fault("pause", messages="readout", pause="1200ms"),
        fault("deaf", limit=1),
        fault("stays", limit=1),
        fault("overstates", offered="6", limit=9),
    ],
    ids=lambda script: script.replace("\n", " ").removeprefix("[[fault]] kind = "),
)
def test_faults_that_cost_a_repeat_at_most(script: str) -> None:
    assert shown(read_out(made(script=script))) == list(LINES)


def test_field_the_meter_stays_at_300_for_ever() -> None:
    meter = made(script=fault("stays"))

    async def conversation() -> tuple[Readout, Readout]:
        client, line = Iec62056Client(Iec62056Settings()), None
        line = WiredLine(meter)
        return await client.readout(line), await client.readout(line)

    for readout in run(conversation):
        assert (shown(readout), readout.baudrate) == (list(LINES), 300)


def test_field_piggymeter_4_a_bare_end() -> None:
    meter = made(script=fault("bare-end", messages="readout"))
    with pytest.raises(MeterUnreadable, match="block check"):
        read_out(meter)
    readout = read_out(made(script=fault("bare-end", messages="readout")), Iec62056Settings(check=False))
    assert shown(readout) == list(LINES)


def test_odd_lines_do_not_spoil_the_rest() -> None:
    readout = read_out(made(lines=ODD_LINES))
    assert [each.address for each in readout.sets if not each.repeated][:4] == ["0.0.0", "20", "1.8.0", "1.8.0"]
    assert len(readout.sets) == 13


@pytest.mark.parametrize("repeats", [False, True])
def test_registers(repeats: bool) -> None:
    meter = made(MeterSettings(repeats_code=repeats))
    found = registers(meter, ["1.8.0", "9.9.9", "32.7"])
    assert [each.sets[0].value if each.sets else "" for each in found] == ["000077.160", "", "230.6"]
    assert found[1].reason.startswith("the meter answers ER")


def test_a_wrong_password() -> None:
    meter = made()
    with pytest.raises(PasswordRefused):
        registers(meter, ["1.8.0"], replace(PROGRAMMING, password="11111111"))
    assert meter.state.name == "IDLE"  # B0


@pytest.mark.parametrize("command", [Command.READ_PROFILE, Command.READ_PROFILE_PART])
@pytest.mark.parametrize("script", ["", fault("bad-bcc", messages="answer", limit=2)])
def test_the_load_profile(command: Command, script: str) -> None:
    async def conversation() -> list[profile.Row]:
        client = Iec62056Client(replace(PROGRAMMING, profile_command=command))
        return await client.profile(WiredLine(made(script=script)))

    rows = run(conversation)
    assert len(rows) == 96
    assert rows[0].values == (Decimal("0.123"), Decimal("0.045"))
    ends = [row.stamp.local for row in rows]
    assert ends == sorted(set(ends))
    assert rows[0].stamp.utc(UTC) == datetime(2026, 11, 20, 23)  # noqa: DTZ001 - summer time, an hour ahead


class Hasty(WiredLine):
    """A line that says at once that everything has left, and would change its speed in the middle of it."""

    async def sent(self) -> None:
        return


@pytest.mark.parametrize("speed", "0156")
def test_a_line_that_calls_everything_sent_at_once_is_not_believed(speed: str) -> None:
    meter = made(MeterSettings(speed=speed, strict=True))

    async def conversation() -> tuple[Readout, int]:
        line = Hasty(meter)
        return await Iec62056Client(Iec62056Settings()).readout(line), line._wire.hasty

    readout, hasty = run(conversation)
    assert shown(readout) == list(LINES)
    assert hasty == 0


def test_what_goes_wrong_and_what_is_tried_is_told_meanwhile() -> None:
    meter = made(script=fault("missing", messages="readout"))

    async def conversation() -> list[str]:
        told: list[str] = []
        with pytest.raises(MeterSilent, match="answers the sign-on and then sends nothing"):
            await Iec62056Client(Iec62056Settings(), told.append).readout(WiredLine(meter))
        return told

    told = run(conversation)
    assert told[0] == "nothing readable at 9600 baud: the change of speed went wrong; trying 4800 baud after 15 s"
    assert told[-1] == "nothing readable at 4800 baud: the change of speed went wrong; trying 300 baud after 15 s"
