"""One call after another fails: each time the line is lost or goes on, comes back, and nobody above sees an exception.

The same scenario runs again and again; in the Nth run the Nth call that reaches the driver fails.
"""

import asyncio
import errno
import fcntl
import functools
import logging
import os
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings
from nportpy.port.base import OnOpen, PortSettings
from nportpy.port.loopback import Cable
from nportpy.port.tty import open_tty
from tests.support.lines import Client, running
from tests.support.ports import Pty, descriptors, until


async def scenario(line: Line, client: Client, far_writes: Callable[[bytes], None]) -> None:
    """Everything that a line can be asked for, with the loop turning in between."""
    steps: list[Callable[[], object]] = [
        lambda: line.stream.join(client),
        lambda: line.watch.add(client),
        lambda: line.stream.write(client, b"hello"),
        lambda: far_writes(b"answer"),
        lambda: line.configure(LineSettings(19200)),
        lambda: line.set_modem_lines(dtr=False, rts=True),
        lambda: line.set_break(True),
        lambda: line.stream.hold(client),
        lambda: far_writes(b"more"),
        line.modem_lines,
        lambda: line.set_break(False),
        lambda: line.stream.release(client),
        lambda: line.purge(received=True, unsent=True),
        line.status,
        line.counters,
        lambda: line.stream.write(client, b"bye"),
        lambda: line.watch.remove(client),
    ]
    for step in steps:
        step()
        await asyncio.sleep(0.02)
    await line.drain()


def log_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


async def test_every_call_to_a_device_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    nth, lost = 0, 0
    while True:
        nth += 1
        caplog.clear()
        cable, client = Cable(), Client()
        cable.fail_at = nth
        async with running(cable) as line:
            await scenario(line, client, cable.far.write)
            await asyncio.sleep(1)
            failed = cable.calls >= nth
            cable.fail_at = 0
            assert line.state == "up"
            assert line.settings == LineSettings(19200)
            assert cable.near is not None
            assert cable.near.settings == line.settings
            assert not cable.near.breaking
            status = line.status()
            assert status.losses + status.attempts == failed
            assert status.opens == 1 + status.losses
            assert client.calls in ([], ["up"], ["down", "up"])  # it joins early, and sees what is still to come
            expected = ["line lost"] * status.losses + ["line cannot be opened, trying on"] * status.attempts
            assert log_of(caplog) == expected
            assert status.sent == len(cable.heard) + status.purged
            lost += status.losses
            before = len(client.heard)
            cable.far.write(b"still there")
            await asyncio.sleep(0.1)
            assert client.heard[before:] == b"still there"
        if not failed:
            break
    assert lost > 20, "the scenario hardly reached the driver"


class Saboteur:
    """Counts the system calls on one terminal, and lets one of them fail."""

    def __init__(self, path: str, number: int, patch: pytest.MonkeyPatch) -> None:
        self.number = number
        self.calls = 0
        self.fail_at = 0
        self.broken = ""
        self._path = path
        for module, name in ((os, "read"), (os, "write"), (fcntl, "ioctl"), (fcntl, "flock"), (termios, "tcflush")):
            patch.setattr(module, name, self._wrapped(name, getattr(module, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(fd: Any, *rest: Any) -> Any:
            if isinstance(fd, int) and os.readlink(f"/proc/self/fd/{fd}") == self._path:
                self.calls += 1
                if self.calls == self.fail_at:
                    self.broken = name
                    raise (termios.error if module_of(real) == "termios" else OSError)(self.number, "sabotage")
            return real(fd, *rest)

        return call


def module_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__module__", ""))


@pytest.mark.parametrize("number", [errno.EIO, errno.EAGAIN])
async def test_every_system_call_on_a_tty(
    number: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    end = Pty(str(tmp_path / "device"))
    path = os.readlink(end.link)
    holder = os.open(path, os.O_RDWR | os.O_NOCTTY)  # a master whose slave nobody has open cannot be read

    def far_writes(data: bytes) -> None:
        os.write(end.master, data)

    saboteur = Saboteur(path, number, monkeypatch)
    await asyncio.get_running_loop().run_in_executor(None, int)
    before, nth, broken = descriptors(), 0, set()
    while True:
        nth += 1
        caplog.clear()
        client = Client()
        saboteur.calls, saboteur.fail_at, saboteur.broken = 0, nth, ""
        line = Line("meters", PortSettings(end.link, dtr=OnOpen.ON), StreamSettings(), open_tty)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(line.run())
            await line.tried.wait()
            await scenario(line, client, far_writes)
            while not line.up:  # noqa: ASYNC110 - as any test may
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)
            failed, saboteur.fail_at = saboteur.calls >= nth, 0
            assert line.state == "up"
            status = line.status()
            assert status.losses + status.attempts <= 1
            assert len(log_of(caplog)) <= 1 + status.losses
            os.write(end.master, b"still there")
            await until(functools.partial(client.heard.endswith, b"still there"))
            task.cancel()
        broken.add(saboteur.broken)
        assert descriptors() == before
        if not failed:
            break
        await end.far.read_on()
    os.close(holder)
    end.close()
    assert broken >= {"read", "write", "ioctl", "flock", "tcflush"}
