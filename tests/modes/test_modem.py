"""Ethernet modem: terminals on lines that call each other and others through real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from nportpy.gateway.plans import Kind
from nportpy.line.arbiter import Line
from nportpy.linesettings import Flow, LineSettings, ModemLines
from nportpy.modes.modem import Modem
from nportpy.modes.modem_base import Carrier, ModemSettings, Number
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Destination, listen
from nportpy.network.service import AccessSettings, WhenDown
from nportpy.port.loopback import Cable
from nportpy.throttle import Throttle
from tests.support.free_ports import free_port
from tests.support.lines import Client as Listening
from tests.support.lines import running
from tests.support.serving import ANY_PORT, Client, connect, plan, serving, settle, until

OK, RING, NO_CARRIER, CONNECT = (f"\r\n{text}\r\n".encode() for text in ("OK", "RING", "NO CARRIER", "CONNECT 9600"))


class Terminal:
    """A modem and the terminal at its line."""

    def __init__(self, cable: Cable, line: Line, modem: Modem) -> None:
        self.cable = cable
        self.line = line
        self.modem = modem

    @property
    def port(self) -> int:
        return self.modem.endpoints[0].port

    def types(self, text: bytes) -> None:
        self.cable.far.write(text)

    async def sees(self, text: bytes, within: float = 10.0) -> None:
        """All that came since the last time."""
        try:
            await until(lambda: len(self.cable.heard) >= len(text), within)
        except TimeoutError:
            raise AssertionError(f"saw {self.cable.heard!r}, not {text!r}") from None
        assert self.cable.heard == text
        self.cable.listener.heard.clear()

    async def asks(self, command: bytes, answer: bytes) -> None:
        self.types(command + b"\r")
        await self.sees(answer)

    @property
    def carrier(self) -> bool:
        """Whether the terminal's DCD is up."""
        lines = self.cable.far.modem_lines()
        assert lines is not None
        return bool(lines & ModemLines.CD)

    async def calls(self, port: int) -> None:
        await self.asks(b"ATDT127.0.0.1:%d" % port, CONNECT)

    async def escapes(self) -> None:
        await settle(1.1)
        self.types(b"+++")
        await self.sees(OK)


@asynccontextmanager
async def terminal(
    *, line_settings: LineSettings | None = None, init: str = "E0", listens: bool = True, **changes: Any
) -> AsyncIterator[Terminal]:
    cable = Cable()
    addresses = ANY_PORT if listens else ()
    settings = ModemSettings(listen=addresses, init=init, **changes)
    sockets = [listen(address) for address in addresses]
    try:
        async with running(cable, line_settings) as line:
            modem = Modem(line, "modem", settings, sockets, AccessLimits(AccessSettings()), Throttle())
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(modem.run())
                await settle()
                try:
                    yield Terminal(cable, line, modem)
                finally:
                    modem.stop()
                    async with asyncio.timeout(20):
                        await asyncio.wait([task])
            assert modem.sessions == []
            assert line.stream.clients == []
    finally:
        for sock in sockets:
            sock.close()


@asynccontextmanager
async def two(**changes: Any) -> AsyncIterator[tuple[Terminal, Terminal]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(terminal(**changes)),
            await stack.enter_async_context(terminal(**changes)),
        )


@asynccontextmanager
async def host(answer: type[Client] = Client) -> AsyncIterator[tuple[int, list[Client]]]:
    """A host that takes calls: its port, and they."""
    calls: list[Client] = []

    def take() -> Client:
        calls.append(answer())
        return calls[-1]

    server = await asyncio.get_running_loop().create_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], calls
    finally:
        server.close()
        for each in calls:
            each.transport.abort()
        await settle()


