"""The simulated meters and outstations know nothing of those who ask: a misreading must not meet its twin."""

from pathlib import Path

import pytest

from tests.test_imports import MODULES, facts_of

ASKING = ("nportpy.protocols.dlms", "nportpy.protocols.iec62056", "nportpy.protocols.iec101", "nportpy.meters")
SIMULATORS = [path for path in MODULES if Path(path).is_relative_to("nportpy/simulator")]


@pytest.mark.parametrize("path", SIMULATORS)
def test_simulators_have_codecs_of_their_own(path: str) -> None:
    assert not [name for name in facts_of(path).imported if f"{name}.".startswith(tuple(f"{part}." for part in ASKING))]


@pytest.mark.parametrize("path", [path for path in MODULES if Path(path).is_relative_to("nportpy/meters")])
def test_and_those_who_ask_know_no_simulator(path: str) -> None:
    assert not [name for name in facts_of(path).imported if name.startswith("nportpy.simulator")]


@pytest.mark.parametrize("path", [path for path in SIMULATORS if "/cosem/" in path])
def test_a_dlms_meter_needs_no_package(path: str) -> None:
    """`cryptography` is imported where a meter ciphers, and only there."""
    tops = {name.split(".")[0] for name in facts_of(path).imported}
    assert ("cryptography" in tops) == path.endswith("security.py")


def test_there_are_such() -> None:
    assert len([path for path in SIMULATORS if "/cosem/" in path]) > 10
