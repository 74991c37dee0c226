"""Metrics of what is written to files of the lines; nothing where nothing is."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from nportpy.status import RecordingStatus


def recordings(found: tuple[RecordingStatus, ...]) -> Iterator[Metric]:
    """Whether lines are recorded, and what was lost of them."""
    if not found:
        return
    writes = GaugeMetricFamily(
        "nportpy_recording_writes", "Whether what is on the line is written to files now.", labels=("port",)
    )
    lost = CounterMetricFamily(
        "nportpy_recording_lost_records", "Records of the line that are in no file.", labels=("port",)
    )
    for each in found:
        writes.add_metric((each.port,), not each.error)
        lost.add_metric((each.port,), each.lost)
    yield from (writes, lost)
