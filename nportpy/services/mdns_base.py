"""What multicast DNS is told, apart from what announces."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MdnsSettings:
    """What is announced, and where.

    Attributes:
        interfaces: addresses of the network interfaces to announce on; none: all of them.
        raw: announce raw TCP services (`_iostream._tcp`).
        rfc2217: announce RFC 2217 services (`_iostream._tcp`).
        realcom: announce Real COM services, by their data port (`_realcom._tcp`).
        modbus: announce Modbus TCP services (`_mbap._tcp`, by TLS `_mbap-s._tcp`).
        http: announce the HTTP service (`_http._tcp`, by TLS `_https._tcp`), if it listens beyond this machine.
    """

    interfaces: tuple[str, ...] = ()
    raw: bool = True
    rfc2217: bool = True
    realcom: bool = True
    modbus: bool = True
    http: bool = True

    def wants(self, kind: str) -> bool:
        """Whether services of a kind are announced."""
        return bool(getattr(self, kind, False))
