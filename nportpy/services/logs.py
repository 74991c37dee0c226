"""Logging: one line per event, text for people and journald, or JSON."""

from dataclasses import dataclass
from enum import StrEnum


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how."""

    level: str = "info"  # debug, info, warning, error
    format: LogFormat = LogFormat.TEXT
