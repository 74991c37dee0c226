"""Real COM over sockets: the strict client, pairs of connections and their end, and who else is there."""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_network

import pytest

from nportpy.line.stream_base import IdleLevels, StreamSettings
from nportpy.linesettings import LineSettings, ModemLines
from nportpy.modes.realcom_base import default_ports
from nportpy.modes.realcom_pair import DataConnection
from nportpy.network.service import WhenDown, WhenFull
from nportpy.port.loopback import Cable
from tests.support.lines import Client as Listening
from tests.support.ports import descriptors
from tests.support.realcom import Driver
from tests.support.realcom_serving import Commands, Data, Host, serving
from tests.support.serving import connect, settle, until

RAW_9600 = bytes.fromhex("06 03 01 01 00 00 00 00")
RAW_115200 = bytes.fromhex("0a 03 01 01 00 00 00 00")
INIT = b"\x2c\x08" + RAW_9600
STATUS = b"\x2c\x03\x01\x01\x01"
SOME = bytes(range(256)) * 16
OTHER = "127.0.0.2"  # another client's address


def test_default_ports_are_those_of_the_drivers() -> None:
    assert [default_ports(number) for number in (1, 16, 17, 32)] == [(950, 966), (965, 981), (982, 998), (997, 1013)]


# The strict client.


async def a_day_of_the_strict_client(*, ipv6: bool, late: float = 0.0) -> None:
    async with serving(where="::" if ipv6 else "127.0.0.1") as served:
        cable, host = served.cable, await served.host(ipv6=ipv6, late=late)
        driver = host.driver
        host.write(b"request")
        await until(lambda: cable.heard == b"request")
        cable.far.write(b"answer")
        await until(lambda: driver.received == b"answer")
        assert await host.call(driver.tcdrain()) == ""
        assert await host.call(driver.tcsetattr(bytes.fromhex("0a 0e 01 01 00 00 00 00"), drain=True)) == ""
        assert str(served.line.settings) == "115200 7E2"
        assert await host.call(driver.tcsetattr(bytes.fromhex("ff 03 01 01 00 00 00 00"), 1800)) == ""
        assert str(served.line.settings) == "1800 8N1"
        assert await host.call(driver.tcsetattr(bytes.fromhex("0a 0e 01 01 01 01 00 00"))) == ""
        assert str(served.line.settings) == "115200 7E2 rtscts"
        assert await host.call(driver.tcsetattr(bytes.fromhex("0a 03 01 01 00 00 01 01"))) == ""
        assert str(served.line.settings) == "115200 8N1 xonxoff"
        assert await host.call(driver.tcsetattr(RAW_115200)) == ""
        assert await host.call(driver.tiocmset(dtr=False, rts=True)) == ""
        assert not served.line.modem_lines() & ModemLines.DTR
        assert await host.call(driver.tcflow(on=False)) == ""
        assert await host.call(driver.tcflow(on=True)) == ""
        assert await host.call(driver.tcflush()) == ""
        host.write(SOME)
        await host.close()
        await until(lambda: cable.heard == b"request" + SOME)
        assert driver.faults == []
        await until(lambda: not served.service.sessions)
        assert served.results == {"accepted": 1, "closed": 1}


@pytest.mark.parametrize("ipv6", [False, True], ids=["IPv4", "IPv6"])
async def test_a_day_of_the_strict_client(ipv6: bool) -> None:
    await a_day_of_the_strict_client(ipv6=ipv6)


async def test_a_day_with_data_that_its_commands_overtake() -> None:
    await a_day_of_the_strict_client(ipv6=False, late=0.005)


@pytest.mark.real
@pytest.mark.parametrize("ipv6", [False, True], ids=["IPv4", "IPv6"])
async def test_a_real_day_of_the_strict_client(ipv6: bool) -> None:
    await a_day_of_the_strict_client(ipv6=ipv6)


async def test_ipv4_on_a_dual_stack_listener_has_no_hello() -> None:
    async with serving(where="::") as served:
        host = await served.host()
        assert host.driver.answers[0] == STATUS


