"""What the chips' registers say: the monitor reads them, so no driver is asked and nothing is moved.

The PL011 by ARM's technical reference manual (DDI 0183), the 16550A by its data sheet.
"""

from tests.pi.guest import Guest

PL011 = 0x09000000  # where QEMU's "virt" machine has it, and the clock it gives it
PL011_CLOCK = 24_000_000
IBRD, FBRD, LCR_H, CR = 0x24, 0x28, 0x2C, 0x30
PIO = 0x3EFF0000  # where that machine has the PCI bus's ports
LCR, MCR = 3, 4


def pl011_speed(guest: Guest) -> float:
    """The speed that the divisors make."""
    return PL011_CLOCK / (16 * (guest.memory(PL011 + IBRD) + guest.memory(PL011 + FBRD) / 64))


def pl011_format(guest: Guest) -> str:
    """The format in the line control register."""
    bits = guest.memory(PL011 + LCR_H)
    parity = "N"
    if bits & 2:
        parity = ("SM" if bits & 0x80 else "EO")[not bits & 4]
    return f"{5 + (bits >> 5 & 3)}{parity}{2 if bits & 8 else 1}"


def pl011_rts_low(guest: Guest) -> bool:
    """Whether the RTS pin is low. Drivers of an RS-485 bus send while it is high, the usual wiring."""
    return bool(guest.memory(PL011 + CR) & 1 << 11)


def breaking(guest: Guest, line: str) -> bool:
    """Whether a chip holds its line in a break."""
    if line == "pl011":
        return bool(guest.memory(PL011 + LCR_H) & 1)
    return bool(_uart(guest, LCR) & 0x40)


def uart_modem_lines(guest: Guest) -> set[str]:
    """The outputs that the 16550A asserts."""
    bits = _uart(guest, MCR)
    return {name for name, bit in (("dtr", 1), ("rts", 2)) if bits & bit}


def _uart(guest: Guest, register: int) -> int:
    words = guest.read("/proc/tty/driver/serial").split()
    port = next(word.removeprefix("port:") for word in words if word.startswith("port:"))
    return guest.memory(PIO + int(port, 16) + register, 1)
