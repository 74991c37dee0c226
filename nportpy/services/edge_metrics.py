"""Prometheus metrics of the second storey, and its readings; see metrics.py."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from nportpy.status import DURATIONS, ArchiveStatus, EdgeStatus, StationStatus, UpstreamStatus


def edge(status: EdgeStatus | None) -> Iterator[Metric]:
    """All families; none where nothing is read, kept or sent."""
    if status is None:
        return
    yield from _stations(status.stations)
    if status.archive is not None:
        yield from _archive(status.archive)
    else:
        yield _writable(False)
    yield from _upstreams(status.upstreams)


def readings(status: EdgeStatus | None) -> Iterator[Metric]:
    """The newest number of each tag; a bad value has no series."""
    family = GaugeMetricFamily(
        "nportpy_reading", "Newest value of a tag, in its own unit.", labels=["station", "tag", "unit"]
    )
    for station in status.stations if status is not None else ():
        for tag in station.tags:
            if isinstance(tag.value, int | float) and tag.quality != "bad":
                family.add_metric([station.name, tag.name, tag.unit], float(tag.value))
    yield family


def _stations(stations: tuple[StationStatus, ...]) -> Iterator[Metric]:
    up = GaugeMetricFamily("nportpy_station_up", "Whether a station answered last.", labels=["station"])
    polls = CounterMetricFamily("nportpy_polls", "Rounds by result.", labels=["station", "result"])
    seconds = SummaryMetricFamily("nportpy_poll_seconds", "What rounds took.", labels=["station"])
    overruns = CounterMetricFamily(
        "nportpy_poll_overruns", "Rounds skipped as the one before took too long.", labels=["station"]
    )
    lag = GaugeMetricFamily("nportpy_poll_lag_seconds", "By what the last round began late.", labels=["station"])
    samples = CounterMetricFamily("nportpy_station_samples", "Samples given to the archive.", labels=["station"])
    unchanged = CounterMetricFamily(
        "nportpy_station_unchanged_readings", "Readings that were not worth a sample.", labels=["station"]
    )
    for each in stations:
        name = [each.name]
        up.add_metric(name, each.up is True)
        for result, count in each.polls.items():
            polls.add_metric([each.name, result], count)
        seconds.add_metric(name, count_value=sum(each.polls.values()), sum_value=each.poll_seconds)
        overruns.add_metric(name, each.overruns)
        lag.add_metric(name, each.lag)
        samples.add_metric(name, each.samples)
        unchanged.add_metric(name, each.unchanged)
    yield from (up, polls, seconds, overruns, lag, samples, unchanged)


def _archive(archive: ArchiveStatus) -> Iterator[Metric]:
    yield GaugeMetricFamily("nportpy_archive_samples", "Samples in the archive.", archive.samples)
    yield GaugeMetricFamily("nportpy_archive_bytes", "What the archive's files take.", archive.bytes)
    if archive.oldest_at is not None:
        yield GaugeMetricFamily(
            "nportpy_archive_oldest_timestamp_seconds", "When the oldest sample was taken.", archive.oldest_at
        )
    yield CounterMetricFamily("nportpy_archive_evicted", "Samples that had to go.", archive.evicted)
    yield CounterMetricFamily("nportpy_archive_dropped", "Readings that never came in.", archive.dropped)
    yield GaugeMetricFamily("nportpy_archive_queued", "Readings that wait for the disk.", archive.queued)
    yield CounterMetricFamily("nportpy_archive_failures", "Commits that failed.", archive.failures)
    yield CounterMetricFamily("nportpy_archive_recovered", "Damaged files set aside.", archive.recovered)
    yield _writable(not archive.error)
    yield GaugeMetricFamily("nportpy_clock_trusted", "Whether the wall clock is trusted.", archive.trusted)
    commits = HistogramMetricFamily("nportpy_archive_commit_seconds", "What commits took.")
    bounds = [*map(str, DURATIONS), "+Inf"]
    commits.add_metric(
        [], list(zip(bounds, accumulate(archive.durations), strict=True)), sum_value=archive.commit_seconds
    )
    yield commits


def _writable(is_so: bool) -> Metric:
    return GaugeMetricFamily("nportpy_archive_writable", "Whether the archive takes samples.", is_so)


def _upstreams(upstreams: tuple[UpstreamStatus, ...]) -> Iterator[Metric]:
    up = GaugeMetricFamily("nportpy_upstream_up", "Whether an upstream is connected.", labels=["upstream"])
    backlog = GaugeMetricFamily(
        "nportpy_upstream_backlog_samples", "Samples that it has not acknowledged.", labels=["upstream"]
    )
    oldest = GaugeMetricFamily(
        "nportpy_upstream_backlog_oldest_timestamp_seconds",
        "When the oldest sample was taken that it has not acknowledged; none waits: no series.",
        labels=["upstream"],
    )
    sent = CounterMetricFamily("nportpy_upstream_sent", "Samples that were acknowledged.", labels=["upstream", "late"])
    acked = GaugeMetricFamily(
        "nportpy_upstream_acked_sequence", "Number up to which everything has arrived.", labels=["upstream"]
    )
    refused = CounterMetricFamily("nportpy_upstream_refused", "Samples it will never take.", labels=["upstream"])
    lost = CounterMetricFamily("nportpy_upstream_lost", "Samples evicted before they were sent.", labels=["upstream"])
    connects = CounterMetricFamily("nportpy_upstream_connects", "Connections that came about.", labels=["upstream"])
    for each in upstreams:
        name = [each.name]
        up.add_metric(name, each.up)
        backlog.add_metric(name, each.backlog)
        if each.oldest_at is not None:
            oldest.add_metric(name, each.oldest_at)
        sent.add_metric([each.name, "false"], each.sent_live)
        sent.add_metric([each.name, "true"], each.sent_late)
        acked.add_metric(name, each.acknowledged)
        refused.add_metric(name, each.refused)
        lost.add_metric(name, each.lost)
        connects.add_metric(name, each.connects)
    yield from (up, backlog, oldest, sent, acked, refused, lost, connects)
