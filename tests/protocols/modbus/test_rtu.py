import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame, silent_interval

# The CRC of MODBUS over Serial Line V1.02, 6.2.2: unit 2, function 7 gives 0x1241, low byte first on the wire.
EXAMPLE = bytes.fromhex("02 07 41 12")


def test_the_frame_of_the_standard() -> None:
    assert Frame(2, b"\x07").encode() == EXAMPLE
    assert Frame.parse(EXAMPLE) == Frame(2, b"\x07")


@pytest.mark.parametrize("wire", [b"", EXAMPLE[:3], EXAMPLE[:2] + b"\x12\x41", EXAMPLE + b"\x55", b"\xff" + EXAMPLE])
def test_a_wrong_crc_or_size_is_malformed(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        Frame.parse(wire)


def test_a_frame_is_never_longer_than_256_bytes() -> None:
    assert Frame.parse(Frame(1, bytes(253)).encode()) == Frame(1, bytes(253))
    with pytest.raises(ProtocolError):
        Frame.parse(Frame(1, bytes(254)).encode())


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_frames_survive_the_wire(unit: int, pdu: bytes) -> None:
    assert Frame.parse(Frame(unit, pdu).encode()) == Frame(unit, pdu)


@given(st.binary(min_size=1, max_size=253), st.data())
def test_any_single_wrong_bit_is_noticed(pdu: bytes, data: st.DataObject) -> None:
    wire = bytearray(Frame(1, pdu).encode())
    bit = data.draw(st.integers(0, 8 * len(wire) - 1))
    wire[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        Frame.parse(bytes(wire))


@pytest.mark.parametrize(
    ("baudrate", "format_", "seconds"),
    [
        (9600, "8E1", 3.5 * 11 / 9600),
        (19200, "8N1", 3.5 * 10 / 19200),
        (38400, "8E1", 0.00175),
        (115200, "8N1", 0.00175),
    ],
)
def test_silent_interval(baudrate: int, format_: str, seconds: float) -> None:
    assert silent_interval(LineSettings.parse(baudrate, format_)) == pytest.approx(seconds)