async def test_two_modems_call_each_other() -> None:
    async with two() as (one, other):
        one.types(b"ATDT127.0.0.1:%d\r\n" % other.port)
        await one.sees(CONNECT)
        await other.sees(RING)
        one.types(b"too early, but kept ")
        await other.asks(b"ATA", CONNECT + b"too early, but kept ")
        assert one.carrier
        assert other.carrier
        everything = bytes(range(256)) * 8
        one.types(everything)
        await other.sees(everything)
        other.types(everything)
        await one.sees(everything)
        await one.escapes()
        await other.sees(b"+++")
        other.types(b"is kept")
        await settle()
        await one.asks(b"ATO", CONNECT + b"is kept")
        await one.escapes()
        await one.asks(b"ATH", NO_CARRIER + OK)
        await other.sees(b"+++" + NO_CARRIER)
        assert not one.carrier
        assert not other.carrier
        assert one.modem.status().results == {"connected": 1, "closed": 1}
        assert other.modem.status().results == {"accepted": 1, "closed": 1}
        other.types(b"ATD 127.0.0.1:%d\r" % one.port)  # and the other way round
        await one.sees(RING)
        await one.asks(b"ATA", CONNECT)


@pytest.mark.real
async def test_two_modems_call_each_other_in_real_time() -> None:
    async with two(init="E0S0=1") as (one, other):
        await one.calls(other.port)
        await other.sees(RING + CONNECT)
        one.types(b"hello")
        await other.sees(b"hello")


# Calls that come in.


async def test_a_call_that_nobody_answers_is_ended() -> None:
    async with terminal() as modem:
        began = asyncio.get_running_loop().time()
        client = await connect(Client, modem.port)
        await until(lambda: client.lost)
        assert 2.4 < asyncio.get_running_loop().time() - began < 2.7
        await modem.sees(RING * 3)
        assert client.heard == b""
        await modem.asks(b"ATA", NO_CARRIER)
        assert modem.modem.status().results == {"accepted": 1, "closed": 1}


async def test_a_caller_who_hangs_up_while_it_rings_is_forgotten() -> None:
    async with terminal() as modem:
        client = await connect(Client, modem.port)
        await modem.sees(RING)
        await client.close()
        await until(lambda: not modem.modem.sessions)
        await modem.asks(b"ATA", NO_CARRIER)
        client = await connect(Client, modem.port)
        await modem.sees(RING)
        await modem.asks(b"ATA", CONNECT)


async def test_there_is_one_call_at_a_time() -> None:
    async with terminal(init="E0S0=1") as modem, host() as (port, _):
        first = await connect(Client, modem.port)
        await modem.sees(RING + CONNECT)
        second = await connect(Client, modem.port)
        await until(lambda: second.lost)
        first.send(b"still here")
        await modem.sees(b"still here")
        assert modem.modem.status().results["refused_full"] == 1
        await first.close()
        await modem.sees(NO_CARRIER)
        await modem.calls(port)
        third = await connect(Client, modem.port)
        await until(lambda: third.lost)
        assert modem.modem.status().results["refused_down"] == 1


async def test_a_call_out_meets_one_that_comes_in() -> None:
    async with terminal() as modem:
        await connect(Client, modem.port)
        await modem.sees(RING)
        await modem.asks(b"ATD127.0.0.1:1", NO_CARRIER)
        await modem.sees(RING)


async def test_who_may_not_call_does_not_ring() -> None:
    async with terminal(allow=((ip_network("192.0.2.0/24"),),)) as modem:
        client = await connect(Client, modem.port)
        await until(lambda: client.lost)
        await modem.asks(b"AT", OK)


# Calls that we make.


async def test_numbers_of_the_telephone_book() -> None:
    async with host() as (port, calls):
        book = (Number("+49 (0)555-1234", Destination("localhost", port)),)
        async with terminal(numbers=book, default_port=port) as modem:
            for number in (b"T+490555 1234", b"P +49.0555.1234;", b"127.0.0.1", b"T localhost:%d" % port):
                await modem.asks(b"ATD" + number, CONNECT)
                calls[-1].transport.abort()
                await modem.sees(NO_CARRIER)
            assert len(calls) == 4


async def test_calls_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    async with terminal(listens=False) as modem:
        assert modem.modem.status().listen == ()
        await modem.asks(b"ATD127.0.0.1:%d" % free_port(), b"\r\nBUSY\r\n")
        await modem.asks(b"ATDT host:port", b"\r\nERROR\r\n")
        await modem.asks(b"ATDTno-such-host.invalid:1", NO_CARRIER)

        async def call(*_: object) -> None:
            raise TimeoutError

        monkeypatch.setattr("nportpy.modes.modem.call", call)
        await modem.asks(b"ATD127.0.0.1:1", b"\r\nNO ANSWER\r\n")
        results = modem.modem.status().results
        assert (results["refused"], results["no_address"], results["timeout"]) == (1, 1, 1)
        assert not modem.carrier


