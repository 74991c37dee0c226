"""Whole gateways with every operation mode, from the text of their files: bytes, reloads, lost devices, the end."""

import asyncio
import json
import logging
import os
import struct
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from nportpy.gateway.plans import Kind, PortPlan
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable, FarEnd
from nportpy.port.opening import open_port
from nportpy.protocols.modbus import rtu
from nportpy.services import metrics, report
from tests.support.free_ports import free_port
from tests.support.modbus_serving import asker, attach, holding, read, registers, units
from tests.support.ports import a_pty
from tests.support.serving import Served, serving, settings, settle, until
from tests.support.ways import HOST, WAYS, Pair, Raw, Rfc2217, TcpClient, Udp, Way, others, parsed, serving_text

KINDS = sorted(WAYS)
SOME = bytes(range(1, 128)) * 10  # no NUL, and no IAC, so that it is the same in each mode


def the_file(ways: list[Way], *, without: str = "", changed: str = "") -> str:
    """All lines, and all modes but one."""
    return "\n".join(
        way.line() + ("" if way.kind == without else way.text(changed=way.kind == changed)) for way in ways
    )


async def reload(served: Served, text: str) -> None:
    await served.gateway.reload(parsed(text))


def service_in_json(served: Served, port: str, service: str) -> dict[str, Any]:
    """What /api/v1/status says of a service."""
    document = json.loads("".join(report.document(served.gateway.status())))
    return next(each for each in document["services"] if (each["port"], each["service"]) == (port, service))


