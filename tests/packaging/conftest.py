"""What `make deb` has built, and roots of Debian to install it in."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.packaging.root import Root

DIST = Path(__file__).parents[2] / "dist"
# What is there before nportpy comes; venv is for the container's steps.
PACKAGES = "python3,procps,python3-venv,ca-certificates,netcat-openbsd,socat"
CODENAMES = {"12": "bookworm", "13": "trixie"}
Built = Callable[[str], Path]
Fresh = Callable[[str], Root]


@pytest.fixture(scope="session")
def built() -> Built:
    """The one file of dist/ that fits a pattern."""

    def find(pattern: str) -> Path:
        found = list(DIST.glob(pattern))
        if len(found) != 1:
            pytest.skip(f"{len(found)} files in dist/ are {pattern}; make deb builds them")
        return found[0]

    return find


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    """A root of a release of Debian, as it is before nportpy comes."""
    with tempfile.TemporaryDirectory(prefix="nportpy-root-") as folder:

        def make(release: str) -> Root:
            if shutil.which("mmdebstrap") is None or os.getuid() != 0:
                pytest.skip("no mmdebstrap here" if os.getuid() == 0 else "a root of Debian needs root")
            place = Path(tempfile.mkdtemp(dir=folder))
            place.chmod(0o755)
            subprocess.run(["tar", "-C", place, "-xf", archive(CODENAMES[release])], check=True, timeout=120)
            return Root(place)

        yield make


def archive(codename: str) -> Path:
    """A root of a release, made once and kept: in $NPORTPY_ROOTS, or below the temporary directory."""
    kept = Path(os.environ.get("NPORTPY_ROOTS") or Path(tempfile.gettempdir()) / f"nportpy-roots-{os.getuid()}")
    kept.mkdir(mode=0o700, exist_ok=True)
    done = kept / f"{codename}-{PACKAGES.replace(',', '-')}.tar"
    if not done.exists():
        part = done.with_suffix(f".{os.getpid()}.tar")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
        command += [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("locale", "doc")]
        subprocess.run([*command, codename, part], check=True, timeout=900, stdin=subprocess.DEVNULL)
        part.rename(done)
    return done
