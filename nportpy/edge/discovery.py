"""Makes the stations devices in Home Assistant, and tells it their present values; what goes late is not told there."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from nportpy import __version__
from nportpy.edge.announcing import Announcer
from nportpy.edge.archive import Archive
from nportpy.edge.homeassistant import device_topic, encode_device, encode_values, values_topic
from nportpy.edge.links.base import Message
from nportpy.edge.sample import Quality, Sample, Value
from nportpy.edge.session import Session
from nportpy.edge.settings import StationSettings, UpstreamSettings

_SOONEST: Final = 1.0  # seconds between two messages of a station's values


class Discovery:
    """Of one upstream, if it is switched on there."""

    def __init__(
        self,
        settings: UpstreamSettings,
        archive: Archive,
        configured: Callable[[], tuple[StationSettings, ...]],
        announcer: Announcer,
    ) -> None:
        """Nothing was announced; `configured`: the stations that are read."""
        self._settings = settings
        self._archive = archive
        self._configured = configured
        self._announcer = announcer
        self._values: dict[str, dict[str, Value]] = {}
        self._fresh: set[str] = set()  # stations with values that were not told
        self._news = asyncio.Event()

    def note(self, samples: Iterable[Sample]) -> None:
        """These are the present values."""
        for sample in samples:
            values = self._values.setdefault(sample.tag.station, {})
            values[sample.tag.name] = None if sample.quality is Quality.BAD else sample.value
            self._fresh.add(sample.tag.station)
        self._news.set()

    def changed(self) -> None:
        """There may be other stations now."""
        self._news.set()

    async def run(self, session: Session) -> None:
        """Tell it all over a connection."""
        told: dict[str, bytes] = {}
        self._fresh.update(self._values)
        while True:
            self._news.clear()
            stations = {each.name: each for each in self._configured()}
            await self._announce(session, stations, told)
            fresh, self._fresh = self._fresh, set()
            for name in fresh:
                if (station := stations.get(name)) is not None:
                    payload = encode_values(station, self._values[name])
                    await self._announcer.tell(session, Message(values_topic(name), payload, retain=True))
                else:
                    self._values.pop(name, None)
            await asyncio.sleep(_SOONEST)
            await self._news.wait()

    async def _announce(self, session: Session, stations: dict[str, StationSettings], told: dict[str, bytes]) -> None:
        """Say of each station what was not said on this connection; those that the archive remembers are removed."""
        site, node = self._settings.site, self._settings.node
        known = {tag.station for tag in self._archive.tags} | told.keys()
        for name in sorted(known | stations.keys()):
            station = stations.get(name)
            payload = b"" if station is None else encode_device(site, node, station, __version__)
            if told.get(name) == payload:
                continue
            topic = device_topic(self._settings.homeassistant, site, node, name)
            await self._announcer.tell(session, Message(topic, payload, retain=True, whole=True))
            if station is None:
                await self._announcer.tell(session, Message(values_topic(name), b"", retain=True))
            told[name] = payload
