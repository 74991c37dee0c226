"""Which lines are watched: servers elsewhere, too; and who goes on watching when the configuration changes."""

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.modbus.settings import ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.loopback import Cable
from nportpy.protocols.capture.pcapng import Interface, Reader
from nportpy.services.http_base import HttpSettings
from tests.gateway.test_captures import BUS, HTTP, watched
from tests.support.bus import Units, mbap_reply
from tests.support.http_streams import asking
from tests.support.modbus_serving import asker, route, router
from tests.support.serving import Served, plan, raw, serving, until
from tests.support.serving import settings as gateway_settings

SERVER = ServerSettings(Endpoint("192.0.2.10", 502))


def http_port(served: Served) -> int:
    service = served.gateway._http._service
    assert service is not None
    return int(service.addresses[0].rpartition(":")[2])


async def test_c13_c20_a_server_elsewhere_is_watched_as_a_line_is(tmp_path: Path) -> None:
    cable = Cable(SERVER.name)
    Units(cable, lambda frame: [(0.001, mbap_reply(frame))])
    there = f"/api/v1/ports/{quote(SERVER.name, safe='')}"
    capture = CaptureSettings(keep=65536, directory=str(tmp_path / "captures"))
    routers = (router(route(1, SERVER)),)
    async with serving(routers=routers, cables=[cable], http=HTTP, capture=capture) as served:
        await until(lambda: served.bus(SERVER.name).up)
        port = http_port(served)
        client = await asker(served, "router", "plant")
        async with asking(port, f"{there}/monitor") as answer:
            line = served.gateway._servers.lines()[0]
            await until(lambda: len(line.tap().watchers) == 2)  # and the recording
            assert await client.read(5, 2) == [5, 6]
            rows = [await answer.row() for _ in range(3)]
        assert [row["kind"] for row in rows] == ["tx", "rx", "answer"]
        assert (rows[2]["text"].partition(";")[0], rows[2]["unit"]) == ("40006: 5, 40007: 6", 1)
        assert "gap_ms" in rows[1]
        assert not any("gap_characters" in row for row in rows)  # no wire whose characters take time
        async with asking(port, "/api/v1/captures") as listed:
            ((found,),) = await listed.rows()
        assert (found["port"], found["settings"], found["requests"]) == (SERVER.name, "connection", True)
        async with asking(port, f"{there}/capture.pcapng") as answer:
            assert (
                f'filename="{SERVER.name.replace("://", "-").replace(":", "-")}-'
                in answer.headers["content-disposition"]
            )
            interfaces = [each for each in Reader().feed(await answer.all()) if isinstance(each, Interface)]
        assert [each.description.split(" ")[0] for each in interfaces] == ["connection", "Modbus"]
        assert {each.speed for each in interfaces} == {0}
    assert [path.suffix for path in (tmp_path / "captures").iterdir()] == [".pcapng"]


async def test_c18_who_watches_a_server_hears_of_its_end() -> None:
    cable = Cable(SERVER.name)
    async with serving(routers=(router(route(1, SERVER)),), cables=[cable], http=HTTP) as served:
        there = f"/api/v1/ports/{quote(SERVER.name, safe='')}/monitor"
        async with asking(http_port(served), there) as answer:
            await until(lambda: served.gateway._servers.lines()[0].tap().watchers)
            await served.gateway.reload(gateway_settings(routers=(router(),), http=HTTP))
            await answer.all()
        async with asking(http_port(served), there) as answer:
            assert answer.status == 404


async def test_c18_who_watches_goes_on_when_the_configuration_changes() -> None:
    """Whatever changes beside its own line; what is kept meanwhile is neither lost nor told twice."""
    async with watched(CaptureSettings(keep=65536)) as at, at.get("monitor?filter=dir:rx") as answer:
        await at.watched_by(1)
        same = plan("cable", raw(), bus=BUS)
        others = (
            gateway_settings(replace(same, trace=True), http=HTTP, capture=CaptureSettings(keep=65536)),
            gateway_settings(plan("cable", raw(max_clients=2), bus=BUS), http=HTTP, capture=CaptureSettings()),
            gateway_settings(same, routers=(router(),), http=HTTP, capture=CaptureSettings(keep=131072)),
            gateway_settings(same, http=HTTP, name="another"),
        )
        for number, changed in enumerate(others):
            await at.served.gateway.reload(changed)
            at.cable.far.write(b"%d" % number)
            row = await answer.row()
            assert (row["kind"], bytes.fromhex(row["hex"])) == ("rx", b"%d" % number)
            await asyncio.sleep(1)
        assert at.cable.opened == 1
        tap = at.served.gateway._ports["cable"].line.tap()
        assert [watcher.lost for watcher in tap.watchers] == [0]


async def test_c24_one_port_that_forbids_it_is_no_matter_to_others() -> None:
    one, two = Cable("one"), Cable("two")
    forbids = replace(plan("one", raw()), monitor=False)
    http = HttpSettings((("127.0.0.1", 0),))
    async with serving(
        forbids, plan("two", raw()), cables=[one, two], http=http, capture=CaptureSettings(keep=65536)
    ) as served:
        port = http_port(served)
        async with asking(port, "/api/v1/captures") as listed:
            (found,) = await listed.rows()
        assert [(each["port"], each["monitor"]) for each in found] == [("one", False), ("two", True)]
        for what in ("monitor", "capture.pcapng", "capture.pcapng?live=1", "monitor?live=0", "capture.pcapng?frozen=1"):
            async with asking(port, f"/api/v1/ports/one/{what}") as answer:
                assert answer.status == 403
        assert not served.gateway._ports["one"].line.tap().on  # the flight recorder has nothing of it either
        assert served.gateway._ports["two"].line.tap().on
