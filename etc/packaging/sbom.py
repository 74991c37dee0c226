"""Writes the bill of materials of a release (CycloneDX 1.5, JSON): what it needs to run, as installed here.

    python etc/packaging/sbom.py dist/nportpy.cdx.json

Packages of extras that are not installed are named without a version: whoever installs them gets one of that day.
No network, and the same file for the same packages.
"""

import json
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

NAME: Final = "nportpy"
EXTRAS: Final = ("full", "tls")
"""What is for users; the others are for who develops."""


def bill(name: str = NAME, extras: tuple[str, ...] = EXTRAS) -> dict[str, Any]:
    """The whole document."""
    base, needs = _reached(name, ()), _reached(name, extras)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**_component(name, optional=False), "type": "application"}},
        "components": [_component(each, optional=each not in base) for each in sorted(needs) if each != name],
        "dependencies": [
            {"ref": _reference(each), "dependsOn": sorted(map(_reference, wanted - {each}))}
            for each, wanted in sorted(needs.items())
        ],
    }


def _reached(name: str, extras: tuple[str, ...]) -> dict[str, set[str]]:
    """A package and all that it needs here, directly or not, each with what it needs itself."""
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(name, extras)]
    while waiting:
        at = waiting.pop()
        if at not in seen:
            seen.add(at)
            wanted = [(_plain(need.name), tuple(sorted(need.extras))) for need in _needs(*at)]
            found.setdefault(at[0], set()).update(each for each, _ in wanted)
            waiting += wanted
    return found


def _needs(name: str, extras: tuple[str, ...]) -> list[Requirement]:
    """What a package needs here, on this Python; of one that is not installed nobody knows."""
    installed = _installed(name)
    texts = installed.requires or [] if installed is not None else []
    contexts = [{"extra": extra} for extra in ("", *extras)]
    return [
        need
        for need in map(Requirement, texts)
        if need.marker is None or any(need.marker.evaluate(context) for context in contexts)
    ]


def _component(name: str, *, optional: bool) -> dict[str, Any]:
    installed = _installed(name)
    made: dict[str, Any] = {"type": "library", "bom-ref": _reference(name), "name": name, "purl": _reference(name)}
    if installed is not None:
        made["version"] = installed.version
        text = ", ".join(installed.metadata.get_all("License-Expression") or []) or _by_classifier(installed)
        if text:
            made["licenses"] = [{"license": {"name": text}}]
    if optional:
        made["scope"] = "optional"
    return made


def _by_classifier(installed: Distribution) -> str:
    classifiers = installed.metadata.get_all("Classifier") or []
    return ", ".join(each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: "))


def _reference(name: str) -> str:
    installed = _installed(name)
    return f"pkg:pypi/{name}" + (f"@{installed.version}" if installed is not None else "")


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(bill(), indent=2) + "\n")
