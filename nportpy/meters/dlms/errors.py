"""What can be wrong with a DLMS meter, told apart: each has its own remedy.

LineError
└── MeterSilent                  nothing answers: opening, address, width, client, speed or parity are wrong
    └── ConnectionLost           it did answer, and does not any more, or says that it knows of no connection
ProtocolError
├── NoHdlc                       mode E was answered, but by a meter that speaks no HDLC on this port
├── AssociationRefused           the meter answers and refuses connection or association; the message says why
│   └── AuthenticationRefused    because of the password or the keys: never tried again by itself
├── ServiceRefused               an error in place of an answer: the meter does not know or allow the service
│   └── Dissociated              because it knows of no association any more
└── AnswerTooLong                more than `max_size` bytes
"""

from nportpy.errors import LineError, ProtocolError


class MeterSilent(LineError):
    """Nothing answers, or nothing that is for this client."""


class ConnectionLost(MeterSilent):
    """The connection to the meter is gone."""


class NoHdlc(ProtocolError):
    """The port of the meter speaks IEC 62056-21 and nothing else."""


class AssociationRefused(ProtocolError):
    """The meter answers and refuses the connection or the association."""


class AuthenticationRefused(AssociationRefused):
    """The password, the secret or the keys are wrong. Meters lock themselves: do not try again by yourself."""


class ServiceRefused(ProtocolError):
    """An error came in place of an answer."""


class Dissociated(ServiceRefused):
    """The meter knows of no association."""


class AnswerTooLong(ProtocolError):
    """An answer is longer than is allowed here."""
