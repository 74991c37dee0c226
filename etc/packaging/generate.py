"""Makes what is installed beside the program: manual and completion, below a share/ that `hatch_build.py` packs.

python etc/packaging/generate.py build/share
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from click.shell_completion import get_completion_class
from manual import command_page, commands, configuration_page, page_name

from nportpy import __version__
from nportpy.cli import main

COMPLETION = {
    "bash": "bash-completion/completions/nportpy",
    "zsh": "zsh/site-functions/_nportpy",
    "fish": "fish/vendor_completions.d/nportpy.fish",
}


def write(path: Path, text: str) -> None:
    """Write a file, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def generate(share: Path, configuration: Path) -> None:
    """Write everything; SOURCE_DATE_EPOCH is the date that pages bear, if it is set."""
    date = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", configuration.stat().st_mtime)), UTC)
    day = f"{date:%Y-%m-%d}"
    found = list(commands(main, "nportpy"))
    names = [page_name(ctx) for ctx in found]
    for ctx in found:
        write(share / "man/man1" / f"{page_name(ctx)}.1", command_page(ctx, __version__, day, names))
    page = configuration_page(configuration.read_text(), __version__, day)
    write(share / "man/man5/nportpy.toml.5", page)
    for shell, place in COMPLETION.items():
        completion = get_completion_class(shell)
        assert completion is not None
        write(share / place, completion(main, {}, "nportpy", "_NPORTPY_COMPLETE").source())


if __name__ == "__main__":
    generate(Path(sys.argv[1]), Path(__file__).parents[1] / "nportpy.toml")
