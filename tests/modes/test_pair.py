"""Pair connection: what is carried, what is not, and what happens while there is no far end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from nportpy.gateway.plans import Kind
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits, UartCounters
from nportpy.modes.pair import Pair
from nportpy.modes.pair_base import DtrFrom, PairSettings, Push, WhileAway
from nportpy.modes.rfc2217_base import WhoControls
from nportpy.network.addresses import Destination, Endpoint
from nportpy.port.loopback import Cable
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.telnet import Option
from nportpy.throttle import Throttle
from tests.support.lines import Client as Listening
from tests.support.lines import running
from tests.support.serving import Served, com, plan, serving, settings, settle, until

EVERYTHING = bytes(range(256)) * 20 + b"\r\n\r\0\n\xff\xff\r"


@asynccontextmanager
async def paired(line: Line, port: int, **changes: Any) -> AsyncIterator[Pair]:
    """A pair that calls a far end on this machine."""
    pair = Pair(line, "pair", PairSettings(to=Destination("127.0.0.1", port), **changes), Throttle())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(pair.run())
        try:
            yield pair
        finally:
            pair.stop()
            async with asyncio.timeout(10):
                await asyncio.wait([task])
    assert pair.sessions == []


def joined(pair: Pair) -> bool:
    return bool(pair.sessions) and not pair.sessions[0].suspended


def inputs(cable: Cable) -> ModemLines:
    """All that the device at a cable's end sees."""
    lines = cable.far.modem_lines()
    assert lines is not None
    return lines & ModemLines.INPUTS


class Both:
    """A device at each end of a cable that is two gateways."""

    def __init__(self, here: Cable, there: Cable, line: Line, pair: Pair, far: Served) -> None:
        self.here = here
        self.there = there
        self.line = line
        self.pair = pair
        self.far = far


@asynccontextmanager
async def both(
    line_settings: LineSettings | None = None, far: LineSettings | None = None, **changes: Any
) -> AsyncIterator[Both]:
    here, there = Cable("here"), Cable("cable")
    async with (
        serving(plan("cable", com(), line=far or LineSettings(115200)), cables=[there]) as served,
        running(here, line_settings) as line,
        paired(line, served.port("rfc2217"), **changes) as pair,
    ):
        await until(lambda: joined(pair))
        yield Both(here, there, line, pair, served)


class Far(asyncio.Protocol):
    """A far end that does what a test wants.

    Attributes:
        heard: data; asked: what option 44 said.
    """

    def __init__(self, *, knows: frozenset[Option], speaks: bool = True) -> None:
        self.codec = telnet.TelnetCodec(us=knows, them=knows)
        self.speaks = speaks
        self.heard = bytearray()
        self.asked: list[object] = []
        self.connections = 0
        self.transport: asyncio.Transport
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections += 1

    def data_received(self, data: bytes) -> None:
        if not self.speaks:
            self.heard += data
            return
        for event in self.codec.feed(data):
            match event:
                case telnet.Data(piece):
                    self.heard += piece
                case telnet.Subnegotiation(Option.COM_PORT_OPTION, payload):
                    self.asked.append(rfc2217.decode(payload, from_client=True))
        self.transport.write(self.codec.take_output())

    def say(self, message: rfc2217.Message) -> None:
        payload = rfc2217.encode(message, to_client=True)
        self.transport.write(self.codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload))


ALL = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION})


@asynccontextmanager
async def scripted(*, knows: frozenset[Option] = ALL, speaks: bool = True) -> AsyncIterator[Far]:
    far = Far(knows=knows, speaks=speaks)
    server = await asyncio.get_running_loop().create_server(lambda: far, "127.0.0.1", 0)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield far
    finally:
        server.close()
        if hasattr(far, "transport"):
            far.transport.close()
        await settle()


# Bytes.


async def test_bytes_arrive_as_they_are_both_ways() -> None:
    async with both() as ends:
        ends.here.far.write(EVERYTHING)
        await until(lambda: len(ends.there.heard) >= len(EVERYTHING))
        assert ends.there.heard == EVERYTHING
        ends.there.far.write(EVERYTHING)
        await until(lambda: len(ends.here.heard) >= len(EVERYTHING))
        assert ends.here.heard == EVERYTHING
        (client,) = ends.pair.status().clients
        assert (client.received, client.sent, client.state) == (len(EVERYTHING), len(EVERYTHING), "open")


async def test_the_line_is_not_read_while_the_far_end_does_not_keep_up() -> None:
    here = Cable("here")
    async with scripted() as far, running(here) as line, paired(line, far.port) as pair:
        await until(lambda: joined(pair))
        far.transport.pause_reading()
        while pair.status().clients[0].state != "stalled":  # as long as the kernel takes some
            here.far.write(bytes(1 << 20))
            await settle()
        sent = line.received
        here.far.write(b"waits")
        await settle(2)
        assert line.received == sent
        far.transport.resume_reading()
        await until(lambda: len(far.heard) == sent + 5)
        assert far.heard.endswith(b"waits")


