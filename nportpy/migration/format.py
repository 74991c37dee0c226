"""Speed and format of a line as ser2net's words say them, in its old form and in its new one.

    9600n81   9600   9600,EVEN,7DATABITS,2STOPBITS   speed=9600,parity=even,databits=7,stopbits=2

Sources: ser2net(8) of 3.5 and gensio(5); both take the words in any order, and the last one counts.
"""

import re

from nportpy.linesettings import LineSettings

_SPEED = re.compile(r"(?:speed=)?(\d{1,10})([NEOMS]?)([5-8]?)([12]?)", re.IGNORECASE)
_PARITIES = {"NONE": "N", "EVEN": "E", "ODD": "O", "MARK": "M", "SPACE": "S"}
_PARITY = re.compile(rf"(?:parity=)?({'|'.join(_PARITIES)})", re.IGNORECASE)
_DATA_BITS = re.compile(r"([5-8])DATABITS?|databits=([5-8])", re.IGNORECASE)
_STOP_BITS = re.compile(r"([12])STOPBITS?|stopbits=([12])", re.IGNORECASE)


class Format:
    """What the words read so far make of 9600n81."""

    def __init__(self) -> None:
        """No word was read."""
        self.speed, self.parity, self.data_bits, self.stop_bits = "9600", "N", "8", "1"

    def take(self, word: str) -> bool:
        """Obey a word; whether it is one of speed or format at all."""
        if found := _SPEED.fullmatch(word):
            self.speed = found[1]
            self.parity = found[2].upper() or self.parity
            self.data_bits = found[3] or self.data_bits
            self.stop_bits = found[4] or self.stop_bits
        elif found := _PARITY.fullmatch(word):
            self.parity = _PARITIES[found[1].upper()]
        elif found := _DATA_BITS.fullmatch(word):
            self.data_bits = found[1] or found[2]
        elif found := _STOP_BITS.fullmatch(word):
            self.stop_bits = found[1] or found[2]
        return found is not None

    def settings(self) -> LineSettings:
        """All of it.

        Raises:
            ValueError: no UART does that.
        """
        return LineSettings.parse(int(self.speed), f"{self.data_bits}{self.parity}{self.stop_bits}")

    def __str__(self) -> str:
        return f"{self.speed}{self.parity}{self.data_bits}{self.stop_bits}".lower()
