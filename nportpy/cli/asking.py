"""Asking a running gateway over its own HTTP service."""

import json
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any, Final

import click

from nportpy.cli.tokens import authorised
from nportpy.services.http import HttpSettings

_TIMEOUT: Final = 10.0


class Unreachable(Exception):
    """No gateway answers."""


def url_of(settings: HttpSettings | None) -> str:
    """Where a gateway of such settings is asked from this machine.

    Raises:
        Unreachable: nowhere.
    """
    if settings is None:
        raise Unreachable("[http] is off, so the gateway cannot be asked")
    host, port = settings.listen[0]
    host = {"::": "::1", "0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104 - read, not bound
    scheme = "https" if settings.tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def opened(base: str, page: str, query: dict[str, str] | None = None, *, post: bool = False) -> Any:
    """The answer of the gateway at `base`; to be closed.

    Raises:
        Unreachable: none answers.
        click.ClickException: it refuses.
    """
    place = urllib.parse.urlsplit(base).netloc
    url = f"{base}{page}"
    if query:
        url += f"?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(url, method="POST" if post else "GET")  # noqa: S310 - http or https: see callers
    for name, text in authorised(base).items():
        request.add_unredirected_header(name, text)
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        with error:
            body = error.read().decode(errors="replace")
        detail = json.loads(body)["detail"] if body.startswith("{") else body.strip()
        raise click.ClickException(f"the gateway at {place} says: {detail}") from None
    except (OSError, HTTPException) as error:
        raise Unreachable(f"no gateway answers at {place} ({getattr(error, 'reason', error)})") from None


def asked(base: str, page: str, query: dict[str, str] | None = None, *, post: bool = False) -> str:
    """The same as text.

    Raises:
        Unreachable: none answers, or not to the end.
        click.ClickException: it refuses.
    """
    with opened(base, page, query, post=post) as answer:
        try:
            text: str = answer.read().decode()
        except (OSError, HTTPException) as error:
            raise Unreachable(f"the gateway at {urllib.parse.urlsplit(base).netloc} broke off ({error})") from None
    return text
