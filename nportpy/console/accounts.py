"""Accounts and tokens, as admins see and change them; the command is `nportpy user`."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from nportpy.accounts.roles import Extra, Right, Role
from nportpy.console.desk import Desk
from nportpy.console.routes import Asked, Field, Handler, Route, Wrong
from nportpy.errors import AccountError
from nportpy.services.answers import found

_DAY: Final = 86400
_ROLE: Final = Field("role", "string", "what it is for", required=True, choices=tuple(Role))
_EXTRAS: Final = tuple(Field(each, "boolean", f"the single right {each} beside the role") for each in Extra)
_NAME: Final = Field("name", "string", "letters, digits, and . _ @ - between them", required=True, high=64)
_PASSWORD: Final = Field("password", "string", "12 characters or more", required=True, high=256)
_DAYS: Final = Field("days", "integer", "how long it is valid; for ever", low=1, high=36500)


class Accounts:
    """Handlers of the routes about them."""

    def __init__(self, desk: Desk) -> None:
        """Of one gateway."""
        self._desk = desk

    def routes(self) -> tuple[Route, ...]:
        """They."""
        return (
            Route("GET", "/api/v1/users", "accounts and tokens", self.users, Right.ACCOUNTS),
            self._route("/api/v1/users", "add an account", self.add, (_NAME, _ROLE, *_EXTRAS, _PASSWORD)),
            self._route("/api/v1/users/{name}/password", "give another password", self.set_password, (_PASSWORD,)),
            self._route("/api/v1/users/{name}/role", "give another role", self.set_role, (_ROLE, *_EXTRAS)),
            self._route("/api/v1/users/{name}/remove", "remove an account", self.remove, ()),
            self._route(
                "/api/v1/tokens", "make a token, and show it once", self.add_token, (_NAME, _ROLE, *_EXTRAS, _DAYS)
            ),
            self._route("/api/v1/tokens/{name}/remove", "remove a token", self.remove_token, ()),
        )

    def _route(self, path: str, summary: str, handler: Handler, body: tuple[Field, ...]) -> Route:
        return Route("POST", path, summary, handler, Right.ACCOUNTS, body=body)

    async def users(self, _asked: Asked) -> web.StreamResponse:
        """Who there is; neither hashes nor digests."""
        gate = self._desk.gate
        logins = None if gate is None else gate.logins
        accounts = logins.accounts.accounts if logins is not None else ()
        tokens = logins.accounts.tokens if logins is not None else ()
        document = {
            "accounts": [{"name": each.name, "role": each.role, "rights": each.extras} for each in accounts],
            "tokens": [
                {"name": each.name, "role": each.role, "rights": each.extras, "end": each.end} for each in tokens
            ],
        }
        return found(document)

    async def add(self, asked: Asked) -> web.StreamResponse:
        """An account."""
        from nportpy.accounts import changing

        role, extras = Role(asked.get("role")), _extras(asked)
        await self._change(asked, changing.add, asked.get("name"), role, extras, asked.get("password"))
        return found({"name": asked.get("name")})

    async def set_password(self, asked: Asked) -> web.StreamResponse:
        """Another password."""
        from nportpy.accounts import changing

        await self._change(asked, changing.set_password, asked.get("name"), asked.get("password"))
        return found({"name": asked.get("name")})

    async def set_role(self, asked: Asked) -> web.StreamResponse:
        """Another role."""
        from nportpy.accounts import changing

        name, role = asked.get("name"), Role(asked.get("role"))
        await self._change(asked, changing.set_role, name, role, _extras(asked), keep_one=True)
        return found({"name": asked.get("name")})

    async def remove(self, asked: Asked) -> web.StreamResponse:
        """An account goes."""
        from nportpy.accounts import changing

        await self._change(asked, changing.remove, asked.get("name"), keep_one=True)
        return found({"name": asked.get("name")})

    async def add_token(self, asked: Asked) -> web.StreamResponse:
        """A token."""
        from nportpy.accounts import changing

        days = asked.get("days")
        end = None if days is None else time.time() + days * _DAY
        role, extras = Role(asked.get("role")), _extras(asked)
        text = await self._change(asked, changing.add_token, asked.get("name"), role, extras, end)
        return found({"name": asked.get("name"), "token": text})

    async def remove_token(self, asked: Asked) -> web.StreamResponse:
        """A token goes."""
        from nportpy.accounts import changing

        await self._change(asked, changing.remove_token, asked.get("name"), keep_one=True)
        return found({"name": asked.get("name")})

    async def _change(self, asked: Asked, how: Callable[..., Any], *given: Any, **more: Any) -> Any:
        """Change the file, in a thread: a hash takes a while, and so may a disk."""
        gate = self._desk.gate
        path = None if gate is None else gate.settings.file
        if gate is None or path is None:
            detail = "this gateway has no file of accounts: accounts_file in [http]"
            raise Wrong(HTTPStatus.CONFLICT, detail)
        try:
            made = await asyncio.to_thread(how, path, *given, **more)
        except AccountError as error:
            raise Wrong(HTTPStatus.CONFLICT, str(error)) from error
        finally:
            gate.look(asked.who, str(asked.request.remote))
        return made


def _extras(asked: Asked) -> tuple[Extra, ...]:
    return tuple(each for each in Extra if asked.get(each))