async def test_a_call_is_given_up_by_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    async def call(_host: str, _port: int, _local_port: int, limit: float, _alive_check: float) -> None:
        limits.append(limit)
        await asyncio.sleep(1000)

    monkeypatch.setattr("nportpy.modes.modem.call", call)
    async with terminal() as modem:
        modem.types(b"ATS7=60D127.0.0.1:1\r\n")
        await until(lambda: limits == [60.0])
        client = await connect(Client, modem.port)  # meanwhile nobody gets through
        await until(lambda: client.lost)
        modem.types(b"x")
        await modem.sees(NO_CARRIER)
        await modem.asks(b"AT", OK)
        modem.types(b"ATD127.0.0.1:1\r\n")  # and one that a stop gives up
        await until(lambda: len(limits) == 2)


# Modem lines.


@pytest.mark.parametrize(
    ("carrier", "output"), [(Carrier.DTR, ModemLines.DTR), (Carrier.RTS, ModemLines.RTS), (Carrier.NONE, ModemLines(0))]
)
async def test_carrier_is_shown_by_one_of_our_outputs(carrier: Carrier, output: ModemLines) -> None:
    both = ModemLines.DTR | ModemLines.RTS
    async with terminal(carrier=carrier) as modem, host() as (port, calls):
        near = modem.cable.near
        assert near is not None
        assert near.levels & both == both & ~output
        await modem.calls(port)
        assert near.levels & both == both
        calls[0].transport.abort()
        await modem.sees(NO_CARRIER)
        assert near.levels & both == both & ~output
        await modem.asks(b"AT&C0", OK)
        assert near.levels & both == both
    assert near.levels & both == both


async def test_an_output_that_flow_control_uses_shows_no_carrier() -> None:
    flow = LineSettings(9600, flow=Flow.DSRDTR, flow_in=Flow.DSRDTR)
    async with terminal(line_settings=flow) as modem:
        assert modem.carrier


async def test_a_terminal_that_drops_dtr_hangs_up() -> None:
    async with terminal() as modem, host() as (port, calls):
        await modem.calls(port)
        modem.cable.far.set_modem_lines(dtr=False)
        await modem.sees(NO_CARRIER)
        await until(lambda: calls[0].lost)
        modem.cable.far.set_modem_lines(dtr=True)
        await settle()
        await modem.asks(b"AT&D0", OK)
        await modem.calls(port)
        modem.cable.far.set_modem_lines(dtr=False)
        await settle()
        modem.types(b"goes on")
        await until(lambda: calls[1].heard == b"goes on")


# When something is full, or away.


async def test_a_host_that_does_not_listen_holds_the_terminal_back() -> None:
    async with terminal() as modem, host() as (port, calls):
        await modem.calls(port)
        calls[0].transport.pause_reading()
        while modem.modem.sessions[0].status().state != "stalled":
            modem.types(bytes(1 << 20))
            await settle()
        sent = modem.line.received
        modem.types(b"waits")
        await settle()
        assert modem.line.received == sent
        calls[0].transport.resume_reading()
        await until(lambda: calls[0].heard.endswith(b"waits"))


async def test_others_on_the_line_outlive_a_host_that_does_not_listen() -> None:
    async with terminal(allowance=100_000) as modem, host() as (port, calls):
        other = Listening()
        modem.line.stream.join(other)
        await modem.calls(port)
        calls[0].transport.pause_reading()
        while modem.modem.sessions:
            modem.types(bytes(1 << 20))
            await settle()
        await modem.sees(NO_CARRIER)
        status = modem.modem.status()
        assert status.results["slow"] == 1
        assert status.dropped > 100_000
        modem.line.stream.leave(other)


