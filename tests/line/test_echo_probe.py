"""How a line finds out about its echo before the first write, and what that costs whom."""

import pytest

from nportpy.line.turns import Outcome
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import ascii as modbus_ascii
from nportpy.protocols.modbus.exchange import Echo, probe_of
from nportpy.protocols.modbus.rtu import Frame
from tests.support.bus import READ, WRITE, Asker, Units, a_bus, reply
from tests.support.libmodbus import IGNORES_FOR, LibmodbusSlave

COIL = b"\x05\x00\x01\xff\x00"
MASK = b"\x16\x00\x01\x00\x02\x00\x04"
LOOP = b"\x08\x00\x00\x12\x34"
VENDOR = b"\x41\x01\x02"
MIRRORED = [WRITE, COIL, MASK, LOOP]


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("pdu", MIRRORED)
async def test_f3_the_first_write_reaches_a_slave_on_libmodbus(pdu: bytes, echo: bool) -> None:
    cable = Cable()
    slave = LibmodbusSlave(echo=echo)
    Units(cable, slave)
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        for _ in range(3):
            asker.ask(1, pdu)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED] * 3
        assert asker.ends[0][1].waited + asker.ends[0][1].took < 0.1
        assert bus.status().probes == 1
    assert not slave.ignored


async def test_f3_no_frame_goes_to_a_unit_that_nobody_asked() -> None:
    cable = Cable()
    units = Units(cable, lambda frame: [(0.01, b"\xff" + reply(frame))])
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        for unit, pdu in ((7, WRITE), (7, READ), (8, COIL), (9, LOOP)):
            asker.ask(unit, pdu)
        await asker.ended()
    assert {frame[0] for _, frame in units.heard} == {7, 8, 9}


async def test_f3_ordinary_reads_teach_it_too() -> None:
    cable = Cable()
    slave = LibmodbusSlave()
    units = Units(cable, slave)
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, READ)
        asker.ask(1, WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED] * 2
        assert bus.status().probes == 0
    assert [frame[1] for _, frame in units.heard] == [3, 6]


@pytest.mark.parametrize("noise", [b"\x00", b"\xff\xff", b"\x01\x03\x00\x00\x00"])
async def test_f3_noise_before_every_answer_costs_a_second_probe_and_no_write(noise: bytes) -> None:
    """Many two-wire lines say a byte when a driver lets go of them."""
    cable = Cable()
    Units(cable, lambda frame: [(0.01, noise + reply(frame))])
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE)
        asker.ask(1, WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED] * 2
        assert bus.status().probes == 2


async def test_f3_an_echo_that_lost_a_byte_is_no_noise() -> None:
    """The unit reads and then dies: its write must not be answered by the echo."""
    cable = Cable()

    def answer(frame: bytes) -> list[tuple[float, bytes]]:
        return [(0, frame[1:]), (0.01, reply(frame))] if frame[1] == 3 else [(0, frame)]

    Units(cable, answer)
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER]


async def test_f3_a_unit_that_leaves_reads_unanswered_is_written_to_all_the_same() -> None:
    cable = Cable()
    units = Units(cable, lambda frame: [(0.01, reply(frame))] if frame[1] == 6 else [])
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE, timeout=0.3)
        asker.ask(1, WRITE, timeout=0.3)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED] * 2
        assert bus.status().probes == 1
    assert [frame[1] for _, frame in units.heard] == [3, 6, 6]


async def test_f3_the_late_answer_to_a_probe_is_given_to_nobody() -> None:
    cable = Cable()
    Units(cable, lambda frame: [(0.15 if frame[1] == 3 and frame[3] == 1 else 0.01, reply(frame))])
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE, timeout=0.1)
        asker.ask(1, b"\x03\x00\x07\x00\x01", timeout=0.1)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED] * 2
        assert asker.ends[1][1].answer == b"\x03\x02\x00\x07"
        assert bus.counts.late == 1


async def test_f3_ascii_slaves_are_asked_in_the_same_way() -> None:
    cable = Cable()

    def answer(wire: bytes) -> list[tuple[float, bytes]]:
        [frame] = modbus_ascii.Reader().feed(wire, 0)
        answered = reply(Frame(frame.unit, frame.pdu).encode())
        return [(0.01, b"\x00" + modbus_ascii.encode(frame.unit, answered[1:-2]))]

    units = Units(cable, answer)
    async with a_bus(cable, exchange=modbus_ascii.ReplyFinder(Echo.AUTO)) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED]
    assert [wire[1:3] for _, wire in units.heard] == [b"01"] * 3


@pytest.mark.parametrize("pdu", [*MIRRORED, VENDOR])
def test_a_probe_changes_nothing_and_reads_where_it_is_written(pdu: bytes) -> None:
    probe = probe_of(pdu)
    assert probe[0] == (1 if pdu is COIL else 3)
    assert probe[1:3] == (b"\x00\x01" if pdu in (WRITE, COIL, MASK) else b"\x00\x00")
    assert probe[3:] == b"\x00\x01"


async def test_the_simulated_slave_does_what_f3_is_about() -> None:
    cable = Cable()
    slave = LibmodbusSlave()
    Units(cable, slave)
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        asker.ask(248, READ, timeout=0.05)
        asker.ask(1, WRITE, timeout=IGNORES_FOR)
        asker.ask(1, WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER, Outcome.NO_ANSWER, Outcome.ANSWERED]
    assert slave.ignored == [Frame(1, WRITE).encode()]