async def test_nothing_is_lost_when_a_program_writes_and_closes_at_once() -> None:
    async with serving(Cable(paced=True), line=LineSettings(1200)) as served:
        host = await served.host()
        assert await host.call(host.driver.tcsetattr(bytes.fromhex("02 03 01 01 00 00 00 00"))) == ""
        host.write(SOME)
        await host.close()
        assert len(served.cable.heard) < len(SOME)  # a close takes no longer than half a minute
        await until(lambda: served.cable.heard == SOME)
        assert host.driver.faults == []


@pytest.mark.long
async def test_nothing_is_lost_of_what_waits_in_sockets_at_the_close() -> None:
    async with serving(Cable(paced=True), line=LineSettings(19200)) as served:
        host = await served.host()
        assert await host.call(host.driver.tcsetattr(bytes.fromhex("07 03 01 01 00 00 00 00"))) == ""
        host.write(SOME * 20)
        await settle()
        host.write(SOME * 5)
        await host.close()
        (client,) = served.service.sessions
        assert client.received == len(SOME) * 20
        await until(lambda: len(served.cable.listener.heard) == len(SOME) * 25, 60)
        assert served.cable.heard == SOME * 25
        assert host.driver.faults == []


async def test_a_program_that_does_not_wait_for_its_bytes_loses_none_that_came() -> None:
    async with serving(Cable(paced=True), line=LineSettings(9600)) as served:
        _, data = await served.pair()
        data.send(SOME)
        await settle()
        await data.close()
        await until(lambda: served.cable.heard == SOME)


@pytest.mark.parametrize("ending", ["data first", "commands first", "both", "half-close", "reset", "reset commands"])
async def test_r2_a_program_that_writes_and_closes_without_waiting_loses_nothing(ending: str) -> None:
    """The driver flushes, and both connections end a millisecond or two later."""
    async with serving(Cable(paced=True), line=LineSettings(9600)) as served:
        host = await served.host()
        host.write(SOME[:500])
        await settle(0.005)
        assert await host.call(host.driver.close(nonblocking=True)) == ""
        await asyncio.sleep(0.002)
        data, commands = host.data.transport, host.commands.transport
        if ending == "half-close":
            data.write_eof()
            await asyncio.sleep(0.01)
            commands.write_eof()
            await asyncio.sleep(0.01)
        elif ending.startswith("reset"):
            commands.abort()
            await asyncio.sleep(0.001)
            (data.close if ending == "reset commands" else data.abort)()
        elif ending != "both":
            (data if ending == "data first" else commands).close()
            await asyncio.sleep(0.015)
        host.hang_up()
        await until(lambda: len(served.cable.heard) == 500)
        assert served.cable.heard == SOME[:500]
        assert served.line.status().purged == 0
        assert host.driver.faults == []


async def test_r2_a_program_that_throws_its_output_away_has_that_done_soon() -> None:
    async with serving(Cable(paced=True), line=LineSettings(9600)) as served:
        host = await served.host()
        host.write(SOME[:500])
        await settle(0.005)
        assert await host.call(host.driver.tcflush()) == ""
        await settle(0.03)
        assert served.line.unsent() == 0
        host.write(b"next")
        await until(lambda: served.cable.heard.endswith(b"next"))
        assert len(served.cable.heard) < 100


async def test_r2_what_is_written_after_a_flush_is_sent_without_what_was_before() -> None:
    async with serving(Cable(paced=True), line=LineSettings(9600)) as served:
        host = await served.host()
        host.write(SOME[:500])
        await settle(0.005)
        assert await host.call(host.driver.tcflush()) == ""
        host.write(b"next")
        await settle(0.001)
        host.hang_up()
        await until(lambda: served.cable.heard.endswith(b"next"))
        assert len(served.cable.heard) < 50


async def test_r2_what_a_flush_left_behind_does_not_wait_long_for_a_line_that_stands_still() -> None:
    async with serving(Cable(paced=True), line=LineSettings(9600), stream=StreamSettings(linger=60.0)) as served:
        host = await served.host()
        assert await host.call(host.driver.tcsetattr(bytes.fromhex("06 03 01 01 01 01 00 00"))) == ""
        served.cable.far.set_modem_lines(rts=False)
        await settle(0.1)
        host.write(SOME[:500])
        await settle(0.1)
        assert await host.call(host.driver.close(nonblocking=True)) == ""
        host.hang_up()
        await settle(0.5)
        assert served.line.unsent()
        await settle(1.0)
        assert not served.line.unsent()


