"""What the cable in memory has and pseudo-terminals have not."""

import asyncio
import random
from dataclasses import replace

import pytest

from nportpy.errors import LineBusy, LineDown, LineUnsupported, MisuseError
from nportpy.linesettings import Flow, LineSettings, ModemLines, UartCounters
from nportpy.port.base import OnClose, OnOpen, PortSettings
from nportpy.port.loopback import KERNEL_BUFFER, Cable, LoopbackPort, opener_of
from tests.support.ports import Recorder, until

PLAIN = LineSettings()
BOTH = ModemLines.DTR | ModemLines.RTS


async def plugged(
    cable: Cable, line: LineSettings | None = None, **how: OnOpen | OnClose
) -> tuple[LoopbackPort, Recorder]:
    heard = Recorder()
    settings = PortSettings(cable.name, line or LineSettings(), **how)  # type: ignore[arg-type]
    port = await cable.opener(settings, heard)
    assert isinstance(port, LoopbackPort)
    return port, heard


async def test_modem_lines_are_crossed() -> None:
    cable = Cable()
    port, _ = await plugged(cable)
    assert port.modem_lines() == BOTH | ModemLines.DSR | ModemLines.CD | ModemLines.CTS
    cable.far.set_modem_lines(dtr=False)
    assert port.modem_lines() == BOTH | ModemLines.CTS
    cable.far.set_modem_lines(dtr=True, rts=False)
    assert port.modem_lines() == BOTH | ModemLines.DSR | ModemLines.CD
    port.set_modem_lines(dtr=False)
    assert cable.far.modem_lines() == ModemLines.DTR | ModemLines.CTS
    cable.ring = ModemLines.RI
    lines = port.modem_lines()
    assert lines is not None
    assert lines & ModemLines.RI


@pytest.mark.parametrize("wish", OnOpen)
async def test_levels_after_opening(wish: OnOpen) -> None:
    cable = Cable()
    await plugged(cable, dtr=wish)
    lines = cable.far.modem_lines()
    assert lines is not None
    assert bool(lines & ModemLines.DSR) == (wish is not OnOpen.OFF)
    assert lines & ModemLines.CTS


@pytest.mark.parametrize("wish", OnClose)
async def test_levels_after_closing(wish: OnClose) -> None:
    cable = Cable()
    port, _ = await plugged(cable, on_close=wish)
    await port.close()
    lines = cable.far.modem_lines()
    assert lines is not None
    assert bool(lines & ModemLines.CTS) == (wish is OnClose.KEEP)
    cable.unplug()
    port, _ = await plugged_again(cable)
    await port.close()


async def plugged_again(cable: Cable) -> tuple[LoopbackPort, Recorder]:
    with pytest.raises(LineDown, match="does not exist"):
        await plugged(cable)
    cable.plug()
    return await plugged(cable)


async def test_breaks_and_line_errors_are_counted() -> None:
    cable = Cable()
    port, _ = await plugged(cable)
    cable.far.set_break(True)
    cable.far.set_break(True)
    cable.far.set_break(False)
    port.count(parity=2, frame=1, overrun=3)
    assert port.counters() == UartCounters(frame=1, overrun=3, parity=2, breaks=1)
    port.set_break(True)
    assert cable.far.counters() == UartCounters(breaks=1)


@pytest.mark.parametrize("flow", [Flow.RTSCTS, Flow.DSRDTR, Flow.XONXOFF])
@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.long
async def test_flow_control_loses_nothing_either_way(flow: Flow, paced: bool) -> None:
    cable = Cable(paced=paced)
    port, heard = await plugged(cable, LineSettings(115200, flow=flow, flow_in=flow))
    dice = random.Random(3)
    data = dice.randbytes(12_000).replace(b"\x11", b"").replace(b"\x13", b"")
    cable.far.write(data)
    port.write(data)
    for _ in range(60):
        end, reads = dice.choice((port, cable.far)), dice.random() < 0.5
        (end.resume_reading if reads else end.pause_reading)()
        await asyncio.sleep(0.05 * dice.random())
    port.resume_reading()
    cable.far.resume_reading()
    await until(lambda: len(heard.data) == len(cable.heard) == len(data))
    assert heard.data == cable.heard == data
    assert port.counters() == cable.far.counters() == UartCounters()


