"""The guest and the gateway in it, for the whole session; figures at its end."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pi import image
from tests.pi.gateway import USB_LINK, Gateway, configuration
from tests.pi.guest import Guest, booted

PROJECT = Path(__file__).parents[2]
FIGURES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What comes before a test (building, booting) has limits of its own.
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300, func_only=True))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if figures := config.stash.get(FIGURES, []):
        terminalreporter.section("figures in the guest: software emulation, so compare them with each other only")
        for figure in figures:
            terminalreporter.line(figure)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.failed:
        arguments = getattr(item, "funcargs", {})
        if isinstance(gateway := arguments.get("any_gateway"), Gateway):
            report.sections.append(("the gateway's log", gateway.log[gateway.mark :]))
        if isinstance(guest := arguments.get("guest"), Guest):
            report.sections.append(("the guest's console", guest.log(4000)))
    return report


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the report."""
    return pytestconfig.stash.setdefault(FIGURES, [])


@pytest.fixture(scope="session")
def guest(figures: list[str]) -> Iterator[Guest]:
    """The software Raspberry Pi."""
    if missing := image.missing():
        pytest.skip(f"the software Raspberry Pi needs {', '.join(missing)}")
    started = time.monotonic()
    built = image.build(PROJECT)
    ready = time.monotonic()
    with booted(built) as guest:
        figures.append(f"built in {ready - started:.1f} s, booted in {time.monotonic() - ready:.1f} s")
        link = Path(USB_LINK)
        guest.run("mkdir", "-p", str(link.parent))
        guest.run("ln", "-s", "/dev/ttyUSB0", USB_LINK)
        yield guest


@pytest.fixture(scope="session")
def _running(guest: Guest) -> Iterator[list[Gateway]]:
    holder: list[Gateway] = []
    yield holder
    for gateway in holder:
        gateway.close()


@pytest.fixture
def any_gateway(guest: Guest, _running: list[Gateway]) -> Gateway:
    """The gateway as the last test left it; it is started once, and again if a test has ended it."""
    if not _running or not _running[0].running:
        for dead in _running:
            dead.close()
        _running[:] = [Gateway(guest, configuration())]
    gateway = _running[0]
    gateway.mark = len(gateway.log)
    return gateway


@pytest.fixture
def gateway(any_gateway: Gateway) -> Gateway:
    """The gateway with its usual configuration."""
    any_gateway.reconfigure(configuration())
    return any_gateway
