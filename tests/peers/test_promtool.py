"""Prometheus' own linter on what a scrape says."""

import shutil
import subprocess

import pytest

from nportpy.services import exposition, metrics
from tests.services import samples

pytestmark = pytest.mark.peer


def test_promtool_has_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian: prometheus) is not here")
    registry = metrics.registry(lambda: samples.every_mode())
    text = "".join(exposition.written(registry.collect(), exposition.TEXT))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
