"""Who is there: every unit is asked one harmless question, at every speed and format that is to be tried.

A unit is there if a whole frame of it comes, be it an exception, but for those that a gateway makes in the place of
a unit that is not (0A, 0B). Bytes that are no frame say that somebody talks, but not with these settings, or not
alone; then those that said nothing are asked once more. So are those whose answer came too late, when another was
asked already. Nothing but reads is ever sent.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from nportpy.client.connection import Client, connect
from nportpy.client.target import Target
from nportpy.errors import LineUnsupported, ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.identification import REPORT_SERVER_ID, ServerId, Walk, parse_server_id
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.protocols.modbus.reads import cut, request

MAX_CLOSED: Final = 3
"""How many units running may cost the connection before it is given up."""

Progress = Callable[[str, int, int], None]
"""Is told what comes next, how many questions have been asked, and how many there are in sight."""


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look.

    Attributes:
        target: whom to ask.
        lines: the speeds and formats to try, in this order; exactly one where they are not ours to set.
        units: whom to look for.
        timeout: seconds that an answer may take, wire time not counted.
        place: what to read.
        thorough: go on after the first speed and format at which somebody answers.
    """

    target: Target
    lines: tuple[LineSettings, ...]
    units: tuple[int, ...]
    timeout: float
    place: Span
    thorough: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device says of itself.

    Attributes:
        objects: of 43/14, by id.
        server: of 17, which is asked where there are none.
    """

    objects: dict[int, bytes] = field(default_factory=dict)
    server: ServerId | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A unit that is there.

    Attributes:
        unit: its id.
        line: speed and format at which it answered.
        data: what was read, as from `reads.cut`; empty after an exception, and where nothing came in time.
        exception: the exception code that it answered with, or 0.
        identity: what it says of itself.
    """

    unit: int
    line: LineSettings
    data: bytes = b""
    exception: int = 0
    identity: Identity = field(default_factory=Identity)

    @property
    def late(self) -> bool:
        """It was heard, but not in time, or not with what was asked for."""
        return not self.data and not self.exception


class Absence(StrEnum):
    """Why a unit is taken for absent."""

    SILENT = "silent"
    NO_PATH = "no path"  # a gateway answered 0A
    NO_ANSWER = "no answer"  # a gateway answered 0B
    CLOSED = "closed"  # the far end closed the connection


_OF_GATEWAYS = {
    ExceptionCode.GATEWAY_PATH_UNAVAILABLE: Absence.NO_PATH,
    ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND: Absence.NO_ANSWER,
}


class Scan:
    """One search. What it has found can be read at any time, also after it was cancelled or has failed.

    Attributes:
        found: the units that are there, in the order in which they were found.
        noise: how many bytes came that are no frame, by the speed and format, and the unit that was asked then.
        absent: how many units were taken for absent, by reason and for each speed and format anew.
        late: answers that came after the timeout and whose they were cannot be told.
        refused: why speeds and formats were left out: the driver does not know them.
        done: questions asked.
        total: questions in sight.
    """

    def __init__(self, search: Search, progress: Progress) -> None:
        """Nothing is asked before `run`."""
        self.found: list[Found] = []
        self.noise: dict[tuple[LineSettings, int], int] = {}
        self.absent: Counter[Absence] = Counter()
        self.late = 0
        self.refused: list[str] = []
        self.done = 0
        self.total = len(search.lines) * len(search.units)
        self._search = search
        self._question = request(search.place)
        self._progress = progress
        self._client: Client | None = None
        self._closed = 0  # how often running the connection was lost
        self._heard: set[int] = set()  # of whom frames came, at this speed and format

    async def run(self) -> None:
        """Look everywhere.

        Raises:
            OSError: no connection, or none any more.
            LineError: the device cannot be opened, or is lost.
            ProtocolError: the far end does not speak Modbus TCP.
        """
        for line in self._search.lines:
            try:
                await self._look(line)
            except LineUnsupported as error:
                self.refused.append(str(error))
                self.total -= len(self._search.units)
            finally:
                await self._disconnect()
            if self.found and not self._search.thorough:
                return

    async def _look(self, line: LineSettings) -> None:
        """Ask everybody at one speed and format."""
        self._heard = set()
        before = len(self.noise)
        await self._connect(line)
        absent = await self._ask_all(line, self._search.units)
        noisy = len(self.noise) > before
        again = [unit for unit, why in absent.items() if why is Absence.SILENT and (noisy or unit in self._heard)]
        self.total += len(again)
        absent |= await self._ask_all(line, again)
        there = {found.unit for found in self.found if found.line == line}
        for unit in (unit for unit in absent if unit not in there):
            if unit in self._heard:
                self.found.append(Found(unit, line))
            else:
                self.absent[absent[unit]] += 1

    async def _ask_all(self, line: LineSettings, units: list[int] | tuple[int, ...]) -> dict[int, Absence]:
        """Ask them one after another; who was not there, and why."""
        absent: dict[int, Absence] = {}
        for unit in units:
            at = f"{line}, " if self._search.target.sets_line else ""
            self._progress(f"found {len(self.found)}, {at}unit {unit}", self.done, self.total)
            try:
                why = await self._ask(line, unit)
                self._closed = 0
            except ConnectionError:
                self._closed += 1
                if self._closed == MAX_CLOSED:
                    raise
                await self._connect(line)
                why = Absence.CLOSED
            if why is not None:
                absent[unit] = why
            self.done += 1
        return absent

    async def _ask(self, line: LineSettings, unit: int) -> Absence | None:
        """Ask one; None if it is there."""
        client = self._client
        assert client is not None
        try:
            answer = await client.ask(unit, self._question)
        except TimeoutError:
            answer = b""
        heard = client.overheard()
        self._heard |= heard.units
        self.late += heard.late
        if not answer:
            if heard.noise:
                self.noise[line, unit] = heard.noise
            return Absence.SILENT
        if not answer[0] & EXCEPTION_BIT:
            found = Found(unit, line, data=cut(self._search.place, answer, self._search.place))
        elif (code := answer[1]) in _OF_GATEWAYS:
            return _OF_GATEWAYS[ExceptionCode(code)]
        else:
            found = Found(unit, line, exception=code)
        self.noise.pop((line, unit), None)
        self.found.append(found)
        self.found[-1] = replace(found, identity=await identify(client, unit))
        client.overheard()  # what it says late to that is no news
        return None

    async def _connect(self, line: LineSettings) -> None:
        await self._disconnect()
        self._client = await connect(self._search.target, line, self._search.timeout)

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


async def identify(client: Client, unit: int) -> Identity:
    """What `unit` says of itself: nothing, if it knows neither function or does not answer.

    Raises:
        OSError, LineError, ProtocolError: as from `Client.ask`, timeouts apart.
    """
    walk = Walk()
    try:
        while walk.pdu is not None:
            walk.take(await client.ask(unit, walk.pdu))
    except TimeoutError:
        pass  # as many do that do not know the function
    if walk.objects:
        return Identity(walk.objects)
    try:
        return Identity(server=parse_server_id(await client.ask(unit, REPORT_SERVER_ID)))
    except (TimeoutError, ProtocolError):
        return Identity()
