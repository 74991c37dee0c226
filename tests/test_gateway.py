"""The gateway: start, reload with clients connected, stop."""

import asyncio
import socket
import urllib.request
from dataclasses import replace
from typing import Any

import pytest

from nportpy.errors import ListenError
from nportpy.gateway.plans import GatewaySettings
from nportpy.gateway.running import Gateway
from nportpy.linesettings import Flow, LineSettings
from nportpy.network import connection
from nportpy.network.addresses import Endpoint, listen
from nportpy.network.service import AccessSettings, Direction, WhenJammed
from nportpy.port.loopback import Cable, opener_of
from nportpy.protocols.rfc2217 import SetBaudrate
from nportpy.services.http_base import HttpSettings
from tests.support.free_ports import free_port
from tests.support.serving import Client, Served, com, connect, plan, raw, serving, settings, settle, until


def at(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    return {"listen": (Endpoint(host, port),)}


async def reload(served: Served, *plans: Any, **changes: Any) -> None:
    await served.gateway.reload(settings(*plans, **changes))


async def test_unchanged_services_keep_their_clients() -> None:
    cable, other = Cable(), Cable("other")
    first, second = raw(), com(max_clients=2)
    async with serving(plan("cable", first, second), plan("other", raw()), cables=[cable, other]) as served:
        clients = [await served.raw(), await served.telnet(), await served.raw(port="other")]
        await reload(served, plan("other", raw()), plan("cable", raw(), com(max_clients=2)), name="renamed")
        status = served.gateway.status()
        assert (status.name, status.reloads, [line.name for line in status.lines]) == ("renamed", 1, ["other", "cable"])
        cable.far.write(b"x")
        other.far.write(b"y")
        for client, data in zip(clients, (b"x", b"x", b"y"), strict=True):
            await client.hears(data)
        assert (cable.opened, other.opened) == (1, 1)


async def test_a_changed_service_is_started_anew_and_its_neighbour_is_not() -> None:
    cable = Cable()
    port = free_port()
    async with serving(plan("cable", raw(**at(port)), com()), cables=[cable]) as served:
        client, neighbour = await served.raw(), await served.telnet()
        await reload(served, plan("cable", raw(**at(port), direction=Direction.TO_LINE), com()))
        await until(lambda: client.lost)
        assert not neighbour.lost
        assert cable.opened == 1
        assert served.results() == {}  # it is a new one
        client = await served.raw()
        await reload(served, plan("cable", com()))
        await until(lambda: client.lost)
        with pytest.raises(ConnectionRefusedError):
            await connect(Client, port)
        assert [service.service for service in served.gateway.status().services] == ["rfc2217"]


async def test_services_of_a_kind_keep_their_names() -> None:
    cable = Cable()
    one, two, three = raw(max_clients=1), raw(max_clients=2), raw(max_clients=3)
    async with serving(plan("cable", one, two), cables=[cable]) as served:
        client = await served.raw("raw-2")
        await reload(served, plan("cable", two, three))
        names = {service.service for service in served.gateway.status().services}
        assert names == {"raw", "raw-2"}
        cable.far.write(b"x")
        await client.hears(b"x")


async def test_a_changed_line_is_opened_anew_and_a_removed_one_closed() -> None:
    cable, other = Cable(), Cable("other")
    async with serving(plan("cable", raw()), plan("other", raw()), cables=[cable, other]) as served:
        client, removed = await served.raw(), await served.raw(port="other")
        await reload(served, plan("cable", raw(), line=LineSettings(1200)))
        await until(lambda: client.lost and removed.lost)
        await until(lambda: served.line().state == "up")
        assert (cable.opened, other.near) == (2, None)
        assert cable.near is not None
        assert cable.near.settings.baudrate == 1200
        client = await served.raw()  # on a port of the kernel's choice that the new service has from the start
        client.send(b"new")
        await until(lambda: cable.heard == b"new")


async def test_two_ports_swap_their_devices() -> None:
    one, two = Cable("one"), Cable("two")
    plans = plan("a", raw(), device="one"), plan("b", raw(), device="two")
    async with serving(*plans, cables=[one, two]) as served:
        await reload(served, plan("a", raw(), device="two"), plan("b", raw(), device="one"))
        await until(lambda: all(line.state == "up" for line in served.gateway.status().lines))
        client = await served.raw(port="a")
        client.send(b"for two")
        await until(lambda: two.heard == b"for two")
        assert served.line("a").attempts == 0


@pytest.mark.parametrize(("before", "after"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::", "0.0.0.0")])
async def test_a_service_moves_to_an_address_that_overlaps(before: str, after: str) -> None:
    cable = Cable()
    port = free_port()
    async with serving(plan("cable", raw(**at(port, before)), com()), cables=[cable]) as served:
        neighbour = await served.telnet()
        await reload(served, plan("cable", raw(**at(port, after)), com()))
        assert served.service().listen == (f"{after}:{port}",)
        client = await connect(Client, port)
        await until(lambda: served.service().clients)
        cable.far.write(b"x")
        await client.hears(b"x")
        await neighbour.hears(b"x")
        with pytest.raises(ListenError, match="in use"):  # others may still not share the port
            listen(Endpoint("127.0.0.1", port))


async def test_a_service_that_is_started_anew_never_stops_listening() -> None:
    cable = Cable()
    port = free_port()
    async with serving(plan("cable", raw(**at(port), max_clients=99)), cables=[cable]) as served:
        refused, connected, stop = 0, [], False
        ways = WhenJammed.SKIP, WhenJammed.DROP

        async def knock() -> None:
            nonlocal refused
            while not stop:
                try:
                    connected.append(await connect(Client, port))
                except ConnectionRefusedError:
                    refused += 1
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(knock())
            for count in range(5):
                await reload(served, plan("cable", raw(**at(port), max_clients=99, when_jammed=ways[count % 2])))
                await settle()
            stop = True
        assert refused == 0
        assert len(connected) > 10
        for client in connected:
            client.transport.abort()


@pytest.mark.real
async def test_http_changes_with_a_reload() -> None:
    cable = Cable()

    def health(port: int) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return int(answer.status)

    first, second = free_port(), free_port()
    http = HttpSettings(listen=(("127.0.0.1", first),))
    async with serving(plan("cable", raw()), cables=[cable], http=http) as served:
        client = await served.raw()
        assert await asyncio.to_thread(health, first) == 200
        await reload(served, plan("cable", raw()), http=HttpSettings(listen=(("127.0.0.1", second),)))
        assert await asyncio.to_thread(health, second) == 200
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(health, first)
        await reload(served, plan("cable", raw()))
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(health, second)
        assert not client.lost


async def test_limits_over_all_services_change_with_a_reload() -> None:
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable], access=AccessSettings(max_connections=1)) as served:
        client = await served.raw()
        await reload(served, plan("cable", raw()), access=AccessSettings(max_connections=2))
        await served.raw()
        assert not client.lost


# Starting and stopping.


async def run_and_fail(wanted: GatewaySettings, *cables: Cable) -> BaseException:
    gateway = Gateway(wanted, opener=opener_of(*cables), strict=True)
    try:
        async with asyncio.timeout(20):
            await gateway.run()
    except BaseException as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return error
    raise AssertionError("it did not fail")


async def test_an_address_that_is_taken_at_the_start() -> None:
    cable = Cable()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = await run_and_fail(settings(plan("cable", raw(), com(**at(port)))), cable)
        assert str(error).startswith(f"cannot listen on 127.0.0.1:{port}: the address is in use by ")
        assert cable.opened == 0
        http = HttpSettings(listen=(("127.0.0.1", port),))
        error = await run_and_fail(settings(plan("cable", raw()), http=http), cable)
        assert isinstance(error, ListenError)
    assert cable.near is None


async def test_stopping_drains_what_was_accepted() -> None:
    """One second's worth of bytes, and a request behind them that changes the speed of those that follow."""
    cable = Cable(paced=True)
    async with serving(plan("cable", raw(), com(), line=LineSettings(9600)), cables=[cable], drain=5.0) as served:
        client, controller = await served.raw(), await served.telnet()
        client.send(b"a" * 960)
        await until(lambda: served.line().sent == 960)
        controller.send_telnet(b"\xff\xfa\x2c\x01\0\0\x12\xc0\xff\xf0" + b"b" * 96)
        await settle()
        served.gateway.stop()
        await settle()
        with pytest.raises(ConnectionRefusedError):
            await connect(Client, served.port())
        client.send(b"too late")
        await until(lambda: client.lost and controller.lost)
        assert cable.heard == b"a" * 960 + b"b" * 96
        assert controller.answers[-1] == SetBaudrate(4800)
        assert client.error is None or isinstance(client.error, ConnectionResetError)


async def test_stopping_waits_no_longer_than_told(caplog: pytest.LogCaptureFixture) -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    began = 0.0
    async with serving(plan("cable", raw(), line=line), cables=[cable], drain=3.0) as served:
        cable.far.set_modem_lines(rts=False)
        client = await served.raw()
        client.send(b"stuck")
        await until(lambda: served.line().unsent == 5)
        began = asyncio.get_running_loop().time()
    assert 2.9 < asyncio.get_running_loop().time() - began < 3.5
    assert [record.__dict__["bytes"] for record in caplog.records if "did not take" in record.message] == [5]


async def test_an_answer_under_way_reaches_the_client_that_asked() -> None:
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        client = await served.raw()
        client.send(b"request")
        await until(lambda: cable.heard == b"request")
        served.gateway.stop()
        await asyncio.sleep(0.1)
        cable.far.write(b"answer")
        await until(lambda: client.lost)
        assert bytes(client.heard) == b"answer"


@pytest.mark.real
async def test_a_stalled_client_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSING_TIME", 0.5)
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        client = await served.raw(reading=False)
        for _ in range(400):
            cable.far.write(bytes(20_000))
            await asyncio.sleep(0)
        await until(lambda: served.service().clients[0].state == "stalled")
        began = asyncio.get_running_loop().time()
        served.gateway.stop()
        await until(lambda: served.task.done())
        assert 0.4 < asyncio.get_running_loop().time() - began < 2
        client.transport.abort()


async def test_stopping_while_a_reload_runs() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", raw(), line=line), cables=[cable], drain=1.0) as served:
        cable.far.set_modem_lines(rts=False)
        client = await served.raw()
        client.send(b"stuck")
        await settle()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reload(served, plan("cable", raw(), line=LineSettings(1200))))
            await settle()
            served.gateway.stop()
        await until(lambda: served.task.done())
        await reload(served, plan("cable", raw()))  # too late, and not an error
        assert cable.near is None
        assert cable.opened <= 2


