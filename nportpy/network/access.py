"""Access: how many may be connected to all services together."""

from collections import Counter

from nportpy.network.addresses import Address
from nportpy.network.service import AccessSettings


class AccessLimits:
    """Counts the connections of all services together."""

    def __init__(self, settings: AccessSettings) -> None:
        """Nobody is inside yet."""
        self._settings = settings
        self._inside: Counter[Address] = Counter()
        self._total = 0

    def configure(self, settings: AccessSettings) -> None:
        """Other limits from now on; who is inside stays."""
        self._settings = settings

    def enter(self, address: Address) -> bool:
        """Count a connection in; False if a limit forbids it."""
        if self._total >= self._settings.max_connections or self._inside[address] >= self._settings.max_per_address:
            return False
        self._total += 1
        self._inside[address] += 1
        return True

    def leave(self, address: Address) -> None:
        """Count it out."""
        self._total -= 1
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]
