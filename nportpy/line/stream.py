"""The stream discipline: many listen, writes go out whole and in order of arrival.

Who hears. Clients that want the line's bytes packed alike stand behind one `Packed` (packed.py); one that only writes
stands nowhere. While nobody listens, a buffer does, if there is one.

Back-pressure. From the line: a client that cannot take more says `hold`. If it is alone, the line is no longer
read, so that flow control or the kernel's buffer holds the device back and nothing is lost; if it is not alone,
the line goes on for the others, unless they are to wait for it, and the client's own allowance counts (modes/session.py
says what happens beyond). Towards the line: while the port's buffer is full, each client that writes is told to stop,
and all are told when there is room again.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from nportpy.line.buffer import Buffer
from nportpy.line.stream_base import Change, Hearer, IdleLevels, StreamClient, StreamSettings, Wire, packs
from nportpy.linesettings import Flow
from nportpy.protocols.packing import PackingSettings

if TYPE_CHECKING:
    from nportpy.line.packed import Packed

__all__ = ["Change", "Hearer", "Stream", "StreamClient", "Wire", "packs"]

_UNPACKED = PackingSettings()
_LOOK_AGAIN = 0.05  # whether the last bytes have left


class Stream:
    """The clients of one line.

    Attributes:
        clients: who is there, in order of arrival.
        hearers: where the line's bytes go: clients, those who pack them for clients, or the buffer.
    """

    def __init__(self, wire: Wire, settings: StreamSettings) -> None:
        """Without clients at first."""
        self.clients: list[StreamClient] = []
        self.hearers: list[Hearer] = []
        self._unheard = 0
        self._wire = wire
        self._send: Callable[[bytes], None] = wire.put
        self._put: Callable[[bytes], None] = wire.put
        self._detained = False  # a lease has the line
        self._shared = False  # with requests (transaction.py): the line is always read
        self._settings = settings
        self._listeners: dict[StreamClient, Packed | None] = {}  # clients that hear, in order, and who packs for them
        self._packed: dict[PackingSettings, Packed] = {}
        self._instead: dict[StreamClient, Hearer] = {}  # for clients that are told nothing for now
        self._waited_for: set[StreamClient] = set()
        self._buffer = Buffer(settings.buffer) if settings.buffer else None
        self._held: set[StreamClient] = set()
        self._told_to_stop: list[StreamClient] = []
        self._full = False
        self._waits = False  # for a request on the line
        self._linger: asyncio.TimerHandle | None = None
        self._idling: asyncio.TimerHandle | None = None
        self._route()

    @property
    def unheard(self) -> int:
        """Bytes that nobody heard, as nobody was there; those that the buffer still has are not among them."""
        return self._unheard + (self._buffer.lost if self._buffer is not None else 0)

    @property
    def buffered(self) -> int:
        """Bytes in the buffer."""
        return len(self._buffer.data) if self._buffer is not None else 0

    @property
    def alone(self) -> bool:
        """Whether only one client listens: then the line itself waits for it."""
        return len(self._listeners) == 1 and not self._shared

    def waits_for(self, client: StreamClient) -> bool:
        """Whether the line waits while this client cannot take more."""
        return client in self._listeners and (self.alone or (client in self._waited_for and not self._shared))

    def share(self, put: Callable[[bytes], None]) -> None:
        """Requests use the line too. What is written goes through `put`, and the line never waits for a client."""
        self._send = self._put = put
        self._shared = True
        self._weigh()

    def join(
        self,
        client: StreamClient,
        *,
        packing: PackingSettings = _UNPACKED,
        hears: bool = True,
        waited_for: bool = False,
    ) -> None:
        """Be a client from now on.

        Args:
            client: who comes.
            packing: which bytes it is told together.
            hears: whether it is told any.
            waited_for: while it cannot take more, the line is not read, even if others listen.
        """
        first = hears and not self._listeners
        if first and self._settings.flush_on_first and self._buffer is None and not self._shared:
            self._wire.flush_received()
        for timer in (self._linger, self._idling):
            if timer is not None:
                timer.cancel()
        self._linger = self._idling = None
        if not self.clients:
            self._set_levels(True)
        self.clients.append(client)
        if hears:
            self._listen(client, packing)
            if waited_for:
                self._waited_for.add(client)
        self._weigh()
        if first and self._buffer is not None and self._buffer.data:
            self.deliver(self._buffer.take())

    def leave(self, client: StreamClient) -> None:
        """Be a client no longer. What was written goes out, as `linger` allows if nobody else is there."""
        self.clients.remove(client)
        self._held.discard(client)
        self._waited_for.discard(client)
        if client in self._told_to_stop:
            self._told_to_stop.remove(client)
        if client in self._listeners:
            self._stop_listening(client)
        self._weigh()
        if not self.clients and self._wire.unsent():
            if self._wire.up:
                self._wait_for_line(self._settings.linger)
            else:
                self._wire.purge_unsent()
        self._go_idle()

    def hurry(self, seconds: float) -> None:
        """The last client had its bytes thrown away: no more than so long for a line that takes none of them."""
        if self._linger is not None and seconds < self._settings.linger:
            self._linger.cancel()
            self._wait_for_line(seconds)

    def _listen(self, client: StreamClient, packing: PackingSettings) -> None:
        packed = None
        if packs(packing):
            packed = self._packed.get(packing)
            if packed is None:
                # Here, because a gateway that packs nothing need not import what that takes.
                from nportpy.line.packed import Packed

                packed = self._packed[packing] = Packed(packing, self._wire.settings.character_time)
        self._listeners[client] = packed
        self._route()

    def _stop_listening(self, client: StreamClient) -> None:
        packed = self._listeners.pop(client)
        missed = self._instead.pop(client, None)
        if packed is not None:
            packed.tell_rest(missed or client)
            if packed not in self._listeners.values():
                packed.close()
                del self._packed[packed.settings]
        self._route()

    def _route(self) -> None:
        """Find out where the line's bytes go: a new list, as somebody may be going through the old one."""
        for packed in self._packed.values():
            packed.hearers = []
        hearers: list[Hearer] = []
        for client, packing in self._listeners.items():
            hearer = self._instead.get(client, client)
            if packing is None:
                hearers.append(hearer)
            else:
                packing.hearers.append(hearer)
        hearers += self._packed.values()
        if not hearers and self._buffer is not None:
            hearers = [self._buffer]
        self.hearers = hearers

    def deliver(self, data: bytes) -> None:
        """Bytes from the line, for everybody."""
        hearers = self.hearers
        if len(hearers) == 1:
            hearers[0].line_data(data)
        elif hearers:
            for hearer in hearers:
                hearer.line_data(data)
        else:
            self._unheard += len(data)

    def forget(self) -> None:
        """Throw away what was heard and is kept until there is more of it."""
        for packed in self._packed.values():
            packed.forget()

    def write(self, client: StreamClient, data: bytes) -> None:
        """Send `data` whole, after all that was written before."""
        self._put(data)
        if (self._full or self._waits) and client not in self._told_to_stop:
            self._told_to_stop.append(client)
            client.line_full()

    def hold(self, client: StreamClient) -> None:
        """The client cannot take more. One that has left says so in vain."""
        if client in self.clients:
            self._held.add(client)
            self._weigh()

    def skip(self, client: StreamClient, instead: Hearer) -> None:
        """Tell the client nothing until it is released; `instead` is told."""
        if client in self._listeners:
            self._instead[client] = instead
            self._route()

    def release(self, client: StreamClient) -> None:
        """The client can take more again."""
        self._held.discard(client)
        if self._instead.pop(client, None) is not None:
            self._route()
        self._weigh()

    def wire_full(self) -> None:
        """The port's buffer is full."""
        self._full = True

    def wire_ready(self) -> None:
        """The port's buffer has room."""
        self._full = False
        self._go_on()

    def wait_for_turn(self) -> None:
        """What was just written is kept until a request is through with the line."""
        self._waits = True

    def turn_came(self) -> None:
        """It has been sent."""
        self._waits = False
        self._go_on()

    def detain(self, keep: Callable[[bytes], None]) -> None:
        """A lease wants the line: what is written goes to `keep`, and who writes is told to stop, until `let_go`."""
        self._detained = True
        self._put = keep

    def let_go(self, kept: Iterable[bytes]) -> None:
        """It has had it: send what was kept meanwhile, and go on."""
        self._detained = self._waits = False
        self._put = self._send
        for data in kept:
            self._put(data)
        self._go_on()

    def _go_on(self) -> None:
        if self._full or self._waits or self._detained:
            return
        told, self._told_to_stop = self._told_to_stop, []
        for client in told:
            client.line_ready()

    def wire_up(self) -> None:
        """The device is there."""
        self._weigh()
        self._go_idle()
        for client in tuple(self.clients):
            client.line_up()

    def wire_down(self) -> None:
        """The device has gone, and what waited in its buffer with it."""
        for packed in tuple(self._packed.values()):
            packed.finish()
        for client in tuple(self.clients):
            client.line_down()
        self.wire_ready()

    def changed(self, change: Change, by: StreamClient | None) -> None:
        """Tell everybody but `by` of a change."""
        if change is Change.SETTINGS:
            for packed in self._packed.values():
                packed.set_character_time(self._wire.settings.character_time)
        for client in tuple(self.clients):
            if client is not by:
                client.line_changed(change)

    def _weigh(self) -> None:
        """Read the line, or leave it to flow control."""
        if self._shared:
            self._wire.hold_reading(False)
        elif self._listeners:
            self._wire.hold_reading(bool(self._held) and any(self.waits_for(client) for client in self._held))
        else:
            self._wire.hold_reading(not self._settings.flush_on_first and self._buffer is None)

    def _go_idle(self) -> None:
        """Move DTR and RTS as they are to be without clients, once the last one's bytes have left."""
        self._idling = None
        if self.clients or self._settings.idle_levels is IdleLevels.KEEP:
            return
        if self._wire.all_sent():
            self._set_levels(self._settings.idle_levels is IdleLevels.HIGH)
        else:
            self._idling = asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._go_idle)

    def _set_levels(self, high: bool) -> None:
        """Move DTR and RTS, if that is wished, as far as flow control does not."""
        if self._settings.idle_levels is not IdleLevels.KEEP:
            line = self._wire.settings
            flows = {line.flow, line.flow_in}
            dtr, rts = (None if flow in flows else high for flow in (Flow.DSRDTR, Flow.RTSCTS))
            self._wire.set_modem_lines(dtr=dtr, rts=rts)

    def set_linger(self, seconds: float) -> None:
        """How long unsent bytes may wait, from the next time on that they begin to."""
        self._settings = replace(self._settings, linger=seconds)

    def _wait_for_line(self, seconds: float) -> None:
        unsent = self._wire.unsent()
        self._linger = asyncio.get_running_loop().call_later(seconds, self._look_at_line, unsent)

    def _look_at_line(self, before: int) -> None:
        self._linger = None
        now = self._wire.unsent()
        if 0 < now < before or (now and self._detained):
            self._wait_for_line(self._settings.linger)
        elif now:
            self._wire.purge_unsent()
