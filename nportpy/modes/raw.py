"""Raw TCP server: the line's bytes and nothing else."""

from dataclasses import dataclass

from nportpy.modes.base import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSettings(ServiceSettings):
    """A raw TCP listener."""
