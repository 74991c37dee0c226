"""The support bundle: what somebody else needs to see what is wrong, in one file, without a secret."""

import asyncio
import io
import json
import platform
import re
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from typing import Final

from aiohttp import web

from nportpy import __version__
from nportpy.accounts.roles import Right
from nportpy.console.desk import Desk, Moment
from nportpy.console.redacting import redacted, without_secrets
from nportpy.console.routes import Asked, Field, Route
from nportpy.services import exposition, metrics, report
from nportpy.services.answers import HEADERS

ZIP: Final = "application/zip"
MOST_CAPTURED: Final = 8 << 20
"""Bytes of captures, after which no further one is begun."""


class Bundle:
    """Makes it."""

    def __init__(self, desk: Desk) -> None:
        """Of one gateway."""
        self._desk = desk
        self._registry = metrics.registry(desk.status)

    def routes(self) -> tuple[Route, ...]:
        """The one."""
        return (
            Route(
                "GET",
                "/api/v1/bundle",
                "version, status, metrics, verdicts, log, configuration and frozen captures in a zip file, without "
                "secrets; captures have in them what was on the lines",
                self.bundle,
                Right.MONITOR,
                query=(Field("captures", "string", "0: without them", choices=("0", "1")),),
                gives=(ZIP,),
                example="-OJ {url}/api/v1/bundle",
            ),
        )

    async def bundle(self, asked: Asked) -> web.StreamResponse:
        """It."""
        status = self._desk.status()
        log = [json.dumps(each) for each in self._desk.recent.since(0)]
        parts: dict[str, str | bytes] = {
            "version.json": json.dumps(versions(), indent=2),
            "status.json": "".join(report.document(status)),
            "verdicts.json": report.text(report.verdicts(status, None, time.time())),
            "metrics.txt": "".join(exposition.written(self._registry.collect(), exposition.TEXT)),
            "log.ndjson": "".join(f"{without_secrets(line)}\n" for line in log),
        }
        if (path := self._desk.file()) is not None:
            parts["configuration.json"] = await asyncio.to_thread(configuration, path)
        if asked.get("captures") != "0":
            parts |= await _captures(self._desk.moments())
        name = f"nportpy-{re.sub(r'[^A-Za-z0-9.-]', '_', status.name)}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
        body = await asyncio.to_thread(_zipped, name, parts)
        headers = {**HEADERS, "Content-Type": ZIP, "Content-Disposition": f'attachment; filename="{name}.zip"'}
        return web.Response(body=body, headers=headers)


def versions() -> dict[str, object]:
    """What runs here."""
    packages = {each.name: each.version for each in distributions() if each.name}
    return {"nportpy": __version__, "python": sys.version, "machine": platform.platform(), "packages": packages}


def configuration(path: str) -> str:
    """A configuration file as JSON, so that nothing but keys and values is left of it, and no secret among these."""
    try:
        with open(path, "rb") as file:
            return json.dumps(redacted(tomllib.load(file)), indent=2, default=str)
    except (OSError, ValueError) as error:
        return json.dumps({"file": path, "error": type(error).__name__})


async def _captures(moments: Iterable[Moment]) -> dict[str, str | bytes]:
    """What was frozen, the newest first for as long as there is room, and a list of all that there was."""
    parts: dict[str, str | bytes] = {}
    rows, size = [], 0
    for moment in moments:
        name = None
        if size < MOST_CAPTURED:
            content = await moment.packets()
            size += len(content)
            name = f"captures/{re.sub(r'[^A-Za-z0-9.-]', '_', moment.port)}-{moment.number}.pcapng"
            parts[name] = content
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment.time))
        rows.append({"port": moment.port, "number": moment.number, "cause": moment.cause, "at": at, "file": name})
    return parts | {"captures.json": json.dumps(rows, indent=2)}


def _zipped(folder: str, parts: Mapping[str, str | bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(f"{folder}/{name}", text)
    return content.getvalue()
