"""Asking a running gateway over its own HTTP service."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

import click

from nportpy.cli.tokens import authorised, wanting
from nportpy.network.tls_settings import TlsSettings
from nportpy.services.http_base import HttpSettings

if TYPE_CHECKING:  # most gateways are asked on loopback, plainly
    import ssl

_TIMEOUT: Final = 10.0


class Unreachable(Exception):
    """No gateway answers."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway is asked.

    Attributes:
        url: of it, without a page.
        tls: how it is believed if that is https; None: by the system's authorities.
    """

    url: str
    tls: "ssl.SSLContext | None" = None


def place_of(settings: HttpSettings | None, tables: Iterable[TlsSettings] = ()) -> Place:
    """Where a gateway of such settings is asked from this machine, and by which certificate it is believed: its own.

    Raises:
        Unreachable: nowhere, or its certificate cannot be read.
    """
    url = url_of(settings)
    table = next((each for each in tables if settings is not None and each.name == settings.tls), None)
    return Place(url) if table is None else Place(url, _own(table))


def _own(table: TlsSettings) -> "ssl.SSLContext":
    """Believes exactly what a gateway shows, whoever signed it and for whatever name: both ends are this machine.

    It shows the same, as far as this user may read the key: a gateway that wants certificates of clients takes that if
    it is for clients, too.
    """
    import ssl

    from nportpy.network.tls_contexts import located

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    try:
        for pair in table.pairs:
            made.load_verify_locations(located(pair.certificate))
            if not pair.password_file and os.access(located(pair.key or pair.certificate), os.R_OK):
                made.load_cert_chain(located(pair.certificate), located(pair.key) if pair.key else None)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unreachable(f"the certificate of [tls.{table.name}] cannot be read ({reason})") from error
    return made


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


def opened(base: Place, page: str, query: dict[str, str] | None = None, *, post: bool = False) -> Any:
    """The answer of the gateway at `base`; to be closed.

    Raises:
        Unreachable: none answers.
        click.ClickException: it refuses.
    """
    place = urllib.parse.urlsplit(base.url).netloc
    url = f"{base.url}{page}"
    if query:
        url += f"?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(url, method="POST" if post else "GET")  # noqa: S310 - http or https: see callers
    for name, text in authorised(base.url).items():
        request.add_unredirected_header(name, text)
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT, context=base.tls)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        with error:
            body = error.read().decode(errors="replace")
        detail = json.loads(body)["detail"] if body.startswith("{") else body.strip()
        raise click.ClickException(f"the gateway at {place} says: {detail}{wanting(error.code)}") from None
    except (OSError, HTTPException) as error:
        raise Unreachable(f"no gateway answers at {place} ({getattr(error, 'reason', error)})") from None


def asked(base: Place, page: str, query: dict[str, str] | None = None, *, post: bool = False) -> str:
    """The same as text.

    Raises:
        Unreachable: none answers, or not to the end.
        click.ClickException: it refuses.
    """
    with opened(base, page, query, post=post) as answer:
        try:
            text: str = answer.read().decode()
        except (OSError, HTTPException) as error:
            raise Unreachable(f"the gateway at {urllib.parse.urlsplit(base.url).netloc} broke off ({error})") from None
    return text
