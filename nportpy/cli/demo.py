"""`nportpy demo`: a gateway on two simulated lines, and what to try with programs that people have."""

import asyncio
import os
import signal
import struct
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import click
import uvloop
from rich.console import Console
from rich.live import Live
from rich.text import Text

from nportpy.client.readings import take, wanted_values
from nportpy.client.target import Target, connect
from nportpy.config.devices import FirstPorts
from nportpy.errors import LineError, ListenError, NportpyError, ProtocolError
from nportpy.gateway import Gateway, GatewaySettings, PortPlan
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import BusSettings, RoutingSettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.modes.raw import RawSettings
from nportpy.modes.rfc2217 import Rfc2217Settings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.addresses import parse_range
from nportpy.protocols.modbus.values import Order, ValueType
from nportpy.services import logs
from nportpy.services.http import HttpSettings
from nportpy.services.logs import LogSettings
from nportpy.simulator.client import UNIT, Reading, read_raw, read_rfc2217
from nportpy.simulator.process import simulated_lines
from nportpy.status import GatewayStatus

HOST = "127.0.0.1"
METER = LineSettings.parse(9600, "8E1")
ECHO = LineSettings.parse(115200, "8N1")
PORT = click.IntRange(1, 65534)
ANSWER_TIME = 5.0
"""Seconds that the meter has for an answer."""
CHECK_TIME = 10.0
"""Seconds that --check may take once the gateway runs."""
REFRESH = 0.5
"""Seconds between two status lines."""

TRY = """\
nportpy serves two simulated RS-485 lines. Ctrl-C ends it.

  meter   {meter}, a Modbus RTU meter, unit 1
          Modbus TCP {meter_modbus}   raw TCP {meter_raw}   RFC 2217 {meter_rfc2217}
  echo    {echo}, sends everything back
          raw TCP {echo_raw}   RFC 2217 {echo_rfc2217}

Try, in another terminal:

# the meter's energy counter in kWh, by the address in its manual
{python} -m nportpy read {host}:{meter_modbus} 41001 --type float32

# its currents, every two seconds; more of these at once cost the line nothing
{python} -m nportpy read {host}:{meter_modbus} 41053-41058 --type float32 --every 2s

# the same with a Modbus program that other people wrote
mbpoll -m tcp -p {meter_modbus} -a 1 -t 4:float -B -r 1053 -c 3 -1 {host}

# which units there are
{python} -m nportpy scan {host}:{meter_modbus} --units 1-5

# the echo, raw
printf 'hello\\n' | nc -q1 {host} {echo_raw}

# the energy counter, raw: a Modbus RTU request; bytes 4 to 7 of the answer are kWh, a big-endian float
printf '\\001\\003\\003\\350\\000\\002\\104\\173' | nc -q1 {host} {meter_raw} | xxd

# the same with pyserial, which sets the line's speed and parity as well
{python} - <<'END'
import serial, struct
with serial.serial_for_url("rfc2217://{host}:{meter_rfc2217}", 9600, parity="E", timeout=2) as line:
    line.write(bytes.fromhex("010303e80002447b"))
    print("%.3f kWh" % struct.unpack(">f", line.read(9)[3:7]))
END

# with a Modbus program that wants a serial device
socat pty,link=/tmp/nportpy-meter,raw,echo=0 tcp:{host}:{meter_raw} & sleep 1
mbpoll -m rtu -b 9600 -P even -a 1 -t 4:float -B -r 1053 -c 3 -1 /tmp/nportpy-meter; kill $!

# a terminal on the echo; Ctrl-] ends it
{python} -m serial.tools.miniterm rfc2217://{host}:{echo_rfc2217} {echo.baudrate}
"""

TRY_HTTP = """
# what the gateway counts
curl -s http://{host}:{http}/metrics | grep ^nportpy_
"""


@click.command()
@click.option("--check", is_flag=True, help="Read the simulated meter through the gateway, say what it said, and end.")
@click.option("--modbus-port", type=PORT, default=5020, show_default=True, help="TCP port of Modbus TCP.")
@click.option("--raw-port", type=PORT, default=4001, show_default=True, help="TCP port of the meter, raw; next: echo.")
@click.option("--rfc2217-port", type=PORT, default=5001, show_default=True, help="TCP port of the meter, RFC 2217.")
@click.option("--http-port", type=PORT, default=9550, show_default=True, help="TCP port of HTTP.")
@click.option("--free-ports", is_flag=True, hidden=True, help="Listen where the kernel likes, and without HTTP.")
def demo(check: bool, modbus_port: int, raw_port: int, rfc2217_port: int, http_port: int, free_ports: bool) -> None:
    """Serve two simulated RS-485 lines and say what to try with them.

    A meter at 9600 8E1 on TCP ports 5020 (Modbus TCP), 4001 (raw) and 5001 (RFC 2217), an echo at 115200 8N1 on 4002
    and 5002, and HTTP on 9550, on this machine alone; options choose others. Nothing needs to be connected:
    characters take as long as on a wire.
    """
    logs.configure(LogSettings(level="warning"))
    ports = FirstPorts(raw_port, rfc2217_port, modbus_port, http_port)
    if free_ports:
        ports = FirstPorts(0, 0, 0, 0)
    elif len({raw_port, raw_port + 1, rfc2217_port, rfc2217_port + 1, modbus_port, http_port}) < 6:
        raise click.UsageError("each service needs TCP ports of its own, raw TCP and RFC 2217 two in a row")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            done = runner.run(_demo(check, ports))
        except* (LineError, ListenError) as group:
            raise click.ClickException("; ".join(_reasons(group))) from None
    sys.exit(0 if done else 1)


