"""The configuration file over HTTP: read with its tag, checked, tried, kept or taken back; and what it was.

Every change names the file that it was made from: `If-Match` with the tag of a GET (RFC 9110, 13.1.1), and is refused
if that is not the file any more.
"""

import math
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.console.desk import Desk
from nportpy.console.looking import packed
from nportpy.console.routes import Asked, Field, Route, Wrong
from nportpy.editing import files
from nportpy.editing.candidate import Candidate
from nportpy.editing.editor import LONGEST, SHORTEST, WINDOW, Faulty, Stale
from nportpy.editing.history import Entry
from nportpy.errors import EditError
from nportpy.services.answers import HEADERS, found
from nportpy.services.bodies import BadBody, content_of

TOML: Final = "application/toml"
MOST: Final = 3 * files.LARGEST
"""Bytes of a body with a text in it: JSON writes some characters as several."""

STATE: Final = "/var/lib/nportpy/nportpy.toml"

_TAG: Final = re.compile(r'"([0-9a-f]{64})"')
_TEXT: Final = Field("text", "string", "the candidate; without it, the file", high=files.LARGEST)
_CHANGES: Final = Field(
    "changes",
    "array",
    'of single values, made in the text first: {"path": ["http", "listen"], "value": ...} or "remove"',
)
_WHY: Final = Field("why", "string", "for those who read the history", high=500)
_WINDOW: Final = Field(
    "window",
    "integer",
    f"seconds in which it is to be confirmed; {WINDOW:.0f}",
    low=int(SHORTEST),
    high=int(LONGEST),
)
_NUMBER: Final = Field("number", "integer", "of the change, as it was told", required=True)


def drop_in() -> str:
    """What lets a unit change its file: systemd's own folder for its state is the one that it may write to."""
    program = sys.argv[0] if sys.argv[0].endswith("/nportpy") else "/opt/nportpy/bin/nportpy"
    return (
        "[Service]\n"
        f"ExecStartPre=-/bin/cp --no-clobber /etc/nportpy/nportpy.toml {STATE}\n"
        "ExecStart=\n"
        f"ExecStart={program} serve -c {STATE}\n"
    )


