"""mDNS: what is announced of which service, and a browser that finds it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from nportpy.network.addresses import Endpoint
from nportpy.services import mdns
from nportpy.services.mdns import Announcement, Mdns, Offer, announcements
from nportpy.services.mdns_base import MdnsSettings
from tests.support.serving import until

HERE = ("192.0.2.7", "2001:db8::7")
ALL = MdnsSettings()


def offer(kind: str, *listen: Endpoint, label: str = "", port: str = "meters", **facts: str) -> Offer:
    return Offer(kind, port, label or kind, listen, facts)


def announced(*offers: Offer, settings: MdnsSettings = ALL) -> list[Announcement]:
    return list(announcements("pi-07", offers, settings, HERE))


def test_what_is_said_of_each_kind() -> None:
    kinds = ("raw", "rfc2217", "realcom", "modbus", "http", "udp", "modem")
    said = announced(*(offer(kind, Endpoint("::", 4001)) for kind in kinds))
    assert [(each.type.partition(".")[0], dict(each.facts).get("gensiostack")) for each in said] == [
        ("_iostream", "tcp"),
        ("_iostream", "telnet(rfc2217),tcp"),
        ("_realcom", None),
        ("_mbap", None),
        ("_http", None),
    ]
    assert said[0] == Announcement(
        "_iostream._tcp.local.",
        "pi-07 meters raw",
        4001,
        HERE,
        (("provider", "nportpy"), ("port", "meters"), ("gensiostack", "tcp")),
    )


def test_s9_what_is_said_of_each_kind_by_tls() -> None:
    offers = [Offer(kind, "", kind, (Endpoint("::", 1),), tls=True) for kind in ("raw", "rfc2217", "modbus")]
    said = announced(*offers, Offer("http", "", "", (Endpoint("::", 1),), {"fingerprint": "AB:CD"}, tls=True))
    assert [(each.type.partition(".")[0], dict(each.facts).get("gensiostack")) for each in said] == [
        ("_iostream", "ssl,tcp"),
        ("_iostream", "telnet(rfc2217),ssl,tcp"),
        ("_mbap-s", None),
        ("_https", None),
    ]
    assert dict(said[-1].facts)["fingerprint"] == "AB:CD"


@pytest.mark.parametrize("kind", ["raw", "rfc2217", "realcom", "modbus", "http"])
def test_each_kind_can_be_left_out(kind: str) -> None:
    settings = MdnsSettings(raw=kind != "raw", rfc2217=kind != "rfc2217", realcom=kind != "realcom",
                            modbus=kind != "modbus", http=kind != "http")  # fmt: skip
    offers = [offer(each, Endpoint("::", 1)) for each in ("raw", "rfc2217", "realcom", "modbus", "http")]
    assert len(announced(*offers, settings=settings)) == 4


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        (["::"], HERE),
        (["0.0.0.0"], HERE[:1]),
        (["192.0.2.9"], ("192.0.2.9",)),
        (["192.0.2.9", "fd00::1"], ("192.0.2.9", "fd00::1")),
        (["127.0.0.1"], None),
        (["::1", "127.0.0.2"], None),
        (["::1", "192.0.2.9"], ("192.0.2.9",)),
    ],
)
def test_only_what_others_can_reach(hosts: list[str], addresses: tuple[str, ...] | None) -> None:
    said = announced(offer("raw", *(Endpoint(host, 4001) for host in hosts)))
    assert [each.addresses for each in said] == ([] if addresses is None else [addresses])


def test_names_are_labels_and_differ() -> None:
    said = announced(
        offer("raw", Endpoint("::", 4001), Endpoint("::", 4002)),
        offer("raw", Endpoint("::", 4003), label="raw-2", port="a.b" + "é" * 60),
    )
    assert [each.name for each in said[:2]] == ["pi-07 meters raw 4001", "pi-07 meters raw 4002"]
    assert "." not in said[2].name
    assert 60 <= len(said[2].name.encode()) <= 63


class Browser:
    """What a machine on the network sees."""

    def __init__(self, zeroconf: AsyncZeroconf) -> None:
        self.zeroconf = zeroconf
        self.names: set[str] = set()

    def changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        (self.names.discard if state_change is ServiceStateChange.Removed else self.names.add)(name)

    async def look(self, name: str, kind: str) -> AsyncServiceInfo:
        info = AsyncServiceInfo(kind, name)
        async with asyncio.timeout(10):
            while not await info.async_request(self.zeroconf.zeroconf, 1000):
                pass
        return info


@asynccontextmanager
async def browsing(*kinds: str) -> AsyncIterator[Browser]:
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    browser = Browser(zeroconf)
    watching = AsyncServiceBrowser(zeroconf.zeroconf, list(kinds), handlers=[browser.changed])
    try:
        yield browser
    finally:
        await watching.async_cancel()
        await zeroconf.async_close()


@asynccontextmanager
async def announcing(service: Mdns) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(service.run())
        try:
            yield
        finally:
            task.cancel()
            async with asyncio.timeout(20):
                await asyncio.wait([task])


@pytest.mark.real
async def test_a_browser_finds_what_is_there_and_misses_what_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "LOOK_AGAIN", 0.1)
    settings = MdnsSettings(interfaces=("127.0.0.1",))
    offers = [offer("raw", Endpoint("::", 4001))]
    kind, name = "_iostream._tcp.local.", "pi-07 meters raw._iostream._tcp.local."
    async with browsing(kind, "_mbap._tcp.local.") as browser:
        async with announcing(Mdns("pi-07", settings, lambda: offers)):
            await until(lambda: name in browser.names, 20)
            info = await browser.look(name, kind)
            assert (info.port, info.parsed_addresses()) == (4001, ["127.0.0.1"])
            assert info.decoded_properties == {"provider": "nportpy", "port": "meters", "gensiostack": "tcp"}
            offers[:] = [offer("modbus", Endpoint("::", 502))]
            await until(lambda: browser.names == {"pi-07 meters modbus._mbap._tcp.local."}, 20)
        await until(lambda: not browser.names, 20)


async def test_without_zeroconf_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf.asyncio", None)
    await Mdns("pi-07", ALL, list).run()
    assert "pip install 'nportpy[mdns]'" in caplog.text


@pytest.mark.real
async def test_a_network_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mdns, "LOOK_AGAIN", 0.01)
    tried = 0

    def fail(**_interfaces: object) -> None:
        nonlocal tried
        tried += 1
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("zeroconf.asyncio.AsyncZeroconf", fail)
    async with announcing(Mdns("pi-07", MdnsSettings(), list)):
        await until(lambda: tried >= 3)
    assert caplog.text.count("cannot announce services") == 1


@pytest.mark.real
@pytest.mark.parametrize("after", [0.0, 0.001, 0.01, 0.1, 0.5])
async def test_it_ends_whenever_it_is_told_to(after: float) -> None:
    offers = [offer("raw", Endpoint("::", 4001))]
    async with announcing(Mdns("pi-07", MdnsSettings(interfaces=("127.0.0.1",)), lambda: offers)):
        await asyncio.sleep(after)
