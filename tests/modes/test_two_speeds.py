"""One device at two speeds: services with line settings of their own, and who has the line when."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from nportpy.config import parse
from nportpy.gateway.plans import GatewaySettings
from nportpy.linesettings import LineSettings, Parity
from nportpy.port.loopback import Cable
from nportpy.protocols import rfc2217
from tests.support.calls import Host
from tests.support.modbus_serving import asker, attach, holding, read, units
from tests.support.serving import ANY_PORT, Client, Served, connect, serving, settle, until

LISTENING = ("raw", "rfc2217", "modbus")
SLOW = LineSettings(300, 7, Parity.EVEN)
FAST = LineSettings(9600)

PORT = '[port.cable]\ndevice = "/dev/cable"\nbaudrate = 9600\n{more}\n[[port.cable.raw]]\nlisten = "127.0.0.1:0"\n'
SECOND = '[[port.cable.raw]]\nlisten = "127.0.0.1:0"\nbaudrate = 300\nformat = "7E1"\n{more}\n'


def text(busy: str = "", first: str = "", port: str = "", second: str = "") -> str:
    """A port with two raw services, the second one at 300 7E1."""
    policy = f'when_busy = "{busy}"\n' if busy else ""
    return PORT.format(more=port) + first + SECOND.format(more=policy + second)


def parsed(*tables: str) -> GatewaySettings:
    """What a file says, on ports that the kernel chooses."""
    numbers = count(4001)
    lines = [re.sub(":0", lambda _: f":{next(numbers)}", table) for table in tables]
    settings = replace(parse("\n".join(lines), "test"), http=None)
    port = settings.ports[0]
    kinds: dict[str, Any] = {
        kind: tuple(replace(each, listen=ANY_PORT) for each in getattr(port, kind)) for kind in LISTENING
    }
    return replace(settings, name="test", drain=2.0, ports=(replace(port, **kinds),))


@asynccontextmanager
async def serving_text(*tables: str, cables: list[Cable]) -> AsyncIterator[Served]:
    settings = parsed(*tables)
    async with serving(*settings.ports, cables=cables) as served:
        yield served


@asynccontextmanager
async def two(busy: str = "", *tables: str, first: str = "", **more: str) -> AsyncIterator[tuple[Served, Cable]]:
    cable = Cable("/dev/cable", paced=True)
    async with serving_text(text(busy, first, **more), *tables, cables=[cable]) as served:
        yield served, cable


def is_set(cable: Cable, wanted: LineSettings) -> bool:
    return cable.near is not None and cable.near.settings == wanted


async def refused(served: Served, service: str) -> Client:
    """A client that is sent away."""
    client = await connect(Client, served.port(service))
    await until(lambda: client.lost)
    return client


async def test_b5_the_line_is_set_for_a_client_and_set_back_when_its_bytes_have_left() -> None:
    async with two() as (served, cable):
        client = await served.raw("raw-2")
        assert is_set(cable, SLOW)
        assert served.line().held_by == ("raw-2",)
        client.send(b"/?!\r\n")
        await client.close()
        assert is_set(cable, SLOW)  # 5 characters take 166 ms there
        await until(lambda: is_set(cable, FAST))
        assert cable.heard == b"/?!\r\n"
        assert (served.line().held_by, served.line().changeovers) == ((), 2)
        assert cable.configured == [SLOW, FAST]


async def test_b5_several_clients_of_one_speed_share_the_line() -> None:
    async with two() as (served, cable):
        one, other = await served.raw("raw-2"), await served.raw("raw-2")
        cable.far.write(b"x")
        await one.hears(b"x")
        await other.hears(b"x")
        await one.close()
        await settle(5.0)
        assert is_set(cable, SLOW)
        await other.close()
        await until(lambda: is_set(cable, FAST))


async def test_b5_what_is_not_said_is_as_the_port_has_it() -> None:
    cable = Cable("/dev/cable")
    tables = PORT.format(more='format = "8E2"\nflow = "xonxoff"') + SECOND.replace('format = "7E1"', "").format(more="")
    async with serving_text(tables, cables=[cable]) as served:
        await served.raw("raw-2")
        assert str(served.line().settings) == "300 8E2 xonxoff"


@pytest.mark.parametrize(("there", "comes"), [("raw", "raw-2"), ("raw-2", "raw")])
async def test_b5_by_default_who_finds_the_line_at_another_speed_is_refused(there: str, comes: str) -> None:
    async with two() as (served, cable):
        client = await served.raw(there)
        before = cable.near and cable.near.settings
        await refused(served, comes)
        assert served.results(comes) == {"refused_busy": 1}
        assert cable.near
        assert cable.near.settings == before
        client.send(b"on")
        await until(lambda: cable.heard == b"on")
        await client.close()
        await served.raw(comes)
        assert is_set(cable, SLOW if comes == "raw-2" else FAST)


async def test_b5_who_waits_is_served_when_the_others_have_gone() -> None:
    async with two("wait") as (served, cable):
        first = await served.raw()
        waiting = await connect(Client, served.port("raw-2"))
        waiting.send(b"later")
        await until(lambda: served.service("raw-2").waiting == 1)
        await settle(30.0)
        assert not waiting.lost
        assert cable.heard == b""
        first.send(b"now")
        await first.close()
        await until(lambda: cable.heard == b"nowlater")
        assert is_set(cable, SLOW)
        assert served.service("raw-2").waiting == 0
        assert served.results("raw-2") == {"accepted": 1}


async def test_b5_who_does_not_wait_any_more_takes_no_turn() -> None:
    async with two("wait") as (served, cable):
        first = await served.raw()
        for end in ("close", "reset"):
            waiting = await connect(Client, served.port("raw-2"))
            await until(lambda: served.service("raw-2").waiting == 1)
            await (waiting.reset() if end == "reset" else waiting.close())
            await until(lambda: served.service("raw-2").waiting == 0)
        await first.close()
        await settle(5.0)
        assert cable.configured == []


async def test_b5_who_waits_is_served_in_order_of_arrival() -> None:
    third = '[[port.cable.raw]]\nlisten = "127.0.0.1:0"\nbaudrate = 1200\nwhen_busy = "wait"\n'
    async with two("wait", third, second="max_clients = 8") as (served, cable):
        there = await served.raw()
        clients = []
        for service in ("raw-2", "raw-3", "raw-2"):
            clients.append(await connect(Client, served.port(service)))
            await until(lambda: sum(served.service(name).waiting for name in ("raw-2", "raw-3")) == len(clients))
        await there.close()
        await until(lambda: is_set(cable, SLOW))
        await settle(1.0)
        assert served.results("raw-2") == {"accepted": 1}  # the other one stands behind whom it would keep out
        await clients[0].close()
        await until(lambda: served.line().settings.baudrate == 1200)
        await clients[1].close()
        await until(lambda: served.results("raw-2").get("accepted") == 2)


async def test_b5_who_kicks_sends_the_others_away_and_their_bytes_leave_before() -> None:
    async with two("kick") as (served, cable):
        others = [await served.raw(), await served.raw()]
        others[0].send(b"first")
        await until(lambda: served.line().sent == 5)
        client = await served.raw("raw-2")
        assert all(other.lost for other in others)
        assert served.results()["kicked"] == 2
        assert is_set(cable, SLOW)
        assert cable.heard == b"first"
        await refused(served, "raw")  # whose own policy is to be refused
        await client.close()
        await served.raw()
        assert is_set(cable, FAST)


async def test_b5_who_shares_sets_the_line_and_the_others_stay() -> None:
    async with two("share") as (served, cable):
        first = await served.raw()
        second = await served.raw("raw-2")
        assert is_set(cable, SLOW)
        cable.far.write(b"x")
        await first.hears(b"x")
        await second.hears(b"x")
        await second.close()
        await until(lambda: is_set(cable, FAST))
        assert not first.lost


async def test_b5_a_share_goes_on_where_the_others_were() -> None:
    """An RFC 2217 client had set the line; what it had set comes back, and meanwhile it is told what is in effect."""
    async with two("share", '[port.cable.rfc2217]\nlisten = "127.0.0.1:0"\n') as (served, cable):
        there = await served.telnet()
        await there.ask(rfc2217.SetBaudrate(4800))
        second = await served.raw("raw-2")
        assert is_set(cable, SLOW)
        assert await there.ask(rfc2217.SetBaudrate(19200)) == rfc2217.SetBaudrate(300)
        await second.close()
        await until(lambda: is_set(cable, LineSettings(4800)))
        assert await there.ask(rfc2217.SetBaudrate(19200)) == rfc2217.SetBaudrate(19200)
        await there.close()
        await until(lambda: is_set(cable, FAST))


async def test_b5_an_rfc2217_service_begins_at_its_own_settings_and_its_client_may_change_them() -> None:
    com = '[port.cable.rfc2217]\nlisten = "127.0.0.1:0"\nbaudrate = 300\nformat = "7E1"\nmax_clients = 2\n'
    async with two("", com) as (served, cable):
        client, listener = await served.telnet(), await served.raw("raw-2")  # the same settings
        assert is_set(cable, SLOW)
        await client.ask(rfc2217.SetBaudrate(9600))
        assert is_set(cable, LineSettings(9600, 7, Parity.EVEN))
        await client.close()
        await until(lambda: is_set(cable, SLOW))  # the other one is still there
        await listener.close()
        await until(lambda: is_set(cable, FAST))


async def test_b5_a_half_closed_client_hears_its_answer_and_gives_its_place_to_anybody() -> None:
    async with two() as (served, cable):
        asking = await served.raw("raw-2")
        asking.send(b"?")
        asking.half_close()
        await until(lambda: cable.heard == b"?")
        cable.far.write(b"answer")
        await asking.hears(b"answer")
        assert is_set(cable, SLOW)
        await served.raw()
        assert asking.lost
        assert is_set(cable, FAST)


async def test_b5_a_dead_client_of_the_same_address_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from nportpy.network import tcp
    from nportpy.network.tcp import PeerSilence

    async with two() as (served, cable):
        dead = await served.raw()
        monkeypatch.setattr(tcp, "peer_silence", lambda _: PeerSilence(data=1.0, ack=60.0, unanswered=2))
        await served.raw("raw-2")
        assert dead.lost
        assert served.results()["taken_over"] == 1
        assert is_set(cable, SLOW)


async def test_b5_a_stuck_line_is_set_after_linger_and_what_it_did_not_take_is_purged() -> None:
    async with two(port='flow = "xonxoff"\nlinger = "2s"') as (served, cable):
        first = await served.raw()
        cable.far.write(b"\x13")
        await settle(0.1)
        first.send(b"never")
        await first.close()
        began = asyncio.get_running_loop().time()
        await served.raw("raw-2")
        assert 1.9 < asyncio.get_running_loop().time() - began < 3.0
        assert served.line().purged == 5
        assert served.line().settings.baudrate == 300


async def test_b5_the_settings_survive_a_loss_of_the_device() -> None:
    async with two(second='when_down = "hold"') as (served, cable):
        client = await served.raw("raw-2")
        cable.unplug()
        await until(lambda: served.line().state == "lost")
        cable.plug()
        await until(lambda: served.line().state == "up")
        assert is_set(cable, SLOW)
        client.send(b"x")
        await until(lambda: cable.heard == b"x")
        await client.close()
        await until(lambda: is_set(cable, FAST))


async def test_b5_a_client_that_the_loss_closed_leaves_the_line_as_configured() -> None:
    async with two() as (served, cable):
        client = await served.raw("raw-2")
        cable.unplug()
        await until(lambda: client.lost)
        cable.plug()
        await until(lambda: served.line().state == "up")
        assert is_set(cable, FAST)


async def test_b5_a_driver_that_refuses_the_settings_refuses_the_client() -> None:
    async with two() as (served, cable):
        cable.refused_baudrates.add(300)
        await refused(served, "raw-2")
        assert served.results("raw-2") == {"refused_settings": 1}
        client = await served.raw()
        assert is_set(cable, FAST)
        client.send(b"x")
        await until(lambda: cable.heard == b"x")


MODBUS = '[port.cable.modbus]\nlisten = "127.0.0.1:0"\ntimeout = "500ms"\n'


async def test_b5_modbus_requests_are_refused_at_once_while_another_speed_holds() -> None:
    async with two("", MODBUS) as (served, cable):
        attach(cable, units(1))
        master = await asker(served)
        assert await master.read(7) == holding(1, 7)
        client = await served.raw("raw-2")  # requests come and go and keep nobody out
        assert is_set(cable, SLOW)
        began = asyncio.get_running_loop().time()
        assert await master.read(7) == 0x0A
        assert asyncio.get_running_loop().time() - began < 0.05
        assert not served.bus().up
        await client.close()
        await until(lambda: is_set(cable, FAST))
        assert await master.read(7) == holding(1, 7)
        assert served.bus().up


async def test_b5_a_change_waits_for_the_request_on_the_line() -> None:
    async with two("", MODBUS + "retries = 0\n") as (served, cable):
        master = await asker(served)  # nobody answers
        answers = [master.ask(read(7), unit) for unit in (1, 2)]
        await settle(0.05)
        began = asyncio.get_running_loop().time()
        await served.raw("raw-2")
        assert 0.2 < asyncio.get_running_loop().time() - began < 1.0
        assert is_set(cable, SLOW)
        assert [(await answer)[1] for answer in answers] == [0x0B, 0x0A]


async def test_b5_a_reload_changes_settings_of_ones_own() -> None:
    async with two() as (served, cable):
        client = await served.raw("raw-2")
        await served.gateway.reload(parsed(text().replace("baudrate = 300", "baudrate = 600")))
        await until(lambda: client.lost)
        await until(lambda: is_set(cable, FAST))
        await served.raw("raw-2")
        assert served.line().settings.baudrate == 600
        assert cable.opened == 1


async def test_b5_a_reload_that_adds_a_speed_sees_the_clients_that_are_there() -> None:
    cable = Cable("/dev/cable")
    async with serving_text(PORT.format(more=""), cables=[cable]) as served:
        client = await served.raw()
        await served.gateway.reload(parsed(text()))
        assert not client.lost
        await refused(served, "raw-2")
        await client.close()
        await served.raw("raw-2")
        assert is_set(cable, SLOW)


async def test_b5_a_stop_while_somebody_waits_ends_at_once() -> None:
    async with two("wait") as (served, _):
        await served.raw()
        await connect(Client, served.port("raw-2"))
        await until(lambda: served.service("raw-2").waiting == 1)


async def test_b5_a_host_is_called_when_the_line_is_free_for_it() -> None:
    host = Host()
    await host.open()
    calls = f'[port.cable.tcp_client]\nto = "{host.destination}"\nbaudrate = 1200\n'
    async with two("kick", calls) as (served, cable):
        await host.called()
        await until(lambda: served.line().settings.baudrate == 1200)
        assert served.line().held_by == ("tcp_client",)
        client = await served.raw("raw-2")
        assert is_set(cable, SLOW)
        await settle(20.0)
        assert not served.service("tcp_client").clients
        await client.close()
        await host.called(2)
        await until(lambda: served.line().settings.baudrate == 1200)
    await host.close()


async def test_b5_a_reload_of_when_busy_alone_loses_nobody() -> None:
    async with two() as (served, cable):
        client = await served.raw()
        await refused(served, "raw-2")
        await served.gateway.reload(parsed(text("kick")))
        assert not client.lost
        await served.raw("raw-2")
        assert client.lost
        assert is_set(cable, SLOW)
