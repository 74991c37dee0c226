"""What `nportpy check` says of the configuration file, on a page: its faults, its warnings, and what it means.

The checker works in a process of its own: the gateway would carry pydantic and the schema, some 10 MB, for as long as
it runs. What it says is shown without secrets; of a file that is not TOML, where nobody can tell what is one, only
lines and reasons.
"""

import asyncio
import json
import sys
import tomllib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.console.desk import Desk
from nportpy.console.looking import packed
from nportpy.console.redacting import LEFT_OUT, is_secret, secrets_of, without_secrets
from nportpy.console.routes import Asked, Route, Wrong

PATIENCE: Final = 60.0
"""Seconds that it may take: two on a Raspberry Pi, ten on the smallest one under load."""

AGAIN: Final = 2.0
"""Seconds for which what it said is said again: several pages may ask."""

_MOST: Final = 4 << 20  # bytes that it may say
_NO_FILE: Final[dict[str, Any]] = {"file": None, "ok": True, "faults": [], "warnings": [], "picture": []}
_CHECK: Final = (sys.executable, "-m", "nportpy", "check", "--json", "-c")


class Checking:
    """Has the file checked, once at a time."""

    def __init__(self, desk: Desk) -> None:
        """Nothing is checked yet."""
        self._desk = desk
        self._one = asyncio.Lock()
        self._found: dict[str, object] = {}
        self._at = float("-inf")

    def routes(self) -> tuple[Route, ...]:
        """The one."""
        return (
            Route(
                "GET",
                "/api/v1/check",
                "the configuration file as it is now: every fault, every warning and what it means, without secrets",
                self.check,
                Right.MONITOR,
                example="{url}/api/v1/check",
                schema="Check",
            ),
        )

    async def check(self, asked: Asked) -> web.StreamResponse:
        """What the checker says."""
        path = self._desk.file()
        if path is None:  # it was started with devices
            return await packed(asked.request, shown(_NO_FILE, ()))
        async with self._one:
            clock = asyncio.get_running_loop().time
            if clock() - self._at > AGAIN:
                said = await _said((*_CHECK, path))
                self._found = shown(said, await asyncio.to_thread(_secrets, path))
                self._at = clock()
        return await packed(asked.request, self._found)


async def _said(command: Sequence[str]) -> dict[str, Any]:
    """What the checker writes.

    Raises:
        Wrong: it does not come to an end, or to none that makes sense.
    """
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    except OSError as error:
        raise Wrong(HTTPStatus.SERVICE_UNAVAILABLE, f"the checker cannot be started: {error.strerror}") from error
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            text = b""
            while len(text) <= _MOST and (more := await process.stdout.read(1 << 16)):
                text += more
            if len(text) <= _MOST:
                await process.wait()
    except TimeoutError as error:
        why = f"the checker has not come to an end in {PATIENCE:.0f} s"
        raise Wrong(HTTPStatus.SERVICE_UNAVAILABLE, why) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # what it has said already: the pipe is closed at its end
    try:
        said = json.loads(text)
    except ValueError as error:
        why = f"the checker has failed with exit code {process.returncode}"
        raise Wrong(HTTPStatus.SERVICE_UNAVAILABLE, why) from error
    assert isinstance(said, dict)
    return said


def _secrets(path: str) -> list[str]:
    """Those of a file, the longest first; none of one that is not TOML."""
    try:
        with open(path, "rb") as file:
            found = set(secrets_of(tomllib.load(file)))
    except (OSError, ValueError, RecursionError):
        return []
    found |= {json.dumps(each, ensure_ascii=False)[1:-1] for each in found}  # as it stands in a message
    return sorted(found, key=len, reverse=True)


def shown(said: dict[str, Any], secrets: Sequence[str]) -> dict[str, object]:
    """What is shown of it. Not the settings as a tree, which is for programs on this machine."""

    def safe(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        for each in secrets:
            value = value.replace(each, LEFT_OUT)
        return without_secrets(value)

    return {
        "file": said["file"],
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "ok": said["ok"],
        "faults": [{name: safe(member) for name, member in _fault(each).items()} for each in said["faults"]],
        "warnings": [safe(each) for each in said["warnings"]],
        "picture": [[label, safe(text)] for label, text in said["picture"]],
    }


def _fault(fault: dict[str, Any]) -> dict[str, Any]:
    """One without what may be secret. What is wrong in how a line is written may stand within a secret's text."""
    value, allowed = fault["value"], fault["allowed"]
    if value and is_secret(f"{fault['key']} {value}"):
        value = LEFT_OUT
    if fault["excerpt"]:
        allowed = None
    return {"line": fault["line"], "key": fault["key"], "value": value, "reason": fault["reason"], "allowed": allowed}
