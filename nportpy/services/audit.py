"""Who did what: one stream of events, in the log and, the last of them, in memory.

Every event is a record of the logger `nportpy.audit`, whatever the level of the others is, and has

    event     what was done: see below
    who       an account's or token's name; empty: nobody, or whoever is on this machine while there are no accounts
    how       password, session, token, certificate, local; file: on this machine, beside the gateway; clock
    client    the address it came from
    result    done, failed, refused, ...

and what belongs to it. Events are login (done, failed), logout, refused, account, token, accounts (read), reload
(before and after: SHA-256 of the file, if that is another one), config (the same from the console, with action: apply,
confirm, take_back, and `change`, its number in the history), certificate, clock, monitor, capture, kick, ended (what
somebody began and may not do any more: path, and why as result), and what is done on lines and buses: send, break,
modem_lines, reopen, read, write, request, scan, send_interval.

With `format = "json"` in [log] it is an object a line, for journald and those who read it.
"""

import logging
from collections.abc import Hashable
from typing import Final

from nportpy.services.recent import Recent
from nportpy.services.who import NOBODY, Who
from nportpy.throttle import Throttle

LONGEST: Final = 200
"""Characters of a value: they may be a stranger's."""

log = logging.getLogger("nportpy.audit")
log.setLevel(logging.INFO)  # whatever is logged else


class Audit:
    """It, and the last thousand events.

    Attributes:
        recent: they.
    """

    def __init__(self) -> None:
        """Nothing is kept before `attach`."""
        self.recent = Recent(logger="nportpy.audit")
        self._floods = Throttle()

    def attach(self) -> None:
        """Keep events from now on."""
        self.recent.attach()

    def detach(self) -> None:
        """Keep none any more."""
        self.recent.detach()

    def tell(self, event: str, *, who: str, how: str, client: str, result: str, **more: object) -> None:
        """Something happened."""
        extra = {"event": event, "who": who, "how": how, "client": client, "result": result} | more
        log.info("audit", extra={key: _short(value) for key, value in extra.items()})

    def flood(
        self, key: Hashable, now: float, event: str, *, client: str, result: str, who: Who = NOBODY, **more: object
    ) -> None:
        """What strangers can do as often as they like: an event a minute for each `key`, with how many were left out.

        `now` is in seconds of a clock that does not jump.
        """
        unlogged = self._floods.allow((event, key), now)
        if unlogged is not None:
            self.tell(event, who=who.name, how=who.how, client=client, result=result, unlogged=unlogged, **more)


def _short(value: object) -> object:
    return value if isinstance(value, int) else str(value)[:LONGEST]
