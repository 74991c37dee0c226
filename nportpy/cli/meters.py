"""DLMS meters on the command line: whom to ask, and how, and the way there.

    HOST, HOST:PORT, tcp://HOST:PORT     a meter, or a gateway, that speaks DLMS on TCP (the wrapper); port 4059
    raw://HOST:PORT                      its serial line behind a raw port of nportpy, of an NPort or of ser2net
    rfc2217://HOST:PORT                  the same, and speed and format are set from here
    /dev/ttyUSB0                         a serial device of this machine

A password comes from a file or from the environment: the command line is for everybody to see.
"""

import asyncio
import functools
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import click

from nportpy.cli import completion
from nportpy.cli.options import parsed, patience
from nportpy.client.target import Target
from nportpy.errors import LineDown, NportpyError
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.client import DlmsClient
from nportpy.meters.dlms.errors import MeterSilent
from nportpy.meters.dlms.settings import WRAPPER_PORT, Authentication, DlmsSettings, Opening, Referencing
from nportpy.meters.dlms.transport import OverLine, OverTcp
from nportpy.network.addresses import Endpoint
from nportpy.port.base import Opener, PortSettings
from nportpy.port.opening import open_port

PASSWORD_VARIABLE: Final = "NPORTPY_PASSWORD"  # noqa: S105 - a name, not a password
FORMS: Final = "HOST:PORT (DLMS over TCP), raw://HOST:PORT, rfc2217://HOST:PORT or a device such as /dev/ttyUSB0"

LONGEST_HOLD: Final = 3600.0
"""Seconds for which a command holds a line that it has opened: nobody else waits for it."""

_OPENING: Final = 6.0  # seconds that a device or a connection may take to come up
_LOCALTIME: Final = "/etc/localtime"
_WAYS: Final = ("none", "low", "md5", "sha1", "sha256")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class MeterTarget:
    """Where a meter is.

    Attributes:
        place: an address that speaks the wrapper; or a line: a device or a pyserial URL.
        sets_line: the line's speed and format are set from here.
        text: as it was written.
    """

    place: Endpoint | str
    sets_line: bool
    text: str

    @classmethod
    def parse(cls, text: str) -> "MeterTarget":
        """The target that `text` names.

        Raises:
            ValueError: it names none.
        """
        scheme, there, rest = text.partition("://")
        try:
            if there and scheme in ("raw", "socket"):
                return cls(f"socket://{Target.parse(f'rtu+tcp://{rest}').place}", sets_line=False, text=text)
            if scheme == "rfc2217" or (not there and "/" in text):
                return cls(str(Target.parse(text).place), sets_line=True, text=text)
            if not there or scheme == "tcp":
                place = Target.parse(text).place
                assert isinstance(place, Endpoint)
                named = text.endswith(f":{place.port}")
                return cls(place if named else Endpoint(place.host, WRAPPER_PORT), sets_line=False, text=text)
        except ValueError as error:
            reason = str(error).partition("; a target is")[0]
            raise ValueError(f"{reason}; a target is {FORMS}") from None
        raise ValueError(f"{text!r} is no target; a target is {FORMS}")

    def __str__(self) -> str:
        return self.text


@asynccontextmanager
async def way_to(
    target: MeterTarget, line: LineSettings | None, holder: str, opener: Opener = open_port
) -> AsyncIterator[Callable[[DlmsSettings], DlmsClient]]:
    """What makes clients for the meters there; a line is opened for them and closed behind them.

    Args:
        target: where they are.
        line: how a line is opened.
        holder: who holds it, for messages.
        opener: opens devices.

    Raises:
        LineDown: the line cannot be opened.
    """
    place = target.place
    if isinstance(place, Endpoint):
        yield lambda settings: DlmsClient(settings, OverTcp(place), str(target))
        return
    async with opened(str(target), PortSettings(place, line or LineSettings()), opener) as owner:
        yield lambda settings: DlmsClient(
            settings, OverLine(lambda: owner.lease(holder, settings.line, limit=LONGEST_HOLD)), str(target)
        )


@asynccontextmanager
async def opened(name: str, port: PortSettings, opener: Opener = open_port) -> AsyncIterator[Line]:
    """A line of a command's own, closed behind it.

    Args:
        name: of it, for messages.
        port: what to open, and how.
        opener: opens devices.

    Raises:
        LineDown: it cannot be opened.
    """
    owner = Line(name, port, StreamSettings(), opener)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(owner.run(), name=owner.name)
            try:
                await _come_up(owner)
                yield owner
            finally:
                running.cancel()
    except BaseExceptionGroup as group:  # one thing failed: who asks wants to know which
        raise group.exceptions[0] from None


@asynccontextmanager
async def reached(target: MeterTarget, settings: DlmsSettings, holder: str) -> AsyncIterator[DlmsClient]:
    """A client for one meter; its association ends with the context. See `way_to`."""
    async with way_to(target, settings.line, holder) as client_for:
        client = client_for(settings)
        try:
            yield client
        finally:
            await client.close()


async def _come_up(line: Line) -> None:
    try:
        async with asyncio.timeout(_OPENING):
            await line.tried.wait()
    except TimeoutError:
        raise LineDown(f"{line.name}: no connection within {_OPENING:g} s") from None
    if not line.up:
        raise LineDown(line.status().error or f"{line.name} cannot be opened")


