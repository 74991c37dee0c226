"""Async tests run by themselves: on virtual time, or, marked `real`, on asyncio's own loop and on uvloop."""

import asyncio
import gc
import inspect
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import uvloop
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from tests.support.clock import VirtualLoop
from tests.support.packages import wanted

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "virtual": VirtualLoop,
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}

# What runs in the background of a shell is deaf to Ctrl-C, and so would be every program that is started here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of what is tested: timings never decide.
settings.register_profile("nportpy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("check", settings.get_profile("nportpy"), max_examples=20)
settings.load_profile("nportpy")

WAITING = ("slow", "peer", "real", "process")
"""Marks of tests that wait more than they work, in the order in which they begin."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pi", action="store_true", help="boot the software Raspberry Pi and run the tests marked pi")
    parser.addoption("--packages", action="store_true", help="install the packages of dist/: the tests marked packages")
    parser.addoption("--times", type=int, default=1, help="so many times as much where a test takes a number of inputs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for option in ("pi", "packages"):
        if not config.getoption(option):
            skipped = [item for item in items if item.get_closest_marker(option)]
            config.hook.pytest_deselected(items=skipped)
            items[:] = [item for item in items if not item.get_closest_marker(option)]
    left_out = set(_left_out(items, config.getoption("--times")))
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = sorted((item for item in items if item not in left_out), key=_begins)


def _left_out(items: list[pytest.Item], times: int) -> Iterator[pytest.Item]:
    """What of the tests marked `sample` is not taken: `--times` has as many times as much of it."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("sample")
        if mark is not None:
            name = item.nodeid.partition("[")[0]
            if seen[name] * times % mark.args[0] >= times:
                yield item
            seen[name] += 1


def _begins(item: pytest.Item) -> int:
    """Place among all tests: whatever waits and begins last is waited for alone. A file stays in one process."""
    return next((place for place, name in enumerate(WAITING) if item.get_closest_marker(name)), len(WAITING))


def pytest_collection() -> None:
    """Twelve thousand tests stay: nothing to look for meanwhile."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there before the first test stays: the collection after each test need not look at it again."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if inspect.iscoroutinefunction(metafunc.function):
        if "loop_name" not in metafunc.fixturenames:
            metafunc.fixturenames.append("loop_name")
        real = metafunc.definition.get_closest_marker("real")
        loops = (real.args or ("asyncio", "uvloop")) if real else ("virtual",)
        metafunc.parametrize("loop_name", loops, scope="function")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """As pytest's own, but a process of several says in one message that a test has passed, and not in five: each
    costs both ends as much as a small test."""
    if not hasattr(item.config, "workerinput"):
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = inspect.signature(function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    name = str(pyfuncitem.callspec.params["loop_name"])
    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        runner.run(function(**arguments))
    gc.collect()  # a transport left open is a warning, and a warning is an error
    gc.freeze()  # what a test leaves behind need not be looked at after each that follows
    return True


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """By how much a test multiplies what it tries; 1, unless --times says more."""
    return int(request.config.getoption("--times"))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What a command that runs in this process does to logging ends with its test."""
    root, ours = logging.getLogger(), logging.getLogger("nportpy")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    for handler in [
        each for each in root.handlers if type(each).__module__.startswith("nportpy") and each not in handlers
    ]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """In CI a missing peer or emulator is a failure, not a reason to skip."""
    item.stash[_IN_CI] = os.environ.get("CI", "") not in ("", "false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, wanted(reason))
    needed = next(filter(None, map(item.get_closest_marker, ("peer", "pi", "packages"))), None)
    if report.skipped and item.stash.get(_IN_CI, False) and needed:
        report.outcome = "failed"
        report.longrepr = f"a {needed.name} test must not be skipped in CI: {report.longrepr}"
    return report


_IN_CI = pytest.StashKey[bool]()
