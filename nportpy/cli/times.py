"""Times as people type them: 2026-11-29T12:00, 12:00, 2h (ago), now."""

import re
from datetime import UTC, datetime, timedelta

from nportpy.config.values import ValueFault, duration

_OF_TODAY = re.compile(r"([0-2]?[0-9]):([0-5][0-9])(?::([0-5][0-9]))?")


def moment(text: str, now: datetime | None = None) -> datetime:
    """The moment that a text means; what says nothing of its offset is this machine's time.

    Raises:
        ValueError: it means none.
    """
    here = now or datetime.now(UTC).astimezone()
    word = text.strip()
    if word == "now":
        return here
    if match := _OF_TODAY.fullmatch(word):
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24:
            return here.replace(hour=hour, minute=minute, second=second, microsecond=0)
    try:
        return here - timedelta(seconds=duration(word.removesuffix(" ago"), "1ms", "36500d"))
    except ValueFault:
        pass
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; times are as in 2026-11-29T12:00, 12:00 (today), 2h (ago), now"
        ) from None
    return found if found.tzinfo is not None else found.astimezone()
