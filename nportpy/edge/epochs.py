"""Which wall-clock time a sample has: its monotonic stamp plus the offset of its epoch.

An epoch is a stretch of the archive in which the wall clock did not step, within one run of the gateway. Samples
belong to it by their numbers, so a clock that turns out to have been wrong is put right by one row, however many
samples it stamped.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nportpy.edge.clock import STEP, ClockState


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of samples with one offset.

    Attributes:
        first: number of its first sample; it ends where the next one begins.
        boot: the run of the gateway.
        kernel: the run of the kernel, whose monotonic clock it is.
        offset: wall clock minus monotonic clock, in microseconds.
        trusted: whether the offset comes from a clock that could be trusted.
    """

    first: int
    boot: str
    kernel: str
    offset: int
    trusted: bool


def advanced(epochs: Sequence[Epoch], state: ClockState, boot: str, kernel: str, following: int) -> list[Epoch]:
    """The epochs before sample number `following` is written, given what the clocks say now.

    As soon as the clock can be trusted, the epochs of this run of the kernel in which it could not are put right. A
    step of a clock that had been trusted begins a new epoch and leaves the older ones as they are: they were right by
    the clock of their time.
    """
    result = list(epochs)
    if state.trusted:
        for index, epoch in enumerate(result):
            if not epoch.trusted and (epoch.boot == boot or (kernel and epoch.kernel == kernel)):
                result[index] = replace(epoch, offset=state.offset, trusted=True)
    current = result[-1] if result and result[-1].boot == boot else None
    if current is None or abs(state.offset - current.offset) > STEP:
        if result and result[-1].first == following:
            result.pop()  # it holds nothing
        result.append(Epoch(following, boot, kernel, state.offset, state.trusted))
    return result


def corrected(epochs: Sequence[Epoch], boot: str, offset: int) -> list[Epoch]:
    """The epochs after somebody said what the offset of a run was."""
    return [replace(epoch, offset=offset, trusted=True) if epoch.boot == boot else epoch for epoch in epochs]


def without(epochs: Sequence[Epoch], oldest: int) -> list[Epoch]:
    """The epochs that are left when the samples before number `oldest` are gone."""
    return list(epochs[index_of(epochs, oldest) :])


def index_of(epochs: Sequence[Epoch], seq: int) -> int:
    """Which epoch a sample belongs to; the first for what is older than all of them."""
    return max(0, bisect_right(epochs, seq, key=lambda epoch: epoch.first) - 1)
