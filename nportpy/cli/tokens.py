"""The token by which a command asks a gateway that has accounts: from a file, or the environment; never an argument.

Arguments are for all on a machine to see.
"""

import os
import urllib.parse
from http import HTTPStatus
from typing import Final

import click

VARIABLE: Final = "NPORTPY_TOKEN"

_META: Final = "nportpy.token"
_FILE: Final = "nportpy.token_file"


def _read(context: click.Context, _parameter: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    try:
        with open(path, encoding="utf-8") as file:
            token = file.readline(1000).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise click.BadParameter(f"{path}: {reason}", param_hint="--token-file") from None
    if not token.isascii() or not token.isprintable() or not token:
        raise click.BadParameter(f"{path} has no token in its first line", param_hint="--token-file")
    context.meta[_META] = token
    context.meta[_FILE] = os.path.abspath(path)


token_file = click.option(
    "--token-file", metavar="FILE", envvar="NPORTPY_TOKEN_FILE", expose_value=False, callback=_read,
    help=f"The token that the gateway wants, if it has accounts; else {VARIABLE} has it.",
)  # fmt: skip


def told_file() -> str:
    """Where the token was read from; empty: it was not."""
    return str(click.get_current_context().meta.get(_FILE, ""))


def authorised(url: str) -> dict[str, str]:
    """The token, as it is sent: over TLS, or to this machine; empty if there is none.

    Raises:
        click.ClickException: others could read it on the way.
    """
    context = click.get_current_context(silent=True)
    token = context.meta.get(_META, "") if context is not None else ""
    token = token or os.environ.get(VARIABLE, "")
    if not token:
        return {}
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise click.ClickException(f"a token is not sent over plain HTTP to {parts.hostname}: https://...")
    return {"Authorization": f"Bearer {token}"}


def wanting(status: int) -> str:
    """What to do about an answer of this status, as the end of a message; empty: nothing about a token."""
    if status != HTTPStatus.UNAUTHORIZED:
        return ""
    return f"; with a token: nportpy user token NAME on the gateway, then --token-file FILE or {VARIABLE} here"
