"""Topics of MQTT and subjects of NATS: `nportpy/v1/SITE/NODE/KIND`, in NATS with dots for slashes. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.edge.fields import NAME, VERSION, refuse


class Kind(StrEnum):
    """The last level of a topic."""

    LIVE = "live"
    LATE = "late"
    STATE = "state"
    META = "meta"
    COMMAND = "cmd"
    ACKNOWLEDGEMENT = "ack"


@dataclass(frozen=True, slots=True)
class Address:
    """Whose topic it is, and which."""

    site: str
    node: str
    kind: Kind

    @property
    def topic(self) -> str:
        """For MQTT."""
        return f"nportpy/v{VERSION}/{self.site}/{self.node}/{self.kind}"

    @property
    def subject(self) -> str:
        """For NATS."""
        return self.topic.replace("/", ".")


def topic_filter(kind: Kind, site: str = "+", node: str = "+") -> str:
    """MQTT filter for the topics of a kind, of all sites and nodes unless named."""
    return f"nportpy/v{VERSION}/{site}/{node}/{kind}"


def subject_filter(kind: Kind, site: str = "*", node: str = "*") -> str:
    """NATS filter for the subjects of a kind, of all sites and nodes unless named."""
    return f"nportpy.v{VERSION}.{site}.{node}.{kind}"


def parse_address(text: str) -> Address:
    """The address of a topic or of a subject.

    Raises:
        ProtocolError: it is none of ours.
    """
    parts = text.split("/" if "/" in text else ".")
    if len(parts) != 5 or parts[:2] != ["nportpy", f"v{VERSION}"]:
        refuse(f"topic {text[:100]!r}")
    if not NAME.fullmatch(parts[2]) or not NAME.fullmatch(parts[3]) or parts[4] not in list(Kind):
        refuse(f"topic {text[:100]!r}")
    return Address(parts[2], parts[3], Kind(parts[4]))
