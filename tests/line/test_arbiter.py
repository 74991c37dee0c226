"""A Line: its settings, who controls them, what is kept while it is down, tracing and what it says of itself."""

import asyncio
import logging

import pytest

from nportpy.line.stream import Change
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import Flow, LineSettings, ModemLines, PortReport, UartCounters
from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.port.loopback import Cable
from tests.support.lines import Client, running

FAST = LineSettings(19200)
RTSCTS = LineSettings(1200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)


# Settings.


async def test_settings_are_applied_told_to_the_others_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cable, one, two = Cable(), Client(), Client()
    async with running(cable) as line:
        line.stream.join(one)
        line.stream.join(two)
        assert line.configure(FAST, by=one) == line.settings == FAST
        assert line.configure(FAST, by=two) == FAST
        assert cable.configured == [FAST]
        assert (one.changes, two.changes) == ([], [Change.SETTINGS])
    assert [record.message for record in caplog.records].count("line set") == 1


async def test_settings_that_the_driver_refuses_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    cable, client = Cable(), Client()
    cable.refused_baudrates = {19200}
    async with running(cable) as line:
        line.stream.join(client)
        assert line.configure(FAST) == LineSettings()
        assert not client.changes
        assert "refused 19200 8N1" in str(caplog.records[0].reason)  # type: ignore[attr-defined]
        cable.unplug()
        await asyncio.sleep(0.01)
        cable.plug()
        await asyncio.sleep(1)
        assert cable.near is not None
        assert cable.near.settings == LineSettings()


async def test_settings_of_a_device_that_dies_meanwhile_are_wished_for() -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line:
        line.stream.join(client)
        cable.fail_at = cable.calls + 1
        assert line.configure(FAST) == FAST
        assert client.changes == [Change.SETTINGS]
        await asyncio.sleep(1)
        assert line.state == "up"
        assert cable.near is not None
        assert cable.near.settings == line.settings == FAST


async def test_control_goes_down_the_queue_and_the_configured_settings_come_back() -> None:
    cable, one, two = Cable(), Client(), Client()
    async with running(cable) as line:
        for client in (one, two):
            line.stream.join(client)
            line.control.enter(client)
        assert line.control.belongs_to(one)
        assert not line.control.belongs_to(two)
        line.configure(FAST, by=one)
        line.set_break(True, by=one)
        line.control.leave(one)
        assert line.control.belongs_to(two)
        assert line.settings == FAST
        assert two.changes == [Change.SETTINGS, Change.CONTROL, Change.CONTROLLER]
        line.control.leave(one)
        line.control.leave(two)
        assert not line.breaking
        assert not line.control.belongs_to(two)
        assert line.settings == LineSettings()
        assert cable.configured == [FAST, LineSettings()]


async def test_the_settings_come_back_after_the_last_byte_has_left() -> None:
    cable, client = Cable(paced=True), Client()
    async with running(cable) as line:
        line.stream.join(client)
        line.control.enter(client)
        line.configure(LineSettings(300), by=client)
        line.stream.write(client, b"x" * 300)  # ten seconds, more than the linger time
        line.control.leave(client)
        line.stream.leave(client)
        assert line.settings == LineSettings(300)
        await asyncio.sleep(9.9)
        assert line.settings == LineSettings(300)
        await asyncio.sleep(0.2)
        assert cable.heard == b"x" * 300
        assert line.settings == LineSettings()


async def test_a_line_that_is_stuck_does_not_keep_foreign_settings_for_ever() -> None:
    cable, client = Cable(), Client()
    cable.far.pause_reading()
    async with running(cable, RTSCTS, StreamSettings(linger=2)) as line:
        line.stream.join(client)
        line.control.enter(client)
        line.configure(LineSettings(300, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS), by=client)
        line.stream.write(client, b"x" * 10_000)
        line.control.leave(client)
        await asyncio.sleep(1.5)
        assert line.settings.baudrate == 300
        await asyncio.sleep(1)
        assert line.settings == RTSCTS


