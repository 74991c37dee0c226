"""S10: whether the clock is known, by whatever can be asked."""

import ctypes
from pathlib import Path
from typing import Any

import pytest

from nportpy import wallclock
from nportpy.wallclock import RELEASED, disciplined, known, synchronised

_UNSYNC = 0x0040
YEAR_2099 = 4_070_908_800.0
NOBODY, WRONG, RIGHT = None, _UNSYNC, 0
"""What the kernel says: that one may not ask, or the status."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Has the kernel, a battery and timesyncd say what the test wants; None: there is none."""

    def says(kernel: int | None, *, battery: bool = False, timesyncd: bool | None = None) -> None:
        class Library:
            @staticmethod
            def adjtimex(timex: Any) -> int:
                if kernel is None:
                    return -1
                timex._obj.status = kernel
                return 5 if kernel else 0

        monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
        monkeypatch.setattr(wallclock, "_from_battery", lambda: battery)
        folder = tmp_path / "timesync"
        monkeypatch.setattr(wallclock, "_TIMESYNCD", str(folder))
        if timesyncd is not None:
            folder.mkdir()
        if timesyncd:
            (folder / "synchronized").touch()

    return says


@pytest.mark.parametrize(
    ("kernel", "more", "found"),
    [
        (RIGHT, {}, True),
        (WRONG, {}, False),
        (WRONG, {"battery": True}, True),
        (NOBODY, {}, None),
        (NOBODY, {"battery": True}, True),
        (NOBODY, {"timesyncd": False}, False),
        (NOBODY, {"timesyncd": True}, True),
    ],
)
def test_s10_who_vouches_for_the_clock(
    machine: Any, kernel: int | None, more: dict[str, Any], found: bool | None
) -> None:
    machine(kernel, **more)
    assert disciplined() is found
    assert synchronised() is (found is not False), "what cannot be asked is believed where nobody is locked out by it"


@pytest.mark.parametrize("kernel", [NOBODY, WRONG])
def test_s10_in_a_sandbox_a_clock_must_show_what_can_be(
    machine: Any, monkeypatch: pytest.MonkeyPatch, kernel: int | None
) -> None:
    """As under ProtectClock=, which our unit has: adjtimex is refused there."""
    machine(kernel)
    for now, can_be in ((0.0, False), (RELEASED + 1.0, False), (RELEASED + 10e6, True), (YEAR_2099, False)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        assert known(RELEASED + 1e6) is can_be


def test_s10_whoever_vouches_a_time_before_this_program_is_wrong(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(RIGHT)
    monkeypatch.setattr("time.time", lambda: YEAR_2099)
    assert known()
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert not known()
