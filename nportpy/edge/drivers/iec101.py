"""IEC 60870-5-101 outstations as stations: the line is taken for each round, and events enter with their own time.

A round asks for what has changed, and the present is what was said last (iec101_points.py). A tag's `at` is the
address of an object, `100` or `1/100`; its type is that which the outstation sends.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from nportpy.edge.clock import Clock
from nportpy.edge.driver import RawReading, StationSilent
from nportpy.edge.drivers.iec101_points import Hearing, Point
from nportpy.edge.settings import StationSettings, TagSettings
from nportpy.errors import LineError
from nportpy.line.lease import Leased
from nportpy.meters.iec101.client import Iec101Client, Restarted
from nportpy.meters.iec101.settings import Iec101Settings
from nportpy.protocols.iec101.addresses import ObjectAddress

_SPARE: Final = 10.0
"""Seconds that a lease is longer than a round should take: slow lines, and others that are given way."""


class Iec101Driver:
    """Reads an outstation: see `Driver`.

    Attributes:
        client: asks it; with counts.
    """

    def __init__(
        self,
        station: StationSettings,
        settings: Iec101Settings,
        lend: Callable[[float], AbstractAsyncContextManager[Leased]],
        clock: Clock,
    ) -> None:
        """Nothing is known yet.

        Args:
            station: its tags.
            settings: how it is reached.
            lend: takes the line for no more than so many seconds.
            clock: stamps what comes.
        """
        self._points: dict[tuple[int, int], list[Point]] = {}
        self._by_tag: dict[str, tuple[Point, tuple[int, int]]] = {}
        for tag in station.tags:
            place = ObjectAddress.parse(tag.at)
            key = place.common_address or settings.common_address, place.address
            point = Point(tag)
            self._points.setdefault(key, []).append(point)
            self._by_tag[tag.name] = point, key
        addresses = tuple(dict.fromkeys(common for common, _ in self._points))
        self.client = Iec101Client(station.name, settings, clock.wall, addresses)
        self._settings = settings
        self._lend = lend
        self._clock = clock

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        """See `Driver`. Beside `tags` come events of the others."""
        settings, failed = self._settings, ""
        exchange = (1 + settings.retries) * (settings.timeout + settings.gap)
        try:
            async with self._lend(settings.hold + 2 * exchange + _SPARE) as leased:
                await self.client.poll(leased)
        except LineError as error:
            failed = str(error)
        readings = self._heard()
        if failed:
            if not readings:
                raise StationSilent(failed)
            return readings  # what it said before counts; the next round tells that it is silent
        if self.client.settled:
            for point, _ in self._by_tag.values():
                point.settled()
        now, monotonic = self._clock.wall(), self._clock.now()
        known = now if self.client.since is None else self.client.since
        for tag in tags:
            point, key = self._by_tag[tag.name]
            readings.append(point.present(self._missing(*key), known, now, monotonic))
        return readings

    async def close(self) -> None:
        """See `Driver`: between two rounds it holds nothing."""

    def _heard(self) -> list[RawReading]:
        """Let the points see what came; readings of what has a time of its own."""
        readings: list[RawReading] = []
        wall, monotonic = self._clock.wall(), self._clock.now()
        hearing = Hearing(self.client.zone, self._settings.interrogate, self._clock.state().trusted)
        for heard in self.client.take():
            if isinstance(heard, Restarted):
                for point, _ in self._by_tag.values():
                    point.restarted()
                continue
            for address, said in hearing.said(heard):
                points = self._points.get((heard.asdu.common_address, address), ())
                found = [point.hear(said, monotonic - (wall - said.arrived)) for point in points]
                readings += [reading for reading in found if reading is not None]
        return readings

    def _missing(self, common_address: int, address: int) -> str:
        said = f"the outstation has not sent object {address} of common address {common_address}"
        return f"{said}: {self.client.hint}" if self.client.hint else said
