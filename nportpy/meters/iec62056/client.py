"""Reads one meter over a line that is held for it: readouts, registers, load profiles. Nothing is ever written to it.

A readout is one conversation: from the sign-on to its last character the line cannot be given to others. Between two
sessions, where the first went wrong, it can.

What is learned of a meter is kept between calls: the speed that works, that its password is wrong, and that a session
of ours is still open to it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nportpy.errors import LineError
from nportpy.line.lease_base import Leased
from nportpy.meters.iec62056.errors import MeterSilent, MeterUnreadable, PasswordRefused, WrongSpeed
from nportpy.meters.iec62056.exchange import REPEATS, Message, hear, whole
from nportpy.meters.iec62056.link import Link
from nportpy.meters.iec62056.opening import Opened, first_message, listen, open_meter
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from nportpy.protocols.iec62056 import profile
from nportpy.protocols.iec62056.datasets import DataSet, Line, Unreadable
from nportpy.protocols.iec62056.identification import C_BAUDRATES, SIGN_ON_BAUDRATE, Identification, Mode
from nportpy.protocols.iec62056.messages import ACKNOWLEDGE, Command, Option, command
from nportpy.protocols.iec62056.reader import Check
from nportpy.protocols.iec62056.values import stamp_at

_MOST_PARTS: Final = 1000  # of one profile
_PASSWORD_TRIES: Final = 2  # where the meter says that it has not understood


@dataclass(frozen=True, slots=True)
class Readout:
    """All that a meter shows.

    Attributes:
        identification: who it is.
        mode: how it was read.
        baudrate: at which it sent.
        lines: data sets by lines, in their order, and lines that cannot be read.
        check: of the block; never `BAD` unless that is to be ignored.
    """

    identification: Identification
    mode: Mode
    baudrate: int
    lines: tuple[Line | Unreadable, ...]
    check: Check

    @property
    def sets(self) -> list[DataSet]:
        """All data sets, in their order. Addresses may occur more than once."""
        return [each for line in self.lines if isinstance(line, Line) for each in line.sets]


@dataclass(frozen=True, slots=True)
class Register:
    """What a meter answered for one address: data sets, or the reason why there are none."""

    address: str
    sets: tuple[DataSet, ...] = ()
    reason: str = ""


class Iec62056Client:
    """One meter. One call at a time.

    Attributes:
        settings: how it is reached and read.
        highest: baud, above which its speed was found not to work.
        identification: the newest; None: none has come.
    """

    def __init__(self, settings: Iec62056Settings, tell: Callable[[str], None] = lambda _: None) -> None:
        """Nothing is known yet.

        Args:
            settings: how the meter is reached and read.
            tell: is told what goes wrong and what is tried then, in one line, where a call takes long because of it.
        """
        self.settings = settings
        self._tell = tell
        self.highest = settings.highest
        self.identification: Identification | None = None
        self._refused = ""
        self._open_until = 0.0  # a session of ours may not be over for the meter before that
        self._programs = False  # it is in programming mode

    async def readout(self, leased: Leased) -> Readout:
        """Its readout.

        Raises:
            MeterSilent: nothing answers.
            MeterUnreadable: what comes cannot be used.
            LineError: the line failed, or was held for too long.
        """
        link = Link(leased, self.settings)
        last: MeterUnreadable | None = None
        highest = self.highest
        for _ in range(REPEATS):
            if last is not None and self.settings.reading is not Reading.LISTEN:
                self._tell(f"{last}; {self._next()}")
                await link.pause(self.settings.pause)
            try:
                return await self._read_out(link)
            except WrongSpeed as error:
                last = error
                self._session_left_open()
                self._slow_down()
            except MeterUnreadable as error:
                last = error
        self.highest = highest  # it was not the speed
        assert last is not None
        raise last

    async def registers(self, leased: Leased, addresses: Sequence[str]) -> list[Register]:
        """Registers by their addresses, in the programming mode (R1), one for each, in this order.

        Raises:
            MeterSilent: nothing answers.
            MeterUnreadable: the meter cannot be used so; the message says why.
            PasswordRefused: now, or before: it is not tried again.
            LineError: the line failed, or was held for too long.
        """
        found: list[Register] = []
        async with self._programming(leased) as link:
            for address in addresses:
                try:
                    message = await self._ask(link, command(Command.READ, address))
                except MeterUnreadable as error:
                    found.append(Register(address, reason=str(error)))
                    continue
                except MeterSilent:
                    if not found:
                        raise
                    reason = "the meter stopped answering before it was asked for this"
                    return found + [Register(each, reason=reason) for each in addresses[len(found) :]]
                found.append(_register(address, message))
        return found

    async def profile(
        self, leased: Leased, start: datetime | None = None, end: datetime | None = None, address: str = "P.01"
    ) -> list[profile.Row]:
        """A load profile's rows, by R5 or R6; a large one is better asked for day by day.

        Args:
            leased: the line.
            start: the first interval, with its zone; None: as far back as the meter keeps them.
            end: the last; None: up to now.
            address: of the profile.

        Raises:
            MeterSilent: nothing answers.
            MeterUnreadable: the meter refuses, or its answer makes no sense.
            PasswordRefused: now, or before: it is not tried again.
            ProtocolError: a header makes no sense.
            LineError: the line failed, or was held for too long.
        """
        settings = self.settings
        bounds = [
            "" if each is None else stamp_at(each, settings.zone, season=settings.season).text()
            for each in (start, end)
        ]
        lines: list[Line | Unreadable] = []
        async with self._programming(leased) as link:
            message = await self._ask(link, command(settings.profile_command, address, ";".join(bounds)))
            for _ in range(_MOST_PARTS):
                if message.error:
                    raise MeterUnreadable(f"the meter refuses {address}: {message.error}")
                lines += message.lines
                if not message.more:
                    break
                await link.send(ACKNOWLEDGE)
                message = await whole(link, settings, settings.response)
            else:
                raise MeterUnreadable(f"{address} has more than {_MOST_PARTS} parts")
        first = next((each.sets[0] for each in lines if isinstance(each, Line)), None)
        if first is None or first.value.upper().startswith("ERR"):  # nothing was kept for that time
            return []
        return profile.rows(lines)

    async def _read_out(self, link: Link) -> Readout:
        settings = self.settings
        if settings.reading is Reading.LISTEN:
            opened = await listen(link, settings)
            self.identification = opened.identification
        else:
            opened = await self._open(link, Option.READOUT)
        message, baudrate = await first_message(link, settings, opened)
        if not message.sets and not message.lines:
            raise MeterUnreadable("the meter sends no readout" + (f": {message.error}" if message.error else ""))
        if baudrate < opened.baudrate:  # it does not heed the acknowledgement
            self.highest = SIGN_ON_BAUDRATE
        if opened.mode in (Mode.C, Mode.E) and message.check is Check.GOOD:
            await link.send(ACKNOWLEDGE)
        # It may take its time until it is back at the first speed.
        self._open_until = asyncio.get_running_loop().time() + settings.pause
        return Readout(opened.identification, opened.mode, baudrate, tuple(message.lines), message.check)

    async def _open(self, link: Link, option: Option) -> Opened:
        """Sign on; where a session of ours may still be open, until the meter has forgotten it."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                opened = await open_meter(link, self.settings, option, self.highest)
            except MeterSilent:
                if (left := self._open_until - loop.time()) <= 0:
                    raise
                self._tell(f"no answer to the sign-on; a session may be open for {left:.0f} s more, trying until then")
                await link.pause(min(self.settings.pause, max(0.1, left)))
            else:
                self.identification = opened.identification
                return opened

    def _session_left_open(self) -> None:
        self._open_until = asyncio.get_running_loop().time() + self.settings.inactivity

    def _next(self) -> str:
        offered = self.identification.baudrate if self.identification is not None else SIGN_ON_BAUDRATE
        return f"trying {min(self.highest, offered)} baud after {self.settings.pause:g} s"

    def _slow_down(self) -> None:
        """The next speed to try: one lower than the meter's offer, then the first."""
        offered = min(self.highest, self.identification.baudrate if self.identification else SIGN_ON_BAUDRATE)
        lower = [each for each in C_BAUDRATES.values() if each < offered]
        tried_before = self.highest < self.settings.highest
        self.highest = SIGN_ON_BAUDRATE if tried_before or not lower else max(lower)

    @asynccontextmanager
    async def _programming(self, leased: Leased) -> AsyncIterator[Link]:
        """The programming mode, with the password given; always ended with B0."""
        if self._refused:
            raise PasswordRefused(self._refused)
        link = Link(leased, self.settings)
        try:
            await self._enter(link)
            await self._give_password(link)
            yield link
        finally:
            if self._programs:
                self._programs = False
                with suppress(LineError):
                    await link.send(command(Command.BREAK))
                    self._open_until = 0.0

    async def _enter(self, link: Link) -> None:
        """As far as the meter's request for a password; modes A and B do without."""
        for attempt in range(REPEATS):
            opened = await self._open(link, Option.PROGRAMMING)
            self._session_left_open()
            self._programs = True
            if opened.mode in (Mode.A, Mode.B):
                return
            try:
                message, _ = await first_message(link, self.settings, opened)
            except WrongSpeed as error:
                self._slow_down()
                if attempt == REPEATS - 1:
                    raise
                self._tell(f"{error}; {self._next()}")
                await link.pause(self.settings.pause)
                continue
            if message.sets:
                raise MeterUnreadable("the meter sends its readout: it has no programming mode on this port")
            return

    async def _give_password(self, link: Link) -> None:
        """Once; a second time only where the meter has not understood the message."""
        if not self.settings.password:
            return
        message = None
        for _ in range(_PASSWORD_TRIES):
            await link.send(command(Command.PASSWORD, "", self.settings.password), secret=True)
            message = await hear(link, self.settings, self.settings.response, agrees=True)
            if message is None or message.agrees is not False:
                break
        if message is None:
            raise MeterSilent("the meter says nothing to the password")
        if message.spoiled or (message.agrees is None and not message.error and not message.broke):
            raise MeterUnreadable(f"the meter's answer to the password: {message.spoiled or 'neither yes nor no'}")
        if not message.agrees:
            words = f": {message.error}" if message.error else ""
            self._refused = f"the meter refuses the password{words}; it is not tried again"
            raise PasswordRefused(self._refused)

    async def _ask(self, link: Link, question: bytes) -> Message:
        """The answer to a command, which is sent again where the meter did not understand it or says nothing."""
        for _ in range(REPEATS):
            await link.send(question)
            try:
                message = await whole(link, self.settings, self.settings.response, agrees=True)
            except MeterSilent:
                continue
            if message.broke:
                raise MeterSilent("the meter ended the session")
            if message.agrees is None:
                return message
        raise MeterSilent("the meter does not answer a command of the programming mode")


def _register(address: str, message: Message) -> Register:
    if message.error:
        return Register(address, reason=f"the meter answers {message.error}")
    sets = message.sets
    if not sets:
        return Register(address, reason="the meter's answer has no data set")
    named = tuple(each if each.address else DataSet(address, each.value, each.unit, each.repeated) for each in sets)
    return Register(address, named)
