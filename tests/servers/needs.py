"""Pytest plugin: what a test needs, which tests were left out, and who may open a socket.

A test left out is named at the end with the command that makes it run; with `FEEDGATE_REQUIRE=all`
it is a failure, whatever the reason it was skipped for.
"""

import os
from collections import Counter
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

from tests.servers.machine import NEEDS, REPOSITORY, missing

FIXTURE_NEEDS = {
    "kafka_bootstrap": "kafka",
    "kafka_broker": "kafka",
    "keycloak": "keycloak",
    "postgres_server": "postgres",
    "postgres_url": "postgres",
    "postgres_roles": "postgres",
    "chromium_path": "chromium",
    "browser": "chromium",
    "gstreamer_rtsp": "gstreamer",
}
"""A test that asks for one of these fixtures need not repeat the marker."""

UNIT_PACKAGES = ("libs", "services", "apps", "tools", "proto", "bench")
"""Tests below these folders are unit tests; those in /tests meet real servers."""

LEFT_OUT = pytest.StashKey[Counter[str]]()


def everything_is_required() -> bool:
    return os.environ.get("FEEDGATE_REQUIRE") == "all"


def require(need: str) -> None:
    """Leave the running test out, naming the command that makes it run, if the machine lacks the need."""
    absent = missing(need)
    if absent is None:
        return
    reason = f"needs {need}, {absent}; `make servers` makes it run"
    if everything_is_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = Counter()
    config.addinivalue_line("markers", "needs(*names): servers or programs, of " + ", ".join(NEEDS))
    config.addinivalue_line("markers", "sockets: a unit test that opens real sockets on loopback")


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        meets_servers = bool(needs_of(item))
        if is_unit(item.path) and not meets_servers and not item.get_closest_marker("sockets"):
            item.add_marker(pytest.mark.disable_socket)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for need in needs_of(item):
        require(need)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        note(item.config, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        note(collector.config, report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash[LEFT_OUT]
    if not left_out:
        return
    terminalreporter.section("left out", yellow=True)
    for reason, count in sorted(left_out.items()):
        terminalreporter.write_line(f"{count} left out: {reason}")


def needs_of(item: pytest.Item) -> list[str]:
    """What the markers and fixtures of a test ask of the machine, in the order first named.

    Raises:
        pytest.UsageError: a marker names a need that this machine cannot be asked about.
    """
    named = [str(name) for marker in item.iter_markers("needs") for name in marker.args]
    for name in named:
        if name not in NEEDS:
            raise pytest.UsageError(f"{item.nodeid}: needs({name!r}); allowed {', '.join(NEEDS)}")
    fixtures: Iterable[str] = getattr(item, "fixturenames", ())
    implied = [FIXTURE_NEEDS[fixture] for fixture in fixtures if fixture in FIXTURE_NEEDS]
    return list(dict.fromkeys([*named, *implied]))


def is_unit(path: Path) -> bool:
    return path.is_relative_to(REPOSITORY) and path.relative_to(REPOSITORY).parts[0] in UNIT_PACKAGES


def note(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    """Count a skipped report and, where everything is required, make it a failure."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    config.stash[LEFT_OUT][reason] += 1
    if everything_is_required():
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was left out: {reason}"