async def test_who_comes_while_bytes_leave_keeps_the_settings() -> None:
    cable, one, two = Cable(paced=True), Client(), Client()
    async with running(cable) as line:
        line.control.enter(one)
        line.configure(LineSettings(300), by=one)
        line.put(b"x" * 30)
        line.control.leave(one)
        await asyncio.sleep(0.5)
        line.control.enter(two)
        await asyncio.sleep(10)
        assert line.settings == LineSettings(300)
        line.control.leave(two)
        assert line.settings == LineSettings()


# Modem lines.


async def test_a_line_without_modem_lines_shows_a_device_that_is_ready() -> None:
    cable = Cable()

    async def bare(settings: PortSettings, receiver: PortReceiver) -> Port:
        port = await cable.opener(settings, receiver)
        port.report = PortReport(driver="bare")
        port.modem_lines = port.counters = lambda: None  # type: ignore[method-assign]
        return port

    ready = ModemLines.CTS | ModemLines.DSR | ModemLines.CD
    async with running(cable, opener=bare) as line:
        assert line.modem_lines() == ready | ModemLines.DTR | ModemLines.RTS
        line.set_modem_lines(dtr=False)
        assert line.modem_lines() == ready | ModemLines.RTS
        assert not line.watchable()
        status = line.status()
        assert status.modem_lines is None
        assert status.uart is None
        cable.unplug()
        await asyncio.sleep(0.01)
        assert line.modem_lines() == ModemLines.RTS


async def test_modem_lines_and_break_are_told_to_the_others() -> None:
    cable, one, two = Cable(), Client(), Client()
    async with running(cable) as line:
        line.stream.join(one)
        line.stream.join(two)
        line.set_modem_lines(rts=False, by=one)
        line.set_break(True, by=two)
        line.set_break(True, by=two)
        assert (one.changes, two.changes) == ([Change.CONTROL], [Change.CONTROL])
        assert cable.far.counts.breaks == 1
        assert cable.near is not None
        assert cable.near.levels == ModemLines.DTR
    assert cable.near is None


async def test_a_break_ends_before_the_device_is_given_back() -> None:
    cable = Cable()
    async with running(cable) as line:
        line.set_break(True)
        near = cable.near
        assert near is not None
        assert near.breaking
    assert not near.breaking


# While it is down.


async def test_what_is_written_while_it_is_down_goes_out_when_it_comes_back() -> None:
    cable, client = Cable(), Client()
    cable.unplug()
    async with running(cable) as line:
        line.stream.join(client)
        line.stream.write(client, b"one ")
        line.stream.write(client, b"two")
        assert (line.sent, line.unsent()) == (0, 7)
        cable.plug()
        await asyncio.sleep(1)
        assert cable.heard == b"one two"
        assert (line.sent, line.unsent(), line.purged) == (7, 0, 0)


async def test_what_is_kept_goes_with_the_last_client_or_by_a_purge(caplog: pytest.LogCaptureFixture) -> None:
    cable, one, two = Cable(), Client(), Client()
    cable.unplug()
    async with running(cable) as line:
        line.stream.join(one)
        line.stream.join(two)
        line.stream.write(one, b"12345")
        line.stream.leave(one)
        assert line.unsent() == 5
        line.purge(received=True)
        assert line.unsent() == 5
        line.purge(unsent=True)
        assert (line.unsent(), line.purged) == (0, 5)
        line.stream.write(two, b"123")
        line.stream.leave(two)
        assert (line.unsent(), line.purged) == (0, 8)
        cable.plug()
        await asyncio.sleep(5)
        assert cable.heard == b""
    assert [getattr(record, "bytes", None) for record in caplog.records if "purged" in record.message] == [3]


