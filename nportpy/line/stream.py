"""The stream discipline: many listen, writes go out whole and in order of arrival."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams share a line.

    Attributes:
        flush_on_first: throw away what the kernel holds when the first client comes.
        linger: seconds that unsent bytes of clients that have gone may wait for the line before they are purged.
    """

    flush_on_first: bool = True
    linger: float = 3.0
