"""`nportpy attach`: a virtual COM port on this machine for a port of a gateway elsewhere."""

import asyncio
import grp
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

import click

from nportpy.attach.attachment import Attachment
from nportpy.attach.settings import AttachSettings, Connect, WhileAway
from nportpy.attach.target import Target
from nportpy.attach.wish import Wish
from nportpy.cli import completion
from nportpy.cli.options import parsed
from nportpy.cli.tls_options import believed, tls_options
from nportpy.config.values import duration
from nportpy.errors import LineError
from nportpy.linesettings import LineSettings
from nportpy.network.tls_settings import TlsSettings
from nportpy.services import logs
from nportpy.services.notify import Supervisor

log = logging.getLogger("nportpy.attach")

_ON_OFF = click.Choice(["on", "off"])
_WHEN = click.Choice([each.value for each in Connect])
_WHILE_AWAY = click.Choice([each.value for each in WhileAway])
_LOOP = click.Choice(["uvloop", "asyncio"])


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o666 or mode & 0o111:
        raise ValueError(f"{text!r} is no access mode of a device, such as 0660")
    return mode


def _group(text: str) -> int:
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {text!r}") from None


def _drain(text: str) -> float:
    return duration(text, "0s", "10min")


@click.command()
@click.argument("target", callback=parsed(Target.parse), shell_complete=completion.attach_targets)
@click.argument("link", type=click.Path())
@click.option("--baudrate", type=click.IntRange(1, (1 << 31) - 1), help="Speed until a program sets one.")
@click.option("--format", "line_format", metavar="8E1", help="Format, whatever programs set.")
@click.option("--modem", type=_ON_OFF, default="on", show_default=True, help="DTR and RTS are up while LINK is open.")
@click.option("--connect", "when", type=_WHEN, default="always", show_default=True, help="Or while LINK is open.")
@click.option(
    "--while-away",
    type=_WHILE_AWAY,
    default="hold",
    show_default=True,
    help="What becomes of what programs write while there is no connection.",
)
@click.option("--mode", default="0660", show_default=True, callback=parsed(_mode), help="Access mode of the device.")
@click.option("--group", metavar="NAME", callback=parsed(_group), help="Group of the device, such as dialout.")
@click.option(
    "--drain",
    default="5s",
    show_default=True,
    callback=parsed(_drain),
    help="Time without progress that is given to unsent bytes at the end.",
)
@tls_options
@click.option("--loop", type=_LOOP, default="uvloop", show_default=True, help="Event loop.")
def attach(
    target: Target,
    link: str,
    *,
    baudrate: int | None,
    line_format: str | None,
    modem: str,
    when: str,
    while_away: str,
    mode: int,
    group: int | None,
    drain: float,
    loop: str,
    tls: TlsSettings | None,
) -> None:
    """Make LINK a serial device whose line is elsewhere.

    TARGET is HOST:PORT or rfc2217://HOST:PORT, a server that speaks RFC 2217, such as nportpy, ser2net or an NPort in
    that mode; raw://HOST:PORT, plain TCP; rfc2217s:// or raws://, these by TLS; or realcom://HOST:DATA[,COMMAND], an
    NPort in Real COM mode or nportpy with
    `realcom`. LINK, such as /dev/ttyV0, becomes a link to a pseudo-terminal. Programs open it like any serial port;
    speed, stop bits and flow control that they set reach the line. Linux keeps data bits and parity of a
    pseudo-terminal to itself: name them with --format.

    SIGUSR1 sends a break. SIGTERM and SIGINT let what was written arrive, and end; a second one ends at once.
    """
    target = replace(target, tls=believed(target.tls, tls, "rfc2217s://HOST:PORT or raws://HOST:PORT"))
    logs.configure(logs.LogSettings())
    settings = AttachSettings(
        target,
        os.path.abspath(link),
        mode=mode,
        group=-1 if group is None else group,
        wish=_wish(baudrate, line_format),
        fixed=line_format is not None,
        modem=modem == "on",
        connect=Connect(when),
        while_away=WhileAway(while_away),
        drain=drain,
    )
    try:
        with asyncio.Runner(loop_factory=_loop(loop)) as runner:
            runner.run(_run(settings))
    except asyncio.CancelledError:
        sys.exit(1)
    except LineError as error:
        raise click.ClickException(str(error)) from None
    except PermissionError as error:
        raise click.ClickException(_not_permitted(error, target, link, group)) from None
    except OSError as error:
        raise click.ClickException(f"{link}: {error.strerror or error}") from None


def _wish(baudrate: int | None, line_format: str | None) -> Wish | None:
    if line_format is None:
        return None if baudrate is None else Wish(baudrate)
    try:
        line = LineSettings.parse(baudrate or 9600, line_format)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--format") from None
    return Wish(baudrate, line.data_bits, line.parity, line.stop_bits)


def _not_permitted(error: OSError, target: Target, link: str, group: int | None) -> str:
    """What a user may not do, and what to type instead."""
    path = os.path.abspath(link)
    root = shlex.join(["sudo", "nportpy", "attach", str(target), path, "--group", _name(group)])
    if not isinstance(error.filename, str):  # giving it to the group has failed
        return f"only root, or a member, may give a device to group {_name(group)}: {root}"
    home = shlex.join(["nportpy", "attach", str(target), f"{os.path.expanduser('~')}/{os.path.basename(path)}"])
    return (
        f"{link}: {error.strerror}: {os.path.dirname(path)} is not yours to write to.\n"
        f"A link of your own, for programs that run as you:\n  {home}\n"
        f"In {os.path.dirname(path)}, for everybody in group {_name(group)} (programs need nothing more):\n  {root}\n"
        "At every start: etc/nportpy-attach@.service, see docs/attach.md"
    )


def _name(group: int | None) -> str:
    """Of a group; serial devices are dialout's, if nobody says otherwise."""
    return "dialout" if group is None else grp.getgrgid(group).gr_name


def _loop(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    import uvloop

    return uvloop.new_event_loop


async def _run(settings: AttachSettings) -> None:
    """Run under signals and a supervisor."""
    loop = asyncio.get_running_loop()
    supervisor = Supervisor()
    attachment = Attachment(settings, on_state=supervisor.status)
    this = asyncio.current_task()
    assert this is not None
    stopping = False

    def stop() -> None:
        nonlocal stopping
        supervisor.stopping()
        if stopping:
            log.warning("told to stop a second time: at once, then")
            this.cancel()
        stopping = True
        attachment.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGUSR1, attachment.send_break)
    attachment.open()  # after those: who sees the link may send a signal at once
    supervisor.ready(attachment.state)
    log.info("attached", extra={"link": settings.link, "target": str(settings.target)})
    async with asyncio.TaskGroup() as tasks:
        watchdog = tasks.create_task(supervisor.watch(), name="watchdog")
        await attachment.run()
        watchdog.cancel()
    log.info("stopped", extra={"link": settings.link})
