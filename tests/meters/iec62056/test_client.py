"""IEC 62056-21 meters over a held line, on virtual time: modes, speeds, what goes wrong, and what is said of it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from nportpy.errors import LineDown, LineUnsupported
from nportpy.linesettings import LineSettings, Parity
from nportpy.meters.iec62056.client import Iec62056Client, Readout, Register
from nportpy.meters.iec62056.errors import MeterSilent, MeterUnreadable, PasswordRefused, WrongSpeed
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from nportpy.protocols.iec62056.identification import Mode
from nportpy.protocols.iec62056.messages import Command
from nportpy.protocols.iec62056.reader import Check
from tests.meters.iec62056.meter import LINES, Meter, framed, run

PROGRAMMING = Iec62056Settings(reading=Reading.PROGRAMMING, password="00000000")


def read_out(meter: Meter, settings: Iec62056Settings | None = None) -> Readout:
    async def conversation() -> Readout:
        return await Iec62056Client(settings or Iec62056Settings()).readout(meter.wire)

    return run(conversation)


def registers(meter: Meter, addresses: Sequence[str], settings: Iec62056Settings = PROGRAMMING) -> list[Register]:
    async def conversation() -> list[Register]:
        return await Iec62056Client(settings).registers(meter.wire, addresses)

    return run(conversation)


def values(readout: Readout) -> dict[str, str]:
    return {each.address: each.value for each in readout.sets if not each.repeated}


VALUES = {"0.0.0": "12345678", "1.8.0": "000077.160", "1.6.1": "0012.3", "32.7": "230.6"}


class TestModes:
    def test_c(self) -> None:
        meter = Meter()
        readout = read_out(meter)
        assert values(readout) == VALUES
        assert (readout.mode, readout.baudrate, readout.check) == (Mode.C, 9600, Check.GOOD)
        assert meter.commands == ["ACK 050"]
        assert meter.wire.sent_bytes == b"/?!\r\n\x06050\r\n\x06"
        speeds = [(each.baudrate, each.format) for each in meter.wire.configured]
        assert speeds == [(300, "7E1"), (9600, "7E1")]

    def test_c_with_20_ms_reaction(self) -> None:
        assert values(read_out(Meter("ISk5MT880"))) == VALUES

    @pytest.mark.parametrize(("offer", "baudrate"), [("0", 300), ("1", 600), ("4", 4800), ("6", 19200)])
    def test_c_at_every_speed(self, offer: str, baudrate: int) -> None:
        readout = read_out(Meter(f"LGZ{offer}ZMD"))
        assert (values(readout), readout.baudrate) == (VALUES, baudrate)

    def test_a(self) -> None:
        meter = Meter("ABCZold")
        readout = read_out(meter)
        assert (values(readout), readout.mode, readout.baudrate) == (VALUES, Mode.A, 300)
        assert meter.wire.sent_bytes == b"/?!\r\n"

    def test_b_changes_by_itself(self) -> None:
        readout = read_out(Meter("ABCDold"))
        assert (values(readout), readout.mode, readout.baudrate) == (VALUES, Mode.B, 4800)

    @pytest.mark.parametrize("offer", ["Z", "C"])
    def test_a_and_b_without_stx_and_check(self, offer: str) -> None:
        meter = Meter(f"ABC{offer}old")
        meter.bare = True
        readout = read_out(meter)
        assert (values(readout), readout.check) == (VALUES, Check.ABSENT)

    @pytest.mark.parametrize("joined", [0.0, 0.7])
    def test_d_sends_by_itself_and_may_be_joined_in_the_middle(self, joined: float) -> None:
        meter = Meter("XYZ3push")
        meter.baudrate = 2400

        async def conversation() -> Readout:
            data = b"/XYZ3push\r\n" + framed(f"{LINES * 4}!\r\n")
            for at in range(3):
                asyncio.get_running_loop().call_later(0.1 + 5 * at, meter.say, data, 0.0)
            await asyncio.sleep(joined)
            return await Iec62056Client(Iec62056Settings(reading=Reading.LISTEN)).readout(meter.wire)

        readout = run(conversation)
        assert (values(readout), readout.mode) == (VALUES, Mode.D)
        assert not meter.wire.sent_bytes

    def test_d_without_a_meter(self) -> None:
        with pytest.raises(MeterSilent, match="by itself at 2400"):
            read_out(Meter(), Iec62056Settings(reading=Reading.LISTEN))

    def test_e_is_recognised_and_read_as_c(self) -> None:
        readout = read_out(Meter("LGZ4\\2ZMD4054407.B31"))
        assert (values(readout), readout.mode, readout.baudrate) == (VALUES, Mode.E, 4800)
        assert readout.identification.hdlc
        assert readout.identification.text == "ZMD4054407.B31"


class TestTheWay:
    def test_field_optical_head_echoes(self) -> None:
        meter = Meter().with_echo()
        assert values(read_out(meter)) == VALUES

    def test_an_echo_in_programming_mode(self) -> None:
        meter = Meter().with_echo()
        meter.password, meter.registers = "00000000", {"1.8.0": "1.8.0(000077.160*kWh)"}
        assert registers(meter, ["1.8.0"])[0].sets[0].value == "000077.160"

    def test_w1_on_an_8n1_port(self) -> None:
        meter = Meter()
        assert values(read_out(meter, Iec62056Settings(software_parity=True))) == VALUES
        assert meter.wire.sent_bytes.startswith(bytes.fromhex("AF 3F 21 8D 0A"))
        assert {each.format for each in meter.wire.configured} == {"8N1"}

    def test_a_port_that_refuses_7e1_is_found_out(self) -> None:
        meter = Meter()
        configure = meter.wire.configure

        async def fixed(wish: LineSettings) -> None:
            if wish.parity is not Parity.NONE:
                raise LineUnsupported("8N1 and nothing else")
            await configure(wish)

        meter.wire.configure = fixed  # type: ignore[method-assign]
        assert values(read_out(meter)) == VALUES

    def test_on_a_bus_the_device_is_named(self) -> None:
        meter = Meter()
        meter.device = "72211943"
        assert values(read_out(meter, Iec62056Settings(device="72211943"))) == VALUES
        with pytest.raises(MeterSilent, match="meter 1 does not answer"):
            read_out(Meter(), Iec62056Settings(device="1"))

    def test_field_a_meter_on_a_battery_is_woken_up(self) -> None:
        meter = Meter()
        readout = read_out(meter, Iec62056Settings(wake_up=True))
        assert values(readout) == VALUES
        (begin, settings, data), (sign_on, *_), *_ = meter.wire.written
        assert set(data) == {0}
        assert 2.1 <= len(data) * settings.character_time <= 2.3
        assert 1.5 <= sign_on - begin - len(data) * settings.character_time <= 1.8

    def test_a_readout_at_300_baud_takes_its_time_and_fits(self) -> None:
        meter = Meter("ISK0slow", "".join(f"{each}.8.0({each:09}*kWh)\r\n" for each in range(120)))
        settings = Iec62056Settings()

        async def conversation() -> float:
            await Iec62056Client(settings).readout(meter.wire)
            return asyncio.get_running_loop().time() - 1000.0

        assert 90 < run(conversation) < 120 < settings.hold
        assert not meter.wire.ways_given  # not inside a readout

    def test_delays_for_slow_adapters(self) -> None:
        meter = Meter()
        read_out(meter, Iec62056Settings(delay_before=0.15, delay_after=0.15))
        (signed_on, _, _), (acknowledged, _, data), *_ = meter.wire.written
        assert data == b"\x06050\r\n"
        assert acknowledged - signed_on > 0.15 + (5 + 18) * 10 / 300  # both messages' time, and the delay


class TestFaults:
    def test_the_sign_on_is_repeated(self) -> None:
        meter = Meter()
        meter.deaf = 2
        assert values(read_out(meter)) == VALUES
        assert len(meter.sign_ons) == 3

    def test_nothing_there(self) -> None:
        meter = Meter()
        meter.deaf = 99
        with pytest.raises(MeterSilent, match="a meter does not answer the sign-on at 300 baud"):
            read_out(meter)
        assert len(meter.sign_ons) == 3

    def test_rubbish_is_told_from_silence(self) -> None:
        meter = Meter()
        meter.deaf = 99

        async def conversation() -> None:
            for each in range(200):
                asyncio.get_running_loop().call_later(each / 10, meter.wire._hear, b"\xff\x12\xf0")
            await Iec62056Client(Iec62056Settings()).readout(meter.wire)

        with pytest.raises(MeterSilent, match="rubbish"):
            run(conversation)

    @pytest.mark.parametrize("spoiled", [1, 3])
    def test_a_wrong_check_is_asked_for_again(self, spoiled: int) -> None:
        meter = Meter()
        meter.spoiled = spoiled
        assert values(read_out(meter)) == VALUES
        assert meter.commands.count("NAK") == spoiled

    def test_a_wrong_check_four_times(self) -> None:
        meter = Meter()
        meter.spoiled = 99
        with pytest.raises(MeterUnreadable, match="block check is wrong"):
            read_out(meter)

    def test_in_mode_a_a_wrong_check_means_another_sign_on(self) -> None:
        meter = Meter("ABCZold")
        meter.spoiled = 1
        assert values(read_out(meter)) == VALUES
        assert len(meter.sign_ons) == 2

    def test_field_checks_that_never_match_can_be_ignored(self) -> None:
        meter = Meter()
        meter.spoiled = 99
        readout = read_out(meter, Iec62056Settings(check=False))
        assert (values(readout), readout.check) == (VALUES, Check.BAD)

    def test_a_meter_without_checks_is_read_after_all(self) -> None:
        meter = Meter()
        meter.no_check = True
        readout = read_out(meter)
        assert (values(readout), readout.check) == (VALUES, Check.ABSENT)

    def test_field_the_acknowledgement_is_ignored_and_the_readout_comes_at_300(self) -> None:
        meter = Meter()
        meter.ignores_ack = True
        readout = read_out(meter)
        assert (values(readout), readout.baudrate, readout.check) == (VALUES, 300, Check.GOOD)
        assert len(meter.sign_ons) == 1  # it is heard to its end, and asked for again

    def test_field_pwitab_33_offers_a_speed_that_does_not_work(self) -> None:
        """First the offered speed, then a lower one, then 300; what works is remembered."""
        meter = Meter("ABC4x")
        meter.works_up_to, meter.broken = 0, True

        async def conversation() -> tuple[Readout, Readout]:
            client = Iec62056Client(Iec62056Settings())
            return await client.readout(meter.wire), await client.readout(meter.wire)

        first, second = run(conversation)
        assert values(first) == values(second) == VALUES
        assert meter.commands == ["ACK 040", "ACK 030", "ACK 000", "ACK 000"]
        assert meter.sign_ons[1] - meter.sign_ons[0] >= 15
        assert meter.wire.ways_given  # between the sessions

    def test_no_speed_works(self) -> None:
        meter = Meter("ABC4x")
        meter._send_readout = lambda delay: 0.0  # type: ignore[method-assign]
        with pytest.raises((WrongSpeed, MeterSilent)):
            read_out(meter)

    def test_highest_is_kept_to(self) -> None:
        meter = Meter()
        assert read_out(meter, Iec62056Settings(highest=2400)).baudrate == 2400
        assert meter.commands == ["ACK 030"]

    def test_one_bad_line_does_not_spoil_the_rest(self) -> None:
        assert values(read_out(Meter(readout=f"garbage\r\n{LINES}9.9(1(2)\r\n")))["32.7"] == "230.6"

    def test_the_device_goes_in_a_readout(self) -> None:
        meter = Meter()

        async def conversation() -> None:
            asyncio.get_running_loop().call_later(1.5, meter.wire.lose)
            await Iec62056Client(Iec62056Settings()).readout(meter.wire)

        with pytest.raises(LineDown):
            run(conversation)

    def test_an_empty_readout(self) -> None:
        with pytest.raises(MeterUnreadable, match="no readout"):
            read_out(Meter(readout=""))


class TestProgramming:
    def meter(self) -> Meter:
        meter = Meter()
        meter.password = "00000000"
        meter.registers = {"1.8.0": "(000077.160*kWh)", "32.7": "32.7(230.6*V)", "9.9": "(ER03)"}
        return meter

    def test_registers(self) -> None:
        meter = self.meter()
        found = registers(meter, ["1.8.0", "9.9", "32.7"])
        assert [(each.address, each.sets[0].value if each.sets else "", each.reason) for each in found] == [
            ("1.8.0", "000077.160", ""),
            ("9.9", "", "the meter answers ER03"),
            ("32.7", "230.6", ""),
        ]
        assert meter.commands == ["ACK 051", "P1(00000000)", "R11.8.0()", "R19.9()", "R132.7()", "B0"]
        assert found[0].sets[0].address == "1.8.0"

    def test_without_a_password_none_is_sent(self) -> None:
        meter = self.meter()
        registers(meter, ["1.8.0"], Iec62056Settings(reading=Reading.PROGRAMMING))
        assert meter.commands == ["ACK 051", "R11.8.0()", "B0"]

    @pytest.mark.parametrize("refused", ["(ER01)", ""])
    def test_field_14_a_refused_password_is_never_tried_again(self, refused: str) -> None:
        meter = self.meter()
        meter.password, meter.refused = "87654321", refused

        async def conversation() -> None:
            client = Iec62056Client(PROGRAMMING)
            with pytest.raises(PasswordRefused, match="refuses the password"):
                await client.registers(meter.wire, ["1.8.0"])
            with pytest.raises(PasswordRefused, match="not tried again"):
                await client.registers(meter.wire, ["1.8.0"])

        run(conversation)
        assert meter.commands[-1] == "B0"
        assert len(meter.sign_ons) == 1
        assert meter.commands.count("P1(00000000)") == (1 if refused else 2)

    def test_the_password_is_secret(self) -> None:
        meter, secrets = self.meter(), list[bytes]()
        write = meter.wire.write

        def noted(data: bytes, *, secret: bool = False) -> None:
            if secret:
                secrets.append(data)
            write(data)

        meter.wire.write = noted  # type: ignore[method-assign]
        registers(meter, ["1.8.0"])
        assert secrets == [bytes.fromhex("01 50 31 02 28 30 30 30 30 30 30 30 30 29 03 61")]
        assert "00000000" not in repr(PROGRAMMING)
        with pytest.raises(ValueError, match="the password") as caught:
            Iec62056Settings(password="sec(ret")
        assert "sec" not in str(caught.value)

    def test_nak_means_that_the_command_is_sent_again(self) -> None:
        meter = self.meter()
        meter.naks = 1
        assert registers(meter, ["1.8.0"], Iec62056Settings(reading=Reading.PROGRAMMING))[0].sets
        assert meter.commands == ["ACK 051", "R11.8.0()", "R11.8.0()", "B0"]

    def test_a_bad_answer_is_repeated(self) -> None:
        meter = self.meter()
        meter.spoiled = 2
        assert registers(meter, ["1.8.0"])[0].sets
        assert meter.commands[-4:] == ["R11.8.0()", "NAK", "NAK", "B0"]

    def test_the_meter_stops_answering(self) -> None:
        meter = self.meter()
        found = registers(meter, ["1.8.0", "unknown", "32.7"])
        assert [bool(each.sets) for each in found] == [True, False, False]
        assert "stopped answering" in found[2].reason
        assert meter.commands[-1] == "B0"

    def test_b0_even_when_it_is_cancelled(self) -> None:
        meter = self.meter()

        async def conversation() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(4):
                    await Iec62056Client(PROGRAMMING).registers(meter.wire, ["unknown"])
            await asyncio.sleep(1)

        run(conversation)
        assert meter.commands[-1] == "B0"

    def test_a_session_that_was_left_open_is_waited_for(self) -> None:
        meter = self.meter()

        async def conversation() -> list[Register]:
            client = Iec62056Client(PROGRAMMING)
            send = meter.wire.write
            meter.registers.clear()

            def no_break(data: bytes, *, secret: bool = False) -> None:
                if b"B0" in data:
                    raise LineDown("lost")
                send(data)

            meter.wire.write = no_break  # type: ignore[method-assign]
            with pytest.raises(MeterSilent):
                await client.registers(meter.wire, ["1.8.0"])
            meter.registers = {"1.8.0": "(1*kWh)"}
            meter.wire.write = send  # type: ignore[method-assign]
            return await client.registers(meter.wire, ["1.8.0"])

        assert run(conversation)[0].sets
        assert meter.wire.ways_given

    def test_no_programming_mode(self) -> None:
        meter = self.meter()
        meter.ignores_ack = True
        with pytest.raises(MeterUnreadable, match="no programming mode"):
            registers(meter, ["1.8.0"])

    def test_mode_a_is_programmed_at_once(self) -> None:
        meter = Meter("ABCZold")
        meter.registers = {"1.8.0": "(1*kWh)"}
        assert registers(meter, ["1.8.0"], Iec62056Settings(reading=Reading.PROGRAMMING))[0].sets

    def test_nothing_is_ever_written(self) -> None:
        assert not {each.value[0] for each in Command} & {"W", "E"}


HEADER = "P.01(0261121001500)(00000000)(15)(2)(1.5)(kW)(2.5)(kvar)\r\n"


class TestProfile:
    def test_in_parts(self) -> None:
        meter = Meter()
        meter.parts = [
            framed(f"{HEADER}(0.123)(0.045)\r\n", end="\x04"),
            framed("(0.124)(0.046)\r\n", end="\x04"),
            framed("(0.125)(0.047)\r\n"),
        ]
        settings = Iec62056Settings(reading=Reading.PROGRAMMING, profile_command=Command.READ_PROFILE_PART)
        start = datetime(2026, 11, 21, tzinfo=UTC)

        async def conversation() -> list[tuple[datetime, Decimal | None]]:
            rows = await Iec62056Client(settings).profile(meter.wire, start, start + timedelta(hours=1))
            return [(row.stamp.utc(UTC).replace(tzinfo=UTC), row.values[0]) for row in rows]

        assert run(conversation) == [
            (datetime(2026, 11, 21, 0, 15, tzinfo=UTC), Decimal("0.123")),
            (datetime(2026, 11, 21, 0, 30, tzinfo=UTC), Decimal("0.124")),
            (datetime(2026, 11, 21, 0, 45, tzinfo=UTC), Decimal("0.125")),
        ]
        assert meter.commands == ["ACK 051", "R6P.01(02611210000;02611210100)", "B0"]

    def test_nothing_kept(self) -> None:
        meter = Meter()
        meter.parts = [framed("P.01(ERROR)")]

        async def conversation() -> int:
            return len(await Iec62056Client(PROGRAMMING_FREE).profile(meter.wire))

        assert run(conversation) == 0
        assert "R5P.01(;)" in meter.commands

    def test_refused(self) -> None:
        meter = Meter()
        meter.parts = [framed("(ER07)")]

        async def conversation() -> None:
            await Iec62056Client(PROGRAMMING_FREE).profile(meter.wire)

        with pytest.raises(MeterUnreadable, match="ER07"):
            run(conversation)
        assert meter.commands[-1] == "B0"


PROGRAMMING_FREE = Iec62056Settings(reading=Reading.PROGRAMMING)
