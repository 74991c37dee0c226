"""A collector's numbers for Prometheus, on a small server of its own in a thread: prometheus_client's."""

import contextlib
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector as PrometheusCollector

from nportpy import __version__
from nportpy.edge.collect.collector import Collector
from nportpy.errors import ListenError


class _Numbers(PrometheusCollector):
    """Plain integers, read when somebody asks."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        counts = self._collector.counts
        yield InfoMetricFamily("nportpy_build", "Version.", {"version": __version__})
        yield CounterMetricFamily("nportpy_collect_messages", "Messages stored and acknowledged.", counts.messages)
        yield CounterMetricFamily("nportpy_collect_rows", "Samples stored.", counts.rows)
        yield CounterMetricFamily("nportpy_collect_duplicates", "Samples that were stored before.", counts.duplicates)
        yield CounterMetricFamily("nportpy_collect_bad_messages", "Messages that became dead letters.", counts.bad)
        yield CounterMetricFamily("nportpy_collect_watermarks", "Watermarks told to nodes.", counts.watermarks)
        yield CounterMetricFamily("nportpy_collect_store_failures", "Attempts the database failed.", counts.failures)
        yield GaugeMetricFamily("nportpy_collect_store_up", "Whether it can be written.", self._collector.store_up)
        yield GaugeMetricFamily("nportpy_collect_waiting_messages", "Waiting for a commit.", self._collector.waiting)
        yield GaugeMetricFamily(
            "nportpy_collect_lag_seconds", "From a live sample's reading to its last commit.", counts.lag
        )
        yield SummaryMetricFamily(
            "nportpy_collect_commit_seconds", "What commits took.", counts.commits, counts.commit_seconds
        )
        up = GaugeMetricFamily("nportpy_collect_source_up", "Whether it is connected.", labels=["source"])
        connects = CounterMetricFamily("nportpy_collect_source_connects", "Connections made.", labels=["source"])
        for name, state in self._collector.states.items():
            up.add_metric([name], state.up)
            connects.add_metric([name], state.connects)
        yield from (up, connects)


def registry(collector: Collector) -> CollectorRegistry:
    """What a scrape reads."""
    found = CollectorRegistry()
    found.register(_Numbers(collector))
    return found


@contextlib.contextmanager
def serving(collector: Collector, listen: tuple[tuple[str, int], ...]) -> Iterator[None]:
    """Answer at `listen` meanwhile.

    Raises:
        ListenError: an address cannot be had.
    """
    with contextlib.ExitStack() as stack:
        for host, port in listen:
            try:
                server, thread = start_http_server(port, host, registry(collector))
            except OSError as error:
                raise ListenError(f"{host}:{port}", error.strerror or str(error), error.errno or 0) from error
            stack.callback(thread.join, 5.0)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        yield
