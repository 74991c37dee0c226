"""What can be wrong with a DLMS meter, told apart: each has its own remedy.

LineError
└── MeterSilent                  nothing answers: opening, address, width, client, speed or parity are wrong
ProtocolError
├── NoHdlc                       mode E was answered, but by a meter that speaks no HDLC on this port
├── AssociationRefused           the meter answers and refuses the association; the message says why
│   └── AuthenticationRefused    because of the password or the keys: never tried again by itself
├── ServiceRefused               an error in place of an answer: the meter does not know or allow the service
└── AnswerTooLong                more than `max_size` bytes
"""

from nportpy.errors import LineError, ProtocolError


class MeterSilent(LineError):
    """Nothing answers, or nothing that is for this client."""


class NoHdlc(ProtocolError):
    """The port of the meter speaks IEC 62056-21 and nothing else."""


class AssociationRefused(ProtocolError):
    """The meter answers and refuses the association."""


class AuthenticationRefused(AssociationRefused):
    """The password, the secret or the keys are wrong. Meters lock themselves: do not try again by yourself."""


class ServiceRefused(ProtocolError):
    """An error came in place of an answer."""


class AnswerTooLong(ProtocolError):
    """An answer is longer than is allowed here."""
