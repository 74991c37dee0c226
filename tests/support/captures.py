"""Captures for tests: a line whose tap is written as pcapng, and what tshark makes of it."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nportpy.line.watcher import Watcher
from nportpy.protocols.capture.packets import Capture


def captured(watcher: Watcher, *, requests: bool = True) -> bytes:
    """All that a watcher can take, as a file."""
    capture = Capture(watcher.tap.name, watcher.tap.settings, requests=requests)
    written = [capture.head()]
    while True:
        lost, records = watcher.take()
        if not records:
            break
        written.append(capture.feed([(watcher.wall(record.time), record) for record in records], lost))
    return b"".join((*written, capture.finish()))


async def tshark(path: Path, *arguments: str) -> str:
    """What tshark says of a file."""
    return await asyncio.to_thread(_run, "tshark", "-r", str(path), *arguments)


async def capinfos(path: Path) -> str:
    """What capinfos says of a file."""
    return await asyncio.to_thread(_run, "capinfos", str(path))


async def dissected(path: Path, *arguments: str) -> list[dict[str, Any]]:
    """The layers of each packet of a file."""
    found = json.loads(await tshark(path, "-T", "json", *arguments) or "[]")
    return [each["_source"]["layers"] for each in found]


def _run(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not here")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