def run(asking: Coroutine[None, None, _T], target: MeterTarget) -> _T:
    """What comes of it; what goes wrong ends the command with its reason, which no log line need repeat."""
    of_the_line = logging.getLogger("nportpy.line")
    of_the_line.setLevel(logging.CRITICAL)
    try:
        return asyncio.run(asking)
    except MeterSilent as error:
        hint = f"nportpy scan {target} --protocol dlms tries openings, addresses, clients and speeds"
        raise click.ClickException(f"{error}\n{hint}") from None
    except (OSError, NportpyError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        of_the_line.setLevel(logging.NOTSET)


def server_of(text: str) -> tuple[int, int]:
    """The meter's address, upper/lower.

    Raises:
        ValueError: it is none.
    """
    parts = text.split("/")
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is no address of a meter; write UPPER or UPPER/LOWER, as in 1/17")
    return int(parts[0][:9]), int(parts[1][:9]) if len(parts) == 2 else 0


def _zone(name: str) -> tzinfo:
    """A time zone by its name.

    Raises:
        ValueError: nobody knows it.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write it as Europe/Bratislava or UTC") from None


def local_zone() -> tzinfo:
    """This machine's time zone, with its daylight saving."""
    if name := os.environ.get("TZ"):
        try:
            return _zone(name.removeprefix(":"))
        except ValueError:
            return UTC
    try:
        with open(_LOCALTIME, "rb") as file:
            return ZoneInfo.from_file(file, "localtime")
    except (OSError, ValueError):
        return UTC


TARGET: Final = click.argument("target", callback=parsed(MeterTarget.parse), shell_complete=completion.targets)

_OPTIONS: Final = (
    click.option("--referencing", type=click.Choice([each.value for each in Referencing]), default="logical",
                 show_default=True, help="How the meter names its objects."),
    click.option("--client", type=click.IntRange(0, 127), default=16, show_default=True,
                 help="Client address: 16 is public; others have passwords."),
    click.option("--server", metavar="UPPER[/LOWER]", default="1", show_default=True, callback=parsed(server_of),
                 help="The meter's address."),
    click.option("--width", type=click.Choice(["auto", "1", "2", "4"]), default="auto", show_default=True,
                 help="Bytes of the meter's address."),
    click.option("--opening", type=click.Choice(["direct", "mode-e"]), default="direct", show_default=True,
                 help="What comes before HDLC; optical heads want mode-e."),
    click.option("--authentication", type=click.Choice(_WAYS),
                 help="How the password is used.  [default: low if there is one, else none]"),
    click.option("--password-file", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
                 help=f"The password is its first line; else that of the variable {PASSWORD_VARIABLE}."),
    click.option("--baudrate", type=int, default=9600, show_default=True, help="Speed of a serial device."),
    click.option("--format", "line_format", default="8N1", show_default=True, help="Format of a serial device."),
    click.option("--timeout", metavar="TIME", callback=parsed(patience),
                 help="How long the meter may take for an answer.  [default: 2s; 5s for lists and profiles]"),
    click.option("--zone", metavar="NAME", callback=parsed(_zone),
                 help="Time zone of a meter that does not state it.  [default: this machine's]"),
)  # fmt: skip


def meter_options(command: Callable[..., _T]) -> Callable[..., _T]:
    """Give a command the options for a meter; it gets them as `settings`."""

    @functools.wraps(command)
    def with_settings(**keys: Any) -> _T:
        settings = _settings(
            keys["target"],
            **{name: keys.pop(name) for name in (
                "referencing", "client", "server", "width", "opening", "authentication", "password_file", "baudrate",
                "line_format", "timeout", "zone")},
        )  # fmt: skip
        return command(settings=settings, **keys)

    for option in reversed(_OPTIONS):
        with_settings = option(with_settings)
    return with_settings


def _settings(
    target: MeterTarget, *, referencing: str, client: int, server: tuple[int, int], width: str, opening: str,
    authentication: str | None, password_file: str | None, baudrate: int, line_format: str, timeout: float | None,
    zone: tzinfo | None,
) -> DlmsSettings:  # fmt: skip
    secret = password_of(password_file) if authentication != "none" else b""
    way = Authentication(authentication or ("low" if secret else "none"))
    if way is not Authentication.NONE and not secret:
        raise click.UsageError(f"--authentication {way} needs a password: --password-file or {PASSWORD_VARIABLE}")
    try:
        settings = DlmsSettings(
            referencing=Referencing(referencing),
            client=client,
            upper=server[0],
            lower=server[1],
            width=0 if width == "auto" else int(width),
            opening=Opening.MODE_E if opening == "mode-e" else Opening.DIRECT,
            line=LineSettings.parse(baudrate, line_format) if isinstance(target.place, str) else None,
            authentication=way,
            secret=secret,
            zone=zone or local_zone(),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return settings if timeout is None else replace(settings, response=timeout, long_response=timeout)


def password_of(path: str | None) -> bytes:
    """The password; empty where there is none."""
    if path is None:
        return os.environb.get(PASSWORD_VARIABLE.encode(), b"")
    try:
        with open(path, "rb") as file:
            found = file.readline(4096).rstrip(b"\r\n")
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    if not found:
        raise click.UsageError(f"{path}: its first line is to be the password, and is empty")
    return found