async def test_without_flow_control_the_kernel_keeps_4_kib_and_counts_the_rest() -> None:
    cable = Cable()
    port, heard = await plugged(cable)
    port.pause_reading()
    cable.far.write(b"x" * 5000)
    await asyncio.sleep(0.01)
    assert port.counters() == UartCounters(buffer_overrun=5000 - KERNEL_BUFFER)
    port.resume_reading()
    await asyncio.sleep(0.01)
    assert len(heard.data) == KERNEL_BUFFER


async def test_the_last_mark_counts() -> None:
    cable = Cable()
    port, _ = await plugged(cable, LineSettings(flow=Flow.XONXOFF))
    cable.far.write(b"a\x11b\x13")
    await asyncio.sleep(0.01)
    port.write(b"x")
    await asyncio.sleep(0.01)
    assert cable.heard == b""
    cable.far.write(b"\x13\x11")
    await asyncio.sleep(0.01)
    assert cable.heard == b"x"


@pytest.mark.parametrize("flow", [Flow.RTSCTS, Flow.DSRDTR, Flow.XONXOFF])
async def test_switching_flow_control_off_lets_both_ends_go_on(flow: Flow) -> None:
    cable = Cable()
    settings = LineSettings(flow=flow, flow_in=flow)
    port, heard = await plugged(cable, settings)
    port.pause_reading()
    cable.far.pause_reading()
    cable.far.write(b"f" * 3000)
    port.write(b"n" * 3000)
    await asyncio.sleep(0.01)
    assert cable.far.unsent() > 0
    assert port.unsent() > 0
    port.configure(LineSettings())
    port.resume_reading()
    await asyncio.sleep(0.01)
    assert heard.data == b"f" * 3000
    assert port.unsent() == 0
    port.configure(settings)
    cable.far.resume_reading()
    await asyncio.sleep(0.01)
    assert cable.heard == b"n" * 3000


async def test_a_paced_cable_takes_the_time_that_a_wire_takes() -> None:
    cable = Cable(paced=True)
    loop = asyncio.get_running_loop()
    port, _ = await plugged(cable, LineSettings(1200))
    start = loop.time()
    port.write(b"x" * 60)
    assert not port.sent()
    await asyncio.sleep(0.5 / 120)
    assert cable.heard == b""
    await asyncio.sleep(1 / 120)
    assert cable.heard == b"x"
    await port.drain()
    assert loop.time() - start == pytest.approx(0.5, abs=0.01)
    port.write(b"y")
    port.write(b"z")
    await asyncio.sleep(1.5 / 120)
    assert cable.heard.endswith(b"y")
    await asyncio.sleep(1 / 120)
    assert cable.heard.endswith(b"yz")


async def test_pieces_arrive_as_they_were_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    cable = Cable(chunked=True)
    pieces: list[bytes] = []
    _, heard = await plugged(cable)
    monkeypatch.setattr(heard, "data_received", pieces.append)
    for piece in (b"a", b"bc", b"def"):
        cable.far.write(piece)
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert pieces == [b"a", b"bc", b"def"]


async def test_who_is_there_already() -> None:
    cable = Cable("ttyX")
    port, _ = await plugged(cable)
    with pytest.raises(LineBusy, match="ttyX is in use"):
        await plugged(cable)
    await port.close()
    again, _ = await plugged(cable)
    await port.close()  # an old port does not take the new one's place away
    assert cable.near is again


async def test_what_waits_at_the_far_end_goes_on_when_the_device_comes() -> None:
    cable = Cable()
    cable.far.configure(LineSettings(flow=Flow.RTSCTS, flow_in=Flow.RTSCTS))
    cable.far.write(b"early")
    await asyncio.sleep(0.01)
    _, heard = await plugged(cable, LineSettings(flow=Flow.RTSCTS, flow_in=Flow.RTSCTS))
    await asyncio.sleep(0.01)
    assert heard.data == b"early"


async def test_settings_are_noted_once_and_some_speeds_are_refused() -> None:
    cable = Cable()
    port, _ = await plugged(cable)
    cable.refused_baudrates = {31250}
    wish = replace(port.settings, baudrate=300)
    port.configure(wish)
    port.configure(wish)
    with pytest.raises(LineUnsupported):
        port.configure(LineSettings(31250))
    assert cable.configured == [wish]
    assert port.settings == wish


async def test_cables_are_found_by_name() -> None:
    cables = Cable("a"), Cable("b")
    opener = opener_of(*cables)
    await opener(PortSettings("b"), Recorder())
    assert cables[0].near is None
    assert cables[1].near is not None
    with pytest.raises(MisuseError):
        await opener(PortSettings("c"), Recorder())