async def test_a_far_end_that_suspends_is_sent_nothing_until_it_resumes() -> None:
    here = Cable("here")
    async with scripted() as far, running(here) as line, paired(line, far.port) as pair:
        await until(lambda: joined(pair))
        far.say(rfc2217.FlowcontrolSuspend())
        await until(lambda: pair.sessions[0].suspended)
        here.far.write(b"kept\xff\r")
        await settle(2)
        assert far.heard == b""
        assert pair.status().clients[0].state == "suspended"
        far.say(rfc2217.FlowcontrolResume())
        await until(lambda: far.heard == b"kept\xff\r")
        here.far.write(b" more")
        await until(lambda: far.heard == b"kept\xff\r more")


async def test_others_on_the_line_outlive_a_far_end_that_does_not_keep_up() -> None:
    here = Cable("here")
    async with scripted() as far, running(here) as line, paired(line, far.port, allowance=1000) as pair:
        await until(lambda: joined(pair))
        other = Listening()
        line.stream.join(other)
        far.say(rfc2217.FlowcontrolSuspend())
        await until(lambda: pair.sessions[0].suspended)
        here.far.write(bytes(1001))
        await until(lambda: pair.results["slow"] == 1)
        assert len(other.heard) == pair.status().dropped == 1001
        await until(lambda: far.connections == 2)
        line.stream.leave(other)


# Settings.


async def test_the_far_end_is_set_to_what_this_line_is_and_follows_it() -> None:
    first = LineSettings(1200, 7, Parity.EVEN, StopBits.TWO)
    async with both(first) as ends:
        await until(lambda: ends.far.line().settings == first)
        assert ends.there.near is not None
        later = LineSettings(300, 5, Parity.NONE, StopBits.ONE_AND_HALF, Flow.XONXOFF, Flow.NONE)
        ends.here.far.write(b"before")
        await until(lambda: ends.there.heard == b"before")
        for settings in (later, LineSettings(65317, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS), LineSettings(9600), first):
            ends.line.configure(settings)
            await until(lambda: ends.far.line().settings == settings)  # noqa: B023 - awaited here


async def test_settings_stay_at_home_if_so_wished() -> None:
    async with both(LineSettings(1200), settings=Push.NONE) as ends:
        ends.line.configure(LineSettings(2400))
        ends.here.far.write(b"data")
        await until(lambda: ends.there.heard == b"data")
        assert ends.far.line().settings == LineSettings(115200)


async def test_a_far_end_that_does_otherwise_is_logged_and_carried_on_with(caplog: pytest.LogCaptureFixture) -> None:
    here, there = Cable("here"), Cable("cable")
    async with (
        serving(plan("cable", com(control=WhoControls.NONE)), cables=[there]) as served,
        running(here, LineSettings(1200)) as line,
        paired(line, served.port("rfc2217")) as pair,
    ):
        await until(lambda: joined(pair))
        here.far.write(b"data")
        await until(lambda: there.heard == b"data")
        assert served.line().settings == LineSettings(115200)
        await until(lambda: "the far end does otherwise than asked" in caplog.text)
        facts = [vars(record) for record in caplog.records if "otherwise" in record.message]
        assert [(each["what"], each["asked"], each["has"]) for each in facts] == [("baudrate", 1200, 115200)]


# Modem lines and breaks.


async def test_modem_lines_cross_as_in_a_null_modem_cable() -> None:
    async with both() as ends:
        for device, other in ((ends.here, ends.there), (ends.there, ends.here)):
            for mine, theirs in (("dtr", ModemLines.DSR | ModemLines.CD), ("rts", ModemLines.CTS)):
                for level in (False, True):
                    device.far.set_modem_lines(**{mine: level})
                    await until(lambda: bool(inputs(other) & theirs) is level)  # noqa: B023 - awaited here
                    assert bool(inputs(other) & ~theirs)  # the rest stays as it was


async def test_a_device_that_is_not_ready_is_seen_as_such_from_the_beginning() -> None:
    here, there = Cable("here"), Cable("cable")
    here.far.set_modem_lines(dtr=False)
    there.far.set_modem_lines(rts=False)
    async with (
        serving(plan("cable", com()), cables=[there]) as served,
        running(here) as line,
        paired(line, served.port("rfc2217")),
    ):
        await until(lambda: inputs(here) == ModemLines.DSR | ModemLines.CD)
        await until(lambda: inputs(there) == ModemLines.CTS)


