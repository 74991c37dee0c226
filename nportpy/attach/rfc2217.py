"""RFC 2217 as a session: what protocols/rfc2217_client.py says and hears, in a terminal's words."""

from typing import Final, assert_never

from nportpy.attach.session import Arrived, Event, Garbage, Learned, Received, Refused, Session, Settled, Suspended
from nportpy.attach.wish import Wish
from nportpy.linesettings import StopBits
from nportpy.protocols import rfc2217, rfc2217_client
from nportpy.protocols.rfc2217 import ControlValue
from nportpy.protocols.rfc2217_client import CONTROLS, Item, Rfc2217Client

NEGOTIATION_TIME: Final = rfc2217_client.NEGOTIATION_TIME
"""Seconds in which a server should have answered to the telnet options."""

_STOP_BITS: Final = {stop_bits: int(rfc2217.stopsize_value(stop_bits)) for stop_bits in StopBits}


class Rfc2217Session(Session):
    """See `Session`."""

    def __init__(self) -> None:
        """Nothing is said before `begin`."""
        self._client = Rfc2217Client()

    @property
    def settled(self) -> bool:  # type: ignore[override]  # an attribute that is not set is a property
        """See `Session`."""
        return self._client.settled

    @property
    def plain_in(self) -> bool:  # type: ignore[override]  # likewise
        """See `Session`."""
        return self._client.plain_in

    @property
    def plain_out(self) -> bool:  # type: ignore[override]  # likewise
        """See `Session`."""
        return self._client.plain_out

    def begin(self, now: float) -> list[Event]:
        """See `Session`."""
        self._client.begin(now, NEGOTIATION_TIME)
        return []

    def deadline(self) -> float | None:
        """See `Session`."""
        return self._client.deadline()

    def expire(self, now: float) -> list[Event]:
        """See `Session`."""
        return self._told(self._client.expire(now))

    def take_output(self) -> bytes:
        """See `Session`."""
        return self._client.take_output()

    def encode(self, data: bytes) -> bytes:
        """See `Session`."""
        return self._client.encode(data)

    # From the server.

    def feed(self, data: bytes) -> list[Event]:
        """See `Session`."""
        return self._told(self._client.feed(data))

    def _told(self, heard: list[rfc2217_client.Event]) -> list[Event]:
        events: list[Event] = []
        for event in heard:
            match event:
                case rfc2217_client.Received(data):
                    events.append(Received(data))
                case rfc2217_client.Settled(com_port, _):
                    events.append(self._settled(com_port=com_port))
                case rfc2217_client.LineIs(baudrate, data_bits, parity, stop_bits, flow, flow_in):
                    events.append(Learned(Wish(baudrate, data_bits, parity, stop_bits, flow, flow_in)))
                case rfc2217_client.Refused(what, asked, has):
                    item = Item(what)
                    events.append(Refused(_name(item), _text(item, asked), _text(item, has)))
                case rfc2217_client.Suspended(on):
                    events.append(Suspended(on))
                case rfc2217_client.Arrived():
                    events.append(Arrived())
                case rfc2217_client.Garbage(reason):
                    events.append(Garbage(reason))
                case rfc2217_client.InputsAre() | rfc2217_client.BreakHeard() | rfc2217_client.BreakIs():
                    pass  # which a pseudo-terminal cannot show
                case _:
                    assert_never(event)
        return events

    def _settled(self, *, com_port: bool) -> Settled:
        if not self._client.telnet:
            return Settled("the server does not speak telnet, which RFC 2217 is a part of", other=True)
        if not com_port:
            return Settled("the server does not speak RFC 2217: speed, format and modem lines are as they are there")
        if not self._client.plain_out:
            return Settled("the server does not agree to binary transmission")
        return Settled()

    # To the server.

    def ask_line(self) -> None:
        """See `Session`."""
        self._client.ask_line()

    def set_line(self, wish: Wish) -> None:
        """See `Session`."""
        request = self._client.request
        if wish.baudrate:
            request(Item.SPEED, wish.baudrate)
        if wish.data_bits is not None:
            request(Item.SIZE, wish.data_bits)
        if wish.parity is not None:
            request(Item.PARITY, int(rfc2217.parity_value(wish.parity)))
        if wish.stop_bits is not None:
            request(Item.STOP, _STOP_BITS[wish.stop_bits])
        if wish.flow is not None and wish.flow_in is not None:
            self._set_flow(
                int(rfc2217.flow_value(wish.flow)),
                int(rfc2217.inbound_flow_value(wish.flow_in)),
                same=wish.flow is wish.flow_in,
            )

    def _set_flow(self, out: int, inbound: int, *, same: bool) -> None:
        """Both directions. The values 0 to 3 are about both where a server cannot tell them apart (RFC 2217)."""
        client = self._client
        if client.known(Item.FLOW) != out:
            client.request(Item.FLOW, out)
            client.assume(Item.FLOW_IN, inbound if same else None)
        if not same or client.known(Item.FLOW_IN) is not None:
            client.request(Item.FLOW_IN, inbound)

    def set_modem_lines(self, *, on: bool) -> None:
        """See `Session`."""
        self._client.set_dtr(on=on)
        self._client.set_rts(on=on)

    def set_break(self, *, on: bool) -> None:
        """See `Session`."""
        self._client.set_break(on=on)

    def purge(self, *, received: bool, unsent: bool) -> None:
        """See `Session`."""
        self._client.purge(received=received, unsent=unsent)

    def ask_arrival(self) -> bool:
        """See `Session`."""
        return self._client.ask_arrival()


def _name(item: Item) -> str:
    return "speed" if item is Item.SPEED else str(item)


def _text(item: Item, value: int) -> str:
    """A value as one writes it."""
    parity, stop_bits = rfc2217.parity(value), rfc2217.stop_bits(value)
    if item is Item.PARITY and parity is not None:
        return parity.name.lower()
    if item is Item.STOP and stop_bits is not None:
        return str(stop_bits)
    if item in CONTROLS:
        try:
            return ControlValue(value).name.lower().replace("_", " ")
        except ValueError:
            pass
    return str(value)
