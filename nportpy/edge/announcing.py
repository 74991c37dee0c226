"""What a node says of itself beside samples: its state, from what the archive knows."""

from nportpy import __version__
from nportpy.edge.archive import Archive
from nportpy.edge.messages import State, StationState, encode_state


def state_of(
    node: str, archive: Archive, now: int, stations: tuple[StationState, ...], acknowledged: int, online: bool
) -> bytes:
    """The state of a node, as it is sent.

    Args:
        node: its name.
        archive: where its samples are.
        now: microseconds UTC.
        stations: whether they answer.
        acknowledged: number of the last sample that this upstream has.
        online: whether it is connected; the last will says that it is not.
    """
    status = archive.status()
    return encode_state(
        State(
            node=node,
            boot=archive.boot,
            online=online,
            at=now,
            version=__version__,
            stations=stations,
            oldest=status.oldest,
            newest=status.newest,
            oldest_at=None if status.oldest_at is None else round(status.oldest_at * 1e6),
            acknowledged=acknowledged,
            evicted=status.evicted,
            dropped=status.dropped,
            trusted=status.trusted,
        )
    )