async def test_a_modem_at_one_end_shows_its_carrier_at_the_other() -> None:
    async with both(dtr_from=DtrFrom.DCD) as ends:
        ends.here.far.set_modem_lines(dtr=False)  # the cable leads it to DSR and DCD
        await until(lambda: not inputs(ends.there) & ModemLines.DSR)


async def test_modem_lines_stay_at_home_if_so_wished() -> None:
    async with both(modem_lines=False) as ends:
        ends.here.far.set_modem_lines(dtr=False, rts=False)
        ends.there.far.set_modem_lines(dtr=False, rts=False)
        await settle(2)
        assert not ends.here.moved[2:], "only the devices' own"
        assert len(ends.there.moved) == 2
    assert len(ends.here.moved) == 2


@pytest.mark.parametrize(("flow", "mine"), [(Flow.RTSCTS, ModemLines.RTS), (Flow.DSRDTR, ModemLines.DTR)])
async def test_lines_that_flow_control_uses_are_not_carried(flow: Flow, mine: ModemLines) -> None:
    async with both(LineSettings(9600, flow=flow, flow_in=flow)) as ends:
        ends.here.moved.clear()
        ends.there.moved.clear()
        for cable in (ends.here, ends.there):
            cable.far.set_modem_lines(dtr=False, rts=False)
        await settle(2)
        other = ModemLines.DTR | ModemLines.RTS
        for cable in (ends.here, ends.there):
            assert cable.near is not None
            assert cable.near.levels & other == mine
        ends.line.configure(LineSettings(9600))
        await until(lambda: ends.here.near is not None and not ends.here.near.levels & other)
        await until(lambda: ends.there.near is not None and not ends.there.near.levels & other)


async def test_a_break_is_heard_at_the_other_end() -> None:
    async with both(break_time=0.5) as ends:
        for device, other in ((ends.here, ends.there), (ends.there, ends.here)):
            await settle(0.2)
            device.far.set_break(True)
            device.far.set_break(False)
            await until(lambda: other.near is not None and other.near.breaking)  # noqa: B023 - awaited here
            began = asyncio.get_running_loop().time()
            await until(lambda: other.near is not None and not other.near.breaking)  # noqa: B023 - awaited here
            assert 0.4 < asyncio.get_running_loop().time() - began < 0.7
            assert other.far.counters() == UartCounters(breaks=1)


async def test_a_far_end_that_says_nothing_of_its_modem_lines_is_taken_to_be_ready() -> None:
    here = Cable("here")
    async with scripted() as far, running(here) as line, paired(line, far.port) as pair:
        await until(lambda: joined(pair))
        assert not inputs(here)
        await until(lambda: inputs(here) == ModemLines.INPUTS & ~ModemLines.RI)
        here.far.set_break(True)
        here.far.set_break(False)
        await until(lambda: far.asked[-1] == rfc2217.SetControl(rfc2217.ControlValue.BREAK_ON))
        await until(lambda: far.asked[-1] == rfc2217.SetControl(rfc2217.ControlValue.BREAK_OFF))


async def test_a_device_that_is_pulled_out_here_is_not_ready_there_until_it_is_back() -> None:
    async with both() as ends:
        ends.here.unplug()
        await until(lambda: not inputs(ends.there))
        ends.there.far.write(b"waits for it")
        ends.here.plug()
        await until(lambda: ends.here.heard == b"waits for it")
        await until(lambda: inputs(ends.there) & ModemLines.CTS)
        assert ends.pair.results["connected"] == 1


# Without a far end.


async def test_what_the_line_says_meanwhile_waits_for_the_far_end() -> None:
    here = Cable("here")
    async with scripted() as far, running(here) as line, paired(line, far.port) as pair:
        await until(lambda: joined(pair))
        far.transport.close()
        await until(lambda: not pair.sessions)
        here.far.write(b"said while away")
        await until(lambda: far.connections == 2)
        far.codec = telnet.TelnetCodec(us=ALL, them=ALL)
        await until(lambda: far.heard == b"said while away")


async def test_only_what_the_kernel_can_keep_waits() -> None:
    here = Cable("here")
    async with running(here) as line, paired(line, 1) as pair:
        await until(lambda: pair.results["refused"] > 1)
        here.far.write(bytes(5000))
        await settle()
        assert here.near is not None
        assert here.near.counts.buffer_overrun == 5000 - 4096
        assert line.received == 0


async def test_what_others_keep_being_read_waits_within_the_allowance() -> None:
    here = Cable("here")
    async with running(here) as line, paired(line, 1, allowance=1000) as pair:
        await until(lambda: pair.results["refused"] > 1)
        other = Listening()
        line.stream.join(other)
        here.far.write(bytes(1500))
        await until(lambda: len(other.heard) == 1500)
        assert pair.status().dropped == 500
        line.stream.leave(other)


