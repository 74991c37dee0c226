"""Who asks a device on a simulated wire, in time that the test makes: no loop, no waiting."""

from nportpy.linesettings import LineSettings
from nportpy.simulator.wire import PacedWire


class Tool:
    """The near end of a wire.

    Attributes:
        now: the time.
        settings: what this end is set to.
    """

    def __init__(self, wire: PacedWire, settings: LineSettings, now: float = 100.0) -> None:
        self.wire = wire
        self.settings = settings
        self.now = now
        self._came = b""

    def tune(self, baudrate: int, format_: str = "7E1") -> None:
        self.settings = LineSettings.parse(baudrate, format_)
        self.wire.configure(self.settings, self.now)

    def say(self, data: bytes, wait: float = 0.0) -> float:
        """Send, and let it pass; when the last character ended. What comes meanwhile is for `hear`."""
        self.pass_(wait)
        at = 0
        while at < len(data):
            room = self.wire.room(self.now)
            if not room:
                self._came += self._step(float("inf"))
                continue
            self.wire.send(data[at : at + room], self.now)
            at += room
        # As a driver that drains: what is left on the wire is what it took last.
        self._came += self.pass_(self.wire.sent_until - self.now)
        return self.now

    def hear(self, within: float, quiet: float = 0.1) -> bytes:
        """What comes in so much time, until it is quiet for a while after something came."""
        heard, until, self._came = self._came, self.now + within, b""
        while self.now < until:
            came = self._step(until)
            if came:
                heard += came
                until = self.now + quiet + 10 * self.settings.character_time
        return heard

    def ask(self, data: bytes, within: float = 3.0, wait: float = 0.0) -> bytes:
        self.say(data, wait)
        return self.hear(within)

    def pass_(self, seconds: float) -> bytes:
        """Let time pass; what came meanwhile."""
        until, heard = self.now + max(seconds, 0.0), b""
        while self.now < until:
            heard += self._step(until)
        return heard

    def _step(self, until: float) -> bytes:
        due = self.wire.deadline()
        self.now = max(self.now, until if due is None else min(due, until))
        return self.wire.receive(self.now)
