"""What systemd hears of the gateway: sd_notify(3), Type=notify, and the watchdog.

Own code, as the protocol is a datagram of KEY=value lines to the socket that NOTIFY_SOCKET names. Without that
variable nothing happens. Nothing here blocks or raises: a supervisor that does not listen must not stop a line.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping


class Supervisor:
    """The service manager that started this process, if there is one."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from `environ`."""
        self._address = _socket_address(environ.get("NOTIFY_SOCKET", ""))
        self._said = ""
        self.watchdog = _watchdog_seconds(environ) if self._address else 0.0
        """Seconds without a sign of life after which the supervisor acts; 0: it does not watch."""

    def ready(self, status: str = "") -> None:
        """Say that start-up, or a reload, is complete."""
        self._said = status or self._said
        self._send("READY=1", _status_line(status))

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it."""
        # The time tells systemd that this is the answer to its signal, not to an earlier one.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """Say that the process is on its way out."""
        self._said = status or self._said
        self._send("STOPPING=1", _status_line(status))

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows; what it shows already is not said again."""
        if text != self._said:
            self._said = text
            self._send(_status_line(text))

    async def watch(self) -> None:
        """Give the watchdog signs of life, from this event loop, until cancelled; end at once if none is set."""
        while self.watchdog:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(filter(None, lines)).encode(errors="replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
                out.sendto(message, self._address)
        except OSError:
            return  # gone, or its queue is full: it must do without this one


def _socket_address(name: str) -> str:
    """An abstract socket is written @name and begins with a NUL on the wire; other kinds of address are ignored."""
    if name.startswith("@"):
        return f"\0{name[1:]}"
    return name if name.startswith("/") else ""


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    meant_for = environ.get("WATCHDOG_PID", "")
    if meant_for and meant_for != str(os.getpid()):
        return 0.0  # set for our parent
    period = environ.get("WATCHDOG_USEC", "")
    return int(period) / 1e6 if period.isascii() and period.isdigit() else 0.0


def _status_line(text: str) -> str:
    # A line break would begin a new assignment.
    return f"STATUS={' '.join(text.split())}" if text else ""
