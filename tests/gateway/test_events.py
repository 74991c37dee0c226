"""What the audit is told beside what people do."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from nportpy.gateway.events import Events
from nportpy.services.audit import Audit
from nportpy.status import CertificateStatus, TlsStatus


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "nportpy.audit")
    return lambda *keys: [tuple(vars(record)[key] for key in ("event", "result", *keys)) for record in caplog.records]


def test_s28_reloads_and_another_configuration(told: Any, tmp_path: Path) -> None:
    path = tmp_path / "nportpy.toml"
    path.write_text("one")
    events = Events(Audit(), str(path))
    events.reloaded()
    path.write_text("two")
    events.reloaded()
    path.write_text("three, and bad")
    events.reloaded(failed=True)
    assert told() == [("reload", "done"), ("reload", "done"), ("config", "changed"), ("reload", "failed")]
    Events(Audit(), None).reloaded()
    Events(Audit(), str(tmp_path / "none")).reloaded()


def test_s28_both_hashes_of_the_file(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, "nportpy.audit")
    path = tmp_path / "nportpy.toml"
    path.write_text("")
    events = Events(Audit(), str(path))
    path.write_text("x = 1")
    events.reloaded()
    record = vars(caplog.records[-1])
    assert record["before"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert record["after"] != record["before"]


def test_s28_certificates_once_each(told: Any) -> None:
    events = Events(Audit(), None)
    one = TlsStatus("plant", "", True, (CertificateStatus("CN=pi", "EC", 100),), None)
    bad = TlsStatus("plant", "/a.crt: No such file", True, one.certificates, None)
    for tables in ((one,), (one,), (bad,), (bad,), (one,), ()):
        events.certificates(tables)
    assert told("tls") == [("certificate", each, "plant") for each in ("read", "/a.crt: No such file", "read")]


def test_s28_a_clock_that_steps(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, since = 1000.0, 0.0
    monkeypatch.setattr(time, "time", lambda: shown + since)
    monkeypatch.setattr(time, "clock_gettime", lambda _: since)
    events = Events(Audit(), None)
    for step in (0.0, 0.4, -0.4, 3600.0, 0.0, -86400.0):
        shown, since = shown + step, since + 1
        events.tick()
    assert told("seconds") == [("clock", "stepped", 3600), ("clock", "stepped", -86400)]
