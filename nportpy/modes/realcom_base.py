"""What a Real COM service is told, apart from what serves it: a gateway without one need not import that."""

from dataclasses import dataclass
from typing import Final

from nportpy.network.addresses import Endpoint
from nportpy.network.service import ServiceSettings, WhenDown

MOST_NUMBERED: Final = 32
"""Serial ports that have default TCP ports, as the drivers know them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealComSettings(ServiceSettings):
    """A Real COM service: a data and a command port for drivers of NPorts. Times are seconds.

    A client is a pair of connections, and either one's end is the end of the other, so `half_close` has no meaning
    here: what a client has sent before it closed goes to the line, as long as that makes progress. A driver opens its
    port again at once when it is closed, so by default clients are held while the device is away. What DTR and RTS are
    when nobody is there is the port's matter (line/stream.py, `idle_levels`).

    Attributes:
        data: where data connections come in.
        command: where command connections come in.
        listen: has no meaning; `data` and `command` have.
        number: of the serial port, from 1, as discovery tells it; 0: none.
        max_clients: pairs of connections at once. With more than one the configuration's settings rule, clients'
            commands succeed and do nothing, and nobody waits for bytes to leave; see `allow_driver_control`.
        allow_driver_control: with several clients, all of them may change the line, and the last command counts. One
            alone always may, unless another service's client controls the line.
        grace: how long the data connection has to be quiet before a wait for its bytes to leave may be over: more on
            slow networks.
        poll: a client that was silent for so long is asked for a sign of life; 0: never. It has 12 s to give one.
    """

    data: tuple[Endpoint, ...]
    command: tuple[Endpoint, ...]
    listen: tuple[Endpoint, ...] = ()
    number: int = 0
    max_clients: int = 1
    half_close: float = 0.0
    when_down: WhenDown = WhenDown.HOLD
    allow_driver_control: bool = False
    grace: float = 0.01
    poll: float = 40.0


def default_ports(number: int) -> tuple[int, int]:
    """The TCP ports, data and command, that drivers expect of a serial port; all below 1024.

    Args:
        number: of the serial port, 1 to `MOST_NUMBERED`.
    """
    return (949 + number, 965 + number) if number <= 16 else (965 + number, 981 + number)
