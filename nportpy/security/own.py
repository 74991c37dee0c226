"""A certificate that the gateway makes for itself, as `tls = "self"` wants it: once, and the same ever after.

It is made in a process of its own: what makes certificates takes 8 MB that the gateway would keep.
"""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Final

from nportpy.network.tls_settings import KeyPair, TlsSettings

PATIENCE: Final = 60.0
"""Seconds that making one may take; a small machine that is starting takes two or three."""

_PROGRAM: Final = "nportpy.security.making"
_FIRST_PAUSE, _LAST_PAUSE = 10.0, 300.0  # seconds between tries of what cannot be made
_DYING: Final = 1.0  # seconds for a process that was killed; one that waits for a disk does not hear it

log = logging.getLogger(__name__)


class OwnCertificates:
    """Makes them where they are missing.

    Attributes:
        trouble: why one that is missing could not be made; empty: none is, or none was tried.
    """

    def __init__(self) -> None:
        """None is made yet."""
        self.trouble = ""
        self._pause = _FIRST_PAUSE
        self._next = 0.0  # by the loop's clock

    async def make(self, tables: Iterable[TlsSettings], patience: float = PATIENCE) -> None:
        """Make those that some tables want and that are not there, each in `patience` seconds at most."""
        trouble = ""
        for table in tables:
            for pair in table.pairs if table.made else ():
                if not _are_there(pair):
                    reason = await _made(pair.certificate, pair.key, patience)
                    trouble = reason or trouble
                    if not reason:
                        extra = {"tls": table.name, "file": pair.certificate}
                        log.info("made a certificate of our own", extra=extra)
        self._next = asyncio.get_running_loop().time() + self._pause
        self._pause = min(self._pause * 2, _LAST_PAUSE) if trouble else _FIRST_PAUSE
        self.trouble = trouble

    async def try_on(self, tables: Iterable[TlsSettings]) -> None:
        """The same, where it is time to try again: after ten seconds, and twice as long each time, to five minutes."""
        if asyncio.get_running_loop().time() >= self._next:
            await self.make(tables)


def _are_there(pair: KeyPair) -> bool:
    return os.path.exists(pair.certificate) and os.path.exists(pair.key)


async def _made(certificate: str, key: str, patience: float) -> str:
    """Why it could not be made; empty: it is there."""
    making = _Making([sys.executable, "-m", _PROGRAM, certificate, key])
    try:
        return await asyncio.to_thread(making.wait, patience)
    finally:
        making.end()


class _Making:
    """A process, waited for in a thread."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._child: subprocess.Popen[str] | None = None
        self._unwanted = False

    def wait(self, patience: float) -> str:
        """Why it has failed; empty: it has not."""
        try:
            child = self._child = subprocess.Popen(  # noqa: S603 - literal but for two paths
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        except OSError as error:
            return str(error)
        if self._unwanted:
            child.kill()
        try:
            _, said = child.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=_DYING)
            return f"it takes more than {patience:g} s"
        return (said.strip().rpartition("\n")[2] or f"it ended with {child.returncode}") if child.returncode else ""

    def end(self) -> None:
        """It is not wanted any more."""
        self._unwanted = True
        if self._child is not None:
            self._child.kill()
