"""What can be wrong with an IEC 62056-21 meter, told apart: each has its own remedy.

LineError
└── MeterSilent              nothing answers the sign-on, or the meter stops in the middle
ProtocolError
├── MeterUnreadable          it answers, and what it says cannot be used: the message says why
│   └── WrongSpeed           nothing readable came after the change of speed
└── PasswordRefused          the password is wrong: never tried again by itself
"""

from nportpy.errors import LineError, ProtocolError


class MeterSilent(LineError):
    """Nothing answers the sign-on, or the meter stops in the middle."""


class MeterUnreadable(ProtocolError):
    """The meter answers, and what it says cannot be used."""


class WrongSpeed(MeterUnreadable):
    """Nothing readable came after the change of speed."""


class PasswordRefused(ProtocolError):
    """The password is wrong. Meters lock themselves after a few: do not try again by yourself."""
