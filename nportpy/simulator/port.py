"""A port on a simulated wire: a gateway opens it as a device, and its speed and format are those of the wire.

    device = WireDevice(PacedWire(Meter(), settings))
    gateway = Gateway(settings, opener=device.opener)

Where a port in memory or a pseudo-terminal says that what was written is sent as soon as the far end has it, this one
says so when the last character has left the wire.
"""

import asyncio

from nportpy.errors import LineBusy, LineDown
from nportpy.linesettings import LineSettings, ModemLines, PortReport, UartCounters
from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.simulator.wire import PacedWire

HIGH_WATER, LOW_WATER = 64 * 1024, 16 * 1024


class WireDevice:
    """A device that can be opened, with a wire behind it.

    Attributes:
        wire: that.
        port: while it is open.
        plugged: whether it is there.
        configured: settings that the gateway asked for, in order.
    """

    def __init__(self, wire: PacedWire, name: str = "wire") -> None:
        """Plugged in."""
        self.wire = wire
        self.name = name
        self.port: WirePort | None = None
        self.plugged = True
        self.configured: list[LineSettings] = []

    async def opener(self, settings: PortSettings, receiver: PortReceiver) -> Port:
        """Open it. See `Opener`."""
        if not self.plugged:
            raise LineDown(f"{settings.device} does not exist")
        if self.port is not None:
            raise LineBusy(f"{settings.device} is in use by another process")
        self.port = WirePort(self, settings, receiver)
        return self.port

    def unplug(self) -> None:
        """Pull it out."""
        self.plugged = False
        if self.port is not None:
            self.port.lose()

    def plug(self) -> None:
        """Put it back."""
        self.plugged = True


class WirePort(Port):
    """See `Port`."""

    def __init__(self, device: WireDevice, settings: PortSettings, receiver: PortReceiver) -> None:
        """Open from now on."""
        self.settings = settings.line
        self.report = PortReport(driver="wire", counters=True)
        self._device = device
        self._wire = device.wire
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._reading = True
        self._waiting = bytearray()  # for room on the wire
        self._arrived = bytearray()  # for somebody who reads
        self._full = False
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Handle | None = None
        self._wire.configure(self.settings, self._loop.time())
        self._schedule()

    def write(self, data: bytes) -> None:
        """See `Port`."""
        if not self._open:
            return
        self._waiting += data
        if not self._full and len(self._waiting) > HIGH_WATER:
            self._full = True
            self._receiver.pause_writing()
        self._run()

    def pause_reading(self) -> None:
        """See `Port`."""
        self._reading = False

    def resume_reading(self) -> None:
        """See `Port`."""
        self._reading = True
        if self._open and self._arrived:
            self._loop.call_soon(self._deliver)

    def unsent(self) -> int:
        """See `Port`."""
        left = max(0.0, self._wire.sent_until - self._loop.time()) / self.settings.character_time
        return len(self._waiting) + int(left + 0.5)

    def sent(self) -> bool:
        """See `Port`."""
        return not self._open or (not self._waiting and self._loop.time() >= self._wire.sent_until)

    async def drain(self) -> None:
        """See `Port`."""
        while not self.sent():  # noqa: ASYNC110 - it is the clock that is waited for
            await asyncio.sleep(max(self._wire.sent_until - self._loop.time(), 1e-4))
        self._check()

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        """See `Port`."""
        thrown = len(self._waiting) if unsent else 0
        if received:
            self._wire.receive(self._loop.time())
            self._arrived.clear()
        if unsent:
            self._waiting.clear()
        return thrown

    def configure(self, settings: LineSettings) -> LineSettings:
        """See `Port`."""
        self._check()
        if settings != self.settings:
            self._device.configured.append(settings)
            self.settings = settings
            self._wire.configure(settings, self._loop.time())
            self._run()
        return settings

    def modem_lines(self) -> ModemLines | None:
        """There are none."""
        return None

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:  # noqa: ARG002
        """There are none."""
        self._check()

    def set_break(self, on: bool) -> None:  # noqa: ARG002 - a wire of characters has none
        """There is none."""
        self._check()

    def counters(self) -> UartCounters | None:
        """Characters with a wrong parity or stop bit."""
        return UartCounters(parity=self._wire.spoilt) if self._open else None

    async def close(self) -> None:
        """See `Port`."""
        self._shut()
        if self._telling is not None:
            self._telling.cancel()

    def lose(self) -> None:
        """The device is gone from under us."""
        if self._open:
            self._shut()
            error = LineDown(f"{self._device.name}: unplugged")
            self._telling = self._loop.call_soon(self._receiver.port_lost, error)

    def _shut(self) -> None:
        self._open = False
        if self._device.port is self:
            self._device.port = None
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        if not self._open:
            raise LineDown(f"{self._device.name} is not open")

    def _run(self, due: float = 0.0) -> None:
        """Let the wire take what waits, and hand over what has come."""
        if not self._open:
            return
        now = max(self._loop.time(), due)
        while self._waiting and (room := self._wire.room(now)):
            self._wire.send(bytes(self._waiting[:room]), now)
            del self._waiting[:room]
        self._arrived += self._wire.receive(now)
        self._schedule()
        if self._full and len(self._waiting) <= LOW_WATER:
            self._full = False
            self._receiver.resume_writing()
        if self._arrived:
            self._deliver()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._wire.deadline()
        self._timer = self._loop.call_at(deadline, self._run, deadline) if deadline is not None else None

    def _deliver(self) -> None:
        if self._open and self._reading and self._arrived:
            data = bytes(self._arrived)
            self._arrived.clear()
            self._receiver.data_received(data)
