"""A candidate for the configuration file: checked, tried for a while, and kept or taken back.

    idle -> trying         apply: the gateway goes over to the candidate; the file stays what it is
    trying -> confirmed    confirm: the candidate becomes the file, in one step
    trying -> timed out    nobody confirmed it in time: the gateway goes back
    trying -> taken back   somebody did not want to wait for that
    trying -> overtaken    the file was read anew (SIGHUP): that holds

So the file is the old one for as long as a candidate is only tried: a gateway that ends in that time, however it does,
starts with the old one. The candidate lies beside it then, whole and on the disk, so that confirming takes a renaming.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from nportpy import atomicfile
from nportpy.atomicfile import Prepared
from nportpy.editing import files
from nportpy.editing.candidate import Candidate, Changes, Checker
from nportpy.editing.history import Entry, Fate, History
from nportpy.errors import EditError, NportpyError
from nportpy.status import TrialStatus

WINDOW: Final = 60.0
"""Seconds in which a change is to be confirmed, where nobody says another time."""

SHORTEST, LONGEST = 10.0, 3600.0
"""Seconds that somebody may say."""

log = logging.getLogger(__name__)


class Stale(EditError):
    """The file is another one by now. Stays between editor and console.

    Attributes:
        text: what is in it.
    """

    def __init__(self, text: str) -> None:
        """`text` is what is in it."""
        super().__init__("the file was changed meanwhile")
        self.text = text


class Faulty(EditError):
    """The candidate has faults. Stays between editor and console."""

    def __init__(self, candidate: "Candidate") -> None:
        """With all that is known of it."""
        count = len(candidate.faults)
        super().__init__(f"the candidate has {count} fault{'s' * (count != 1)}: nothing has changed")
        self.candidate = candidate


class Gateway(Protocol):
    """What goes over to other settings."""

    def now(self) -> Any:
        """The settings that it runs with."""

    async def go_over(self, settings: Any, still: Callable[[], bool] = lambda: True) -> None:
        """Go over to others, one after another; `still` is asked when it is their turn: False, they are not wanted."""

    def tried(self, entry: Entry) -> None:
        """A change was tried, and that came of it."""


@dataclass(slots=True)
class Trial:
    """A candidate that is tried.

    Attributes:
        entry: its entry in the history.
        window: seconds in which it is to be confirmed.
        until: when that ends, in seconds since the epoch.
        prepared: the file that it may become.
        base: the tag of the file that it was made from.
        settings: what it means to the gateway.
        before: what the gateway goes back to.
        overtaken: the file was read anew since, whatever had been decided by then.
        over: set when the gateway has gone over to it.
        decided: set when it is known what comes of it.
        fate: that.
    """

    entry: Entry
    window: float
    until: float
    prepared: Prepared
    base: str
    settings: Any
    before: Any
    overtaken: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    fate: Fate = Fate.TRYING


class Editor:
    """Of one file.

    Attributes:
        trial: what is tried now.
        last: what came of the one before, since the start.
    """

    def __init__(self, path: str | None, checker: Checker | None, gateway: Gateway) -> None:
        """Switched off. `path` is the file, None: there is none; None for a `checker`: nothing can be changed."""
        self.on = False
        self.trial: Trial | None = None
        self.last: Entry | None = None
        self._path = path
        self._checker = checker
        self._gateway = gateway
        self._history = History(path or "")
        self._stopped = False
        self._looked_back = False  # for what was tried when the gateway ended before
        self._one = asyncio.Lock()
        self._checking = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None

    async def switch(self, on: bool, tasks: asyncio.TaskGroup) -> None:
        """Let the file be changed, or not. What is being tried goes on."""
        self._tasks = tasks
        if on and not self._looked_back and self._path is not None:
            self._looked_back = True
            try:
                for each in await asyncio.to_thread(self._recovered):
                    extra = {"number": each.number, "by": each.by, "why": each.why}
                    log.warning("a change was not confirmed before the gateway ended: it is not in force", extra=extra)
            except (OSError, EditError) as error:
                log.warning("the history of the file cannot be kept", extra={"reason": str(error)})
        self.on = on

    def _recovered(self) -> list[Entry]:
        assert self._path is not None
        atomicfile.forget(self._path)
        return self._history.recover()

    async def stop(self) -> None:
        """End what is being tried, and try nothing more: the gateway ends, and will start with the file as it is."""
        self._stopped = True
        if self._task is not None:
            self._decide(Fate.INTERRUPTED)
            await asyncio.wait([self._task])

    def status(self) -> TrialStatus | None:
        """What is tried now."""
        if self.trial is None:
            return None
        entry = self.trial.entry
        return TrialStatus(entry.number, entry.by, entry.why, entry.time, self.trial.until)

    def path(self) -> str:
        """The file.

        Raises:
            EditError: there is none.
        """
        if self._path is None:
            raise EditError("this gateway has no configuration file: it was started with devices")
        return self._path

    def why_not(self) -> str:
        """Why the file cannot be changed; empty: it can."""
        if self._path is None or self._checker is None:
            return "this gateway has no configuration file: it was started with devices"
        if not self.on:
            return 'editing is switched off: it takes console = "edit" in [http]'
        return files.why_not(self._path)

    async def read(self) -> str:
        """The file's text, with everything that is in it.

        Raises:
            EditError: it cannot be read, or is no text.
        """
        return _text(await asyncio.to_thread(files.read, self.path()))

    async def check(self, text: str, changes: Changes = (), base: str | None = None) -> Candidate:
        """What would be said of a text, after some changes of single values.

        Args:
            text: the candidate.
            changes: made in it first.
            base: what it is compared with; without it, `text` as it was before the changes.

        Raises:
            EditError: it is too large, or the changes cannot be made, or nothing is said.
        """
        if len(text.encode(errors="surrogatepass")) > files.LARGEST:
            raise EditError("the candidate is larger than 1 MiB")
        if self._checker is None:
            raise EditError(self.why_not())
        async with self._checking:
            return await asyncio.to_thread(self._checker, self.path(), text, changes, text if base is None else base)

    async def apply(self, text: str, base: str, *, by: str, why: str, window: float = WINDOW) -> Trial:
        """Try a text: the gateway goes over to it, and back after `window` seconds without a confirmation.

        Args:
            text: the candidate.
            base: the tag of the text that it was made from.
            by: who wants it.
            why: in his words.
            window: seconds.

        Raises:
            Stale: the file is not the one of `base` any more.
            Faulty: the candidate has faults.
            EditError: it cannot be tried now; the message says why.
        """
        async with self._one:
            if self.trial is not None:
                raise EditError(f"change {self.trial.entry.number} by {self.trial.entry.by} is to be confirmed first")
            if reason := self.why_not():
                raise EditError(reason)
            await self._compare(base)
            candidate = await self.check(text)
            if candidate.faults:
                raise Faulty(candidate)
            before = await self._compare(base)
            assert self._tasks is not None  # it is on
            entry, prepared = await asyncio.to_thread(self._prepare, before, text, by, why)
            until = time.time() + window
            trial = Trial(entry, window, until, prepared, base, candidate.settings, self._gateway.now())
            if self._stopped:  # while it was checked: nobody would end what is tried now
                trial.prepared.abandon()
                await self._close(trial, Fate.INTERRUPTED)
                raise EditError("nothing has changed: the gateway is stopping")
            self.trial = trial
            log.info("a change is tried", extra={"number": entry.number, "by": by, "why": why, "window": window})
            self._task = self._tasks.create_task(self._try(trial), name="change on trial")
            return trial

    def _prepare(self, before: str, text: str, by: str, why: str) -> tuple[Entry, Prepared]:
        now, path = time.time(), self.path()
        try:
            prepared = Prepared(path, text.encode())
            try:
                self._history.recover()  # what came of one may not have found room
                known = next((each for each in self._history.all() if each.fate in (Fate.CONFIRMED, Fate.FOUND)), None)
                if known is None or known.tag != files.tag(before.encode()):
                    self._history.add(before, Fate.FOUND, by="", why="", time=now)
                return self._history.add(text, Fate.TRYING, by=by, why=why, time=now), prepared
            except BaseException:
                prepared.abandon()
                raise
        except OSError as error:
            raise EditError(f"nothing has changed: {path} cannot be written: {error.strerror}") from error

    async def confirm(self, number: int, *, by: str) -> Entry:
        """Keep what is tried under that number: it becomes the file, also if whoever asked has gone meanwhile.

        Raises:
            Stale: somebody else has changed the file meanwhile: what is tried ends.
            EditError: that is not tried any more, or cannot be written; the message says why.
        """
        await self._tried(number).over.wait()
        assert self._tasks is not None  # it was tried

        async def keep() -> Entry | EditError:
            try:
                return await self._keep(number, by)
            except EditError as error:  # it is the one's who asked, and must not end the group
                return error

        # A thread that exchanges the file cannot be called back: what is said of it has to follow.
        kept = await asyncio.shield(self._tasks.create_task(keep(), name="change confirmed"))
        if isinstance(kept, EditError):
            raise kept
        return kept

    async def _keep(self, number: int, by: str) -> Entry:
        async with self._one:
            trial = self._tried(number)
            await self._compare(trial.base)
            try:
                await asyncio.to_thread(trial.prepared.commit)
            except OSError as error:
                raise EditError(f"the file cannot be written: {error.strerror}; it is not confirmed") from error
            log.info("a change is confirmed", extra={"number": number, "by": by})
            overtaken = not self._decide(Fate.CONFIRMED)
        assert self._task is not None  # it was started with the trial
        await asyncio.wait([self._task])
        if overtaken:  # while it was written: what is in the file now holds
            wrong = "the gateway cannot go over to a change that is confirmed: reload it, or start it anew"
            await self._go_over(trial, trial.settings, wrong)
            await self._close(trial, Fate.CONFIRMED)
        assert self.last is not None  # it has ended
        return self.last

    async def take_back(self, number: int, *, by: str) -> Entry:
        """Go back before the time is over; who asked through a listener that goes is answered before that.

        Raises:
            EditError: that is not tried any more.
        """
        async with self._one:
            trial = self._tried(number)
            log.info("a change is taken back", extra={"number": number, "by": by})
            self._decide(Fate.TAKEN_BACK)
            return trial.entry

    def overtake(self) -> None:
        """The file was read anew, and that holds."""
        if self.trial is not None:
            self.trial.overtaken = True
            if self._decide(Fate.OVERTAKEN):
                log.warning("the file is read anew: a change on trial ends", extra={"number": self.trial.entry.number})

    async def history(self) -> list[Entry]:
        """The entries, the newest first."""
        return await asyncio.to_thread(self._history.all) if self._path is not None else []

    async def entry(self, number: int) -> Entry:
        """One of them.

        Raises:
            EditError: it is not there.
        """
        found = await asyncio.to_thread(self._history.get, number)
        if found is None:
            raise EditError(f"there is no change {number} in the history")
        return found

    def _tried(self, number: int) -> Trial:
        if self.trial is None or self.trial.entry.number != number or self.trial.decided.is_set():
            raise EditError(f"change {number} is not being tried")
        return self.trial

    async def _compare(self, base: str) -> str:
        """The file's text, which has to be the one of that tag."""
        text = await self.read()
        if files.tag(text.encode()) != base:
            raise Stale(text)
        return text

    def _decide(self, fate: Fate) -> bool:
        """Say what comes of what is tried; False: it has been said."""
        trial = self.trial
        if trial is None or trial.decided.is_set():
            return False
        trial.fate = fate
        trial.decided.set()
        return True

    async def _try(self, trial: Trial) -> None:
        def begins() -> bool:
            trial.before = self._gateway.now()  # a reload may have come in between
            return not trial.decided.is_set()

        try:
            if not await self._go_over(trial, trial.settings, "a change cannot be tried", begins):
                self._decide(Fate.FAILED)
            trial.until = time.time() + trial.window
            trial.over.set()
            try:
                async with asyncio.timeout(trial.window):
                    await trial.decided.wait()
            except TimeoutError:
                async with self._one:  # who is confirming it now has come in time
                    if self._decide(Fate.TIMED_OUT):
                        log.warning("a change was not confirmed in time", extra={"number": trial.entry.number})
            if trial.fate in (Fate.TIMED_OUT, Fate.TAKEN_BACK, Fate.FAILED):
                wrong = "the gateway cannot go back to what it was before a change: reload it, or start it anew"
                await self._go_over(trial, trial.before, wrong, lambda: not trial.overtaken)
        finally:
            trial.prepared.abandon()
        await self._close(trial, trial.fate)
        self.trial = None

    async def _go_over(self, trial: Trial, settings: Any, wrong: str, still: Callable[[], bool] = lambda: True) -> bool:
        """Have the gateway go over; False: it could not, which is logged as `wrong`, and must not end it."""
        try:
            await self._gateway.go_over(settings, still)
        except (NportpyError, OSError) as error:
            log.error(wrong, extra={"number": trial.entry.number, "reason": str(error)})
            return False
        return True

    async def _close(self, trial: Trial, fate: Fate) -> None:
        try:
            await asyncio.to_thread(self._history.mark, trial.entry.number, fate)
        except OSError as error:
            log.warning("the history of the file cannot be kept", extra={"reason": error.strerror})
        self.last = replace(trial.entry, fate=fate)
        self._gateway.tried(self.last)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EditError(f"line {line} of the file is not UTF-8 text") from error
