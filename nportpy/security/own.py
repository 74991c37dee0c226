"""A certificate that the gateway makes for itself, as `tls = "self"` wants it: once, and the same ever after.

It is made in a process of its own: what makes certificates takes 8 MB that the gateway would keep.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Final

from nportpy.network.tls_settings import TlsSettings

_PROGRAM: Final = "nportpy.security.making"
_PATIENCE: Final = 60.0  # seconds; a small machine that is starting takes two or three

log = logging.getLogger(__name__)


class OwnCertificates:
    """Makes them where they are missing."""

    def __init__(self) -> None:
        """None is made yet."""
        self._told = ""

    async def make(self, tables: Iterable[TlsSettings]) -> None:
        """Make those that some tables want and that are not there; the log says of a failure, once."""
        for table in tables:
            for pair in table.pairs if table.made else ():
                if _is_there(pair.certificate):
                    continue
                reason = await asyncio.to_thread(_made, pair.certificate, pair.key)
                extra = {"tls": table.name, "file": pair.certificate}
                if not reason:
                    log.info("made a certificate of our own", extra=extra)
                elif reason != self._told:
                    log.error("cannot make a certificate of our own, trying on", extra=extra | {"reason": reason})
                self._told = reason


def _is_there(path: str) -> bool:
    return os.path.exists(path)


def _made(certificate: str, key: str) -> str:
    """Why it could not be made; empty: it is there."""
    command = [sys.executable, "-m", _PROGRAM, certificate, key]
    try:
        done = subprocess.run(  # noqa: S603 - literal but for two paths
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
