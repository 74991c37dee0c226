"""A Real COM session with the strict client, on a line that takes its time, and on invented time."""

from collections import deque
from dataclasses import replace

from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.realcom.session import Session, SessionSettings
from tests.support.realcom import Call, Driver

CTS, DSR, CD, RI = ModemLines.CTS, ModemLines.DSR, ModemLines.CD, ModemLines.RI


class SlowLine:
    """A line whose bytes leave one by one; `wire` has each with the settings that it left at."""

    def __init__(self, settings: LineSettings | None = None) -> None:
        self.settings = settings or LineSettings()
        self.lines = CTS | DSR
        self.now = 0.0
        self.stopped = False  # by flow control
        self.in_socket = 0
        self.delivering = 0
        self.refuses = 0  # a speed
        self.wire: list[tuple[int, str]] = []
        self.calls: list[tuple[object, ...]] = []
        self._queue: deque[int] = deque()
        self._next_at = 0.0

    def write(self, data: bytes) -> None:
        if not self._queue:
            self._next_at = self.now + self.settings.character_time
        self._queue.extend(data)

    def advance(self, now: float) -> None:
        while self._queue and not self.stopped and self._next_at <= now:
            self.wire.append((self._queue.popleft(), f"{self.settings.baudrate} {self.settings.format}"))
            self._next_at += self.settings.character_time
        self.now = now

    def next_at(self) -> float | None:
        return self._next_at if self._queue and not self.stopped else None

    @property
    def sent(self) -> bytes:
        return bytes(byte for byte, _ in self.wire)

    def configure(self, wish: LineSettings) -> LineSettings:
        if wish.baudrate == self.refuses:
            wish = replace(wish, baudrate=self.settings.baudrate)
        self.calls.append(("configure", str(wish)))
        self.settings = wish
        return wish

    def modem_lines(self) -> ModemLines:
        return self.lines

    def set_modem_lines(self, *, dtr: bool, rts: bool) -> None:
        self.calls.append(("lines", dtr, rts))

    def set_break(self, on: bool) -> None:
        self.calls.append(("break", on, len(self.wire), round(self.now, 6)))

    def set_flow_characters(self, xon: int, xoff: int) -> None:
        self.calls.append(("characters", xon, xoff))

    def hold_sending(self, hold: bool) -> None:
        self.calls.append(("hold", hold))

    def purge(self, *, received: bool, unsent: bool) -> None:
        self.calls.append(("purge", received, unsent))
        if unsent:
            self._queue.clear()

    def undelivered(self) -> int:
        return self.delivering

    def unread(self) -> int:
        return self.in_socket

    def unsent(self) -> int:
        return max(len(self._queue) - 1, 0)  # one is in the UART

    def all_sent(self) -> bool:
        return not self._queue

    def time_to_send(self) -> float:
        return min(max(self.unsent() * self.settings.character_time, 0.001), 0.05)


class Talk:
    """Driver, session and line. Commands arrive at once, data `late` seconds after them."""

    def __init__(
        self,
        line: SlowLine | None = None,
        settings: SessionSettings | None = None,
        *,
        driver: Driver | None = None,
        late: float = 0.001,
        cut: int = 0,
    ) -> None:
        self.now = 1000.0
        self.line = line or SlowLine()
        self.line.now = self.now
        self.driver = driver or Driver()
        self.settings = settings or SessionSettings()
        self.late = late
        self.cut = cut  # the commands arrive in pieces of so many bytes
        self.commands: list[bytes] = []
        self.output: list[bytes] = []
        self._data: deque[tuple[float, bytes]] = deque()
        self.connect()

    def connect(self, *, recover: bool = False) -> None:
        hello = self.driver._ipv6
        self.session = Session(self.line, self.settings, self.now, hello=hello)
        self.driver.connected(self.now, recover=recover)
        self.pump()

    def pump(self) -> None:
        """Carry all there is."""
        moved = True
        while moved:
            moved = False
            for written in self.driver.take_commands():
                self.commands.append(written)
                for at in range(0, len(written), self.cut or len(written)):
                    self.session.feed(written[at : at + (self.cut or len(written))], self.now)
                moved = True
            if data := self.driver.take_data():
                self._data.append((self.now + self.late, data))
            for piece in self.session.take_output():
                self.output.append(piece)
                self.driver.command_received(piece, self.now)
                moved = True
        self._carry_data()

    def _carry_data(self) -> None:
        self.line.in_socket = 0
        while self._data and self._data[0][0] <= self.now:
            if self.session.hold_data:
                self.line.in_socket = sum(len(data) for at, data in self._data if at <= self.now)
                return
            _, data = self._data.popleft()
            self.session.data_received(len(data), self.now)
            self.line.write(data)

    def run(self, seconds: float = 0.0, *, until_returned: bool = False) -> None:
        """Let time pass, and everybody do what its time has come for."""
        end = self.now + seconds
        self.pump()
        for _ in range(1_000_000):
            if until_returned and self.driver.result is not None:
                return
            moments = [self.session.deadline(), self.driver.deadline(), self.line.next_at()]
            moments += [at for at, _ in self._data if not self.session.hold_data]
            moment = min((at for at in moments if at is not None and at <= end), default=end)
            self.now = max(moment, self.now)
            self.line.advance(self.now)
            self.session.expire(self.now)
            self.driver.expire(self.now)
            self.pump()
            if moment >= end:
                return
        raise AssertionError("time stands still")

    def call(self, call: Call, seconds: float = 70.0) -> str:
        """A system call, to its end; what it returns."""
        self.driver.call(call, self.now)
        self.run(seconds, until_returned=True)
        assert self.driver.result is not None, "it has not returned"
        return self.driver.result

    def open(self) -> None:
        assert self.call(self.driver.open()) == ""
        self.forget()

    def forget(self) -> None:
        self.commands.clear()
        self.output.clear()
        self.line.calls.clear()

    def change(self, modem: ModemLines | None = None, errors: UartCounters | None = None) -> None:
        """News of the line."""
        self.line.lines = self.line.lines if modem is None else modem
        self.session.line_changed(self.line.lines, errors or UartCounters(), self.now)
        self.pump()

    def written(self, data: bytes) -> None:
        self.driver.write(data)
        self.pump()
