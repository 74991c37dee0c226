"""A lease on a line of the gateway, beside the clients that people have: raw, RFC 2217, Modbus, two speeds."""

import asyncio

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings, Parity
from nportpy.modbus.settings import BusSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable
from nportpy.port.url import open_url
from nportpy.protocols.rfc2217 import NotifyModemstate, SetBaudrate, SetControl
from nportpy.services.report import plain
from tests.modes.test_two_speeds import FAST, is_set, two
from tests.support.bus import Units
from tests.support.modbus_serving import asker, attach, holding, modbus, read, units
from tests.support.serving import Served, com, plan, raw, serving, settle, until

SLOW = LineSettings(300, 7, Parity.EVEN)
LINE = LineSettings(9600)


def the_line(served: Served) -> Line:
    return served.gateway._ports["cable"].line


async def test_raw_and_rfc2217_clients_are_held_and_not_dropped() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(), com(), line=LINE), cables=[cable]) as served:
        one, other, third = await served.raw(), await served.telnet(), await served.telnet()
        async with the_line(served).lease("mains", SLOW, limit=100) as lease:
            one.send(b"a" * 50_000)
            await settle(1.0)
            one.send(b"b" * 400_000)
            other.send(b"other")
            await settle(30.0)
            assert cable.heard == b""
            assert served.line().unsent < 300_000  # the rest waits in its socket
            assert not one.lost
            assert not other.lost
            lease.write(b"Q")
            assert await third.ask(NotifyModemstate())  # who has not written is answered
        await until(lambda: cable.heard.count(b"b") == 400_000, 1000)
        assert cable.heard.startswith(b"Q")
        assert cable.heard.replace(b"other", b"", 1) == b"Q" + b"a" * 50_000 + b"b" * 400_000
        cable.far.write(b"hello")
        await one.hears(b"hello")
        await other.hears(b"hello")


async def test_an_rfc2217_client_that_changes_the_line_hears_what_its_bytes_will_leave_at() -> None:
    cable = Cable(paced=True)
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        async with the_line(served).lease("mains", SLOW, limit=100):
            began = asyncio.get_running_loop().time()
            assert await client.ask(SetBaudrate(19200)) == SetBaudrate(19200)
            assert await client.ask(SetControl(9)) == SetControl(9)  # DTR off
            assert await client.ask(SetControl(7)) == SetControl(9)
            assert asyncio.get_running_loop().time() - began < 0.2
            assert cable.near is not None
            assert cable.near.settings == SLOW
            client.send(b"at 19200")
        assert cable.near.settings == LineSettings(19200)
        await until(lambda: cable.heard == b"at 19200")
        assert await client.ask(SetControl(7)) == SetControl(9)
        await client.close()
        await until(lambda: is_set(cable, LINE))


async def test_bytes_before_such_a_change_leave_at_the_settings_they_were_sent_at() -> None:
    cable, at = Cable(paced=True), list[tuple[int, bytes]]()

    def note(data: bytes) -> list[tuple[float, bytes]]:
        assert cable.near is not None
        at.append((cable.near.settings.baudrate, data))
        return []

    Units(cable, note)
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        async with the_line(served).lease("mains", SLOW, limit=100):
            client.send(b"a" * 20)
            client.request(SetBaudrate(1200))
            client.send(b"b" * 20)
            await settle(5.0)
        await until(lambda: len(at) >= 40)
        assert at == [(9600, b"a")] * 20 + [(1200, b"b")] * 20


async def test_modbus_clients_wait() -> None:
    cable = Cable()
    attach(cable, units(1))
    async with serving(plan("cable", raw(), modbus(), line=LINE, bus=BusSettings()), cables=[cable]) as served:
        client = await asker(served)
        assert await client.read(0) == holding(1, 0)
        async with the_line(served).lease("mains", SLOW, limit=100) as lease:
            answer = client.ask(read(0))
            await settle(0.5)
            assert not answer.done()
            assert served.bus().queued == 1
            await lease.give_way()
            await asyncio.wait_for(answer, 0.1)
            (told,) = served.line().leases
            assert (told.holder, told.held, told.ways_given) == ("mains", True, 1)
            late = client.ask(read(0))
            await settle(10)
            assert (await late)[1] == 11  # its deadline passed before it could be sent
        assert await client.read(0) == holding(1, 0)
        said = plain(served.line())
        assert isinstance(said, dict)
        assert said["leases"][0]["outcomes"]["returned"] == 1


async def test_two_speeds_go_on_during_a_lease_and_take_effect_after_it() -> None:
    async with two() as (served, cable):
        line = the_line(served)
        async with line.lease("mains", LineSettings(2400), limit=100):
            client = await served.raw("raw-2")
            await settle(5.0)
            client.send(b"/?!")
            await settle(5.0)
            assert is_set(cable, LineSettings(2400))
            assert served.line().held_by == ("raw-2",)
        assert is_set(cable, SLOW)
        await until(lambda: cable.heard == b"/?!")
        async with line.lease("mains", LineSettings(2400), limit=100):
            assert is_set(cable, LineSettings(2400))
            client.send(b"last")
            await client.close()
            await settle(10.0)
        await until(lambda: cable.heard == b"/?!last")
        await until(lambda: is_set(cable, FAST))


async def test_stopping_the_gateway_gives_the_line_back_as_it_is_to_be() -> None:
    cable = Cable()
    holding_it: asyncio.Task[None]
    async with serving(plan("cable", raw(), line=LINE), cables=[cable]) as served:

        async def hold() -> None:
            async with the_line(served).lease("mains", SLOW, limit=100) as lease:
                await lease.read(60)

        holding_it = asyncio.get_running_loop().create_task(hold())
        await settle(0.2)
        device = cable.near
    assert device is not None
    assert device.settings == LINE
    await asyncio.wait([holding_it])
    assert holding_it.exception() is not None


@pytest.mark.filterwarnings("ignore:set(Daemon|Name)")  # pyserial 3.5 calls what Python has renamed
@pytest.mark.real
async def test_a_lease_sets_a_port_elsewhere_over_rfc_2217() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        url = f"rfc2217://127.0.0.1:{served.port('rfc2217')}"
        line = Line("far", PortSettings(url, LINE), StreamSettings(), open_url)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(line.run())
            await line.tried.wait()
            async with line.lease("mains", SLOW, limit=20) as lease:
                lease.write(b"/?!\r\n")
                await until(lambda: cable.heard == b"/?!\r\n")
                assert is_set(cable, SLOW)
                cable.far.write(b"/LGZ\r\n")
                assert await lease.read(5)
            await until(lambda: is_set(cable, LINE))
            task.cancel()
