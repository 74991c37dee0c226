"""One tree of errors.

    NportpyError
    ├── ConfigError            the configuration is wrong; `faults` lists everything at once
    ├── LineError              the line failed
    │   ├── LineDown           the device is absent, lost or not open yet
    │   ├── LineBusy           another process holds the device
    │   ├── LineUnsupported    the driver cannot do what was asked; the message names the way out
    │   ├── LeaseRefused       the line was not to be had alone in time; the message names who had it
    │   └── LeaseEnded         the time for which the line was to be had alone is over
    ├── ListenError            a service's address cannot be bound
    ├── ArchiveError           the archive cannot be opened; the message names the file and the way out
    ├── AccountError           accounts cannot be read or changed; the message says why
    ├── EditError              a change of the configuration cannot be made; the message says why
    ├── ProtocolError          the peer broke the protocol
    └── MisuseError            this code was called in a way its contract forbids

Each mode maps them to its wire, the command line to exit codes: ConfigError is 2, the others are 1.
"""

from dataclasses import dataclass


class NportpyError(Exception):
    """Whatever nportpy raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a configuration file.

    Attributes:
        key: the key path, as in `port.meters.raw.listen`; empty for the file as a whole.
        reason: what is wrong with it.
        value: the value found, as text; empty where there is none (a missing key).
        allowed: what would be right; may be empty.
        line: line number in the file, from 1; 0 if unknown.
        excerpt: that line, where the words alone do not show what is wrong; else empty.
        column: where in it, from 1.
    """

    key: str
    reason: str
    value: str = ""
    allowed: str = ""
    line: int = 0
    excerpt: str = ""
    column: int = 0


class ConfigError(NportpyError):
    """The configuration is wrong."""

    def __init__(self, source: str, faults: tuple[Fault, ...]) -> None:
        """`source` is the file's name as the user gave it."""
        super().__init__(f"{source}: {len(faults)} fault{'s' * (len(faults) != 1)}")
        self.source = source
        self.faults = faults

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, tuple[Fault, ...]]]:
        """Pickle it whole: another process may have found the faults."""
        return ConfigError, (self.source, self.faults)


class LineError(NportpyError):
    """The line failed."""


class LineDown(LineError):
    """The device is absent, lost or not open yet."""


class LineBusy(LineError):
    """Another process holds the device."""


class LineUnsupported(LineError):
    """The driver cannot do what was asked."""


class LeaseRefused(LineError):
    """The line was not to be had alone in time."""


class LeaseEnded(LineError):
    """The time for which the line was to be had alone is over."""


class ListenError(NportpyError):
    """A service's address cannot be bound."""

    def __init__(self, where: str, reason: str, number: int = 0) -> None:
        """`number` is the system's, see errno(3)."""
        super().__init__(f"cannot listen on {where}: {reason}")
        self.where = where
        self.reason = reason
        self.number = number


class ArchiveError(NportpyError):
    """The archive cannot be opened."""


class AccountError(NportpyError):
    """Accounts cannot be read or changed."""


class EditError(NportpyError):
    """A change of the configuration cannot be made."""


class ProtocolError(NportpyError):
    """The peer broke the protocol."""


class MisuseError(NportpyError):
    """This code was called in a way its contract forbids."""
