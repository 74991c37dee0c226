"""Samples as InfluxDB line protocol, which VictoriaMetrics, QuestDB and Telegraf take too. Pure.

    reading,node=pi,station=mains,tag=energy,unit=kWh value=12.5,quality=192i,late=false 1700000000000000000

Source: docs.influxdata.com, "InfluxDB line protocol", of 1.8 and 2. A field has one type in all of a measurement, so
every number is a float in `value`, booleans as 0 and 1; integers that a float cannot hold are in `integer` (64 bits,
otherwise as text) as well; text is in `text`. A bad reading has no value, only its quality. The same sample sent twice
is the same point. Timestamps are nanoseconds, the default of every precision parameter.
"""

import re
from collections.abc import Iterable
from math import isfinite

from nportpy.edge.sample import Quality, Sample, Tag

_EXACT = 1 << 53  # from here on a double has gaps
_INT64 = 1 << 63
_FORBIDDEN = re.compile(
    r"[\x00-\x1f\x7f\\]"
)  # no escape is understood by all, and a backslash at the end eats the comma
_SPECIAL = re.compile(r"([,= ])")


def encode_lines(samples: Iterable[Sample], node: str, late: bool) -> bytes:
    """One line per sample, each with its newline."""
    heads: dict[Tag, str] = {}
    lines = []
    for sample in samples:
        head = heads.get(sample.tag)
        if head is None:
            head = heads[sample.tag] = _head(node, sample.tag)
        lines.append(f"{head} {_fields(sample)},late={'true' if late else 'false'} {sample.at}000\n")
    return "".join(lines).encode()


def _head(node: str, tag: Tag) -> str:
    labels = {"node": node, "station": tag.station, "tag": tag.name, "unit": tag.unit, "class": tag.device_class}
    return "reading" + "".join(f",{name}={_label(value)}" for name, value in labels.items() if value)


def _label(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", _FORBIDDEN.sub("_", text))


def _fields(sample: Sample) -> str:
    value, quality = sample.value, sample.quality
    if isinstance(value, float) and not isfinite(value):
        value, quality = None, Quality.BAD
    fields = f"quality={quality.value}i"
    match value:
        case bool() | float():
            return f"value={float(value)!r},{fields}"
        case int() if abs(value) <= _EXACT:
            return f"value={value},{fields}"
        case int():
            return f"{_large(value)},{fields}"
        case str():
            return f"text={_quoted(value)},{fields}"
        case None:
            return fields


def _large(value: int) -> str:
    exact = f"integer={value}i" if -_INT64 <= value < _INT64 else f"text={_quoted(str(value))}"
    try:
        return f"value={float(value)!r},{exact}"
    except OverflowError:
        return exact


def _quoted(text: str) -> str:
    return '"' + _CONTROL.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"') + '"'


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