async def test_what_the_line_says_meanwhile_is_dropped_if_so_wished() -> None:
    here = Cable("here")
    async with (
        scripted() as far,
        running(here, stream=StreamSettings(flush_on_first=True)) as line,
        paired(line, far.port, while_away=WhileAway.DROP) as pair,
    ):
        await until(lambda: joined(pair))
        far.transport.close()
        await until(lambda: not pair.sessions)
        here.far.write(b"said while away")
        await until(lambda: line.received == 15)
        far.codec = telnet.TelnetCodec(us=ALL, them=ALL)
        await until(lambda: joined(pair))
        here.far.write(b"fresh")
        await until(lambda: far.heard == b"fresh")


async def test_without_a_far_end_a_device_sees_nobody_who_is_ready() -> None:
    here = Cable("here")
    async with running(here) as line:
        async with paired(line, 1) as pair:
            await until(lambda: pair.results["refused"] > 1)
            assert inputs(here) == ModemLines(0)
        assert inputs(here) == ModemLines.INPUTS & ~ModemLines.RI  # nobody's business any more


async def test_attempts_are_repeated_with_growing_pauses_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    here = Cable("here")
    async with running(here) as line, paired(line, 1) as pair:
        await settle(60)
        assert 14 < pair.results["refused"] < 20
        assert caplog.text.count("cannot be reached") == 1


async def test_after_the_far_end_was_restarted_everything_is_as_before() -> None:
    here, there = Cable("here"), Cable("cable")
    async with running(here, LineSettings(4800)) as line:
        async with serving(plan("cable", com()), cables=[there]) as served:
            listen = (Endpoint("127.0.0.1", served.port("rfc2217")),)
        async with paired(line, listen[0].port) as pair:
            for times in (1, 2):
                async with serving(plan("cable", com(listen=listen)), cables=[there]) as served:
                    await until(lambda: pair.results["connected"] == times and joined(pair))  # noqa: B023 - awaited here
                    await until(lambda: served.line().settings == LineSettings(4800))
                    here.far.write(b"again")
                    await until(lambda: there.heard == b"again" * times)  # noqa: B023 - likewise


async def test_one_that_knows_no_rfc2217_carries_bytes_only(caplog: pytest.LogCaptureFixture) -> None:
    here = Cable("here")
    async with (
        scripted(knows=ALL - {Option.COM_PORT_OPTION}) as far,
        running(here) as line,
        paired(line, far.port) as pair,
    ):
        await until(lambda: joined(pair))
        here.far.write(EVERYTHING)
        await until(lambda: far.heard == EVERYTHING)
        assert far.asked == []
        assert "only bytes are carried" in str([vars(record).get("reason") for record in caplog.records])


async def test_one_that_speaks_no_telnet_is_sent_nothing_and_left(caplog: pytest.LogCaptureFixture) -> None:
    here = Cable("here")
    async with scripted(speaks=False) as far, running(here) as line, paired(line, far.port) as pair:
        here.far.write(b"data")
        await until(lambda: pair.results["error"] == 2)
        assert b"data" not in far.heard
        assert caplog.text.count("the far end does not speak RFC 2217") == 1


async def test_a_stop_in_the_middle_of_everything_ends_it() -> None:
    here = Cable("here")
    async with scripted(speaks=False) as far, running(here) as line, paired(line, far.port) as pair:
        await until(lambda: bool(pair.sessions))
        pair.hush()
        pair.hush()
        assert pair.accepted() == 0
    assert pair.results["shutdown"] == 1


@pytest.mark.parametrize("hush", [True, False])
async def test_it_can_be_stopped_at_any_moment(hush: bool) -> None:
    here = Cable("here")
    async with scripted() as far, running(here) as line:
        for turns in range(40):
            async with paired(line, far.port) as pair:
                for _ in range(turns):
                    await asyncio.sleep(0)
                if hush:
                    pair.hush()
                    await settle()
            far.codec = telnet.TelnetCodec(us=ALL, them=ALL)
        assert line.stream.clients == []


async def test_a_whole_gateway_with_both_ends() -> None:
    here, there = Cable("here"), Cable("there")
    async with serving(plan("there", com()), plan("here"), cables=[here, there]) as served:
        to = Destination("127.0.0.1", served.port("rfc2217", "there"))
        joined_by = replace(plan("here"), modes=((Kind.PAIR, PairSettings(to=to)),))
        await served.gateway.reload(settings(plan("there", com()), joined_by))
        await until(lambda: served.results("pair", "here").get("connected"))
        here.far.write(EVERYTHING[:1000])
        await until(lambda: there.heard == EVERYTHING[:1000])
        await until(lambda: inputs(here))
        there.far.set_modem_lines(dtr=False, rts=False)
        await until(lambda: not inputs(here))
        await served.gateway.reload(settings(plan("there", com()), plan("here")))
        await until(lambda: inputs(here))
        await until(lambda: not served.service("rfc2217", "there").clients)
