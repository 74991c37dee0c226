"""Announcement of services by multicast DNS (RFC 6762, RFC 6763), so that they are found by name; off by default.

zeroconf does it, which is imported only here and only when it is switched on. Raw and RFC 2217 ports are announced as
ser2net announces its own, `_iostream._tcp` with the layers in `gensiostack`, so that who finds those finds ours.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from nportpy.network.addresses import Endpoint
from nportpy.services.mdns_base import MdnsSettings

if TYPE_CHECKING:  # not everybody has it
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

LOOK_AGAIN: Final = 15.0
"""Seconds until what is announced is compared with what is there: services and addresses come and go."""

_CLOSING: Final = 3.0  # seconds that taking everything back may take; it takes half a second
_LONGEST_NAME: Final = 63  # bytes of a label, RFC 1035, 2.3.4
_IOSTREAM: Final = "_iostream._tcp.local."
_TYPES: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "raw": (_IOSTREAM, {"gensiostack": "tcp"}),
    "rfc2217": (_IOSTREAM, {"gensiostack": "telnet(rfc2217),tcp"}),
    "realcom": ("_realcom._tcp.local.", {}),
    "modbus": ("_mbap._tcp.local.", {}),  # the name that IANA has for Modbus TCP
    "http": ("_http._tcp.local.", {}),
}
_BY_TLS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "raw": (_IOSTREAM, {"gensiostack": "ssl,tcp"}),
    "rfc2217": (_IOSTREAM, {"gensiostack": "telnet(rfc2217),ssl,tcp"}),
    "modbus": ("_mbap-s._tcp.local.", {}),  # likewise, for MODBUS/TCP Security
    "http": ("_https._tcp.local.", {}),
}
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - to compare with

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that could be announced.

    Attributes:
        kind: raw, rfc2217, realcom, modbus (Modbus TCP only) or http; others are not announced.
        port: the name of the port or router, empty for http.
        label: the service's name there: raw, raw-2.
        listen: where clients connect.
        facts: what else to say of it.
        tls: it speaks TLS.
    """

    kind: str
    port: str
    label: str
    listen: tuple[Endpoint, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is said of a service.

    Attributes:
        type: of the service, with its domain.
        name: of this one.
        port: its TCP port.
        addresses: where it is.
        facts: what else is said.
    """

    type: str
    name: str
    port: int
    addresses: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def announcements(
    gateway: str, offers: Iterable[Offer], settings: MdnsSettings, here: Iterable[str]
) -> Iterator[Announcement]:
    """What to announce: of each service its ports, with those addresses that others can reach.

    Args:
        gateway: its name, which begins the name of each service.
        offers: the services that are there.
        settings: which of them are wanted.
        here: addresses of this machine.
    """
    here = tuple(here)
    for offer in offers:
        if not settings.wants(offer.kind):
            continue
        kind, facts = (_BY_TLS if offer.tls else _TYPES)[offer.kind]
        said = {"provider": "nportpy", "port": offer.port, **facts, **offer.facts}
        for number in dict.fromkeys(endpoint.port for endpoint in offer.listen):
            addresses = _reachable([endpoint.host for endpoint in offer.listen if endpoint.port == number], here)
            if addresses:
                name = " ".join(filter(None, (gateway, offer.port, offer.label)))
                if len({endpoint.port for endpoint in offer.listen}) > 1:
                    name += f" {number}"
                yield Announcement(
                    kind, _label(name), number, addresses, tuple(item for item in said.items() if item[1])
                )


def _reachable(hosts: list[str], here: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses that a service is reached by from elsewhere."""
    four, six = "0.0.0.0" in hosts or "::" in hosts, "::" in hosts  # noqa: S104 - to compare with
    everywhere = [address for address in here if (six if ":" in address else four)]
    named = [host for host in hosts if host not in _EVERYWHERE and not ip_address(host.partition("%")[0]).is_loopback]
    return tuple(dict.fromkeys((*everywhere, *named)))


def _label(text: str) -> str:
    """What may be a name: a dot would begin another label."""
    return text.replace(".", "-").encode()[:_LONGEST_NAME].decode(errors="ignore")


class Mdns:
    """Announces until it is cancelled."""

    def __init__(self, gateway: str, settings: MdnsSettings, offers: Callable[[], Iterable[Offer]]) -> None:
        """Nothing happens before `run`.

        Args:
            gateway: its name.
            settings: what is announced, and where.
            offers: the services that are there now.
        """
        self._gateway = gateway
        self._settings = settings
        self._offers = offers
        self._announced: dict[Announcement, AsyncServiceInfo] = {}
        self._failure = ""

    async def run(self) -> None:
        """Announce what is there, and take it back in the end. A network that fails is tried again."""
        try:
            # It takes a while to import: in a thread it shares that time with the lines.
            await asyncio.to_thread(import_module, "zeroconf.asyncio")
        except ImportError:
            log.error("no mDNS: it needs the package zeroconf, as in: pip install 'nportpy[mdns]'")
            return
        from zeroconf import Error

        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():  # zeroconf may swallow that while it closes
            try:
                await self._announce()
            except (OSError, Error) as error:
                self._tell_of(error)
            await asyncio.sleep(LOOK_AGAIN)

    def _tell_of(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if reason != self._failure:
            self._failure = reason
            log.warning("cannot announce services, trying on", extra={"reason": reason})

    async def _announce(self) -> None:
        """Announce for as long as the network does not fail."""
        from zeroconf import InterfaceChoice, IPVersion
        from zeroconf.asyncio import AsyncZeroconf

        interfaces = list(self._settings.interfaces)
        versions = {ip_address(address.partition("%")[0]).version for address in interfaces}
        zeroconf = AsyncZeroconf(
            interfaces=interfaces or InterfaceChoice.All,
            ip_version=IPVersion.V6Only if versions == {6} else IPVersion.All if 6 in versions else IPVersion.V4Only,
        )
        try:
            await _started(zeroconf)
            while True:
                await self._update(zeroconf)
                self._failure = ""
                await asyncio.sleep(LOOK_AGAIN)
        finally:
            self._announced.clear()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await zeroconf.async_close()  # which takes everything back

    async def _update(self, zeroconf: "AsyncZeroconf") -> None:
        """Announce what is new, and take back what is gone."""
        wanted = dict.fromkeys(announcements(self._gateway, self._offers(), self._settings, self._here()))
        for announcement in [each for each in self._announced if each not in wanted]:
            await (await zeroconf.async_unregister_service(self._announced.pop(announcement)))
        for announcement in wanted:
            if announcement not in self._announced:
                info = _info(announcement)
                # Somebody else may have the name already: then it gets a number.
                done = await zeroconf.async_register_service(info, allow_name_change=True)
                self._announced[announcement] = info
                await done
                log.info("announced", extra={"announcement": info.name, "port": announcement.port})

    def _here(self) -> list[str]:
        """Addresses of this machine that others can reach: those chosen, or all."""
        from ifaddr import get_adapters  # zeroconf needs it, too

        if self._settings.interfaces:
            return list(self._settings.interfaces)
        found = [ip.ip for adapter in get_adapters() for ip in adapter.ips]
        plain = [address if isinstance(address, str) else address[0] for address in found]
        return [
            address for address in plain if not (ip_address(address).is_loopback or ip_address(address).is_link_local)
        ]


async def _started(zeroconf: "AsyncZeroconf") -> None:
    """Wait for that: closed before, it leaves sockets behind. Its own way to wait does not stand being cancelled.

    Raises:
        TimeoutError: it does not start.
    """
    async with asyncio.timeout(_CLOSING):
        while not zeroconf.zeroconf.started:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


def _info(announcement: Announcement) -> "AsyncServiceInfo":
    from zeroconf.asyncio import AsyncServiceInfo

    return AsyncServiceInfo(
        announcement.type,
        f"{announcement.name}.{announcement.type}",
        port=announcement.port,
        properties=dict(announcement.facts),
        server=f"{socket.gethostname().partition('.')[0]}.local.",
        parsed_addresses=list(announcement.addresses),
    )
