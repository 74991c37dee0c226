"""Which meter is there, and how it wants to be spoken to: openings, speeds, addresses and clients are tried in turn.

Silence to the first frame may have any of these reasons, and a meter tells none. Nothing but the opening of a
connection and of an association is ever sent, and no password: meters lock their port after a few wrong ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from nportpy.errors import LineUnsupported, ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.errors import AuthenticationRefused, MeterSilent
from nportpy.meters.dlms.settings import DlmsSettings, Opening, Referencing

CLIENTS: Final = (16, 1, 32, 48)
"""The public client, the management's, and those that two large manufacturers use."""

SERVERS: Final = ((1, 0), (1, 1), (1, 16), (1, 17))
"""Upper and lower addresses: a meter alone on its line, and the first ones of meters that count from 1 or 16."""

BAUDRATES: Final = (9600, 19200, 38400, 4800, 2400, 115200, 57600, 300)
_ONE_BYTE, _SHORT = (2, 4, 1), (2, 4)

Progress = Callable[[str, int, int], None]
"""Is told what comes next, how much has been tried, and how much there is."""


class Client(Protocol):
    """What a search wants of a client (`DlmsClient`)."""

    async def connect(self) -> None:
        """See `DlmsClient`."""

    async def close(self) -> None:
        """See `DlmsClient`."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is tried.

    Attributes:
        openings: in this order.
        lines: speeds and formats for direct HDLC; None: the line is as it is.
        servers: upper and lower addresses.
        clients: client addresses.
        sizes: whether there are addresses of several sizes: not over the TCP wrapper.
        response: seconds that a meter may take for its first answer.
        thorough: go on after the first address that answers.
    """

    openings: Sequence[Opening]
    lines: Sequence[LineSettings | None]
    servers: Sequence[tuple[int, int]] = SERVERS
    clients: Sequence[int] = CLIENTS
    sizes: bool = True
    response: float = 0.5
    thorough: bool = False

    def trials(self) -> Iterator[DlmsSettings]:
        """Everything, the likeliest first; the clients of one address follow each other."""
        for opening in self.openings:
            for line in self.lines if opening is Opening.DIRECT else self.lines[:1]:
                for upper, lower in self.servers:
                    for width in self._widths(upper, lower):
                        for client in self.clients:
                            yield DlmsSettings(
                                client=client,
                                upper=upper,
                                lower=lower,
                                width=width,
                                opening=opening,
                                line=line,
                                response=self.response,
                                long_response=self.response,
                                tries=1,
                            )

    def _widths(self, upper: int, lower: int) -> Sequence[int]:
        if not self.sizes:
            return (0,)
        if max(upper, lower) > 127:
            return (4,)
        return _SHORT if lower else _ONE_BYTE


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody who answers.

    Attributes:
        settings: how; with the referencing that was taken, or the last one tried.
        refusal: why there was no association; empty: there was one, without a password.
        wants_password: whether that is why.
    """

    settings: DlmsSettings
    refusal: str = ""
    wants_password: bool = False


@dataclass(slots=True)
class Scan:
    """A search, and what it has found so far.

    Attributes:
        search: what is tried.
        found: who answered.
        tried: how many trials are done.
        left_out: settings that the driver does not take.
    """

    search: Search
    progress: Progress
    found: list[Found] = field(default_factory=list)
    tried: int = 0
    left_out: list[str] = field(default_factory=list)

    async def run(self, client_for: Callable[[DlmsSettings], Client]) -> None:
        """Try everything, until somebody has answered.

        Raises:
            LineError, OSError: the line or the connection is lost, or nobody is there to connect to.
        """
        trials = list(self.search.trials())
        refused: set[LineSettings | None] = set()
        for trial in trials:
            if self.found and not self.search.thorough and not _same_address(self.found[-1].settings, trial):
                break
            if trial.line not in refused:
                self.progress(describe(trial), self.tried, len(trials))
                try:
                    await self._try(trial, client_for)
                except LineUnsupported as error:
                    refused.add(trial.line)
                    self.left_out.append(f"{trial.line}: {error}")
            self.tried += 1

    async def _try(self, trial: DlmsSettings, client_for: Callable[[DlmsSettings], Client]) -> None:
        found: Found | None = None
        for referencing in Referencing.LOGICAL, Referencing.SHORT:
            settings = replace(trial, referencing=referencing)
            client = client_for(settings)
            try:
                await client.connect()
                found = Found(settings)
                break
            except MeterSilent:
                break
            except ProtocolError as error:
                found = Found(settings, str(error), wants_password=isinstance(error, AuthenticationRefused))
                if found.wants_password:
                    break
            finally:
                await client.close()
        if found is not None:
            self.found.append(found)


def describe(settings: DlmsSettings) -> str:
    """A trial in a few words."""
    line = f"{settings.line} " if settings.line is not None and settings.opening is Opening.DIRECT else ""
    width = f" in {settings.width} bytes" if settings.width else ""
    return f"{settings.opening} {line}server {settings.upper}/{settings.lower}{width} client {settings.client}"


def _same_address(one: DlmsSettings, other: DlmsSettings) -> bool:
    return replace(one, client=0, referencing=Referencing.LOGICAL) == replace(other, client=0)
