"""What a configuration file was: the last twenty texts, each with who tried it when and why, and what came of it.

They lie beside the file, in a folder of its name with `.history`: a JSON object a file, under its number.
"""

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

from nportpy import atomicfile
from nportpy.editing import files

MOST: Final = 20
"""Entries that are kept."""


class Fate(StrEnum):
    """What came of a text."""

    FOUND = "found"  # it was there already: somebody else wrote it
    TRYING = "trying"  # not confirmed yet
    CONFIRMED = "confirmed"
    TIMED_OUT = "timed out"  # nobody confirmed it in time
    TAKEN_BACK = "taken back"
    OVERTAKEN = "overtaken"  # the file was read anew meanwhile
    INTERRUPTED = "interrupted"  # the gateway ended meanwhile
    FAILED = "failed"  # the gateway could not go over to it


@dataclass(frozen=True, slots=True)
class Entry:
    """A text.

    Attributes:
        number: counted from 1.
        time: when it came, in seconds since the epoch.
        by: who.
        why: in his words.
        fate: what came of it.
        tag: its SHA-256.
        text: the text.
    """

    number: int
    time: float
    by: str
    why: str
    fate: Fate
    tag: str
    text: str


class History:
    """The entries of one file. Its methods wait for the disk."""

    def __init__(self, path: str) -> None:
        """Of the configuration file at `path`; nothing is made before there is something to keep."""
        self._path = os.path.realpath(path)
        self.folder = f"{self._path}.history"

    def all(self) -> list[Entry]:
        """The entries, the newest first. What cannot be understood is left out."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        found = [self._read(name) for name in names if name.endswith(".json")]
        return sorted((each for each in found if each is not None), key=lambda each: -each.number)

    def get(self, number: int) -> Entry | None:
        """One entry."""
        return self._read(f"{number:06}.json")

    def add(self, text: str, fate: Fate, *, by: str, why: str, time: float) -> Entry:
        """Keep one more, and no more than there may be.

        Raises:
            OSError: it cannot be written.
        """
        entries = self.all()
        number = entries[0].number + 1 if entries else 1
        entry = Entry(number, time, by, why, fate, files.tag(text.encode()), text)
        if not os.path.isdir(self.folder):
            mode = stat.S_IMODE(os.stat(self._path).st_mode)
            os.mkdir(self.folder, 0o700 | (mode >> 2 & 0o111) | mode & 0o055)  # who may read the file may look into it
        self._write(entry)
        for old in entries[MOST - 1 :]:
            with contextlib.suppress(OSError):  # it is one too many, and goes the next time
                os.unlink(self._place(old.number))
        return entry

    def mark(self, number: int, fate: Fate) -> None:
        """Say what came of one.

        Raises:
            OSError: it cannot be written.
        """
        entry = self.get(number)
        if entry is not None:
            self._write(replace(entry, fate=fate))

    def recover(self) -> list[Entry]:
        """After a start: what was being tried when the gateway ended.

        What has become the file was confirmed: the gateway ended, or the disk was full, before that was written here.

        Raises:
            OSError: that cannot be written.
            EditError: the file cannot be read.
        """
        trying = [each for each in self.all() if each.fate is Fate.TRYING]
        kept = files.tag(files.read(self._path)) if trying else ""
        for each in trying:
            self.mark(each.number, Fate.CONFIRMED if each.tag == kept else Fate.INTERRUPTED)
        return [each for each in trying if each.tag != kept]

    def _place(self, number: int) -> str:
        return os.path.join(self.folder, f"{number:06}.json")

    def _write(self, entry: Entry) -> None:
        content = json.dumps(asdict(entry), indent=1).encode()
        atomicfile.write(self._place(entry.number), content, stat.S_IMODE(os.stat(self._path).st_mode))

    def _read(self, name: str) -> Entry | None:
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                found = json.load(file)
            entry = Entry(**found | {"fate": Fate(found["fate"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
        sound = isinstance(entry.text, str) and type(entry.number) is int and name == f"{entry.number:06}.json"
        return entry if sound and isinstance(entry.time, int | float) else None
