"""A running gateway whose lines are watched from here: where it is, which ports it has, and streams of it."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final

import click

from nportpy.cli.tokens import authorised, wanting

if TYPE_CHECKING:
    import ssl

DEFAULT_URL: Final = "http://127.0.0.1:9550"
CONNECTING: Final = 10.0  # seconds

_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")


class NotThere(Exception):
    """The gateway does not answer, or refuses; the message says what to do."""


def url_of(text: str) -> str:
    """A gateway's URL as one writes it: http://HOST:PORT, or HOST:PORT.

    Raises:
        ValueError: it is none.
    """
    url = text if "://" in text else f"http://{text}"
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no URL of a gateway, as in {DEFAULT_URL}")
    return url.rstrip("/")


def parted(words: Sequence[str]) -> tuple[str, list[str]]:
    """The URL that stands before the other words, or the usual one; and those.

    Raises:
        click.BadParameter: it is none.
    """
    if words and ("://" in words[0] or _PLACE.fullmatch(words[0])):
        try:
            return url_of(words[0]), list(words[1:])
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="URL") from None
    return DEFAULT_URL, list(words)


def ports(url: str, within: float = CONNECTING, tls: "ssl.SSLContext | None" = None) -> list[dict[str, Any]]:
    """The lines of a gateway, and who watches them.

    Raises:
        NotThere: it cannot be asked.
    """
    with opened(url, "/api/v1/captures", {}, within, tls) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def stream(
    url: str,
    port: str,
    what: str,
    query: dict[str, str],
    tls: "ssl.SSLContext | None" = None,
    within: float | None = None,
) -> HTTPResponse:
    """What comes from a line, for as long as it is read; `within` as in `opened`.

    Raises:
        NotThere: it cannot be had.
    """
    return opened(url, f"/api/v1/ports/{urllib.parse.quote(port, safe='')}/{what}", query, within, tls)


def opened(
    url: str, page: str, query: dict[str, str], within: float | None, tls: "ssl.SSLContext | None" = None
) -> HTTPResponse:
    """An answer of a gateway; `within` seconds without a byte it is given up, None: never.

    `tls`: how one that speaks https is believed; None: by the system's authorities.

    Raises:
        NotThere: there is none.
    """
    address = f"{url}{page}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    request = urllib.request.Request(address, headers={"User-Agent": "nportpy"})  # noqa: S310 - see `url_of`
    for name, text in authorised(url).items():
        request.add_unredirected_header(name, text)
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=within, context=tls)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(65536).decode(errors="replace")
        raise NotThere(f"the gateway at {url} says: {_detail(body)}{wanting(error.code)}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise NotThere(
            f"no gateway answers at {url} ({reason}); does one run? nportpy serve, or nportpy demo"
        ) from None
    return answer


def pieces(answer: HTTPResponse) -> Iterator[bytes]:
    """An answer as it comes; an end in its midst is its end."""
    try:
        while piece := answer.read1(65536):
            yield piece
    except (OSError, HTTPException):
        return


def why_ended(url: str, port: str, what: str, tls: "ssl.SSLContext | None" = None) -> str:
    """Why a stream has ended that was to go on: what is said to who asks again."""
    try:
        stream(url, port, what, {"live": "1"}, tls, CONNECTING).close()
    except NotThere as error:
        return str(error)
    return f"the gateway at {url} has ended it; it can be watched again"


def one_port(url: str, words: Sequence[str], tls: "ssl.SSLContext | None" = None) -> str:
    """The port that is meant: the first word, or the only one that there is.

    Raises:
        click.UsageError: there are several, and none was named.
    """
    if words:
        return words[0]
    try:
        names = [each["port"] for each in ports(url, tls=tls)]
    except NotThere as error:
        raise click.ClickException(str(error)) from None
    if len(names) == 1:
        return str(names[0])
    raise click.UsageError(f"which port? The gateway at {url} has {', '.join(names) or 'none'}")


def _detail(body: str) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body.strip().partition("\n")[0][:200]
