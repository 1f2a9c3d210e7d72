"""A clean environment for every test, and the real parts that integration tests use.

A part that is missing skips its tests with a reason; under CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a script; programs under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
#: Neither deadlines nor how long examples take to make: tests measure no time. Under CI=true the examples are the same
#: for the same commit; others are met by hand and in the campaign.
UNTIMED = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("default", UNTIMED, derandomize=os.environ.get("CI") == "true")
hypothesis.settings.register_profile("campaign", UNTIMED, max_examples=5000)
hypothesis.settings.load_profile("default")

#: `make campaign` and `make test-gpu` name these folders themselves.
collect_ignore = [folder for folder, how in (("campaign", "CAMPAIGN"), ("gpu", "TEST_GPU")) if how not in os.environ]

ROOT = Path(__file__).resolve().parent.parent
PARTS = {
    name: os.environ.get(name, "")
    for name in (
        "REGISTRY",
        "REGISTRY_TLS",
        "REGISTRY_TLS_CA",
        "REGISTRY_USER",
        "REGISTRY_PASS",
        "NATS_URL",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "TEST_BASE_IMAGE",
    )
}
LEFT_OUT: dict[str, int] = {}
SECONDS: dict[str, float] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stalls", action="store_true", help="stop all processes of the run now and then (root)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--stalls"):
        from support import stalls

        config.add_cleanup(stalls.begin())


def require(name: str, what: str) -> str:
    """The part's address, or a skip that says what is missing (a failure under CI=true)."""
    if PARTS[name]:
        return PARTS[name]
    reason = f"needs {what}: run `make stack-up` (as root)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the machine leaks into a test, and nothing is written to the user's store."""
    for name in list(os.environ):
        if name.startswith(("DYNAMO_", "DYN_", "NATS_SERVER", "BENTO")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DYNAMO_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="session")
def registry() -> str:
    """HOST:PORT of a real registry without authentication."""
    return require("REGISTRY", "a distribution registry")


@pytest.fixture(scope="session")
def registry_tls() -> dict[str, str]:
    """A real registry with TLS and basic authentication: address, ca, user, password."""
    return {
        "address": require("REGISTRY_TLS", "a registry with TLS"),
        "ca": PARTS["REGISTRY_TLS_CA"],
        "user": PARTS["REGISTRY_USER"],
        "password": PARTS["REGISTRY_PASS"],
    }


@pytest.fixture(scope="session")
def nats_url() -> str:
    """Address of a real NATS server with JetStream."""
    return require("NATS_URL", "a NATS server")


@pytest.fixture(scope="session")
def docker_host() -> str:
    """Address of a real Docker Engine."""
    return require("DOCKER_HOST", "a Docker Engine")


@pytest.fixture(scope="session")
def base_image() -> str:
    """A base image with Python in the registry."""
    return require("TEST_BASE_IMAGE", "a base image in the registry")


@pytest.fixture(scope="session")
def as_root() -> None:
    """Whether this run may unpack and run images."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("needs root")
        pytest.skip("needs root")


@pytest.fixture
def dynamo() -> list[str]:
    """The command line as a process would start it."""
    found = shutil.which("dynamo", path=str(Path(sys.executable).parent))
    return [found] if found else [sys.executable, "-m", "dynamo_build"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    outcome = yield
    report = outcome.get_result()
    steps = item.path.relative_to(ROOT).parts
    group = "/".join(steps[: 3 if steps[1] == "unit" else 2])
    SECONDS[group] = SECONDS.get(group, 0) + report.duration
    if report.skipped and isinstance(report.longrepr, tuple):
        LEFT_OUT[report.longrepr[2]] = LEFT_OUT.get(report.longrepr[2], 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The time of each folder, and what was left out; `make test` without root ends with this list."""
    for group, seconds in sorted(SECONDS.items(), key=lambda pair: -pair[1]):
        if seconds >= 1:
            terminalreporter.write_line(f"time: {seconds:.0f} s: {group}")
    for reason, count in sorted(LEFT_OUT.items()):
        terminalreporter.write_line(f"left out: {count} tests: {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI=true a skipped test is a failure."""
    if os.environ.get("CI") == "true" and LEFT_OUT and exitstatus == 0:
        session.exitstatus = 1
