"""What a line says while nobody listens, for the first client that comes: bounded, in memory, the newest bytes."""


class Buffer:
    """The newest bytes.

    Attributes:
        data: they.
        lost: bytes that they have pushed out.
    """

    def __init__(self, limit: int) -> None:
        """Empty; holds up to `limit` bytes."""
        self.data = bytearray()
        self.lost = 0
        self._limit = limit

    def line_data(self, data: bytes) -> None:
        """Keep them."""
        self.data += data
        excess = len(self.data) - self._limit
        if excess > 0:
            del self.data[:excess]
            self.lost += excess

    def take(self) -> bytes:
        """All that is in it; then it is empty."""
        data, self.data = bytes(self.data), bytearray()
        return data
