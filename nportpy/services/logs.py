"""Logging: one line per event, text for people and journald, or JSON.

A record carries named values through `extra`:

    log.info("client came", extra={"port": "meters", "client": "192.0.2.7:4711"})

text shows them behind the message, JSON as keys of the object:

    2026-03-01T12:00:00.000+01:00 info nportpy.modes.raw: client came port=meters client=192.0.2.7:4711
    {"time": "2026-03-01T11:00:00.000Z", "level": "info", "logger": "nportpy.modes.raw", "message": "client came", ...}

Whatever is logged is exactly one line: what is not printable is escaped, so bytes from a client forge neither a line
nor a terminal sequence. An exception's traceback is the value `traceback` of the same line, at every level.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how."""

    level: str = "info"  # debug, info, warning, error
    format: LogFormat = LogFormat.TEXT


_LONGEST = 4000
"""Characters of a message or value, tracebacks have twice that. journald cuts a line at 48 KiB and would take the
rest for a line of its own."""

# What every record has; 3.12 adds taskName.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send this process's log to `stream` (default: stderr), in place of where an earlier call sent it.

    Everything of nportpy from `settings.level` up is logged, of other packages what is a warning or worse.

    Raises:
        ValueError: the level is none.
    """
    stream = sys.stderr if stream is None else stream
    level = logging.getLevelNamesMapping().get(settings.level.upper())
    if level is None:
        raise ValueError(f"{settings.level!r} is not a log level: debug, info, warning or error")
    handler = _LineHandler(stream)
    journal = is_journal(stream)
    handler.setFormatter(JsonFormatter(journal) if settings.format is LogFormat.JSON else TextFormatter(journal))
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, _LineHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("nportpy").setLevel(level)


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `stream` is the one that systemd connected to the journal (JOURNAL_STREAM in systemd.exec(5))."""
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file behind it, or closed
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{there.st_dev}:{there.st_ino}"


class _LineHandler(logging.StreamHandler[TextIO]):
    """The handler that `configure` put there."""


class _LineFormatter(logging.Formatter):
    """What both formats share: the journal's priority, and a record's values."""

    def __init__(self, journal: bool = False) -> None:
        """`journal`: begin each line with the priority that journald takes off again (sd-daemon(3))."""
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, without its end."""
        line = self._line(record)
        return f"<{_priority(record.levelno)}>{line}" if self._journal else line

    def _line(self, record: logging.LogRecord) -> str:
        raise NotImplementedError

    def _values(self, record: logging.LogRecord) -> dict[str, object]:
        values: dict[str, object] = {
            key: _clipped(value, _LONGEST) if isinstance(value, str) else value
            for key, value in record.__dict__.items()
            if key not in _STANDARD
        }
        if record.exc_info and record.exc_info[0] is not None:
            values["error"] = _clipped(_summary(record.exc_info[1]), _LONGEST)
            values["traceback"] = _clipped(self.formatException(record.exc_info), 2 * _LONGEST)
        if record.stack_info:
            values["stack"] = _clipped(record.stack_info, 2 * _LONGEST)
        return values


class TextFormatter(_LineFormatter):
    """Time, level, logger, message, key=value. The journal has time and level of its own: there they are left out."""

    def _line(self, record: logging.LogRecord) -> str:
        parts = [f"{record.name}: {_escaped(_clipped(record.getMessage(), _LONGEST))}"]
        if not self._journal:
            parts.insert(0, f"{_time(record).astimezone().isoformat(timespec='milliseconds')} {_level(record)}")
        parts += [f"{key}={_shown(value)}" for key, value in self._values(record).items()]
        return " ".join(parts)


class JsonFormatter(_LineFormatter):
    """An object with time (UTC), level, logger, message and the record's values."""

    def _line(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _level(record),
            "logger": record.name,
            "message": _clipped(record.getMessage(), _LONGEST),
        }
        for key, value in self._values(record).items():
            line[f"{key}_" if key in line else key] = value
        return json.dumps(line, default=str)


def _priority(level: int) -> int:
    """The syslog priority of a level: 7 debug, 6 info, 4 warning, 3 error, 2 critical."""
    if level >= logging.WARNING:
        return 4 if level < logging.ERROR else 3 if level < logging.CRITICAL else 2
    return 6 if level >= logging.INFO else 7


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _level(record: logging.LogRecord) -> str:
    return record.levelname.lower()


def _summary(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _shown(value: object) -> str:
    """A value as text shows it; in quotes where it could be taken for more than one."""
    text = str(value)
    if text and not any(each in ' "=\\' for each in text) and text.isprintable():
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(quoted)}"'


def _escaped(text: str) -> str:
    """`text` with everything that is not printable (controls, line separators, bidi marks) as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _clipped(text: str, longest: int) -> str:
    """`text`, or its two ends where it is longer than `longest` characters: a traceback has its cause at the end."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} [{len(text) - 2 * half} characters left out] {text[-half:]}"
