"""What brokers deliver, sorted into what a store writes at once. Pure.

A message that cannot be understood must not hold up those behind it: it becomes a dead letter, which is stored, counted
and acknowledged like the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nportpy.edge.messages import State, decode_state
from nportpy.edge.topics import Address, Kind, parse_address
from nportpy.edge.wire import Batch, Meta, decode_batch, decode_meta
from nportpy.errors import ProtocolError

MAX_DEAD_PAYLOAD: Final = 4096
"""Bytes of a dead letter that are kept."""

Node = tuple[str, str]
"""Site and name: what a watermark belongs to."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A message, not acknowledged yet.

    Attributes:
        topic: of MQTT, or a subject of NATS.
        payload: as it came.
        content_type: of it, empty if nobody said.
        received: when, in microseconds UTC.
        source: where it has to be acknowledged.
        receipt: what the source needs for that.
    """

    topic: str
    payload: bytes
    content_type: str
    received: int
    source: Any = None
    receipt: object = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch that is to be stored, and where it came from."""

    site: str
    received: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nobody can store, its payload cut to MAX_DEAD_PAYLOAD."""

    topic: str
    received: int
    reason: str
    size: int
    payload: bytes


@dataclass(slots=True)
class Work:
    """What is stored in one commit, each list in the order of arrival."""

    batches: list[Stored] = field(default_factory=list)
    states: list[tuple[str, State]] = field(default_factory=list)
    metas: list[tuple[str, Meta]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Samples in it."""
        return sum(len(each.batch.rows) for each in self.batches)

    @property
    def nodes(self) -> list[Node]:
        """Whose they are, sorted: all stores lock in this order."""
        batches = {(each.site, each.batch.node) for each in self.batches}
        return sorted(batches | {(site, state.node) for site, state in self.states})


def sorted_out(arrivals: Sequence[Arrival]) -> Work:
    """Decode messages; what is none of ours becomes a dead letter."""
    work = Work()
    for arrival in arrivals:
        try:
            _decode(arrival, work)
        except ProtocolError as error:
            work.dead.append(dead_letter(arrival, str(error)))
    return work


def dead_letter(arrival: Arrival, reason: str) -> DeadLetter:
    """An arrival that cannot be stored, and why."""
    return DeadLetter(
        _printable(arrival.topic)[:512],
        arrival.received,
        _printable(reason)[:512],
        len(arrival.payload),
        arrival.payload[:MAX_DEAD_PAYLOAD],
    )


def _decode(arrival: Arrival, work: Work) -> None:
    address = parse_address(arrival.topic)
    match address.kind:
        case Kind.LIVE | Kind.LATE:
            batch = decode_batch(arrival.payload, arrival.content_type)
            _same(address, batch.node)
            work.batches.append(Stored(address.site, arrival.received, batch))
        case Kind.STATE | Kind.META if not arrival.payload:
            return  # so a retained message is taken away
        case Kind.STATE:
            state = decode_state(arrival.payload)
            _same(address, state.node)
            work.states.append((address.site, state))
        case Kind.META:
            meta = decode_meta(arrival.payload, arrival.content_type)
            _same(address, meta.node)
            work.metas.append((address.site, meta))
        case kind:
            raise ProtocolError(f"upstream: nothing for a collector: {kind}")


def _same(address: Address, node: str) -> None:
    """Whoever may write to one node's topics must not write another node's samples."""
    if address.node != node:
        raise ProtocolError(f"upstream: a message of {node} on a topic of {address.node}")


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
