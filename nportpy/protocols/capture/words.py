"""Words that captures and monitors share."""

from nportpy.protocols.capture.records import Discards

_DISCARDS = (
    "bytes that belong to no frame",
    "wrong CRC or check sum",
    "of another unit or function",
    "does not fit the request",
    "late answer",
    "echo",
)


def discarded(about: Discards) -> str:
    """What was heard beside the awaited answer."""
    return ", ".join(f"{what} ({count})" for count, what in zip(about, _DISCARDS, strict=True) if count)


def waited(seconds: float) -> str:
    """How long a request waited for its turn."""
    return f"waited {seconds * 1000:.0f} ms for its turn"