class Editing:
    """Handlers of its routes."""

    def __init__(self, desk: Desk) -> None:
        """Of one gateway."""
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """They."""
        root = "/api/v1/config"
        return (
            self._route(
                *("GET", root, "the configuration file, its tag, whether it can be changed, and what is tried now"),
                *(self.look, {"example": f"{{url}}{root}"}),
            ),
            self._route(
                *("GET", f"{root}/file", "the file as it is, to keep", self.export),
                {"gives": (TOML,), "example": f"-OJ {{url}}{root}/file"},
            ),
            self._route(
                *("POST", f"{root}/check", "what would be said of a candidate, how it differs, and what it would do"),
                *(self.check, {"body": (_TEXT, _CHANGES), "most": MOST, "example": _curl(f"{root}/check", "{}")}),
            ),
            self._route(
                *("POST", f"{root}/apply", "try a candidate: without a confirmation the gateway goes back"),
                *(self._counted("apply", self.apply), {"body": (_TEXT, _CHANGES, _WHY, _WINDOW), "most": MOST}),
            ),
            self._route(
                *("PUT", f"{root}/file", "the same with a file as it is"),
                *(self._counted("apply", self.put), {"query": (_WHY, _WINDOW)}),
            ),
            self._route(
                *("POST", f"{root}/confirm", "keep what is tried: it becomes the file"),
                *(self._counted("confirm", self.confirm), {"body": (_NUMBER,)}),
            ),
            self._route(
                *("POST", f"{root}/back", "take back what is tried"),
                *(self._counted("take_back", self.back), {"body": (_NUMBER,)}),
            ),
            self._route(
                *("GET", f"{root}/history", "who has changed the file when and why, and what came of it"),
                *(self.history, {"example": f"{{url}}{root}/history"}),
            ),
            self._route("GET", f"{root}/history/{{number}}", "what the file was, or was to be", self.entry, {}),
        )

    def _route(
        self,
        method: str,
        path: str,
        summary: str,
        handler: Callable[[Asked], Awaitable[web.StreamResponse]],
        more: dict[str, Any],
    ) -> Route:
        async def answer(asked: Asked) -> web.StreamResponse:
            try:
                return await handler(asked)
            except Stale as error:
                raise await self._stale(asked, error) from error
            except Faulty as error:
                raise Wrong(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), **_said(error.candidate)) from error
            except EditError as error:
                raise Wrong(HTTPStatus.CONFLICT, str(error)) from error

        return Route(method, path, summary, answer, Right.EDIT, **more)

    def _counted(
        self, name: str, handler: Callable[[Asked], Awaitable[web.StreamResponse]]
    ) -> Callable[[Asked], Awaitable[web.StreamResponse]]:
        """Count what comes of it, and say who did it."""

        async def act(asked: Asked) -> web.StreamResponse:
            result = "failed"
            try:
                response = await handler(asked)
                result = "done"
                return response
            finally:
                self._desk.count(name, result)
                who, client = asked.who, str(asked.request.remote)
                what = {"action": name, **self._told(asked)}
                self._desk.audit.tell("config", who=who.name, how=who.how, client=client, result=result, **what)

        return act

    def _told(self, asked: Asked) -> dict[str, object]:
        """What the audit is told: what for, and the SHA-256 of the file as it was and as it is to be."""
        given = {"change": asked.get("number"), "why": asked.get("why"), "window": asked.get("window")}
        what = {key: value for key, value in given.items() if value is not None}
        editor = self._desk.editor
        if editor.trial is not None:
            what |= {"change": editor.trial.entry.number, "before": editor.trial.base, "after": editor.trial.entry.tag}
        elif editor.last is not None and editor.last.number == what.get("change"):
            what["after"] = editor.last.tag
        return what

    # Reading.

    async def look(self, asked: Asked) -> web.StreamResponse:
        """The file, and how things stand."""
        editor = self._desk.editor
        path, reason = self._desk.file(), editor.why_not()
        text = await editor.read() if path is not None else ""
        tag = files.tag(text.encode())
        response = await packed(
            asked.request,
            {
                "file": path,
                "tag": tag,
                "text": text,
                "editable": not reason,
                "reason": reason,
                "drop_in": drop_in() if reason and path is not None else "",
                "trial": _shown_trial(editor.status()),
                "last": _shown(editor.last) if editor.last is not None else None,
            },
        )
        response.headers["ETag"] = f'"{tag}"'
        return response

    async def export(self, _asked: Asked) -> web.StreamResponse:
        """The file."""
        content = (await self._desk.editor.read()).encode()
        more = {"Content-Disposition": 'attachment; filename="nportpy.toml"', "ETag": f'"{files.tag(content)}"'}
        return web.Response(body=content, headers={**HEADERS, "Content-Type": TOML, **more})

    async def history(self, asked: Asked) -> web.StreamResponse:
        """Entries."""
        entries = await self._desk.editor.history()
        return await packed(asked.request, {"entries": [_shown(each) for each in entries]})

    async def entry(self, asked: Asked) -> web.StreamResponse:
        """One of them."""
        number = asked.get("number")
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise Wrong(HTTPStatus.NOT_FOUND, "entries of the history have numbers")
        try:
            entry = await self._desk.editor.entry(int(number))
        except EditError as error:
            raise Wrong(HTTPStatus.NOT_FOUND, str(error)) from error
        return await packed(asked.request, _shown(entry) | {"text": entry.text})

    async def check(self, asked: Asked) -> web.StreamResponse:
        """What would come of it."""
        text = await self._desk.editor.read()
        candidate = await self._candidate(asked, text)
        affected = self._desk.impact(candidate.settings) if candidate.settings is not None else ()
        tag = files.tag(candidate.text.encode(errors="surrogatepass"))
        said = {"text": candidate.text, "tag": tag, "ok": not candidate.faults, **_said(candidate)}
        said["values"] = [(path, value) for path, value in candidate.values if _is_json(value)]
        return await packed(asked.request, said | {"impact": [asdict(each) for each in affected]})

    # Changing.

    async def apply(self, asked: Asked) -> web.StreamResponse:
        """Try it."""
        base = _base(asked)
        text = asked.get("text")
        if asked.get("changes") is not None or text is None:
            text = (await self._candidate(asked, await self._desk.editor.read())).text
        return await self._apply(asked, text, base)

    async def put(self, asked: Asked) -> web.StreamResponse:
        """Try a file."""
        base = _base(asked)
        if asked.request.content_type != TOML:
            raise Wrong(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send it as {TOML}: curl -H 'Content-Type: {TOML}'")
        try:
            content = await content_of(asked.request, files.LARGEST)
        except BadBody as bad:
            raise Wrong(bad.status, bad.detail) from bad
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise Wrong(HTTPStatus.UNPROCESSABLE_ENTITY, f"line {line} is not UTF-8 text") from error
        return await self._apply(asked, text, base)

    async def _apply(self, asked: Asked, text: str, base: str) -> web.StreamResponse:
        window = asked.get("window", WINDOW)
        trial = await self._desk.editor.apply(text, base, by=_by(asked), why=asked.get("why", ""), window=window)
        response = found({"number": trial.entry.number, "window": window, "until": _time(trial.until)})
        response.headers["ETag"] = f'"{trial.entry.tag}"'
        return response

    async def confirm(self, asked: Asked) -> web.StreamResponse:
        """Keep it."""
        return found(_shown(await self._desk.editor.confirm(asked.get("number"), by=_by(asked))))

    async def back(self, asked: Asked) -> web.StreamResponse:
        """Take it back."""
        return found(_shown(await self._desk.editor.take_back(asked.get("number"), by=_by(asked))))

    async def _candidate(self, asked: Asked, text: str) -> Candidate:
        changes = _changes(asked)
        candidate = asked.get("text", text)
        return await self._desk.editor.check(candidate, changes, text)

    async def _stale(self, asked: Asked, error: Stale) -> Wrong:
        """Somebody else has changed the file: with its tag, and how the candidate differs from it now."""
        diff = ""
        if (text := asked.get("text")) is not None:
            diff = (await self._desk.editor.check(text, (), error.text)).diff
        tag = files.tag(error.text.encode())
        return Wrong(HTTPStatus.PRECONDITION_FAILED, f"{error}: read it again", tag=tag, diff=diff)


def _by(asked: Asked) -> str:
    """Who asks: by name, or from where while there are no accounts."""
    return asked.who.name or str(asked.request.remote)


def _base(asked: Asked) -> str:
    """The tag of the file that a change was made from."""
    text = asked.request.headers.get("If-Match")
    if text is None:
        detail = "say which file this was made from: If-Match with the ETag of /api/v1/config"
        raise Wrong(HTTPStatus.PRECONDITION_REQUIRED, detail)
    match = _TAG.fullmatch(text.strip())
    if match is None:
        raise Wrong(HTTPStatus.PRECONDITION_FAILED, 'If-Match is one ETag of /api/v1/config, as in "2c26b4..."')
    return match[1]


def _changes(asked: Asked) -> list[dict[str, Any]]:
    changes = asked.get("changes", [])
    for each in changes:
        path = each.get("path") if isinstance(each, dict) else None
        sound = isinstance(path, list) and path and all(isinstance(step, str) or type(step) is int for step in path)
        if not sound or len({"value", "remove"} & each.keys()) != 1 or each.keys() - {"path", "value", "remove"}:
            detail = 'a change is {"path": ["port", "meters", "baudrate"], "value": 9600}, or with "remove": true'
            raise Wrong(HTTPStatus.BAD_REQUEST, detail)
    return list(changes)


def _is_json(value: object) -> bool:
    """Whether JSON has it, and a browser keeps it: no infinity, no number that is rounded."""
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 1 << 53


def _said(candidate: Candidate) -> dict[str, Any]:
    faults = [asdict(fault) | {"said": said} for fault, said in zip(candidate.faults, candidate.said, strict=True)]
    return {"faults": faults, "warnings": candidate.warnings, "diff": candidate.diff}


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number, "at": _time(entry.time), "by": entry.by, "why": entry.why, "fate": entry.fate,
        "tag": entry.tag,
    }  # fmt: skip


def _shown_trial(trial: Any) -> dict[str, Any] | None:
    return None if trial is None else asdict(trial) | {"since": _time(trial.since), "until": _time(trial.until)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _curl(path: str, body: str) -> str:
    return f"-H 'Content-Type: application/json' {{url}}{path} -d '{body}'"