async def test_every_byte_is_accounted_for() -> None:
    cable, client = Cable(paced=True), Client()
    async with running(cable, LineSettings(115200)) as line:
        line.stream.join(client)
        for number in range(30):
            line.stream.write(client, b"x" * 500)
            if number % 10 == 9:
                assert cable.near is not None
                cable.near.lose()
                line.stream.write(client, b"y" * 7)  # lost, and the line does not know it yet
            await asyncio.sleep(0.2 if number % 3 else 0.01)
        await asyncio.sleep(10)
        await line.drain()
        assert line.sent == len(cable.heard) + line.purged
        assert line.sent == 30 * 500 + 3 * 7
    assert line.status().losses == 3


async def test_closing_counts_what_never_left() -> None:
    cable, client = Cable(), Client()
    cable.far.pause_reading()
    async with running(cable, RTSCTS) as line:
        line.stream.join(client)
        line.stream.write(client, b"x" * 10_000)
        await asyncio.sleep(0.1)
        waiting = line.unsent()
    assert 0 < waiting == line.purged
    assert line.sent == 10_000


async def test_drain_ends_when_all_is_sent_or_the_device_gone() -> None:
    cable = Cable(paced=True)
    async with running(cable, LineSettings(300)) as line:
        loop = asyncio.get_running_loop()
        line.put(b"x" * 30)
        start = loop.time()
        await line.drain()
        assert loop.time() - start == pytest.approx(1.0, abs=0.05)
        assert line.all_sent()
        line.put(b"x" * 300)
        loop.call_later(1, cable.unplug)
        await line.drain()
        assert loop.time() - start == pytest.approx(2.0, abs=0.1)
        await line.drain()


# Tracing and status.


async def test_tracing_logs_every_byte_and_is_not_there_when_it_is_off(caplog: pytest.LogCaptureFixture) -> None:
    cable, client = Cable(), Client()
    caplog.set_level(logging.INFO, "nportpy.trace")
    async with running(cable) as line:
        line.stream.join(client)

        def untouched() -> bool:
            return line._hear == line.stream.deliver and line._port is not None and line._write == line._port.write

        assert untouched()
        line.set_trace(True)
        assert not untouched()
        line.stream.write(client, b"\x01\xff")
        cable.far.write(b"\x00A")
        await asyncio.sleep(0.01)
        cable.unplug()
        await asyncio.sleep(0.01)
        line.stream.write(client, b"kept")
        cable.plug()
        await asyncio.sleep(1)
        line.set_trace(False)
        assert untouched()
        line.stream.write(client, b"quiet")
        await asyncio.sleep(0.01)
        assert cable.heard == b"\x01\xffkeptquiet"
    traced = [
        (record.message, getattr(record, "hex", "")) for record in caplog.records if record.name == "nportpy.trace"
    ]
    assert traced == [("sent", "01 ff"), ("received", "00 41"), ("sent", "6b 65 70 74")]


async def test_what_a_line_says_of_itself() -> None:
    cable, client = Cable("ttyX"), Client()
    async with running(cable) as line:
        cable.far.write(b"unheard")
        await asyncio.sleep(0.01)
        line.stream.join(client)
        cable.far.write(b"heard")
        line.stream.write(client, b"sent")
        await asyncio.sleep(0.01)
        status = line.status()
        assert (status.name, status.device, status.state, status.error) == ("meters", "ttyX", "up", "")
        assert (status.received, status.unheard, status.sent, status.purged, status.unsent) == (12, 7, 4, 0, 0)
        assert (status.opens, status.losses, status.attempts) == (1, 0, 0)
        assert status.uart == UartCounters()
        assert status.report is not None
        assert status.modem_lines is not None
        cable.unplug()
        await asyncio.sleep(0.01)
        status = line.status()
        assert (status.state, status.error, status.report, status.modem_lines) == (
            "lost",
            "ttyX: unplugged",
            None,
            None,
        )
        assert status.uart == UartCounters()  # a count that is there does not go away with the device
    assert line.status().state == "closed"
