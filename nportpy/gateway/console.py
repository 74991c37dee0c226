"""The console of a gateway, which is imported when somebody first asks for it."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from nportpy.gateway.desk import GatewayDesk

if TYPE_CHECKING:
    from aiohttp import web

    from nportpy.console.console import Console
    from nportpy.services.pages import Found


class LateConsole:
    """See `Pages` (services/pages.py)."""

    def __init__(self, desk: GatewayDesk) -> None:
        """Nothing is imported yet."""
        self._desk = desk
        self._console: Console | None = None

    async def route(self, request: "web.BaseRequest") -> "Found | None":
        """See `Pages`."""
        if self._console is None:
            if not (request.path == "/" or request.path.startswith(("/assets/", "/api/"))):
                return None  # who only scrapes need not pay for it
            await asyncio.to_thread(import_module, "nportpy.console.console")
            from nportpy.console.console import Console

            self._console = self._console or Console(self._desk)
        return await self._console.route(request)