@pytest.mark.long
async def test_a_line_that_takes_nothing_holds_the_host_back() -> None:
    flow = LineSettings(9600, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with terminal(line_settings=flow) as modem, host() as (port, calls):
        await modem.calls(port)
        modem.cable.far.set_modem_lines(rts=False)
        for _ in range(64):
            calls[0].send(bytes(1 << 16))
        await settle(2)
        assert 65536 < modem.line.unsent() < 1 << 20
        modem.cable.far.set_modem_lines(rts=True)
        await until(lambda: len(modem.cable.heard) == 64 << 16, within=60)


@pytest.mark.long
async def test_garbage_on_a_line_that_takes_no_echo_is_bounded() -> None:
    flow = LineSettings(9600, flow=Flow.XONXOFF)
    async with terminal(line_settings=flow, init="") as modem:
        modem.types(b"\x13")  # XOFF
        await settle()
        for _ in range(64):
            modem.types(b"x" * 65536)
            await settle()
        assert modem.line.unsent() < 1 << 18


async def test_kept_words_of_an_unanswered_caller_are_bounded() -> None:
    async with terminal() as modem:
        client = await connect(Client, modem.port)
        await modem.sees(RING)
        for _ in range(64):
            client.send(bytes(1 << 16))
            await asyncio.sleep(0)
        await settle(0.1)
        assert len(modem.modem.sessions[0]._kept) < 1 << 19
        await client.reset()


async def test_a_terminal_that_is_pulled_out_ends_its_call() -> None:
    async with terminal() as modem, host() as (port, calls):
        await modem.calls(port)
        modem.cable.unplug()
        await until(lambda: calls[0].lost)
        assert modem.modem.status().results["line_down"] == 1
        client = await connect(Client, modem.port)
        await until(lambda: client.lost)
        modem.cable.plug()
        await until(lambda: modem.line.up)
        await modem.asks(b"AT", OK)
        assert not modem.carrier


async def test_a_call_waits_for_its_terminal_if_so_wished() -> None:
    async with terminal(when_down=WhenDown.HOLD) as modem, host() as (port, calls):
        await modem.calls(port)
        modem.cable.unplug()
        await settle()
        calls[0].send(b"waits")
        modem.cable.plug()
        await modem.sees(b"waits")


async def test_a_silent_call_is_ended_after_inactivity() -> None:
    async with terminal(inactivity=5.0) as modem, host() as (port, calls):
        await modem.calls(port)
        await settle(3)
        modem.types(b"x")
        await settle(3)
        assert not calls[0].lost
        await modem.sees(NO_CARRIER)


async def test_hushed_it_calls_and_takes_nobody() -> None:
    async with terminal() as modem, host() as (port, calls):
        await modem.calls(port)
        modem.modem.hush()
        calls[0].send(b"not taken")
        modem.types(b"still sent")
        await until(lambda: calls[0].heard == b"still sent")
        assert modem.modem.accepted() == 0
        assert modem.cable.heard == b""


@pytest.mark.parametrize("how", ["stop", "hush", "give up", "pull out"])
async def test_a_call_can_be_ended_at_any_moment(how: str) -> None:
    async with host() as (port, _):
        for turns in range(40):
            async with terminal() as modem:
                modem.types(b"ATD127.0.0.1:%d\r" % port)
                for _ in range(turns):
                    await asyncio.sleep(0)
                match how:
                    case "hush":
                        modem.modem.hush()
                    case "give up":
                        modem.types(b"x")
                    case "pull out":
                        modem.cable.unplug()
                    case _:
                        continue
                await settle()
                if how == "pull out" or (how == "give up" and modem.cable.heard.endswith(NO_CARRIER)):
                    await until(lambda: not modem.modem.sessions)


async def test_a_whole_gateway_with_two_of_them() -> None:
    one, other = Cable("one"), Cable("other")
    settings = ModemSettings(listen=ANY_PORT, init="E0S0=1")
    plans = [replace(plan(cable.name), modes=((Kind.MODEM, settings),)) for cable in (one, other)]
    async with serving(*plans, cables=[one, other]) as served:
        one.far.write(b"ATD127.0.0.1:%d\r" % served.port("modem", "other"))
        await until(lambda: one.heard == b"\r\nCONNECT 115200\r\n")
        one.far.write(b"hello")
        await until(lambda: other.heard == b"\r\nRING\r\n\r\nCONNECT 115200\r\nhello")
        other.far.write(b"the last words")  # which a stop does not cut off
        await until(lambda: served.service("modem", "one").clients[0].received == 14)
    assert one.heard.startswith(b"\r\nCONNECT 115200\r\nthe last words")
