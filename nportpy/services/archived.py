"""What the HTTP service shows of the second storey: newest readings, stations, the archive and its samples.

    /readings                   Prometheus format: one gauge a tag that has a value now
    /api/v1/stations            stations and the newest that is known of their tags
    /api/v1/archive             the archive and the upstreams
    /api/v1/archive/samples     ?from=..&to=..&tag=station/tag&format=csv|ndjson: what is kept, streamed
    /api/v1/archive/chart       ?tag=station/tag&from=..&to=..&points=..: least and greatest values over time
    /api/v1/archive/send        POST ?upstream=..&from=..&to=..: send an interval again; from this machine only

Times are ISO 8601 with an offset from UTC, or seconds since the epoch.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isnan
from typing import Final, Protocol

COLUMNS: Final = ("time", "station", "tag", "value", "unit", "quality", "late", "seq", "boot")
"""The columns of samples as CSV, and the keys as JSON."""

_ALL_TIME: Final = 1 << 62  # microseconds; SQLite's integers end soon after


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample as it is shown.

    Attributes:
        time: ISO 8601 in UTC, with microseconds.
        late: it was sent later than it could have been, or its device had kept it.
    """

    time: str
    station: str
    tag: str
    value: int | float | str | bool | None
    unit: str
    quality: str
    late: bool
    seq: int
    boot: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A tag over time, as few points as a picture has.

    Attributes:
        tag: `station/tag`.
        unit: of its values.
        times: of the points, in seconds since the epoch.
        low, high: least and greatest value there; null: from here on nothing is known until the next point.
        how: 0 sent as it came; 1 late: sent later than it could have been, or kept by its device; 2 not sent yet.
        uncertain: 1 where a sample is uncertain.
        samples: how many samples these are.
    """

    tag: str
    unit: str
    times: list[float]
    low: list[float | None]
    high: list[float | None]
    how: list[int]
    uncertain: list[int]
    samples: int


class Archived(Protocol):
    """The archive, as far as it is shown."""

    def samples(self, start: int, end: int, tag: str = "") -> AsyncIterator[list[ShownSample]]:
        """Those with `start` <= time < `end` (microseconds UTC), of one `station/tag` or one `station`, or of all.

        Raises:
            LookupError: nothing of that name was ever kept.
            ArchiveError: the archive cannot be had, or cannot be read.
        """

    async def chart(self, tags: Sequence[str], start: int, end: int, points: int) -> list[Curve]:
        """Some `station/tag` over an interval (microseconds UTC), in about so many points each.

        Raises:
            LookupError: nothing of such a name was ever kept.
            ArchiveError: the archive cannot be had, or cannot be read.
        """

    def send(self, upstream: str, start: int, end: int) -> list[str]:
        """Send an interval again, late; the names of the upstreams that will. Empty `upstream`: to all of them.

        Raises:
            LookupError: there is no such upstream.
            ArchiveError: the archive cannot be had, so nothing is sent.
        """


def interval(start: str | None, end: str | None) -> tuple[int, int]:
    """From and to in microseconds UTC; what is not given is without end.

    Raises:
        ValueError: they are no times, or the interval ends before it begins.
    """
    first = _time(start) if start else -_ALL_TIME
    last = _time(end) if end else _ALL_TIME
    if first >= last:
        raise ValueError("the interval ends before it begins")
    return first, last


def _time(text: str) -> int:
    try:
        if not isnan(seconds := float(text)):
            return round(max(-_ALL_TIME, min(seconds * 1e6, _ALL_TIME)))
    except ValueError:
        pass
    try:  # a `+` that nobody escaped has become a space on its way in a URL
        found = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time: 2026-11-29T12:00:00Z, or seconds since the epoch") from None
    if found.tzinfo is None:
        raise ValueError(f"{text[:40]!r} says nothing of its offset from UTC: {text[:40]}Z, or {text[:40]}+01:00")
    return round(found.timestamp() * 1e6)


def utc(microseconds: int) -> str:
    """A time as it is shown."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def csv_head() -> str:
    """The first line of CSV."""
    return ",".join(COLUMNS) + "\n"


def csv_lines(samples: list[ShownSample]) -> str:
    """Samples as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for sample in samples:
        fields = asdict(sample)
        writer.writerow(
            ["" if fields[key] is None else str(fields[key]).lower() if isinstance(fields[key], bool) else fields[key]
             for key in COLUMNS]
        )  # fmt: skip
    return text.getvalue()


def json_lines(samples: list[ShownSample]) -> str:
    """Samples as JSON, an object a line."""
    return "".join(json.dumps(asdict(sample), separators=(",", ":")) + "\n" for sample in samples)
