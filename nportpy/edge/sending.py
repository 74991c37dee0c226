"""Parcels on their way: sent until they are acknowledged, or handed on to somebody else.

| the other side | what is done |
|---|---|
| refuses for the moment (quota, a right) | the batch waits and goes late; live goes on |
| refuses what a batch holds | halved until the one sample is found; that is counted, logged and passed over |
| refuses one sample after the other | then it is not the samples: they wait, as if it refused for the moment |
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from nportpy.edge.errands import Errand, Errands
from nportpy.edge.ledger import Ledger
from nportpy.edge.links.base import Message, RefusedError
from nportpy.edge.parcels import Parcel, parcels
from nportpy.edge.sample import Sample
from nportpy.edge.session import Session
from nportpy.edge.settings import Confirm, UpstreamSettings
from nportpy.edge.trouble import Trouble

MOST_IN_ROW: Final = 50
"""Samples that are passed over one after the other; if a server refuses all, its fault must not cost the archive."""

_REFUSED_PAUSE: Final = 5.0
_KEPT: Final = "upstream refuses samples for now; they are kept"


class Sender:
    """Brings the samples of one upstream to the other side."""

    def __init__(self, settings: UpstreamSettings, ledger: Ledger, errands: Errands, trouble: Trouble) -> None:
        """Nothing is under way."""
        self._settings = settings
        self._ledger = ledger
        self._errands = errands
        self._trouble = trouble
        self._refused_in_row = 0

    def pack(self, session: Session, samples: Sequence[Sample], *, late: bool) -> Iterator[Parcel]:
        """Samples as parcels; the session was told their tags."""
        return parcels(samples, self._settings.format, self._settings.node, session.meta, late)

    async def deliver(self, session: Session, parcel: Parcel, *, late: bool) -> None:
        """Send a parcel in the place that was taken for it in the session's window."""
        try:
            await self._publish(session, parcel, late=late)
        finally:
            (session.late if late else session.live).release()

    async def _publish(self, session: Session, parcel: Parcel, *, late: bool) -> None:
        message = Message("late" if late else "live", parcel.payload, parcel.content_type, id=parcel.id)
        while True:
            try:
                await session.publish(message)
                break
            except RefusedError as error:
                passing = error.passing or self._refused_in_row >= MOST_IN_ROW
                if not (late and passing):
                    await self._refused(session, parcel, error, late=late, passing=passing)
                    return
                self._trouble.refused(error, _KEPT)
                await asyncio.sleep(_REFUSED_PAUSE)
        self._refused_in_row = 0
        self._trouble.reason = ""
        self._ledger.acknowledged(parcel, late=late)
        if self._settings.confirm is Confirm.BROKER:
            self._ledger.arrived(parcel.first, parcel.last)

    async def _refused(
        self, session: Session, parcel: Parcel, error: RefusedError, *, late: bool, passing: bool
    ) -> None:
        if passing:
            self._trouble.refused(error, _KEPT)
            self._errands.add(Errand(parcel.first, parcel.last, what="sent after a refusal"))
        elif len(parcel.samples) > 1:
            middle = len(parcel.samples) // 2
            for half in (parcel.samples[:middle], parcel.samples[middle:]):
                for each in self.pack(session, half, late=late):
                    await self._publish(session, each, late=late)
        else:
            self._refused_in_row += 1
            self._ledger.counts.refused += 1
            tag = parcel.samples[0].tag.path
            self._trouble.refused(error, "upstream will not take a sample; passed over", tag=tag)
            self._ledger.arrived(parcel.first, parcel.last)
