"""Who may do more than look: until there are accounts, whoever is on this machine.

A browser on this machine also runs pages of other people, and a proxy on it speaks for other machines. So besides the
address, what came with the request has to fit: no header of a proxy, a Host that names this machine (a page whose name
was rebound to a loopback address has its own there), and an Origin that is ours.
"""

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from nportpy.network.addresses import address_of

_PROXIED: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")
_OWN_SITE: Final = ("same-origin", "none")  # none: typed by the user


def refused(request: web.BaseRequest) -> str:
    """Why it may not act; empty: it may."""
    if not request.remote or not address_of(request.remote).is_loopback:
        return "from this machine only"
    if not is_here(request):
        return "from this machine only: this came through a proxy"
    if not _is_this_machine(request.headers.get("Host", "")):
        return "from this machine only: open it as localhost or 127.0.0.1"
    return "" if is_own(request) else "from a page of its own only: another site asked for this"


def is_here(request: web.BaseRequest) -> bool:
    """Whether it comes from this machine, and through no proxy."""
    here = bool(request.remote) and address_of(request.remote or "").is_loopback
    return here and not any(name in request.headers for name in _PROXIED)


def is_own(request: web.BaseRequest, *, secure: bool = False) -> bool:
    """Whether no page of another site has sent it.

    `secure`: it came by TLS, so that a page that did not is another's, who may stand between: it only looks like ours.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in _OWN_SITE:
        return False
    origin = request.headers.get("Origin")
    try:
        parts = urlsplit(origin or "")
        plain = secure and parts.scheme != "https"
        return origin is None or (parts.netloc == request.headers.get("Host", "") and not plain)
    except ValueError:  # no browser's
        return False


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
