"""What the modes that speak Modbus in the network have in common: their settings."""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.modbus.settings import Framing, RoutingSettings
from nportpy.network.service import ServiceSettings
from nportpy.protocols.modbus.exchange import Echo


class Access(StrEnum):
    """How requests come in."""

    TCP = "tcp"  # Modbus TCP
    UDP = "udp"  # the same frames, one in a datagram
    RTU = "rtu"  # RTU frames in a TCP connection
    ASCII = "ascii"  # ASCII frames in a TCP connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusSettings(ServiceSettings):
    """A service that takes Modbus requests from the network.

    Its clients never hear of the device coming and going but by exceptions, so `when_down` has no meaning here.

    Attributes:
        protocol: how requests come in.
        routing: where they go, and who may ask what.
        max_clients: how many at once; over UDP, how many addresses are remembered.
        outstanding: requests of one client that may be under way, all buses counted; beyond: exception 06.
        security: it is MODBUS/TCP Security: TLS, and who comes shows a certificate, which may name its role.
    """

    protocol: Access = Access.TCP
    routing: RoutingSettings
    max_clients: int = 32
    outstanding: int = 64
    security: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSettings:
    """A master on the line, whose units are elsewhere.

    Attributes:
        framing: how its frames look.
        echo: whether the line hears what is sent.
        routing: where its requests go. Units that have no route are left to those who may be on the line.
        exceptions: what the gateway itself would answer with an exception (0A, 0B, 06) is so answered; else the
            master hears nothing, as of a unit that is not there.
        deadline: seconds after which an answer comes too late for the master.
    """

    framing: Framing = Framing.RTU
    echo: Echo = Echo.AUTO
    routing: RoutingSettings
    exceptions: bool = True
    deadline: float = 1.0
