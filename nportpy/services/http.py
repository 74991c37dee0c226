"""HTTP: /metrics, /healthz, /readyz and /api/v1/status."""

from dataclasses import dataclass

from nportpy.status import Network


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP service.

    Attributes:
        listen: (host, port) pairs; port 0 lets the kernel choose.
        allow: who may connect, as rings of networks (gateway, http): an address must be in one of every ring.
    """

    listen: tuple[tuple[str, int], ...] = (("127.0.0.1", 9550),)
    allow: tuple[tuple[Network, ...], ...] = ()
