"""Samples packed for an upstream, in its format. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.edge.fields import JSON
from nportpy.edge.influx import encode_lines
from nportpy.edge.sample import Sample
from nportpy.edge.settings import Format
from nportpy.edge.wire import encode_batches

LINES: Final = "text/plain; charset=utf-8"
"""Content type of line protocol."""

_LINES_AT_ONCE: Final = 200  # of some 80 bytes each


@dataclass(frozen=True, slots=True)
class Parcel:
    """Some samples, ready to be sent.

    Attributes:
        samples: which; none of them missing in `payload`.
        payload: what is sent.
        content_type: of that.
        id: by which a duplicate can be known; empty: none.
    """

    samples: Sequence[Sample]
    payload: bytes
    content_type: str
    id: str = ""

    @property
    def first(self) -> int:
        """Number of the first sample."""
        return self.samples[0].seq

    @property
    def last(self) -> int:
        """Number of the last one."""
        return self.samples[-1].seq


def parcels(samples: Sequence[Sample], form: Format, node: str, meta: str, late: bool) -> Iterator[Parcel]:
    """The parcels that hold `samples`, in their order.

    Args:
        samples: in the order of their numbers.
        form: how they are written.
        node: who took them.
        meta: hash of the tag table that they go by.
        late: they are sent later than they could have been.
    """
    if form is Format.JSON:
        at = 0
        for batch in encode_batches(samples, node, meta, late):
            held = samples[at : at + batch.count]
            at += batch.count
            yield Parcel(held, batch.payload, JSON, batch.id)
        return
    for at in range(0, len(samples), _LINES_AT_ONCE):
        held = samples[at : at + _LINES_AT_ONCE]
        yield Parcel(held, encode_lines(held, node, late), LINES)
