"""Asks whether what a release is made of (sbom.py) has known flaws, by pip-audit.

    python etc/packaging/audit.py

Exit codes: 0 no flaw is known, 1 some are, 75 nobody could be asked: there is no network, or an index without
advisories. pip-audit itself calls that "no known vulnerabilities" and exits with 0.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from sbom import bill

CLEAN, FLAWS, UNASKED = 0, 1, 75  # the last as in sysexits.h, EX_TEMPFAIL
_PATIENCE: Final = 600.0  # seconds


def requirements(made: dict[str, Any]) -> list[str]:
    """The packages of a bill, as pip writes them. Of one without a version nobody knows what it will be."""
    return [f"{each['name']}=={each['version']}" for each in made["components"] if each.get("version")]


def verdict(answer: str, wanted: list[str]) -> tuple[int, list[str]]:
    """What is to be said of pip-audit's answer about so many packages, and the exit code."""
    try:
        found = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return UNASKED, ["nobody could be asked: no advisories can be reached from here"]
    flaws = [
        f"{each['name']} {each['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no release'}"
        for each in found
        for flaw in each.get("vulns", ())
    ]
    asked = [each for each in found if "skip_reason" not in each]
    if not wanted:
        return UNASKED, ["nportpy is not installed here, so nobody knows what it needs"]
    unasked = len(wanted) - len(asked)
    if unasked:
        flaws.append(f"nobody could be asked about {unasked} of {len(wanted)} packages")
    if any(each.get("vulns") for each in found):
        return FLAWS, flaws
    return (UNASKED, flaws) if unasked else (CLEAN, [f"no flaw is known of {len(wanted)} packages"])


def main() -> int:
    """Ask, and say what came."""
    wanted = requirements(bill())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(wanted))
        options = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "-r", str(file))
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    code, lines = verdict(done.stdout, wanted)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
