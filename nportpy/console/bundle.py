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
from collections.abc import Mapping
from importlib.metadata import distributions
from typing import Final

from aiohttp import web

from nportpy import __version__
from nportpy.accounts.roles import Right
from nportpy.console.desk import Desk
from nportpy.console.routes import Asked, Route
from nportpy.services import exposition, metrics, report
from nportpy.services.answers import HEADERS

ZIP: Final = "application/zip"
LEFT_OUT: Final = "(left out)"

_SECRET: Final = re.compile(r"pass|secret|token|key|hash|salt|community|credential|private|psk", re.IGNORECASE)
_A_PLACE: Final = re.compile(r"_(file|env)$")  # where a secret is, and not the secret
_USER: Final = re.compile(r"(://[^/\s:@]*):[^/\s@]*@")
_QUERY: Final = re.compile(r"\b((?:pass\w*|token|secret|\w*key)=)[^&\s\"']+", re.IGNORECASE)


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
                "version, status, metrics, log and configuration in a zip file, without secrets",
                self.bundle,
                Right.MONITOR,
                gives=(ZIP,),
                example="-OJ {url}/api/v1/bundle",
            ),
        )

    async def bundle(self, _asked: Asked) -> web.StreamResponse:
        """It."""
        status = self._desk.status()
        log = [json.dumps(each) for each in self._desk.recent.since(0)]
        parts = {
            "version.json": json.dumps(versions(), indent=2),
            "status.json": "".join(report.document(status)),
            "metrics.txt": "".join(exposition.written(self._registry.collect(), exposition.TEXT)),
            "log.ndjson": "".join(f"{without_secrets(line)}\n" for line in log),
        }
        if (path := self._desk.file()) is not None:
            parts["configuration.json"] = await asyncio.to_thread(configuration, path)
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


def redacted(value: object, *, secret: bool = False) -> object:
    """A value without what may be secret in it; below a secret name, everything is."""
    match value:
        case Mapping():
            return {key: redacted(each, secret=secret or _is_secret(str(key))) for key, each in value.items()}
        case list():
            return [redacted(each, secret=secret) for each in value]
        case _ if secret:
            return LEFT_OUT
        case str():
            return without_secrets(value)
        case _:
            return value


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _A_PLACE.search(name)


def without_secrets(text: str) -> str:
    """A text without the passwords of URLs in it."""
    return _QUERY.sub(rf"\1{LEFT_OUT}", _USER.sub(rf"\1:{LEFT_OUT}@", text))


def _zipped(folder: str, parts: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(f"{folder}/{name}", text)
    return content.getvalue()
