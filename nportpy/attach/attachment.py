"""A virtual COM port: a terminal on this side, a conversation with a server on the other.

    program -> Terminal -> Attachment.written -> Conversation.write -> socket
    socket -> Conversation -> Attachment.heard -> Terminal.write -> program

Both ways are plain calls. A program that writes faster than the server takes it is not read on, and so held back by
the kernel; a server that sends faster than programs read is not read either.

The connection is made anew for ever, with pauses from 0.1 s to 5 s; what programs have set is set again then. A reason
is logged when it is new, not at every attempt.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, assert_never

from nportpy.attach.conversation import Conversation, connect
from nportpy.attach.realcom import RealComSession
from nportpy.attach.realcom_conversation import RealComConversation
from nportpy.attach.rfc2217 import Rfc2217Session
from nportpy.attach.session import (
    Arrived,
    Doubted,
    Event,
    Garbage,
    Learned,
    RawSession,
    Received,
    Refused,
    Session,
    Settled,
    Suspended,
)
from nportpy.attach.settings import AttachSettings, Connect, Counts, WhileAway
from nportpy.attach.target import Scheme, Target
from nportpy.attach.terminal import Terminal
from nportpy.attach.wish import Wish
from nportpy.linesettings import Parity

FIRST_PAUSE: Final = 0.1
LAST_PAUSE: Final = 5.0
STABLE: Final = 5.0
"""Seconds that a connection must live for the pauses, and the reasons in the log, to start over."""

STAY: Final = 1.0
"""Seconds that a connection made on demand outlives the last closing: programs often come one after another."""

BREAK_TIME: Final = 0.25
"""Seconds of a break: as long as that of tcsendbreak(3), at least."""

PAUSE_AT: Final = 64 * 1024
"""Bytes that no program has fetched, from which on the server is not read. It is not asked to suspend: the request to
resume would stand behind data that a server may not take before it is rid of its own, and both would wait for ever."""

_LOOK = 0.01
_UNDER_WAY = 0.1  # seconds that the kernel may take to hand over what a program has written: it does so in a worker

log = logging.getLogger(__name__)


Connector = Callable[[Target, Callable[[], Conversation]], Awaitable[Conversation]]


class Attachment:
    """One virtual COM port: `open` it, then `run` it.

    Attributes:
        state: in a few words, for people.
        counts: what has passed.
    """

    def __init__(
        self,
        settings: AttachSettings,
        *,
        connector: Connector = connect,
        on_state: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing is there before `open`. `connector` makes connections, `on_state` is given each new state."""
        self.state = ""
        self.counts = Counts()
        self._settings = settings
        self._connector = connector
        self._on_state = on_state
        self._terminal: Terminal
        self._conversation: Conversation | None = None
        self._tasks: asyncio.TaskGroup
        self._line = settings.wish  # what was set: by configuration, then by programs
        self._set = False  # a program has set something
        self._learned: Wish | None = None  # what the server had
        self._shown: Wish | None = None  # the same as programs find it
        self._raised: bool | None = None  # DTR and RTS; None: not touched yet
        self._full = self._suspended = self._deaf = False
        self._reasons: set[str] = set()
        self._announce = True
        self._leaving = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wanted = asyncio.Event()
        self._stop = asyncio.Event()

    def open(self) -> None:
        """Make the port. `run` ends it.

        Raises:
            LineBusy: something else than a link has the link's name.
            OSError: the terminal or its link cannot be made.
        """
        settings = self._settings
        self._terminal = Terminal(settings.link, self, mode=settings.mode, group=settings.group)
        if self._line is not None:
            self._terminal.show(self._line)
        if settings.connect is Connect.ALWAYS:
            self._wanted.set()
        self._steer()

    async def run(self) -> None:
        """Be a port until `stop`, and let what was written arrive then."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                connecting = tasks.create_task(self._keep_connected(), name="connection")
                await self._stop.wait()
                self._terminal.withdraw()
                await self._drain()
                connecting.cancel()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._terminal.close()

    def stop(self) -> None:
        """End, see `run`."""
        self._stop.set()

    def send_break(self) -> None:
        """A break of `BREAK_TIME`: programs cannot send one through a pseudo-terminal."""
        self._set_break(on=True)
        self._later("break", BREAK_TIME, lambda: self._set_break(on=False))

    def _set_break(self, *, on: bool) -> None:
        if (conversation := self._settled) is not None:
            conversation.session.set_break(on=on)
            conversation.send()

    def _later(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        self._not_later(name)
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, call)

    def _not_later(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    # The connection.

    @property
    def _settled(self) -> Conversation | None:
        """The conversation, if data may be sent there."""
        conversation = self._conversation
        return conversation if conversation is not None and conversation.session.settled else None

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            if not self._wanted.is_set():
                self._say("waits for a program")
                await self._wanted.wait()
                pause = FIRST_PAUSE
            began = None
            try:
                conversation = await self._connector(self._settings.target, self._new_conversation)
                began = loop.time()
                try:
                    reason = await conversation.lost
                finally:
                    conversation.abort()
            except OSError as error:
                reason = str(error)
            if began is not None and loop.time() - began >= STABLE:
                pause = FIRST_PAUSE
                self._reasons.clear()
            if self._leaving:
                return
            if self._wanted.is_set():
                self._say(f"no connection: {reason}")
                if self._log_once(logging.WARNING, "no connection, trying on", reason):
                    self._announce = True
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE)

    def _new_conversation(self) -> Conversation:
        target = self._settings.target
        if target.commands is not None:
            return RealComConversation(RealComSession(raised=not self._settings.modem), self, target.commands)
        session: Session = RawSession() if target.scheme is Scheme.RAW else Rfc2217Session()
        return Conversation(session, self)

    def connected(self, conversation: Conversation) -> None:
        """See `ConversationReceiver`."""
        self._conversation = conversation
        self.counts.connections += 1
        self._steer()

    def gone(self) -> None:
        """See `ConversationReceiver`."""
        self._conversation = None
        self._full = self._suspended = self._deaf = False
        self._not_later("break")
        self._not_later("leave")
        self._steer()

    def _leave(self) -> None:
        """Nobody has had the port open for a while."""
        self._wanted.clear()
        if self._conversation is not None:
            self._tasks.create_task(self._part(self._conversation), name="parting")

    async def _part(self, conversation: Conversation) -> None:
        await conversation.arrival(self._settings.drain)
        if not self._wanted.is_set():
            await conversation.close(self._settings.drain)

    async def _drain(self) -> None:
        """Let what was written arrive, and give the server back."""
        loop = asyncio.get_running_loop()
        before, since = self._progress(), loop.time()
        seen = loop.time()  # that something was there, or could have been
        while loop.time() - since < self._settings.drain:
            if self._terminal.holds_data():
                seen = loop.time()
            elif loop.time() - seen >= _UNDER_WAY:
                break
            await asyncio.sleep(_LOOK)
            if self._progress() != before and not self._terminal.open:  # a program that is there may write for ever
                before, since = self._progress(), loop.time()
        if self._terminal.holds_data():
            log.warning("stopped with unsent data", extra=self._names)
        if (conversation := self._settled) is not None:
            self._terminal.hold()
            if self._terminal.open and self._terminal.hang_up:
                self._set_modem_lines(on=False)
            if not await conversation.arrival(self._settings.drain):
                log.warning("stopped before all data had arrived", extra=self._names)
            self._leaving = True
            await conversation.close(self._settings.drain)

    def _progress(self) -> tuple[int, int]:
        """Changes while bytes get on: those that were sent, and those that a change of settings waits for."""
        return self.counts.sent, 0 if self._conversation is None else self._conversation.left

    def _say(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)

    def _log_once(self, level: int, message: str, reason: str) -> bool:
        """Log it, unless that was done lately; whether it was."""
        new = f"{message}: {reason}" not in self._reasons
        if new:
            self._reasons.add(f"{message}: {reason}")
            log.log(level, message, extra=self._names | {"reason": reason})
        return new

    @property
    def _names(self) -> dict[str, str]:
        return {"link": self._settings.link, "target": str(self._settings.target)}

    # From the server.

    def heard(self, data: bytes) -> None:
        """See `ConversationReceiver`."""
        self.counts.received += len(data)
        terminal = self._terminal
        terminal.write(data)
        if terminal.waiting > PAUSE_AT and self._conversation is not None and not self._deaf:
            self._deaf = True
            self._conversation.pause_reading()

    def has_room(self) -> None:
        """See `TerminalReceiver`."""
        if self._deaf and self._conversation is not None:
            self._conversation.resume_reading()
        self._deaf = False

    def full(self, *, on: bool) -> None:
        """See `ConversationReceiver`."""
        self._full = on
        self._steer()

    def told(self, event: Event) -> None:
        """See `ConversationReceiver`."""
        match event:
            case Settled(complaint, other):
                self._begin(self._other(complaint) if other else complaint)
            case Doubted(reason):
                complaint = self._other(reason)
                self._log_once(logging.WARNING, "the server may be of another kind", complaint)
                self._say(f"connected: {complaint}")
            case Learned(wish):
                self._learned = wish
                if not self._set and self._terminal.show(wish):
                    self._shown = self._terminal.wish
            case Refused(what, asked, has):
                self._log_once(
                    logging.WARNING, "the server has not what it was asked for", f"{what} {has}, not {asked}"
                )
            case Suspended(on):
                self._suspended = on
                self._steer()
            case Garbage(reason):
                self._log_once(logging.INFO, "the server says what makes no sense", reason)
            case Received() | Arrived():
                pass
            case _:
                assert_never(event)

    def _other(self, reason: str) -> str:
        return f"{reason}; another kind of port? {self._settings.target.others}"

    def _begin(self, complaint: str) -> None:
        """Data may be sent now: the settings first."""
        conversation = self._conversation
        assert conversation is not None  # it says so
        if complaint:
            self._log_once(logging.WARNING, "the server cannot do all", complaint)
        elif self._announce:
            log.info("connected", extra=self._names)
        self._announce = False
        self._say(f"connected: {complaint}" if complaint else "connected")
        if not self._set:
            conversation.session.ask_line()
        if self._line is not None:
            conversation.session.set_line(self._line)
        if self._settings.modem:
            if self._terminal.open:
                self._raise_lines()
            elif self._raised is not None:
                self._set_modem_lines(on=self._raised)
        self._steer()

    # From programs.

    def _steer(self) -> None:
        """Read what programs write exactly if there is somebody to take it."""
        if self._conversation is None:
            away = self._settings.while_away is WhileAway.DROP and self._wanted.is_set()
            reading = away
        else:
            reading = self._settled is not None and not self._full and not self._suspended
        if reading:
            self._terminal.read_on()
        else:
            self._terminal.hold()

    def written(self, data: bytes) -> None:
        """See `TerminalReceiver`."""
        if self._conversation is None:
            self.counts.dropped += len(data)
            return
        self.counts.sent += len(data)
        self._conversation.write(data)

    def changed(self) -> None:
        """See `TerminalReceiver`."""
        wish = self._terminal.wish
        if not self._set and wish == self._shown:
            return  # a program that is content with what the server has
        self._set = True
        self._line = self._complete(wish)
        if (conversation := self._settled) is not None:
            conversation.session.set_line(self._line)
            if self._settings.modem and self._terminal.open:
                self._raise_lines()
            conversation.send()

    def _complete(self, wish: Wish) -> Wish:
        """A program's wish with what a terminal cannot say."""
        if self._settings.fixed and (given := self._settings.wish) is not None:
            return replace(wish, data_bits=given.data_bits, parity=given.parity, stop_bits=given.stop_bits)
        parity = wish.parity
        if parity is None and self._line is not None and self._line.parity is not None:
            # A program before this one wanted another than the server had.
            parity = Parity.NONE if self._learned is None else self._learned.parity
        return replace(wish, parity=parity)

    def flushed(self, *, received: bool, unsent: bool) -> None:
        """See `TerminalReceiver`."""
        if (conversation := self._settled) is not None:
            conversation.session.purge(received=received, unsent=unsent)
            conversation.send()

    def opened(self) -> None:
        """See `TerminalReceiver`."""
        self._not_later("leave")
        self._wanted.set()
        if self._settings.modem:
            self._raise_lines()

    def closed(self) -> None:
        """See `TerminalReceiver`."""
        if self._settings.modem and self._terminal.hang_up:
            self._set_modem_lines(on=False)
        if self._settings.connect is Connect.OPEN:
            self._later("leave", STAY, self._leave)

    def _raise_lines(self) -> None:
        """A program has the port open; a speed of 0 hangs up all the same (tcsetattr(3))."""
        self._set_modem_lines(on=self._line is None or self._line.baudrate != 0)

    def _set_modem_lines(self, *, on: bool) -> None:
        self._raised = on
        if (conversation := self._settled) is not None:
            conversation.session.set_modem_lines(on=on)
            conversation.send()
