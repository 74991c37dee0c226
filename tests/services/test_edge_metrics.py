"""The metrics of the second storey, by the names that alerts and dashboards know."""

from dataclasses import replace
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from nportpy.services import edge_metrics, exposition
from nportpy.status import EdgeStatus
from tests.services import samples

EDGE = samples.with_edge().edge
assert EDGE is not None

EXPECTED = """\
nportpy_station_up{station="emon"} 1
nportpy_station_up{station="dead"} 0
nportpy_polls_total{station="emon",result="good"} 8
nportpy_polls_total{station="emon",result="partial"} 1
nportpy_polls_total{station="emon",result="failed"} 2
nportpy_poll_seconds_count{station="emon"} 11
nportpy_poll_seconds_sum{station="emon"} 1.5
nportpy_poll_overruns_total{station="emon"} 3
nportpy_poll_lag_seconds{station="emon"} 0.01
nportpy_station_samples_total{station="emon"} 80
nportpy_station_unchanged_readings_total{station="emon"} 20
nportpy_archive_samples 90
nportpy_archive_bytes 40960
nportpy_archive_oldest_timestamp_seconds 1767225600.0
nportpy_archive_evicted_total 10
nportpy_archive_dropped_total 1
nportpy_archive_queued 4
nportpy_archive_failures_total 2
nportpy_archive_recovered_total 1
nportpy_archive_writable 1
nportpy_clock_trusted 1
nportpy_archive_commit_seconds_count 13
nportpy_archive_commit_seconds_sum 0.5
nportpy_upstream_up{upstream="plant"} 1
nportpy_upstream_backlog_samples{upstream="plant"} 30
nportpy_upstream_sent_total{upstream="plant",late="false"} 50
nportpy_upstream_sent_total{upstream="plant",late="true"} 10
nportpy_upstream_acked_sequence{upstream="plant"} 70
nportpy_upstream_refused_total{upstream="plant"} 1
nportpy_upstream_lost_total{upstream="plant"} 2
nportpy_upstream_connects_total{upstream="plant"} 3"""


def written(status: EdgeStatus | None) -> str:
    return "".join(exposition.written(edge_metrics.edge(status), exposition.TEXT))


def test_e14_every_metric_of_the_contract() -> None:
    lines = written(EDGE).splitlines()
    missing = [line for line in EXPECTED.split("\n") if line not in lines]
    assert missing == []


def test_the_histogram_of_commits_adds_up() -> None:
    families = {each.name: each for each in text_string_to_metric_families(written(EDGE))}
    buckets = [
        each.value for each in families["nportpy_archive_commit_seconds"].samples if each.name.endswith("bucket")
    ]
    assert all(before <= later for before, later in pairwise(buckets))
    assert buckets[-1] == 13


def test_without_a_second_storey_there_is_none_of_it() -> None:
    assert written(None) == ""
    assert "nportpy_reading{" not in "".join(exposition.written(edge_metrics.readings(None), exposition.TEXT))


def test_an_archive_that_cannot_be_had_takes_no_samples() -> None:
    assert EDGE is not None
    text = written(replace(EDGE, archive=None, stations=(), upstreams=(), error="no room"))
    assert "\nnportpy_archive_writable 0\n" in text
    assert "nportpy_archive_samples" not in text


def test_an_archive_that_fails_to_write_takes_no_samples() -> None:
    assert EDGE is not None
    assert EDGE.archive is not None
    text = written(replace(EDGE, archive=replace(EDGE.archive, error="disk full", oldest_at=None)))
    assert "\nnportpy_archive_writable 0\n" in text
    assert "nportpy_archive_oldest_timestamp" not in text


def test_names_with_every_character_are_escaped() -> None:
    assert EDGE is not None
    odd = replace(EDGE.stations[0], tags=(replace(EDGE.stations[0].tags[0], unit='a"\\\n'),))
    text = "".join(exposition.written(edge_metrics.readings(replace(EDGE, stations=(odd,))), exposition.TEXT))
    [family] = text_string_to_metric_families(text)
    assert family.samples[0].labels["unit"] == 'a"\\\n'