async def test_stopping_while_the_device_is_away() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(when_down="hold")), cables=[cable]) as served:
        client = await served.raw()
        cable.unplug()
        await until(lambda: served.line().state == "lost")
        client.send(b"never")
        await settle()
        began = asyncio.get_running_loop().time()
        served.gateway.stop()
        await until(lambda: client.lost)
        assert asyncio.get_running_loop().time() - began < 0.2


async def test_cancelling_ends_at_once() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(), com()), cables=[cable]) as served:
        clients = [await served.raw(), await served.telnet()]
        served.task.cancel()
        await until(lambda: all(client.lost for client in clients))
        assert cable.near is None


async def test_status_shows_what_is_there() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(), com()), cables=[cable], name="pi-07") as served:
        client = await served.raw()
        client.send(b"12345")
        cable.far.write(b"123")
        await client.hears(b"123")
        status = served.gateway.status()
        assert (status.name, status.ready) == ("pi-07", True)
        line = served.line()
        assert (line.state, line.received, line.sent, line.opens, line.unsent) == ("up", 3, 5, 1, 0)
        (shown,) = served.service().clients
        assert (shown.address, shown.state, shown.received, shown.sent, shown.waiting, shown.controls) == (
            "127.0.0.1",
            "open",
            5,
            3,
            0,
            False,
        )
        assert shown.port == client.transport.get_extra_info("sockname")[1]
        assert not served.service("rfc2217").clients
        assert replace(line, received=0).received == 0
