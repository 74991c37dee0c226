from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits, UartCounters
from nportpy.protocols.realcom import messages as m
from nportpy.protocols.realcom import values
from nportpy.protocols.realcom.values import NO_INDEX, SPEEDS, wished

NOW = LineSettings.parse(4800, "7O2", Flow.XONXOFF)
INDEXES = {
    0: 300, 1: 600, 2: 1200, 3: 2400, 4: 4800, 5: 7200, 6: 9600, 7: 19200, 8: 38400, 9: 57600, 10: 115200,
    11: 230400, 12: 460800, 13: 921600, 14: 150, 15: 134, 16: 110, 17: 75, 18: 50,
}  # fmt: skip


def init(baud: int = 6, mode: int = 3, flow: tuple[bool, bool, bool, bool] = (False,) * 4) -> m.PortInit:
    return m.PortInit(baud, mode, True, True, *flow)


@pytest.mark.parametrize(("index", "speed"), INDEXES.items())
def test_speeds(index: int, speed: int) -> None:
    assert wished(init(index), NOW).baudrate == speed
    assert wished(m.SetLine(index, 3), NOW).baudrate == speed


@pytest.mark.parametrize("index", [19, 20, 100, 254, NO_INDEX])
def test_no_index_keeps_the_speed(index: int) -> None:
    assert wished(init(index), NOW).baudrate == NOW.baudrate


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        (0x03, "8N1"),
        (0x0E, "7E2"),
        (0x02, "7N1"),
        (0x01, "6N1"),
        (0x00, "5N1"),
        (0x04, "5N1.5"),
        (0x07, "8N2"),
        (0x0B, "8E1"),
        (0x13, "8O1"),
        (0x1B, "8M1"),
        (0x23, "8S1"),
        (0x2B, "8O1"),  # no parity that anybody knows: as it was
        (0xC3, "8N1"),
    ],
)
def test_formats(mode: int, format: str) -> None:  # noqa: A002 - its name
    assert wished(init(mode=mode), NOW).format == format


@pytest.mark.parametrize(
    ("flags", "flow", "flow_in"),
    [
        ("", Flow.NONE, Flow.NONE),
        ("xon_out", Flow.XONXOFF, Flow.NONE),
        ("xon_in", Flow.NONE, Flow.XONXOFF),
        ("xon_out xon_in", Flow.XONXOFF, Flow.XONXOFF),
        ("cts rts_flow", Flow.RTSCTS, Flow.RTSCTS),
        ("cts", Flow.RTSCTS, Flow.RTSCTS),
        ("cts rts_flow xon_out", Flow.RTSCTS, Flow.RTSCTS),
    ],
)
def test_flow_control(flags: str, flow: Flow, flow_in: Flow) -> None:
    cts, rts_flow, xon_out, xon_in = (name in flags.split() for name in ("cts", "rts_flow", "xon_out", "xon_in"))
    for command in (init(flow=(cts, rts_flow, xon_out, xon_in)), m.SetFlow(cts, rts_flow, xon_out, xon_in)):
        wish = wished(command, NOW)
        assert (wish.flow, wish.flow_in) == (flow, flow_in)


def test_set_flow_leaves_the_rest() -> None:
    assert wished(m.SetFlow(False, False, False, False), NOW) == replace(NOW, flow=Flow.NONE, flow_in=Flow.NONE)


@pytest.mark.parametrize(("rate", "speed"), [(49, 4800), (50, 50), (1800, 1800), (921600, 921600), (921601, 4800)])
def test_set_baudrate(rate: int, speed: int) -> None:
    assert wished(m.SetBaudrate(rate), NOW) == replace(NOW, baudrate=speed)


@given(
    st.builds(
        lambda baudrate, bits, parity, two, flow, dtr: (
            LineSettings(
                baudrate,
                bits,
                parity,
                StopBits.ONE if not two else StopBits.ONE_AND_HALF if bits == 5 else StopBits.TWO,
                *flow,
            ),
            dtr,
        ),
        st.one_of(st.sampled_from(SPEEDS), st.integers(50, 921600)),
        st.integers(5, 8),
        st.sampled_from(Parity),
        st.booleans(),
        st.sampled_from(
            [(Flow.NONE, Flow.XONXOFF), (Flow.XONXOFF, Flow.NONE), (Flow.RTSCTS, Flow.RTSCTS), (Flow.NONE, Flow.NONE)]
        ),
        st.booleans(),
    )
)
def test_what_a_client_sends_is_what_a_server_takes(wish: tuple[LineSettings, bool]) -> None:
    settings, dtr = wish
    now = NOW
    for command in values.commands(settings, dtr=dtr, rts=True):
        now = wished(command, now)
        if isinstance(command, m.PortInit):
            assert command.dtr is dtr
    assert now == settings


def test_modem_lines_both_ways() -> None:
    lines = ModemLines.CTS | ModemLines.DSR | ModemLines.CD
    assert values.modem(lines, lines) == 0xBB
    assert values.modem_lines(m.Modem(0xBF)) == lines
    assert values.modem(ModemLines.RI, ModemLines.RI) == m.Modem.RI
    assert values.modem(ModemLines(0), ModemLines.RI) == m.Modem.TRAILING_EDGE_RI


def test_errors() -> None:
    assert values.errors(UartCounters()) == 0
    assert values.errors(UartCounters(frame=1, overrun=2, parity=3, breaks=4, buffer_overrun=5)) == 0x1F
    assert values.errors(UartCounters(parity=1)) == m.Event.PARITY_ERROR
    assert values.errors(UartCounters(breaks=1)) == m.Event.BREAK