async def test_a_change_of_speed_waits_for_the_bytes_before_it() -> None:
    cable = Cable(paced=True)
    async with serving(cable, line=LineSettings(9600)) as served:
        host = await served.host()
        host.write(b"x" * 96)
        change = asyncio.get_running_loop().time()
        assert await host.call(host.driver.tcsetattr(RAW_115200, drain=True)) == ""
        assert asyncio.get_running_loop().time() - change > 0.09
        assert cable.heard == b"x" * 96
        assert served.line.settings.baudrate == 115200
        assert host.driver.faults == []


async def test_settings_come_back_when_the_client_has_gone_and_its_bytes_have_left() -> None:
    cable = Cable(paced=True)
    async with serving(cable, line=LineSettings(115200)) as served:
        host = await served.host()
        assert await host.call(host.driver.tcsetattr(RAW_9600)) == ""
        host.write(b"x" * 960)
        await settle()
        host.hang_up()
        await settle(0.5)
        assert served.line.settings.baudrate == 9600
        await until(lambda: served.line.settings.baudrate == 115200)
        assert len(cable.heard) == 960


async def test_a_break_ends_with_its_client() -> None:
    async with serving() as served:
        host = await served.host()
        host.commands.send(b"\x21\x00")
        await until(lambda: served.line.breaking)
        host.hang_up()
        await until(lambda: not served.line.breaking)


async def test_dtr_and_rts_go_to_their_idle_levels_once_the_bytes_have_left() -> None:
    outputs = ModemLines.DTR | ModemLines.RTS
    cable = Cable(paced=True)
    async with serving(cable, line=LineSettings(9600), stream=StreamSettings(idle_levels=IdleLevels.LOW)) as served:
        host = await served.host()
        assert served.line.modem_lines() & outputs == outputs
        host.write(b"x" * 960)
        await settle()
        host.hang_up()
        await settle(0.5)
        assert served.line.modem_lines() & outputs == outputs
        await until(lambda: not served.line.modem_lines() & outputs)
        assert len(cable.heard) == 960
        again = await served.host()
        assert await again.call(again.driver.tiocmset(dtr=True, rts=False)) == ""
        assert served.line.modem_lines() & outputs == ModemLines.DTR


async def test_modem_lines_are_told_at_most_every_100_ms() -> None:
    async with serving() as served:
        host = await served.host()
        for level in (False, True) * 10:
            served.cable.far.set_modem_lines(dtr=level)
            await settle(0.06)
        served.cable.far.set_modem_lines(dtr=False)
        await until(lambda: not host.driver.modem & 0xA0)
        assert host.driver.modem & 0x10
        assert host.driver.faults == []


async def test_line_errors_are_told() -> None:
    async with serving() as served:
        host = await served.host()
        near = served.cable.near
        assert near is not None
        near.count(frame=1, parity=2, breaks=1)
        await until(lambda: host.driver.errors[0x10] == 1)
        assert host.driver.errors == {1: 1, 2: 1, 4: 0, 8: 0, 0x10: 1, 0x20: host.driver.errors[0x20]}
        assert host.driver.faults == []


async def test_xoff_of_the_client_holds_its_bytes_back() -> None:
    async with serving() as served:
        host = await served.host()
        assert await host.call(host.driver.tcflow(on=False)) == ""
        host.write(b"later")
        await settle(1)
        assert served.cable.heard == b""
        assert await host.call(host.driver.tcflow(on=True)) == ""
        await until(lambda: served.cable.heard == b"later")
        assert host.driver.faults == []


# Pairs of connections.


@pytest.mark.parametrize("data_first", [False, True])
async def test_the_connections_come_in_either_order(data_first: bool) -> None:
    async with serving() as served:
        host = Host()
        await host.connect(served.ports, data_first=data_first)
        await host.open()
        assert host.driver.faults == []


