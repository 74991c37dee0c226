"""The status as a stream of changes: the whole once, then what has become different, twice a second at most.

All who watch share one snapshot and one text of each step. Nothing is queued for anybody: who was too slow for a step
is given the whole again. While nobody watches nothing is looked at.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, Final

from nportpy import __version__
from nportpy.services import report
from nportpy.services.faults import faults
from nportpy.status import GatewayStatus

PERIOD: Final = 0.5
"""Seconds between two steps."""

HEARTBEAT: Final = 4
"""Steps after which something is said although nothing has changed."""

Path = list[str | int]


class Changes:
    """The status, step by step.

    Attributes:
        step: number of the newest.
    """

    def __init__(self, status: Callable[[], GatewayStatus]) -> None:
        """Nothing is looked at yet."""
        self.step = 0
        self._status = status
        self._watchers = 0
        self._looking = asyncio.Lock()
        self._taken = float("-inf")
        self._now: dict[str, Any] = {}
        self._changed: list[tuple[Path, Any]] = []
        self._whole = ""
        self._change = ""

    def enter(self) -> None:
        """Somebody watches."""
        self._watchers += 1

    def leave(self) -> None:
        """Somebody watches no more; with the last one goes what was kept for them."""
        self._watchers -= 1
        if not self._watchers:
            self._now, self._changed, self._whole, self._change = {}, [], "", ""
            self._taken = float("-inf")

    async def look(self) -> int:
        """See what is different now, unless that was just done; the number of the newest step."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._taken >= PERIOD * 0.9:
                self._taken = now
                before, self._now = self._now, await self._snapshot()
                self._changed = list(differences(before, self._now, []))
                self._whole = self._change = ""
                if self._changed or not self.step:
                    self.step += 1
        return self.step

    def whole(self) -> str:
        """Everything, as JSON."""
        if not self._whole:
            self._whole = _text({"event": "status", "time": time.time(), "step": self.step, "status": self._now})
        return self._whole

    def change(self) -> str:
        """What the newest step has changed, as JSON: paths into the whole, and what stands there now."""
        if not self._change:
            found = {"event": "change", "time": time.time(), "step": self.step, "changes": self._changed}
            self._change = _text(found)
        return self._change

    async def _snapshot(self) -> dict[str, Any]:
        """The status as JSON has it, a part at a time: between two the lines have their turn."""
        status = self._status()
        found: dict[str, Any] = {"version": __version__}
        for each in fields(status):
            value = getattr(status, each.name)
            if isinstance(value, tuple):
                members = []
                for member in value:
                    members.append(report.plain(member))
                    await asyncio.sleep(0)
                found[each.name] = members
            else:
                found[each.name] = report.member(each.name, value)
        return found | {"faults": [report.plain(fault) for fault in faults(status, time.time())]}


def differences(before: Any, now: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """What is to be put where to make `now` of `before`."""
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        for key in now:
            yield from differences(before[key], now[key], [*path, key])
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, value in enumerate(now):
            yield from differences(before[index], value, [*path, index])
    elif before != now or type(before) is not type(now):
        yield path, now


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
