"""The last records of the log, for the page that shows them."""

import json
import logging
from collections import deque
from typing import Final

from nportpy.services.logs import JsonFormatter

RECORDS: Final = 1000
BYTES: Final = 256 * 1024
"""More is not kept, whichever comes first."""


class Recent(logging.Handler):
    """Keeps the last records as JSON, numbered from 1.

    Attributes:
        newest: number of the newest.
    """

    def __init__(self, records: int = RECORDS, size: int = BYTES, logger: str = "") -> None:
        """Nothing is kept before `attach`. `logger`: of this one alone."""
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.newest = 0
        self._logger = logging.getLogger(logger)
        self._records = records
        self._size = size
        self._kept: deque[str] = deque()
        self._bytes = 0

    def attach(self) -> None:
        """Keep what is logged from now on."""
        self._logger.addHandler(self)

    def detach(self) -> None:
        """Keep nothing any more."""
        self._logger.removeHandler(self)
        self._kept.clear()
        self._bytes = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self.newest += 1
        self._kept.append(line)
        self._bytes += len(line)
        while len(self._kept) > self._records or (self._bytes > self._size and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft())

    def since(self, after: int) -> list[dict[str, object]]:
        """The records behind number `after` that are kept, each with its `number`."""
        self.acquire()
        try:
            kept, newest = tuple(self._kept), self.newest
        finally:
            self.release()
        first = newest - len(kept) + 1
        return [{**json.loads(line), "number": number} for number, line in enumerate(kept, first) if number > after]