async def test_commands_wait_for_the_data_connection() -> None:
    async with serving() as served:
        commands = await connect(Commands, served.ports[1])
        commands.send(INIT)
        await settle(1)
        assert not commands.heard
        await connect(Data, served.ports[0])
        await until(lambda: commands.heard.startswith(STATUS))


async def test_connections_are_paired_by_address() -> None:
    async with serving(max_clients=2) as served:
        mine = await connect(Commands, served.ports[1])
        other = await connect(Commands, served.ports[1], source=OTHER)
        await connect(Data, served.ports[0], source=OTHER)
        mine.send(INIT)
        other.send(INIT)
        await until(lambda: other.heard)
        assert not mine.heard


async def test_a_command_connection_that_stays_alone_is_closed() -> None:
    async with serving() as served:
        commands = await connect(Commands, served.ports[1])
        await settle(9)
        assert not commands.lost
        await settle(2)
        assert commands.lost


@pytest.mark.parametrize("max_clients", [1, 2])
async def test_command_connections_alone_are_few_and_go(max_clients: int) -> None:
    async with serving(max_clients=max_clients) as served:
        alone = [await connect(Commands, served.ports[1], source=OTHER) for _ in range(20)]
        await settle()
        assert sum(not commands.lost for commands in alone) == (1 if max_clients == 1 else 6)
        await settle(11)
        assert all(commands.lost for commands in alone)
        await served.host()


async def test_who_comes_again_is_not_paired_with_what_was_left_of_the_first_time() -> None:
    async with serving() as served:
        await connect(Commands, served.ports[1])  # its machine was switched off
        await served.host()


async def test_a_data_connection_alone_is_a_raw_one() -> None:
    async with serving() as served:
        data = await connect(Data, served.ports[0])
        data.send(b"raw")
        await until(lambda: served.cable.heard == b"raw")
        served.cable.far.write(b"answer")
        await data.hears(b"answer")


Ending = Callable[[Commands, Data], Awaitable[None]]


async def _close_data(_commands: Commands, data: Data) -> None:
    data.transport.close()


async def _close_commands(commands: Commands, _data: Data) -> None:
    commands.transport.close()


async def _half_close_commands(commands: Commands, _data: Data) -> None:
    commands.half_close()


async def _reset_data(_commands: Commands, data: Data) -> None:
    await data.reset()


async def _reset_commands(commands: Commands, _data: Data) -> None:
    await commands.reset()


ENDINGS = [_close_data, _close_commands, _half_close_commands, _reset_data, _reset_commands]


@pytest.mark.parametrize("end", ENDINGS)
async def test_the_end_of_one_connection_is_the_end_of_the_other(end: Ending) -> None:
    await either_ends(end)


@pytest.mark.real
@pytest.mark.parametrize("end", ENDINGS)
async def test_the_end_of_one_connection_is_really_the_end_of_the_other(end: Ending) -> None:
    await either_ends(end)


async def either_ends(end: Ending) -> None:
    async with serving() as served:
        commands, data = await served.pair()
        commands.send(INIT)
        await until(lambda: commands.heard.startswith(STATUS))
        await end(commands, data)
        await until(lambda: commands.lost and data.lost, 2)
        await until(lambda: not served.service.sessions)
        assert served.line.settings.baudrate == 115200, "put back"


@pytest.mark.long
async def test_what_was_sent_before_the_commands_ended_goes_to_the_line() -> None:
    async with serving(Cable(paced=True), line=LineSettings(57600)) as served:
        commands, data = await served.pair()
        sent = SOME * 25
        data.send(sent[: len(SOME) * 20])  # the line is full then
        await settle(0.01)
        data.send(sent[len(SOME) * 20 :])
        commands.transport.close()
        await until(lambda: len(served.cable.listener.heard) == len(sent), 60)
        assert served.cable.heard == sent
        await until(lambda: data.lost)


# Who else is there.


async def test_a_further_client_is_accepted_and_closed_at_once() -> None:
    async with serving() as served:
        host = await served.host()
        for source in ("", OTHER):
            commands, data = await served.pair(source)
            await until(lambda commands=commands, data=data: commands.lost and data.lost, 1)  # type: ignore[misc]
        assert not host.lost
        host.write(b"still there")
        await until(lambda: served.cable.heard == b"still there")
        assert served.results["refused_full"] == 2


