"""The files of the pages: read when first asked for, packed once, kept by browsers for as long as they do not change.

All of them are under one hash of their contents: their references to each other are relative, so they need not be
rewritten, and a new version has other addresses.
"""

import gzip
from functools import cached_property
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

_TYPES: Final = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "html": "text/html; charset=utf-8",
}
"""What is served, by the ends of names; the rest (licences, the list of hashes) is for who reads the package."""


class Files:
    """They, in memory from the first request on: some 60 KB."""

    @cached_property
    def _raw(self) -> dict[str, bytes]:
        return dict(_read(resources.files("nportpy.console") / "static", ""))

    @cached_property
    def hash(self) -> str:
        """Of all of them."""
        digest = sha256()
        for name, content in sorted(self._raw.items()):
            digest.update(name.encode() + b"\0" + content + b"\0")
        return digest.hexdigest()[:16]

    @cached_property
    def _packed(self) -> dict[str, bytes]:
        return {name: gzip.compress(content, 9, mtime=0) for name, content in self._raw.items()}

    @cached_property
    def index(self) -> bytes:
        """The page, packed. Its scripts are named in it, so that a browser asks for all of them at once."""
        scripts = sorted(name for name in self._raw if name.endswith(".js"))
        preload = "\n".join(f'<link rel="modulepreload" href="assets/{{hash}}/{name}">' for name in scripts)
        page = self._raw["index.html"].decode().replace("{preload}", preload).replace("{hash}", self.hash)
        return gzip.compress(page.encode(), 9, mtime=0)

    @property
    def packed(self) -> bool:
        """Whether `pack` was called."""
        return "_packed" in vars(self)

    def pack(self) -> None:
        """Read and pack all of them. For a thread: it takes 20 ms, and 100 ms on a small machine."""
        _ = self.index, self.hash, self._packed

    def find(self, name: str) -> tuple[str, bytes] | None:
        """Content type and packed content of a file; None: there is none of that name."""
        packed = self._packed.get(name)
        return None if packed is None else (_TYPES[name.rpartition(".")[2]], packed)


def _read(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _read(each, f"{prefix}{each.name}/")
        elif each.name.rpartition(".")[2] in _TYPES:
            found.append((prefix + each.name, each.read_bytes()))
    return found
