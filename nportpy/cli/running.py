"""A gateway as a process: signals, reload, and the supervisor that started it."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from nportpy import config
from nportpy.cli import candidate
from nportpy.errors import ConfigError, ListenError
from nportpy.gateway.plans import GatewaySettings, Kind, all_services, places
from nportpy.gateway.running import Gateway
from nportpy.network.addresses import address_of
from nportpy.services import logs
from nportpy.services.notify import Supervisor
from nportpy.status import GatewayStatus

_NAMED = 3  # of what is away, in the status line

log = logging.getLogger("nportpy.serve")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.SelectorEventLoop,
}


def main(settings: GatewaySettings, path: str | None, loop: str) -> None:
    """Run a gateway on an event loop of that name until a signal ends it; `path` is where SIGHUP reads anew.

    Raises:
        ListenError: an address cannot be bound, and there is no file: whoever typed it is there to type it anew.
    """
    logs.configure(settings.log)
    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(run(settings, path))
    except asyncio.CancelledError:
        sys.exit(1)
    except BaseExceptionGroup as group:
        if group.split(ListenError)[1] is not None:
            raise  # a bug, with whatever else failed beside it
        raise group.exceptions[0] from None


async def run(settings: GatewaySettings, path: str | None) -> None:
    """Run a gateway under signals and a supervisor; `path` is the file to read anew, None if there is none."""
    loop = asyncio.get_running_loop()
    gateway = Gateway(
        settings,
        strict=path is None,
        file=path,
        checker=candidate.check,
        reloaded=lambda changed: logs.configure(changed.log),
    )
    supervisor = Supervisor()
    hang_up = asyncio.Event()
    this = asyncio.current_task()
    assert this is not None

    def stop() -> None:
        supervisor.stopping()
        if gateway.stopping:
            log.warning("told to stop a second time: at once, then")
            this.cancel()
        gateway.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    open_to_all = sum(_open_to_all(*service) for service in all_services(settings))
    if open_to_all:
        log.warning("anyone who reaches this machine may connect: no allow list", extra={"services": open_to_all})

    async def reloads() -> None:
        while True:
            await hang_up.wait()
            hang_up.clear()
            supervisor.reloading()
            await _reload(gateway, path)
            supervisor.ready(summary(gateway.status()))

    async def changes() -> None:
        while True:
            await gateway.changed.wait()
            gateway.changed.clear()
            supervisor.status(summary(gateway.status()))

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(gateway.run(), name="gateway")
        ready = tasks.create_task(gateway.ready.wait(), name="ready")
        await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if serving.done():
            return
        gc.collect()
        gc.freeze()  # what is there now stays: no collection need look at it again
        supervisor.ready(summary(gateway.status()))
        log.info("serving", extra={"gateway": settings.name, "ports": len(settings.ports)})
        others = [
            tasks.create_task(reloads(), name="reloads"),
            tasks.create_task(changes(), name="changes"),
            tasks.create_task(supervisor.watch(), name="watchdog"),
        ]
        await serving
        for task in others:
            task.cancel()
    log.info("stopped", extra={"gateway": settings.name})


async def _reload(gateway: Gateway, path: str | None) -> None:
    if path is None:
        log.warning("nothing to reload: there is no configuration file")
        return
    try:
        settings = await _load(path)
        await gateway.reload(settings)
    except ConfigError as error:
        gateway.reload_failed()
        for line in config.fault_lines(error, excerpts=False):
            log.error("configuration fault", extra={"fault": line})
        log.error("reload failed, nothing has changed", extra={"file": error.source})
    else:
        log.info("reloaded", extra={"ports": len(settings.ports)})


async def _load(path: str) -> GatewaySettings:
    """What the file says now: one that was exchanged while it was read (a change was confirmed) is read again."""
    while True:
        before = _which(path)
        settings = await asyncio.to_thread(config.start_loading(path))
        if _which(path) == before:  # who confirms from here on sees that he is overtaken
            return settings


def _which(path: str) -> tuple[int, ...]:
    """What tells a file from the one that was there before; its content would take a thread, and it may change then."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _open_to_all(kind: Kind, settings: Any) -> bool:
    """Whether a service listens beyond this machine, for anyone."""
    hosts = [place.endpoint.host for place in places(kind, settings)]
    return not all(address_of(host).is_loopback for host in hosts) and not settings.allow


def summary(status: GatewayStatus) -> str:
    """The gateway in a line: how many lines are up, which are not, and what cannot be reached."""
    away = [line.name for line in status.lines if line.state != "up"]
    parts = [f"{len(status.lines) - len(away)} of {len(status.lines)} lines up"]
    if away:
        parts.append(f"away{_named(away)}")
    if status.missing:
        missing = [f"{each.port} {each.service} on {each.listen} ({each.reason})" for each in status.missing]
        parts.append(f"not listening{_named(missing)}")
    return "; ".join(parts)


def _named(all_of_them: list[str]) -> str:
    more = len(all_of_them) - _NAMED
    return f": {', '.join(all_of_them[:_NAMED])}" + (f" and {more} more" if more > 0 else "")