@pytest.mark.parametrize("takeover", [False, True])
async def test_r5_a_driver_that_is_refused_each_second_fills_no_log(
    takeover: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(takeover=takeover) as served:
        host = await served.host()
        caplog.clear()
        for _ in range(50):
            commands, data = await served.pair(OTHER)
            await until(lambda commands=commands, data=data: commands.lost and data.lost, 5)  # type: ignore[misc]
            await settle(1.0)
        assert len(caplog.records) <= 2
        for _ in range(10):
            commands, data = await served.pair()  # from the address that has the place
            await until(lambda commands=commands, data=data: commands.lost and data.lost, 5)  # type: ignore[misc]
        assert len(caplog.records) <= 4
        assert not host.lost


async def test_r5_what_was_said_on_a_command_connection_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as served:
        host = await served.host()
        host.hang_up()
        await until(lambda: not served.service.sessions)
        await settle(0.01)
    told = [(each.message, each.__dict__) for each in caplog.records if each.__dict__.get("service") != "realcom"]
    assert [message for message, _ in told if message.startswith("client")] == ["client connected", "client gone"]
    gone = dict(told)["client gone"]
    assert (gone["service"], gone["received"]) == ("realcom commands", 10 + 4 + 3)
    assert gone["sent"] >= 5 + 3 + 3


async def test_a_driver_whose_connections_were_lost_comes_back_at_once() -> None:
    async with serving() as served:
        host = await served.host()
        assert await host.call(host.driver.tcsetattr(RAW_9600)) == ""
        for _ in range(3):
            host.data.transport.abort()
            await until(lambda: host.lost)
            host.driver.answers.clear()
            await host.connect(served.ports, recover=True)
            await until(lambda: not host.driver.recovering)
            assert host.driver.answers[0] == STATUS
            assert served.line.settings.baudrate == 9600
            host.write(b"x")
        await until(lambda: served.cable.heard == b"xxx")
        assert host.driver.faults == []


async def test_the_oldest_client_gives_way_if_so_set() -> None:
    async with serving(when_full=WhenFull.KICK_OLDEST) as served:
        host = await served.host()
        other = await served.host(source=OTHER)
        assert host.lost
        other.write(b"mine")
        await until(lambda: served.cable.heard == b"mine")


async def test_several_clients_hear_the_line_and_control_nothing() -> None:
    async with serving(max_clients=2) as served:
        hosts = [await served.host(), await served.host(source=OTHER)]
        for host in hosts:
            assert await host.call(host.driver.tcsetattr(RAW_9600)) == ""
            assert await host.call(host.driver.tiocmset(dtr=False, rts=False)) == ""
            assert await host.call(host.driver.tcdrain()) == ""
        assert served.line.settings.baudrate == 115200
        assert served.line.modem_lines() & ModemLines.DTR
        served.cable.far.write(b"all")
        await until(lambda: all(host.driver.received == b"all" for host in hosts))
        for host in hosts:
            host.write(b"1")
            await host.close()
            assert host.driver.faults == []
        await until(lambda: served.cable.heard == b"11")


async def test_several_clients_control_the_line_if_so_set() -> None:
    async with serving(max_clients=2, allow_driver_control=True) as served:
        hosts = [await served.host(), await served.host(source=OTHER)]
        assert await hosts[0].call(hosts[0].driver.tcsetattr(RAW_115200)) == ""
        assert await hosts[1].call(hosts[1].driver.tcsetattr(RAW_9600)) == ""
        assert served.line.settings.baudrate == 9600


async def test_who_controls_the_line_already_goes_on_to() -> None:
    async with serving() as served:
        first = Listening()
        served.line.control.enter(first)
        host = await served.host()
        assert await host.call(host.driver.tcsetattr(RAW_9600)) == ""
        assert await host.call(host.driver.tcflush()) == ""
        assert served.line.settings.baudrate == 115200
        served.line.control.leave(first)
        assert await host.call(host.driver.tcsetattr(RAW_9600)) == ""
        assert served.line.settings.baudrate == 9600
        assert host.driver.faults == []


# The device, and the client's life.


async def test_a_client_stays_while_the_device_is_away() -> None:
    async with serving() as served:
        host = await served.host()
        served.cable.unplug()
        await until(lambda: not host.driver.modem & 0xB0)
        assert await host.call(host.driver.tcsetattr(RAW_9600)) == ""
        host.write(b"kept")
        assert await host.call(host.driver.tcdrain()) == ""
        assert host.driver.wait_answers[-1] > 0
        served.cable.plug()
        await until(lambda: served.cable.heard == b"kept")
        assert served.line.settings.baudrate == 9600
        await until(lambda: host.driver.modem & 0xB0 == 0xB0)
        assert host.driver.faults == []


async def test_a_client_is_closed_when_the_device_goes_if_so_set() -> None:
    async with serving(when_down=WhenDown.CLOSE) as served:
        host = await served.host()
        served.cable.unplug()
        await until(lambda: host.lost)
        commands, data = await served.pair()
        await until(lambda: commands.lost and data.lost)
        assert served.results == {"accepted": 1, "line_down": 1, "refused_down": 1}


async def test_a_silent_client_is_polled_and_stays() -> None:
    async with serving(poll=40.0) as served:
        host = await served.host()
        await settle(200)
        assert host.driver.polls == [1, 2, 3, 4, 5]
        assert host.driver.faults == []
        assert not host.lost


async def test_a_client_that_answers_no_poll_is_dead() -> None:
    async with serving(poll=40.0) as served:
        commands, data = await served.pair()
        await until(lambda: commands.lost and data.lost, 60)
        assert commands.heard == b"\x27\x01\x01" * 4
        await until(lambda: served.results == {"accepted": 1, "dead": 1})


async def test_a_client_that_does_not_fetch_its_answers_is_not_obeyed_further() -> None:
    async with serving() as served:
        commands, data = await served.pair()
        (session,) = served.service.sessions
        assert isinstance(session, DataConnection)
        assert session.partner is not None
        session.partner.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        commands.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        commands.transport.pause_reading()
        commands.send(b"\x12\x02\x01\x01" * 20000)
        await settle(5)
        assert session.partner.status().state == "stalled"
        data.send(b"still")
        await until(lambda: served.cable.heard == b"still")
        commands.read_on()
        await until(lambda: len(commands.heard) == 3 * 20000)
        assert commands.heard == b"\x12OK" * 20000


async def test_each_answer_is_a_write_of_its_own_and_short() -> None:
    async with serving() as served:
        host = await served.host()
        host.commands.pieces.clear()
        host.commands.send(b"\x12\x02\x01\x01")
        await until(lambda: host.commands.pieces)
        assert host.commands.pieces == [b"\x12OK"]


@pytest.mark.parametrize("step", [1, 3])
async def test_half_commands_are_put_together(step: int) -> None:
    async with serving() as served:
        commands, _data = await served.pair()
        for at in range(0, len(INIT), step):
            commands.send(INIT[at : at + step])
            await settle()
        await until(lambda: commands.heard.startswith(STATUS))
        commands.send(b"\x12")
        await settle(5)
        commands.send(b"\x02\x00\x01")
        await until(lambda: commands.heard.endswith(b"\x12OK"))


async def test_unknown_opcodes_are_acknowledged_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving() as served:
        commands, _data = await served.pair()
        commands.send(b"\x40\x02ab" * 3 + b"\x41\x00" + b"\x12\x05wrong" * 2)
        await until(lambda: commands.heard == b"@OK@OK@OKAOK")
    told = [record for record in caplog.records if "command" in record.message and record.name.endswith("pair")]
    assert [vars(record).get("opcode") for record in told] == ["40", "41", None]


async def test_garbage_ends_nobody_else() -> None:
    async with serving(max_clients=3) as served:
        host = await served.host()
        for number in range(20):
            commands, data = await served.pair(OTHER)
            commands.send(bytes((number * 7 + at * 31) & 0xFF for at in range(3000)))
            await settle(0.2)
            await data.reset()
            await until(lambda commands=commands: commands.lost)  # type: ignore[misc]
        host.write(b"still there")
        await until(lambda: served.cable.heard.endswith(b"still there"))
        assert host.driver.faults == []


async def test_stopping_ends_clients_and_leaves_what_they_sent() -> None:
    async with serving(Cable(paced=True), line=LineSettings(9600), stream=StreamSettings(linger=3.0)) as served:
        host = await served.host()
        host.write(b"x" * 500)
        await settle(0.1)
        served.service.hush()
        host.write(b"not taken")
        assert served.service.accepted() == 0
        await served.line.drain()
        served.service.stop()
        await until(lambda: host.lost)
        assert served.cable.heard == b"x" * 500


async def test_status_and_the_list_for_discovery() -> None:
    async with serving(number=3) as served:
        assert list(served.service.connections()) == []
        host = await served.host()
        (client,) = served.service.status().clients
        assert (client.address, client.controls) == ("127.0.0.1", True)
        assert served.service.status().listen == tuple(f"127.0.0.1:{port}" for port in served.ports)
        own = [each.transport.get_extra_info("sockname")[1] for each in (host.data, host.commands)]
        listed = [(entry.remote_port, entry.local_port, entry.port) for entry in served.service.connections()]
        assert listed == [(own[0], served.ports[0], 3), (own[1], served.ports[1], 3)]


async def test_only_an_allowed_client_comes_in() -> None:
    async with serving(allow=((ip_network("127.0.0.1/32"),),)) as served:
        commands, data = await served.pair(OTHER)
        await until(lambda: commands.lost and data.lost)
        await served.host()
        assert served.results["refused_allow"] == 1


def test_the_driver_of_the_tests_is_strict() -> None:
    driver = Driver()
    driver.connected(0.0)
    driver.command_received(b"\x2c\x03", 0.0)
    assert driver.faults


async def misbehave(seed: int, steps: int) -> None:
    """Connections that come, talk and go in any order; afterwards nothing of them is left and a client is served."""
    choose = random.Random(seed)
    async with serving(max_clients=3, when_full=WhenFull.KICK_OLDEST, allow_driver_control=True) as served:
        there: list[Commands | Data] = []
        ended: list[Commands | Data] = []
        for _ in range(steps):
            there = [each for each in there if not each.transport.is_closing() and each not in ended]
            each = choose.choice(there) if there else None
            match choose.randrange(8):
                case 0 | 1:
                    there.append(await connect(Commands, served.ports[1], source=choose.choice(("", OTHER))))
                case 2 | 3:
                    there.append(await connect(Data, served.ports[0], source=choose.choice(("", OTHER))))
                case 4 if each is not None:
                    each.send(choose.choice((INIT, choose.randbytes(choose.randrange(1, 40)), b"\x2f\x04\x40\0\0\0")))
                case 5 if each is not None:
                    each.send(b"\x21\x00\x34\x00" + INIT)
                case 6 if each is not None:
                    choose.choice((each.half_close, each.transport.close, each.transport.abort))()
                    ended.append(each)
                case _:
                    await settle(choose.choice((0.0, 0.01, 0.6, 3.0)))
        for each in there + ended:
            each.transport.abort()
        await settle(4)  # until those were let in that waited for a place
        await until(lambda: not served.service.sessions and not served.service._commands.sessions)
        await until(lambda: served.line.settings.baudrate == 115200 and not served.line.breaking)
        served.cable.listener.heard.clear()
        host = await served.host()
        host.write(b"still there")
        await until(lambda: served.cable.heard == b"still there")
        assert host.driver.faults == []


async def misbehave_and_leave_nothing(seed: int, steps: int) -> None:
    await misbehave(seed, 5)  # the loop has what it needs for itself then
    before = descriptors()
    await misbehave(seed, steps)
    await until(lambda: descriptors() <= before)


@pytest.mark.parametrize("seed", range(4))
async def test_clients_that_misbehave_in_every_order(seed: int) -> None:
    await misbehave_and_leave_nothing(seed, 200)


@pytest.mark.real
async def test_clients_that_really_misbehave_in_every_order() -> None:
    await misbehave_and_leave_nothing(99, 40)
