"""What wheel and sdist carry beside the code: etc/, and the manual and completion where `make dist` has made them.

In a wheel they lie below share/, so that they are found in `sys.prefix` wherever it is installed; pip and pipx put
manual and completion where shells and `man` look for them.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GENERATED = "build/share"  # by generate.py; an sdist has it, a clone does not


class SharedFiles(BuildHookInterface[Any]):
    """Adds them to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Say which file goes where; what is installed in place (editable) needs none of them."""
        root = Path(self.root)
        found = {GENERATED: "share"} if (root / GENERATED).is_dir() else {}
        if self.target_name == "sdist":
            build_data["force_include"].update(dict.fromkeys(found, GENERATED))
        elif version == "standard":
            etc = [path for path in (root / "etc").iterdir() if path.name != "packaging"]
            build_data["shared_data"].update({f"etc/{path.name}": f"share/nportpy/{path.name}" for path in etc} | found)