async def _demo(check: bool, ports: FirstPorts) -> bool:
    """Run the demo until it is done or told to end; whether all went well."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nportpy-demo-"))
        meter, echo = os.path.join(folder, "meter"), os.path.join(folder, "echo")
        gateway = Gateway(_settings(meter, echo, ports), strict=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, gateway.stop)
        # These wait, but there is nothing yet that they could hold up.
        stack.enter_context(simulated_lines(METER, meters=[meter]))
        stack.enter_context(simulated_lines(ECHO, echoes=[echo]))
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(_check(gateway) if check else _show(gateway, ports.http), name="demo")
            await gateway.run()
            work.cancel()
    if not work.cancelled():
        return work.result()
    if check:
        click.echo("Error: told to end before the meter was read", err=True)
    return not check


def _settings(meter: str, echo: str, ports: FirstPorts) -> GatewaySettings:
    def listen(first: int, number: int = 0) -> tuple[Endpoint, ...]:
        return (Endpoint(HOST, first and first + number),)

    def plan(name: str, device: str, line: LineSettings, number: int) -> PortPlan:
        raw = RawSettings(listen=listen(ports.raw, number))
        rfc2217 = Rfc2217Settings(listen=listen(ports.rfc2217, number))
        return PortPlan(name, PortSettings(device, line), raw=(raw,), rfc2217=(rfc2217,))

    modbus = ModbusSettings(listen=listen(ports.modbus), routing=RoutingSettings.whole("meter"))
    metered = replace(plan("meter", meter, METER, 0), bus=BusSettings(), modbus=(modbus,))
    return GatewaySettings(
        name="demo",
        ports=(metered, plan("echo", echo, ECHO, 1)),
        http=HttpSettings(((HOST, ports.http),)) if ports.http else None,
    )


async def _running(gateway: Gateway) -> dict[str, int]:
    """Wait until the lines are up; the TCP port of each service, by names as in `meter raw`."""
    await gateway.ready.wait()
    while any(line.state != "up" for line in gateway.status().lines):  # noqa: ASYNC110 - a status is all there is
        await asyncio.sleep(0.02)
    services = gateway.status().services
    return {f"{service.port} {service.service}": int(service.listen[0].rpartition(":")[2]) for service in services}


async def _check(gateway: Gateway) -> bool:
    """Read the meter in three ways; whether that worked."""
    try:
        async with asyncio.timeout(CHECK_TIME):
            ports = await _running(gateway)
            for kind, read in (("raw", read_raw), ("rfc2217", read_rfc2217)):
                port = ports[f"meter {kind}"]
                reading = await asyncio.to_thread(read, HOST, port, METER)
                click.echo(f"{reading} ({kind}, TCP port {port})")
            port = ports["meter modbus"]
            click.echo(f"{await _read_modbus(port)} (modbus, TCP port {port})")
    except TimeoutError as error:
        click.echo(f"Error: {error or f'not done in {CHECK_TIME:g} s'}", err=True)
        return False
    except (OSError, NportpyError) as error:
        click.echo(f"Error: {error}", err=True)
        return False
    finally:
        gateway.stop()
    return True


async def _read_modbus(port: int) -> Reading:
    """What the meter says over Modbus TCP."""
    wanted = wanted_values((parse_range("41001"), parse_range("41053-41058")), ValueType.parse("float32"))
    client = await connect(Target(Endpoint(HOST, port), rtu=False), METER, ANSWER_TIME)
    try:
        readings = await take(client, UNIT, wanted, Order.ABCD, gap=0)
    finally:
        await client.close()
    for reading in readings:
        if reading.fault:
            raise ProtocolError(reading.fault)
    energy, *currents = (struct.unpack(">f", reading.data)[0] for reading in readings)
    return Reading(energy, tuple(currents))


async def _show(gateway: Gateway, http: int) -> bool:
    """Say what to try; on a terminal, then show what happens."""
    ports = await _running(gateway)
    known = {name.replace(" ", "_"): port for name, port in ports.items()}
    text = TRY + TRY_HTTP if http else TRY
    click.echo(text.format(host=HOST, http=http, python=sys.executable, meter=METER, echo=ECHO, **known))
    console = Console()
    if not console.is_terminal:
        return True
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(_picture(gateway.status()), refresh=True)
            await asyncio.sleep(REFRESH)


def _picture(status: GatewayStatus) -> Text:
    """The gateway in one line."""
    lines = []
    for line in status.lines:
        clients = sum(len(service.clients) for service in status.services if service.port == line.name)
        lines.append(f"{line.name} {line.state}, clients {clients}, bytes out {line.sent}, in {line.received}")
    return Text("   ".join(lines), no_wrap=True, overflow="ellipsis")


def _reasons(group: BaseExceptionGroup[Exception]) -> Sequence[str]:
    """What the errors say, however deep they lie."""
    reasons: list[str] = []
    for error in group.exceptions:
        reasons += _reasons(error) if isinstance(error, BaseExceptionGroup) else [str(error)]
    return reasons
