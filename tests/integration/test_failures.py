"""Every call that reaches the driver fails once, in turn: the process lives, clients get what was configured, and
the neighbour notices nothing."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from nportpy.network.service import WhenDown
from nportpy.port.loopback import Cable
from nportpy.protocols.rfc2217 import LineState, NotifyModemstate, PurgeData, SetBaudrate, SetControl, SetLinestateMask
from tests.support.serving import Client, Served, TelnetClient, com, connect, plan, raw, serving, settle, until
from tests.support.ways import WAYS, Raw, Way, serving_text

CALLS = 120  # the scenario makes fewer


async def scenario(served: Served, cable: Cable) -> None:
    """A raw and an RFC 2217 client do a bit of everything; what they hear does not matter."""
    plain = await connect(Client, served.port())
    telnet = await connect(TelnetClient, served.port("rfc2217"))
    await settle()
    steps: list[Callable[[], None]] = [
        lambda: telnet.request(SetBaudrate(1200)),
        lambda: plain.send(b"data"),
        lambda: telnet.request(SetControl(9)),
        lambda: telnet.request(SetControl(5)),
        lambda: telnet.request(SetControl(6)),
        lambda: telnet.request(PurgeData(3)),
        lambda: telnet.request(SetLinestateMask(LineState(255))),
        lambda: telnet.request(NotifyModemstate()),
        lambda: telnet.send_telnet(b"\xff\xf3data\xff\xff"),
        lambda: cable.far.write(b"answer"),
    ]
    for step in steps:
        step()
        await settle(0.03)
    await settle(0.4)
    for client in (plain, telnet):
        if not client.lost:
            client.transport.close()
    await settle(0.1)


@pytest.mark.parametrize("when_down", WhenDown)
@pytest.mark.long
async def test_any_call_may_fail(when_down: WhenDown) -> None:
    most = 0
    for number in range(1, CALLS):
        cable, other = Cable(), Cable("other")
        cable.fail_at = number
        services = raw(when_down=when_down, half_close=0.05), com(when_down=when_down, half_close=0.05)
        plans = plan("cable", *services), plan("other", raw())
        async with serving(*plans, cables=[cable, other]) as served:
            neighbour = await served.raw(port="other")
            await scenario(served, cable)
            other.far.write(b"unmoved")
            await neighbour.hears(b"unmoved")
            most, failed, cable.fail_at = max(most, cable.calls), cable.calls >= number, 0
            await until(lambda served=served: served.line().state == "up")  # type: ignore[misc]
            await until(lambda served=served: not served.service().clients)  # type: ignore[misc]
            client = await served.raw()
            heard = len(cable.heard)
            client.send(b"back")
            await until(lambda cable=cable, heard=heard: cable.heard[heard:] == b"back")  # type: ignore[misc]
            for service in ("raw", "rfc2217"):
                results = served.results(service)
                ended = sum(results.get(end, 0) for end in ("closed", "line_down", "error"))
                assert results.get("accepted", 0) == ended + len(served.service(service).clients), (number, results)
                assert not results.get("error"), (number, results)
            line = served.line()
            assert line.losses + line.attempts == failed
    assert most > 20, most
    assert most < CALLS, most


async def use(way: Way, served: Served) -> None:
    """Somebody is there, or not; what is heard does not matter."""
    with suppress(TimeoutError, AssertionError):
        await way.join(served)
        way.say(b"data")
        way.cable.far.write(b"answer")
        await settle(0.1)
        way.cable.far.set_modem_lines(dtr=False, rts=False)
        await settle(0.1)
        way.cable.far.set_modem_lines(dtr=True, rts=True)
        way.say(b"more")
        await settle(0.3)


@pytest.mark.parametrize("kind", sorted(WAYS.keys() - {"raw", "rfc2217"}))
@pytest.mark.long
@pytest.mark.timeout(300)
async def test_any_call_may_fail_in_any_mode(kind: str) -> None:
    number = 0
    reached = True
    while reached:
        number += 1
        assert number < CALLS
        way, beside = WAYS[kind](), Raw(9, "beside")
        way.cable.fail_at = number
        async with serving_text(way.line(), way.text(), beside.line(), beside.text(), ways=[way, beside]) as served:
            await beside.join(served)
            await use(way, served)
            reached, way.cable.fail_at = way.cable.calls >= number, 0
            await until(lambda served=served: served.line(kind).state == "up")  # type: ignore[misc]
            await settle(5.0)  # the pause before the next call
            if way.lost:
                await way.join(served)
            await way.both_ways()
            assert not served.results(kind, kind).get("error"), (number, served.results(kind, kind))
            line = served.line(kind)
            assert line.losses + line.attempts == reached
            assert not beside.lost
            await beside.both_ways()
    assert number > 5
