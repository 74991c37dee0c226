"""`nportpy serve`: run the gateway."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable

import click
import uvloop

from nportpy import config
from nportpy.errors import ConfigError, ListenError
from nportpy.gateway import Gateway, GatewaySettings
from nportpy.line.inventory import serve_candidates
from nportpy.services import logs
from nportpy.services.notify import Supervisor

log = logging.getLogger("nportpy.serve")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.SelectorEventLoop,
}


@click.command()
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("-c", "--config", "path", metavar="FILE", help=f"Configuration file; default: {config.DEFAULT_PATH}.")
@click.option("--baudrate", type=int, default=9600, show_default=True, help="Speed of every DEVICE.")
@click.option("--format", "line_format", default="8N1", show_default=True, help="Format of every DEVICE.")
@click.option("--listen", metavar="ADDR", default="::", show_default=True, help="Address to listen on for DEVICEs.")
@click.option("--loop", type=click.Choice(list(LOOPS)), default="uvloop", show_default=True, help="Event loop.")
def serve(devices: tuple[str, ...], path: str | None, baudrate: int, line_format: str, listen: str, loop: str) -> None:
    """Serve serial lines on TCP.

    With DEVICEs and no file, each gets raw TCP on 4001, 4002, ... and RFC 2217 on 5001, 5002, ... in that order.
    Without either, the default configuration file is used if it is there, else every serial port found, the console
    excepted.

    SIGHUP reads the configuration file again: what did not change keeps its clients. SIGTERM and SIGINT stop
    accepting, write out what clients have sent, and end.
    """
    if devices and path:
        raise click.UsageError("either DEVICEs or a configuration file, not both")
    if path is None and not devices and os.path.exists(config.DEFAULT_PATH):
        path = config.DEFAULT_PATH

    def load() -> GatewaySettings:
        if path is not None:
            return config.load(path)
        found = devices or tuple(device.stable for device in serve_candidates())
        if not found:
            raise click.ClickException("no serial port here, and no configuration file; see nportpy ports")
        return config.for_devices(found, baudrate=baudrate, format=line_format, listen=listen)

    try:
        settings = load()
    except ConfigError as error:
        _show(error)
        sys.exit(2)
    logs.configure(settings.log)
    if path is None:
        _say_what_is_where(settings)
    try:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(run(settings, load if path is not None else None))
    except* ListenError as group:
        raise click.ClickException(str(_first(group))) from None


async def run(settings: GatewaySettings, load: Callable[[], GatewaySettings] | None) -> None:
    """Run a gateway under signals and a supervisor; `load` reads the settings anew, None if there is no file."""
    loop = asyncio.get_running_loop()
    gateway = Gateway(settings)
    supervisor = Supervisor()
    hang_up = asyncio.Event()

    def stop() -> None:
        supervisor.stopping()
        gateway.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    if not any(settings.allow for plan in settings.ports for settings in (*plan.raw, *plan.rfc2217)):
        log.warning("anyone who reaches this machine may connect: no allow list is set")

    async def reloads() -> None:
        while True:
            await hang_up.wait()
            hang_up.clear()
            supervisor.reloading()
            await _reload(gateway, load)
            supervisor.ready(_summary(gateway))

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(gateway.run(), name="gateway")
        ready = tasks.create_task(gateway.ready.wait(), name="ready")
        await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if serving.done():
            return
        gc.collect()
        gc.freeze()  # what is there now stays: no collection need look at it again
        supervisor.ready(_summary(gateway))
        log.info("serving", extra={"gateway": settings.name, "ports": len(settings.ports)})
        others = [
            tasks.create_task(reloads(), name="reloads"),
            tasks.create_task(supervisor.watch(), name="watchdog"),
        ]
        await serving
        for task in others:
            task.cancel()
    log.info("stopped", extra={"gateway": settings.name})


async def _reload(gateway: Gateway, load: Callable[[], GatewaySettings] | None) -> None:
    if load is None:
        log.warning("nothing to reload: there is no configuration file")
        return
    try:
        settings = await asyncio.to_thread(load)
        await gateway.reload(settings)
    except ConfigError as error:
        gateway.reload_failed()
        for line in config.fault_lines(error):
            log.error("configuration fault", extra={"fault": line})
        log.error("reload failed, nothing has changed", extra={"file": error.source})
    except ListenError as error:
        log.error("reload failed, nothing has changed", extra={"reason": str(error)})
    else:
        logs.configure(settings.log)
        log.info("reloaded", extra={"ports": len(settings.ports)})


def _summary(gateway: Gateway) -> str:
    lines = gateway.status().lines
    return f"{sum(line.state == 'up' for line in lines)} of {len(lines)} lines up"


def _show(error: ConfigError) -> None:
    for line in config.fault_lines(error):
        click.echo(line, err=True)


def _say_what_is_where(settings: GatewaySettings) -> None:
    for plan in settings.ports:
        raw, rfc2217 = plan.raw[0].listen[0], plan.rfc2217[0].listen[0]
        click.echo(f"{plan.port.device} ({plan.port.line}): raw TCP on {raw}, RFC 2217 on {rfc2217}", err=True)


def _first(group: BaseExceptionGroup[ListenError]) -> BaseException:
    """The one error in nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