def results_without_a_series(served: Served) -> list[str]:
    """What metrics would count as `other`."""
    families = metrics.GatewayCollector(served.gateway.status).collect()
    return [
        str(each) for family in families for each in family.samples if "other" in each.labels.values() and each.value
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_carries_bytes_both_ways(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "nportpy")
    way = WAYS[kind]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        await way.both_ways()
        (client,) = served.service(kind, kind).clients
        assert (client.received, client.sent) in ((17, 19), (17, 0)), client  # datagrams are not sent to a client
        shown = service_in_json(served, kind, kind)
        assert len(shown["clients"]) == 1
        assert sum(shown["results"].values()) >= 1
    traced = [record.__dict__ for record in caplog.records if b"hello".hex(" ") in str(record.__dict__).lower()]
    assert len(traced) >= 2, caplog.text


@pytest.mark.real
@pytest.mark.parametrize("kind", KINDS)
async def test_each_carries_bytes_both_ways_over_a_terminal(kind: str) -> None:
    way = WAYS[kind]()
    with ExitStack() as stack:
        way.device = await terminal(way.cable, stack)
        if isinstance(way, Pair):
            way.device_there = await terminal(way.there, stack)
        async with serving_text(way.line(), way.text(), ways=[way], opener=open_port) as served:
            for changed in (False, True):
                await reload(served, way.line() + way.text(changed=changed))
                await settle(0.3)
                await way.join(served)
                await way.both_ways()


class Bridge(FarEnd):
    """What the far end of a cable says goes to a descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def data_received(self, data: bytes) -> None:
        os.write(self._descriptor, data)


async def terminal(cable: Cable, stack: ExitStack) -> str:
    """A pseudo-terminal with the cable behind it."""
    pty = stack.enter_context(a_pty())
    near = await cable.opener(PortSettings(cable.name), Bridge(pty.master))
    loop = asyncio.get_running_loop()
    loop.add_reader(pty.master, lambda: near.write(os.read(pty.master, 4096)))
    stack.callback(loop.remove_reader, pty.master)
    return pty.path


@pytest.mark.parametrize("kind", KINDS)
async def test_reloads_remove_add_and_change_one_and_leave_the_others(kind: str) -> None:
    ways = [make(place) for place, make in enumerate(WAYS.values(), 1)]
    mine = next(way for way in ways if way.kind == kind)
    rest = [way for way in ways if way is not mine]

    async def nobody_else_noticed(text: bytes) -> None:
        for way in rest:
            assert not way.lost, way.kind
            await way.both_ways(text)

    async with serving_text(the_file(ways), ways=ways) as served:
        for way in ways:
            await way.join(served)
        await mine.both_ways()
        await reload(served, the_file(ways, without=kind))
        assert (kind, kind) not in {(each.port, each.service) for each in served.gateway.status().services}
        if kind != "udp":  # which has no connection
            await until(lambda: mine.lost)
        await nobody_else_noticed(b"removed")
        await reload(served, the_file(ways))
        await mine.join(served)
        await mine.both_ways(b"again")
        await nobody_else_noticed(b"added")
        await reload(served, the_file(ways, changed=kind))
        if kind not in ("udp", "tcp_client", "pair"):  # those are connected again by themselves
            await until(lambda: mine.lost)
        await settle(0.5)
        await mine.join(served)
        await mine.both_ways(b"otherwise")
        await nobody_else_noticed(b"changed")
        assert served.gateway.status().reloads == 3
        assert results_without_a_series(served) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stop_writes_out_what_was_taken(kind: str) -> None:
    way = WAYS[kind]()
    way.cable.paced = True
    slow = way.line().replace("115200", "4800")
    async with serving_text('[gateway]\ndrain = "1min"', slow, way.text(), ways=[way]) as served:
        await way.join(served)
        before = len(way.cable.heard)
        way.say(SOME)
        await until(lambda: served.service(kind, kind).clients[0].received >= len(SOME))
        served.gateway.stop()
        await asyncio.wait([served.task])
        assert way.cable.heard[before : before + len(SOME)] == SOME


@pytest.mark.parametrize("kind", KINDS)
async def test_the_device_is_lost_and_comes_back(kind: str) -> None:
    way, beside = WAYS[kind](), Raw(9, "beside")
    async with serving_text(way.line(), way.text(), beside.line(), beside.text(), ways=[way, beside]) as served:
        await way.join(served)
        await beside.join(served)
        for count in (1, 2):
            way.cable.unplug()
            await until(lambda: served.line(kind).state == "lost")
            await settle(2.0)
            way.cable.plug()
            await until(lambda: served.line(kind).state == "up")
            await settle(1.0)
            if way.lost:
                await way.join(served)
            await way.both_ways(b"%d" % count)
            assert not beside.lost
            await beside.both_ways()
        assert served.line(kind).losses == 2
        assert results_without_a_series(served) == []


# Two modes on one line.


async def test_raw_and_datagrams_on_one_line() -> None:
    raw, udp = Raw(1, "one"), Udp(2, "one")
    udp.cable = raw.cable
    async with serving_text(raw.line(), raw.text(), udp.text(), ways=[raw, udp]) as served:
        await raw.join(served)
        await udp.join(served)
        raw.cable.far.write(b"for both")
        await until(lambda: raw.heard == b"for both" == udp.heard)
        raw.say(b"of one, ")
        await until(lambda: raw.cable.heard == b"of one, ")
        udp.say(b"of the other")
        await until(lambda: raw.cable.heard == b"of one, of the other")


async def test_a_tcp_client_and_rfc2217_on_one_line() -> None:
    calling, telnet = TcpClient(1, "one"), Rfc2217(2, "one")
    telnet.cable = calling.cable
    async with serving_text(calling.line(), calling.text(), telnet.text(), ways=[calling, telnet]) as served:
        await calling.join(served)
        await telnet.join(served)
        calling.cable.far.write(b"for both")
        await until(lambda: calling.heard == b"for both" == telnet.heard)
        calling.say(b"1")
        await until(lambda: calling.cable.heard == b"1")
        telnet.say(b"2")
        await until(lambda: calling.cable.heard == b"12")


async def test_real_com_and_modbus_on_one_line() -> None:
    way = WAYS["realcom"]()
    attach(way.cable, units(1))
    modbus = f'[port.realcom.modbus]\nlisten = "{HOST}:4900"\n'
    async with serving_text(way.line(), way.text(), modbus, ways=[way]) as served:
        await way.join(served)
        client = await asker(served, "modbus", "realcom", host=HOST)
        assert registers(await client.ask(read(0, 2))) == holding(1, 0, 2)
        assert not way.lost
        assert way.heard == b""  # answers are their master's
        way.say(rtu.encode(1, read(7)))
        answer = client.ask(read(5))
        await until(lambda: way.heard == rtu.encode(1, struct.pack(">BBH", 3, 2, *holding(1, 7))))
        assert registers(await answer) == holding(1, 5)
        await client.close()


# A destination that is not there.


@pytest.mark.parametrize("kind", ["tcp_client", "pair"])
@pytest.mark.parametrize("to", ["127.0.0.1:CLOSED", "no-such-host.invalid:4001"])
async def test_a_bad_destination_beside_good_services(kind: str, to: str) -> None:
    ways = [make(place) for place, make in enumerate(WAYS.values(), 1)]
    bad = Cable("/dev/bad")
    table = f'[port.bad]\ndevice = "/dev/bad"\n[port.bad.{kind}]\nto = "{to.replace("CLOSED", str(free_port()))}"\n'
    async with serving_text(the_file(ways), table, ways=ways, cables=[bad]) as served:
        result = "refused" if "CLOSED" in to else "no_address"
        await until(lambda: served.results(kind, "bad").get(result, 0) >= 3)
        for way in ways:
            await way.join(served)
            await way.both_ways()
        assert served.gateway.ready.is_set()
        shown = service_in_json(served, "bad", kind)
        assert (shown["clients"], shown["listen"]) == ([], [])
        assert shown["results"][result] >= 3
        assert report.readiness(served.gateway.status())["reasons"] == []
        assert results_without_a_series(served) == []


# Port 0.


def anywhere(plan: PortPlan) -> PortPlan:
    """Its services on ports of the kernel's choice."""

    def moved(kind: Kind, service: Any) -> tuple[Kind, Any]:
        names = ("data", "command") if kind is Kind.REALCOM else ("listen",)
        return kind, replace(service, **{name: (Endpoint(HOST, 0),) for name in names if hasattr(service, name)})

    return replace(plan, modes=tuple(moved(*service) for service in plan.modes))


async def test_every_kind_that_listens_does_so_on_a_port_of_the_kernels_choice() -> None:
    ways = [WAYS[kind](place) for place, kind in enumerate(("reverse_telnet", "modem", "realcom", "udp"), 1)]
    config = parsed("[discovery]", the_file(ways))
    assert config.discovery is not None
    told = replace(config.discovery, listen=(Endpoint(HOST, 0),))
    plans = [anywhere(plan) for plan in config.ports]
    more = others(config) | {"discovery": told}
    udp = next(way for way in ways if isinstance(way, Udp))
    await udp.start()
    async with serving(*plans, cables=[way.cable for way in ways], **more) as served:

        def listen() -> dict[str, tuple[str, ...]]:
            return {each.service: each.listen for each in served.gateway.status().services}

        before = listen()
        assert {kind: len(found) for kind, found in before.items()} == {
            "reverse_telnet": 1,
            "modem": 1,
            "realcom": 2,
            "udp": 1,
            "discovery": 1,
        }
        numbers = [int(each.rpartition(":")[2]) for found in before.values() for each in found]
        assert len(set(numbers)) == len(numbers)
        assert all(numbers)
        for way in ways:
            way.number = int(before[way.kind][0].rpartition(":")[2])
        assert served.gateway._announcing is not None
        offered = {offer.label: [str(each) for each in offer.listen] for offer in served.gateway._announcing._offers()}
        # Programs are led to the data connections of Real COM; discovery is no service to be used.
        assert offered == {kind: list(found)[:1] for kind, found in before.items() if kind != "discovery"}
        # A reload that changes nothing leaves them where they are; the driver's two ports are not neighbours here.
        await served.gateway.reload(settings(*plans, **more))
        assert listen() == before
        for way in ways:
            if way.kind != "realcom":
                await way.join(served)
                if way is not udp:
                    await way.both_ways()
        udp.say(b"a datagram")
        await until(lambda: udp.cable.heard == b"a datagram")
        for way in ways:
            if way.kind != "udp":
                await way.close()
    await udp.close()
