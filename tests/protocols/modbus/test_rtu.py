import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame, character_gap, encode, longest_frame, silent_interval

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


@pytest.mark.parametrize(
    ("baudrate", "format_", "seconds"),
    [(9600, "8E1", 1.5 * 11 / 9600), (19200, "8N1", 1.5 * 10 / 19200), (38400, "8E1", 0.00075)],
)
def test_character_gap(baudrate: int, format_: str, seconds: float) -> None:
    assert character_gap(LineSettings.parse(baudrate, format_)) == pytest.approx(seconds)


def test_the_fixed_times_may_be_others() -> None:
    fast, slow = LineSettings.parse(921600, "8E1"), LineSettings.parse(9600, "8E1")
    assert silent_interval(fast, 0.001) == 0.001
    assert silent_interval(fast, None) == pytest.approx(3.5 * 11 / 921600)
    assert character_gap(fast, None) == pytest.approx(1.5 * 11 / 921600)
    assert silent_interval(slow, 0.001) == silent_interval(slow)


def bitwise_crc(data: bytes) -> int:
    """The flow chart of MODBUS over Serial Line V1.02, 6.2.2, step by step."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0xA001 if register & 1 else register >> 1
    return register


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_the_crc_is_that_of_the_standard(unit: int, pdu: bytes) -> None:
    wire = encode(unit, pdu)
    assert wire == bytes((unit,)) + pdu + bitwise_crc(wire[:-2]).to_bytes(2, "little")


@pytest.mark.parametrize("wire", ["01 03 00 00 00 0A C5 CD", "11 03 00 6B 00 03 76 87", "01 83 02 C0 F1"])
def test_published_frames(wire: str) -> None:
    data = bytes.fromhex(wire)
    assert encode(data[0], data[1:-2]) == data


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_every_frame_is_found_by_its_crc(unit: int, pdu: bytes) -> None:
    wire = encode(unit, pdu)
    assume(not pdu.endswith(b"\x00") or wire[-2:] != b"\x00\x00")
    assert longest_frame(b"\x55" + wire, 1) == len(wire)


def test_a_frame_found_by_its_crc_alone() -> None:
    wire = encode(1, b"\x41\x05\x00\x00")
    assert longest_frame(b"\xff" + wire + b"\x00\x00\x00", 1) == len(wire)
    frames = [encode(1, b"\x41" + number.to_bytes(2)) for number in range(2560)]
    ends_in_zero = next(frame for frame in frames if frame.endswith(b"\x00"))
    assert longest_frame(ends_in_zero, 0) == len(ends_in_zero)
    assert longest_frame(bytes.fromhex("00 00 00 00"), 0) == 0
    assert longest_frame(wire + b"\xff" * 300, 0) == len(wire)
    assert longest_frame(wire[:-1], 0) == 0
    outer = encode(1, wire[1:] + b"\x07")
    assert longest_frame(outer, 0) == len(outer)
    longest = encode(1, bytes(253))
    assert longest_frame(longest, 0) == 256
    assert longest_frame(encode(1, bytes(range(254))), 0) == 0
