"""What a meter says instead of a value, or instead of an answer (DLMS UA 1000-2, 9.3 and 9.5)."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from nportpy.protocols.dlms.simple import Value

RESULTS: Final = {
    0: "success",
    1: "hardware fault",
    2: "temporary failure",
    3: "read or write denied",
    4: "object undefined",
    9: "object class inconsistent",
    11: "object unavailable",
    12: "type unmatched",
    13: "scope of access violated",
    14: "data block unavailable",
    15: "long get aborted",
    16: "no long get in progress",
    17: "long set aborted",
    18: "no long set in progress",
    19: "data block number invalid",
    250: "other reason",
}
"""Data-Access-Result by its code."""

SUCCESS: Final = 0
TEMPORARY: Final = 2
OTHER_REASON: Final = 250

_PERMANENT: Final = frozenset((3, 4, 9, 11, 13))
_ADVICE: Final = {
    3: "this client may not read it",
    4: "the meter has no such object or attribute",
    9: "the object is of another class",
    11: "it is not there for this client: it may need another client or a password",
    13: "this client has no right to it: it needs another client, or a password",
}

_STATES: Final = {1: "service not allowed", 2: "service unknown"}
_EXCEPTIONS: Final = {
    1: "operation not possible",
    2: "service not supported",
    3: "other reason",
    4: "the answer or question is too long",
    5: "deciphering error",
    6: "invocation counter error",
}
_SERVICES: Final = {1: "initiate", 5: "read", 6: "write"}
_SERVICE_ERRORS: Final = {
    0: ("application reference", {0: "other", 1: "time elapsed", 2: "application unreachable", 3: "reference invalid",
                                  4: "context unsupported", 5: "provider communication error", 6: "deciphering error"}),
    1: ("hardware resource", {0: "other", 1: "memory unavailable", 2: "processor unavailable",
                              3: "mass storage unavailable", 4: "other resource unavailable"}),
    2: ("VDE state", {0: "other", 1: "no DLMS context", 2: "loading data set", 3: "status no change",
                      4: "status inoperable"}),
    3: ("service", {0: "other", 1: "PDU size", 2: "service unsupported"}),
    4: ("definition", {0: "other", 1: "object undefined", 2: "object class inconsistent",
                       3: "object attribute inconsistent"}),
    5: ("access", {0: "other", 1: "scope of access violated", 2: "object access invalid", 3: "hardware fault",
                   4: "object unavailable"}),
    6: ("initiate", {0: "other", 1: "DLMS version too low", 2: "incompatible conformance", 3: "PDU size too short",
                     4: "refused by the VDE handler"}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """A Data-Access-Result other than success (9.5)."""

    code: int

    @property
    def permanent(self) -> bool:
        """Whether asking again will be answered the same, as long as meter and configuration are what they are."""
        return self.code in _PERMANENT

    def __str__(self) -> str:
        """As in `result 4, object undefined: the meter has no such object or attribute`."""
        text = f"result {self.code}, {RESULTS.get(self.code, 'which the standard does not know')}"
        advice = _ADVICE.get(self.code)
        return f"{text}: {advice}" if advice else text


Result: TypeAlias = Value | Refused
"""What came of reading one attribute."""


@dataclass(frozen=True, slots=True)
class ExceptionResponse:
    """D8: the meter did not do what was asked, as a whole.

    Attributes:
        state: 1 the service is not allowed now, 2 it is unknown.
        service: why; see `__str__`.
        counter: the invocation counter that the meter expects, where that is why.
    """

    state: int
    service: int
    counter: int | None = None

    @property
    def dissociated(self) -> bool:
        """Whether it says what meters say when the association is gone: not allowed, not possible."""
        return self.state == 1 and self.service == 1

    def __str__(self) -> str:
        state = _STATES.get(self.state, f"state {self.state}")
        return f"exception {self.state} {self.service}: {state}, {_EXCEPTIONS.get(self.service, 'unknown reason')}"


@dataclass(frozen=True, slots=True)
class ServiceError:
    """0E: a confirmed service failed.

    Attributes:
        service: 1 initiate, 5 read, 6 write.
        kind: 0 to 6; see `__str__`.
        code: of that kind.
    """

    service: int
    kind: int
    code: int

    def __str__(self) -> str:
        kind, codes = _SERVICE_ERRORS.get(self.kind, (f"kind {self.kind}", {}))
        service = _SERVICES.get(self.service, f"service {self.service}")
        return f"{service} failed: {kind}, {codes.get(self.code, f'code {self.code}')}"
