"""pyserial's own RFC 2217 client, which waits for exact answers and dies of some that it did not ask for."""

import asyncio
import os
import time
import tty
from collections.abc import Callable
from typing import Any

import pytest
import serial

from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits
from nportpy.port.loopback import Cable
from nportpy.port.tty import open_tty
from nportpy.protocols.rfc2217 import SetBaudrate
from tests.support.serving import Served, com, plan, serving, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:set(Daemon|Name)"),  # pyserial 3.5 calls what Python has renamed
]


async def blocking(call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(call, *arguments)


async def opened(served: Served, options: str = "", **changes: Any) -> serial.Serial:
    url = f"rfc2217://127.0.0.1:{served.port('rfc2217')}{options}"
    client: serial.Serial = await blocking(lambda: serial.serial_for_url(url, timeout=2, **changes))
    return client


async def test_all_settings() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        port = await opened(served, baudrate=19200)
        try:
            await check_settings(port, served)
        finally:
            await blocking(port.close)
        await until(lambda: served.line().settings == LineSettings(115200))


async def check_settings(port: serial.Serial, served: Served) -> None:
    def settings() -> LineSettings:
        return served.line().settings

    assert settings() == LineSettings(19200)
    for baudrate in (300, 9600, 65317, 250_000, 3_000_000):
        await blocking(setattr, port, "baudrate", baudrate)
        assert settings().baudrate == baudrate
    for letter in "NEOMS":
        await blocking(setattr, port, "parity", letter)
        assert settings().parity is Parity(letter)
    for bits in (5, 6, 7, 8):
        await blocking(setattr, port, "bytesize", bits)
        assert settings().data_bits == bits
    await blocking(setattr, port, "stopbits", 2)
    assert settings().stop_bits is StopBits.TWO
    await blocking(setattr, port, "bytesize", 5)
    await blocking(setattr, port, "stopbits", 1.5)
    assert settings().stop_bits is StopBits.ONE_AND_HALF
    await blocking(setattr, port, "stopbits", 1)
    for name, flow in (("rtscts", Flow.RTSCTS), ("xonxoff", Flow.XONXOFF)):
        await blocking(setattr, port, name, True)
        assert settings().flow is flow
        await blocking(setattr, port, name, False)
        assert settings().flow is Flow.NONE
    with pytest.raises(ValueError, match="remote rejected"):  # 1.5 stop bits exist with 5 data bits only
        await blocking(port.apply_settings, {"bytesize": 8, "stopbits": 1.5})


async def test_lines_data_purge_and_break() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        port = await opened(served)
        try:
            for name, line in (("dtr", ModemLines.DTR), ("rts", ModemLines.RTS)):
                for level in (False, True):
                    await blocking(setattr, port, name, level)
                    assert cable.moved[-1][1:] == (line, level)
            assert await blocking(lambda: (port.cts, port.dsr, port.cd, port.ri)) == (True, True, True, False)
            cable.far.set_modem_lines(dtr=False)
            await until(lambda: not port.dsr)  # by notification
            cable.ring = ModemLines.RI
            await until(lambda: port.ri)
            everything = bytes(range(256)) * 20
            await blocking(port.write, everything)
            await until(lambda: cable.heard == everything)
            cable.far.write(everything)
            assert await blocking(port.read, len(everything)) == everything
            cable.far.write(b"stale")
            await until(lambda: port.in_waiting == 5)
            await blocking(port.reset_input_buffer)
            await blocking(port.reset_output_buffer)
            assert port.in_waiting == 0
            await blocking(lambda: setattr(port, "break_condition", True))
            assert cable.near is not None
            assert cable.near.breaking
            await blocking(lambda: setattr(port, "break_condition", False))
            assert not cable.near.breaking
            await blocking(port.send_break, 0.05)
            assert cable.far.counts.breaks == 2
        finally:
            await blocking(port.close)


async def test_modem_state_by_poll() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        port = await opened(served, "?poll_modem&timeout=2")
        try:
            assert await blocking(lambda: port.cts)
            cable.far.set_modem_lines(rts=False)

            def falls() -> bool:
                deadline = time.monotonic() + 5
                while port.cts and time.monotonic() < deadline:
                    time.sleep(0.05)
                return not port.cts

            assert await blocking(falls)
        finally:
            await blocking(port.close)


async def test_it_outlives_what_another_client_changes() -> None:
    cable = Cable()
    async with serving(plan("cable", com(control="any")), cables=[cable]) as served:
        port, other = await opened(served), await served.telnet()
        try:
            assert await other.ask(SetBaudrate(1200)) == SetBaudrate(1200)
            await blocking(port.write, b"alive")
            await until(lambda: cable.heard == b"alive")
            await blocking(setattr, port, "baudrate", 2400)
            assert served.line().settings.baudrate == 2400
        finally:
            await blocking(port.close)


async def test_a_pseudo_terminal_needs_no_ign_set_control() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    device = os.ttyname(slave)
    try:
        async with serving(plan("cable", com(), device=device), opener=open_tty) as served:
            port = await opened(served, baudrate=19200)
            try:
                await check_settings(port, served)
                await blocking(setattr, port, "dtr", False)
                await blocking(setattr, port, "rts", False)
                assert await blocking(lambda: (port.cts, port.dsr, port.cd, port.ri)) == (True, True, True, False)
                await blocking(port.write, b"to the line\xff")
                assert await blocking(os.read, master, 100) == b"to the line\xff"
                os.write(master, b"from the line\xff")
                assert await blocking(port.read, 14) == b"from the line\xff"
            finally:
                await blocking(port.close)
    finally:
        os.close(master)
        os.close(slave)
