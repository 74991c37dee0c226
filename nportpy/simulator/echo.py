"""A device that sends back what it hears, as soon as it has heard it."""

from collections.abc import Mapping, Sequence

from nportpy.simulator.device import Answer


class Echo:
    """Sends everything back. It talks while it listens, so it wants a wire with a pair for each direction."""

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:  # noqa: ARG002 - it needs no clock
        """`data`, at once."""
        return (Answer(data),)

    def silence(self, now: float) -> Sequence[Answer]:  # noqa: ARG002
        """Nothing."""
        return ()

    def counts(self) -> Mapping[str, int]:
        """Nothing: it does not know what a request is."""
        return {}
