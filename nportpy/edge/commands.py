"""What the other side may ask of a node: how deep the archive is, an interval again; and that it has stored samples."""

from collections.abc import Callable

from nportpy.edge.archive import Archive
from nportpy.edge.ledger import Ledger
from nportpy.edge.links.base import Message
from nportpy.edge.messages import Answer, Depth, Send, decode_acknowledgement, decode_command, encode_answer
from nportpy.edge.settings import Confirm, UpstreamSettings
from nportpy.errors import ProtocolError


class Commands:
    """Obeys what comes on `.../cmd` and `.../ack` of one upstream."""

    def __init__(
        self, settings: UpstreamSettings, archive: Archive, ledger: Ledger, send: Callable[[int, int], bool]
    ) -> None:
        """`send`: sends an interval; False: too many wait already."""
        self._settings = settings
        self._archive = archive
        self._ledger = ledger
        self._send = send

    def heard(self, kind: str, payload: bytes) -> Message | None:
        """Do what is said; what is to be answered.

        Raises:
            ProtocolError: it is not understood, or is somebody else's.
        """
        if kind == "ack":
            self._confirmed(payload)
        elif kind == "cmd":
            return Message("answer", encode_answer(self._obey(payload)))
        return None

    def _confirmed(self, payload: bytes) -> None:
        ack = decode_acknowledgement(payload)
        if ack.node != self._settings.node:
            raise ProtocolError(f"it is for {ack.node}")
        if ack.boot not in self._archive.boots:
            return  # about the numbers of an archive that is no more; here they mean other samples
        if self._settings.confirm is Confirm.HOST:
            self._ledger.arrived(self._ledger.cursor + 1, min(ack.seq, self._archive.newest))

    def _obey(self, payload: bytes) -> Answer:
        match decode_command(payload):
            case Depth(name):
                numbers = {
                    "waiting": self._ledger.backlog,
                    "acknowledged": self._ledger.cursor,
                    "oldest": self._archive.oldest,
                    "newest": self._archive.newest,
                }
                oldest_at = self._archive.status().oldest_at
                numbers |= {} if oldest_at is None else {"oldest_at": round(oldest_at * 1e6)}
                return Answer(name, True, numbers=numbers)
            case Send(name, start, end):
                if self._send(start, end):
                    return Answer(name, True, "on its way")
                return Answer(name, False, "too many intervals wait; ask again later")
