"""Asking a running gateway over its own HTTP service."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
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


class Refused(click.ClickException):
    """The gateway does not do it.

    Attributes:
        status: of its answer.
        problem: what it says, as RFC 9457 has it; empty if it says nothing of the kind.
    """

    def __init__(self, message: str, status: int, problem: dict[str, Any]) -> None:
        """As it is told."""
        super().__init__(message)
        self.status = status
        self.problem = problem


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


def opened(
    base: Place,
    page: str,
    query: dict[str, str] | None = None,
    *,
    post: bool = False,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    within: float = _TIMEOUT,
) -> Any:
    """The answer of the gateway at `base`; to be closed.

    Args:
        base: where it is.
        page: what is asked for.
        query: its parameters.
        post: whether it is a POST.
        body: sent as JSON, by POST; None: there is none.
        headers: more of them.
        within: seconds without a byte.

    Raises:
        Unreachable: none answers.
        Refused: it refuses.
    """
    place = urllib.parse.urlsplit(base.url).netloc
    url = f"{base.url}{page}"
    if query:
        url += f"?{urllib.parse.urlencode(query)}"
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, method="POST" if post or sent else "GET")  # noqa: S310 - see callers
    if sent is not None:
        request.add_header("Content-Type", "application/json")
    for name, text in (headers or {}).items():
        request.add_header(name, text)
    for name, text in authorised(base.url).items():
        request.add_unredirected_header(name, text)
    try:
        return urllib.request.urlopen(request, timeout=within, context=base.tls)  # noqa: S310 - http or https
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        problem = _problem(text)
        detail = problem.get("detail") or text.strip().partition("\n")[0][:200]
        message = f"the gateway at {place} says: {detail}{wanting(error.code)}"
        raise Refused(message, error.code, problem) from None
    except (OSError, HTTPException) as error:
        raise Unreachable(f"no gateway answers at {place} ({getattr(error, 'reason', error)})") from None


def _problem(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def asked(base: Place, page: str, query: dict[str, str] | None = None, **more: Any) -> str:
    """The same as text.

    Raises:
        Unreachable: none answers, or not to the end.
        Refused: it refuses.
    """
    with opened(base, page, query, **more) as answer:
        try:
            text: str = answer.read().decode()
        except (OSError, HTTPException) as error:
            raise Unreachable(f"the gateway at {urllib.parse.urlsplit(base.url).netloc} broke off ({error})") from None
    return text


def told(base: Place, page: str, query: dict[str, str] | None = None, **more: Any) -> Any:
    """The same as JSON has it.

    Raises:
        Unreachable: none answers, or something else does.
        Refused: it refuses.
    """
    try:
        return json.loads(asked(base, page, query, **more))
    except ValueError:
        place = urllib.parse.urlsplit(base.url).netloc
        raise Unreachable(f"what answers at {place} is no gateway of this kind") from None
