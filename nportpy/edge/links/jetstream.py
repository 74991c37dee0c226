"""The two streams of a NATS JetStream that hold what nodes say, made where they are missing.

    NPORTPY         nportpy.v1.*.*.live, .late     batches, for as long as the operator lets them stay
    NPORTPY_STATE   nportpy.v1.*.*.state, .meta    the last one of each node, as MQTT retains them

Whoever has made them with other limits keeps those: an existing stream is not touched.
"""

from typing import Final

from nats.js.api import StorageType, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from nportpy.edge.topics import Kind, subject_filter

SAMPLES: Final = "NPORTPY"
STATES: Final = "NPORTPY_STATE"

DUPLICATES: Final = 600.0
"""Seconds in which a batch that comes again is known by its id: more than any overlap that follows from a keepalive."""

_DAYS_KEPT: Final = 7


async def make_streams(stream: JetStreamContext, replicas: int, duplicates: float = DUPLICATES) -> None:
    """See to it that both streams are there.

    Args:
        stream: the JetStream.
        replicas: of a stream that has to be made.
        duplicates: seconds in which a duplicate is known there.

    Raises:
        nats.errors.Error: it cannot be done; the other side's words.
    """
    wanted = (
        StreamConfig(
            name=SAMPLES,
            subjects=[subject_filter(kind) for kind in (Kind.LIVE, Kind.LATE)],
            max_age=_DAYS_KEPT * 86400.0,
            duplicate_window=duplicates,
            num_replicas=replicas,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=STATES,
            subjects=[subject_filter(kind) for kind in (Kind.STATE, Kind.META)],
            max_msgs_per_subject=1,
            num_replicas=replicas,
            storage=StorageType.FILE,
        ),
    )
    for config in wanted:
        try:
            await stream.stream_info(str(config.name))
        except NotFoundError:
            await stream.add_stream(config)
