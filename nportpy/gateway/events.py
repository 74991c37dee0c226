"""What a gateway's audit is told beside what people do: reloads, configurations, certificates, steps of the clock."""

import time
from hashlib import sha256

from nportpy.editing.history import Entry, Fate
from nportpy.services.audit import Audit
from nportpy.status import TlsStatus

STEP = 1.0
"""Seconds that the wall clock must step by to be told of; less than that is what keeping time looks like."""


class Events:
    """Tells each once."""

    def __init__(self, audit: Audit, file: str | None) -> None:
        """`file`: the configuration."""
        self._audit = audit
        self._file = file
        self._digest = self._digested()
        self._tls: dict[str, TlsStatus] = {}
        self._offset = _offset()

    def reloaded(self, *, failed: bool = False) -> None:
        """The configuration was to be read anew; with the SHA-256 of both, if it is another one."""
        before, self._digest = self._digest, self._digested()
        changed = {} if before == self._digest else {"before": before, "after": self._digest}
        self._tell("reload", "failed" if failed else "done", how="file", **changed)

    def tried(self, entry: Entry) -> None:
        """A change of the configuration was tried, and what came of it; who did that is told of by the console."""
        if entry.fate is Fate.CONFIRMED:
            self._digest = entry.tag
        elif entry.fate is not Fate.TAKEN_BACK:
            self._tell("config", entry.fate, how="clock", change=entry.number, after=entry.tag)

    def certificates(self, tables: tuple[TlsStatus, ...]) -> None:
        """These are in force, or should be."""
        before, self._tls = self._tls, {each.name: each for each in tables}
        for each in tables:
            if before.get(each.name) != each:
                until = max((own.not_after for own in each.certificates), default=0)
                self._tell("certificate", each.error or "read", how="file", tls=each.name, until=until)

    def tick(self) -> None:
        """A second or so has gone by: has the wall clock stepped?"""
        before, self._offset = self._offset, _offset()
        step = self._offset - before
        if abs(step) >= STEP:
            self._tell("clock", "stepped", how="clock", seconds=round(step))

    def _tell(self, event: str, result: str, *, how: str, **more: object) -> None:
        self._audit.tell(event, who="", how=how, client="", result=result, **more)

    def _digested(self) -> str:
        """SHA-256 of the configuration as it stands there; empty: it cannot be read."""
        if self._file is None:
            return ""
        try:
            with open(self._file, "rb") as file:
                return sha256(file.read()).hexdigest()
        except OSError:
            return ""


def _offset() -> float:
    """What the wall clock shows more than one that nobody can set (clock_gettime(2)); sleep counts in both."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
