"""Batches of samples and the tag table, as JSON, version 1. Pure: no clock, no I/O.

| topic | who sends it | what |
|---|---|---|
| `.../live`, `.../late` | the node | `Batch`: samples with consecutive numbers of one run |
| `.../meta` (retained) | the node | `Meta`: the tag table; every batch names it by its hash |
| `.../state` (retained, last will), `.../ack`, `.../cmd` | | `messages` |

Decoders skip unknown keys, so that version 1 can grow, and raise ProtocolError at everything else that they do not
know. Times are integers in microseconds since the epoch in UTC.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite

from nportpy.edge.fields import (
    BOOT,
    HASH,
    INT64,
    JSON,
    NAME,
    UNFIT,
    VERSION,
    dumped,
    inflated,
    is_integer,
    message,
    refuse,
)
from nportpy.edge.sample import Quality, Sample, Tag, Value
from nportpy.errors import MisuseError

MAX_BATCH = 16_000
"""Bytes of one batch before it is compressed; a single sample may be longer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sample in a batch; `tag` is its id in the tag table."""

    tag: int
    at: int
    value: Value
    quality: Quality


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples number `seq` and following of one run of one node.

    Attributes:
        node: who took them.
        boot: in which run.
        seq: number of the first; each row's is one more than that of the row before.
        meta: hash of the tag table.
        rows: the samples, one at least.
        late: they were taken before and were not sent then: for history, not for displays and alarms.
    """

    node: str
    boot: str
    seq: int
    meta: str
    rows: tuple[Row, ...]
    late: bool

    @property
    def id(self) -> str:
        """NATS message id: a batch that is sent twice has the same."""
        return f"{self.node}.{self.boot}.{self.seq}.{len(self.rows)}"


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A batch as bytes, and which samples it holds: `count` of them, from number `seq` on."""

    id: str
    seq: int
    count: int
    payload: bytes

    @property
    def last(self) -> int:
        """Number of its last sample."""
        return self.seq + self.count - 1


def encode_batches(
    samples: Iterable[Sample], node: str, meta: str, late: bool, limit: int = MAX_BATCH
) -> Iterator[EncodedBatch]:
    """Put samples into as few batches as there may be.

    A new one begins where the numbers have a hole (what was evicted, or is not in the interval), where another run
    begins, and where `limit` bytes would be passed.

    Raises:
        MisuseError: the node's name does not match NAME.
    """
    if not NAME.fullmatch(node):
        raise MisuseError(f"node {node!r}")
    rows: list[str] = []
    boot, seq, start, size = "", 0, 0, 0
    for sample in samples:
        row = _row(sample, start)
        if rows and (sample.seq != seq + len(rows) or sample.boot != boot or size + len(row) + 1 > limit - _HEAD):
            yield _encoded(node, boot, seq, meta, start, rows, late)
            rows = []
        if not rows:
            boot, seq, start, size = sample.boot, sample.seq, sample.at, 0
            row = _row(sample, start)
        rows.append(row)
        size += len(row) + 1
    if rows:
        yield _encoded(node, boot, seq, meta, start, rows, late)


_HEAD = 250  # bytes of a batch beside its rows, with the longest names


def _row(sample: Sample, start: int) -> str:
    """Always ASCII, so that its characters are its bytes."""
    value, quality = sample.value, sample.quality
    if isinstance(value, float) and not isfinite(value):
        value, quality = None, Quality.BAD  # JSON has no word for it
    text = repr(value) if type(value) is float or type(value) is int else json.dumps(value)
    return f"[{sample.tag.id},{sample.at - start},{text},{quality.value}]"


def _encoded(node: str, boot: str, seq: int, meta: str, start: int, rows: list[str], late: bool) -> EncodedBatch:
    payload = (
        f'{{"v":{VERSION},"node":"{node}","boot":"{boot}","seq0":{seq},"n":{len(rows)},"meta":"{meta}","t0":{start},'
        f'"rows":[{",".join(rows)}],"late":{"true" if late else "false"}}}'
    )
    return EncodedBatch(f"{node}.{boot}.{seq}.{len(rows)}", seq, len(rows), payload.encode("ascii"))


def decode_batch(payload: bytes, content_type: str = JSON) -> Batch:
    """Read a batch.

    Raises:
        ProtocolError: it is none.
    """
    fields = message(inflated(payload, content_type))
    node, boot, meta = fields.match("node", NAME), fields.match("boot", BOOT), fields.match("meta", HASH)
    seq, count, start = fields.integer("seq0", 1), fields.integer("n", 1), fields.integer("t0")
    rows = fields.list("rows")
    if len(rows) != count:
        refuse(f"{len(rows)} rows where n says {count}")
    if seq + count > INT64:
        refuse("seq0 and n are too large")
    return Batch(node, boot, seq, meta, tuple(_decode_row(row, start) for row in rows), fields.boolean("late"))


def _decode_row(row: object, start: int) -> Row:
    if not isinstance(row, list) or len(row) != 4:
        refuse(f"a row that is {row!r:.100}")
    tag, delta, value, quality = row
    if not is_integer(tag) or not 0 < tag < INT64 or not is_integer(delta) or not is_integer(quality):
        refuse(f"a row that is {row!r:.100}")
    if not -INT64 <= start + delta < INT64 or quality not in _QUALITIES:
        refuse(f"a row that is {row!r:.100}")
    if not isinstance(value, int | float | str | None):
        refuse(f"a value that is {value!r:.100}")
    if isinstance(value, str) and UNFIT.search(value):
        refuse(f"a value that is {value!r:.100}")
    return Row(tag, start + delta, value, _QUALITIES[quality])


_QUALITIES = {quality.value: quality for quality in Quality}


@dataclass(frozen=True, slots=True)
class Meta:
    """The tag table of a node."""

    node: str
    tags: tuple[Tag, ...]

    @property
    def hash(self) -> str:
        """What a batch names it by: twelve hexadecimal digits that change with any tag."""
        return hashlib.sha256(dumped([_tag_table(tag) for tag in self.tags])).hexdigest()[:12]


def encode_meta(meta: Meta) -> bytes:
    """Write the tag table."""
    return dumped({"v": VERSION, "node": meta.node, "meta": meta.hash, "tags": [_tag_table(tag) for tag in meta.tags]})


def _tag_table(tag: Tag) -> dict[str, object]:
    return {
        "id": tag.id,
        "station": tag.station,
        "tag": tag.name,
        "unit": tag.unit,
        "type": tag.type,
        "class": tag.device_class,
    }


def decode_meta(payload: bytes, content_type: str = JSON) -> Meta:
    """Read a tag table.

    Raises:
        ProtocolError: it is none, two tags have one id, or its hash is another one's.
    """
    fields = message(inflated(payload, content_type))
    node, known = fields.match("node", NAME), fields.match("meta", HASH)
    meta = Meta(
        node,
        tuple(
            Tag(each.integer("id", 1), *(each.text(key) for key in ("station", "tag", "unit", "type", "class")))
            for each in fields.tables("tags")
        ),
    )
    if len({tag.id for tag in meta.tags}) != len(meta.tags):
        refuse("a tag table in which two tags have one id")
    if meta.hash != known:
        refuse("a tag table whose hash is another one's")
    return meta
