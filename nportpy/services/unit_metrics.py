"""Metrics of Modbus units: there may be hundreds of them on each bus, so their samples are made while they are written.

A bus says how many units there are, however many clients try (nportpy/modbus/): 255 at most, and only those that have
answered, or are asked.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Sample

from nportpy.status import DURATIONS, BusStatus, UnitStatus

BOUNDS: Final = (*map(str, DURATIONS), "+Inf")
"""Of the histograms, as labels."""

_COUNTERS: tuple[tuple[str, str, Callable[[UnitStatus], float]], ...] = (
    ("busy_seconds", "Time in which requests for the unit had the bus.", lambda unit: unit.busy),
    (
        "wire_seconds",
        "Time that requests and answers of a timed answer took on the wire.",
        lambda unit: unit.wire_seconds,
    ),
    ("retries", "Requests sent to the unit again.", lambda unit: unit.retries),
    ("spoilt_answers", "Answers of the unit with a wrong check sum, or cut off.", lambda unit: unit.spoilt),
    ("late_answers", "Answers of the unit that came when nobody waited for them any more.", lambda unit: unit.late),
)


def units(buses: tuple[BusStatus, ...]) -> Iterator[Metric]:
    """All families of units."""

    def samples(name: str, value: Callable[[UnitStatus], float], **labels: str) -> Iterator[Sample]:
        for bus in buses:
            for unit in bus.units:
                yield Sample(name, {"port": bus.name, "unit": str(unit.unit), **labels}, value(unit))

    def transactions(name: str) -> Iterator[Sample]:
        yield from samples(name, lambda unit: unit.answered, result="answered")
        yield from samples(name, lambda unit: unit.unanswered, result="unanswered")

    name = "nportpy_modbus_unit_silent"
    text = "Whether the unit does not answer, and is tried by one request at a time."
    yield long(GaugeMetricFamily(name, text), samples(name, lambda unit: unit.silent))
    name = "nportpy_modbus_unit_timeout_seconds"
    text = "Time that the unit gets for an answer now."
    yield long(GaugeMetricFamily(name, text), samples(name, lambda unit: unit.timeout))
    name = "nportpy_modbus_unit_transactions"
    text = "Requests sent to the unit, by whether it answered."
    yield long(CounterMetricFamily(name, text), transactions(f"{name}_total"))
    for suffix, text, value in _COUNTERS:
        name = f"nportpy_modbus_unit_{suffix}"
        yield long(CounterMetricFamily(name, text), samples(f"{name}_total", value))
    name = "nportpy_modbus_unit_answer_seconds"
    text = "Time from a request's being sent to the end of the unit's answer; not of those that were sent again."
    yield long(HistogramMetricFamily(name, text), _answer_times(name, buses))


def _answer_times(name: str, buses: tuple[BusStatus, ...]) -> Iterator[Sample]:
    for bus in buses:
        for unit in bus.units:
            if not unit.answered:
                continue
            labels = {"port": bus.name, "unit": str(unit.unit)}
            counts = tuple(accumulate(unit.answer_times))
            for bound, count in zip(BOUNDS, counts, strict=True):
                yield Sample(f"{name}_bucket", {**labels, "le": bound}, count)
            yield Sample(f"{name}_count", labels, counts[-1])
            yield Sample(f"{name}_sum", labels, unit.answer_seconds)


def long(family: Metric, samples: Iterator[Sample]) -> Metric:
    """A family that may be long: its samples are made while it is written, a portion at a time."""
    family.samples = samples  # type: ignore[assignment]  # a list there; who writes it reads it once
    return family
