"""What a receiver makes of characters that were sent at another speed or in another format.

Both ends are looked at as UARTs: the sender's bits are a level over time, and the receiver, which waits for the edge of
a start bit, looks at the middle of each bit by its own clock. So one end at 7E1 and one at 8N1 meet as they do on real
lines (the eighth bit is the parity), and a wrong speed gives the rubbish that it gives there.
"""

from nportpy.linesettings import LineSettings, Parity, StopBits

_WIDE = {StopBits.ONE: 1, StopBits.ONE_AND_HALF: 2, StopBits.TWO: 2}


def received(data: bytes, sent: LineSettings, at: LineSettings) -> tuple[bytes, frozenset[int]]:
    """Characters sent back to back with the settings `sent`, as heard with `at`.

    Returns:
        The characters, and the places of those with a wrong parity or stop bit.
    """
    if _alike(sent, at):
        return (data if at.data_bits == 8 else bytes(byte & (1 << at.data_bits) - 1 for byte in data)), frozenset()
    levels = [level for byte in data for level in _bits(byte, sent)]
    ratio = sent.baudrate / at.baudrate
    heard, wrong, time = bytearray(), set(), 0.0
    while (edge := _falls(levels, time)) is not None:
        if _level(levels, edge + 0.5 * ratio):
            time = edge + 0.5 * ratio  # a start bit that is too short is none
            continue
        bits = [_level(levels, edge + (1.5 + index) * ratio) for index in range(at.data_bits)]
        end = 1 + at.data_bits
        good = True
        if at.parity is not Parity.NONE:
            good = _level(levels, edge + (end + 0.5) * ratio) == parity_bit(sum(bits), at.parity)
            end += 1
        good = good and _level(levels, edge + (end + 0.5) * ratio) == 1
        if not good:
            wrong.add(len(heard))
        heard.append(sum(bit << index for index, bit in enumerate(bits)))
        time = edge + (end + 0.5) * ratio
    return bytes(heard), frozenset(wrong)


def parity_bit(ones: int, parity: Parity) -> int:
    """The parity bit of a character with so many ones."""
    match parity:
        case Parity.EVEN:
            return ones & 1
        case Parity.ODD:
            return ~ones & 1
        case Parity.MARK:
            return 1
        case _:
            return 0


def _alike(one: LineSettings, other: LineSettings) -> bool:
    return (one.baudrate, one.data_bits, one.parity) == (other.baudrate, other.data_bits, other.parity)


def _bits(byte: int, settings: LineSettings) -> list[int]:
    bits = [byte >> index & 1 for index in range(settings.data_bits)]
    parity = [] if settings.parity is Parity.NONE else [parity_bit(sum(bits), settings.parity)]
    return [0, *bits, *parity, *[1] * _WIDE[settings.stop_bits]]


def _level(levels: list[int], time: float) -> int:
    """The line at a time in bits of the sender; it rests at 1."""
    index = int(time)
    return levels[index] if index < len(levels) else 1


def _falls(levels: list[int], time: float) -> float | None:
    """When a start bit begins: the line is low, at `time` or later. After a wrong stop bit that is at once."""
    for index in range(int(time), len(levels)):
        if not levels[index]:
            return max(time, float(index))
    return None
