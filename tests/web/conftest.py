"""Fixtures of the browser tests.

A test that asks for ``site`` runs on SQLite under waitress; ``pytestmark = on_databases`` lets it run on MariaDB too,
``everywhere`` also under gunicorn and with the work inside of requests.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.setups import SQLITE, Setup
from tests.web.toolkit.browser import launched, missing
from tests.web.toolkit.proxy import FaultyProxy
from tests.web.toolkit.server import AppServer
from tests.web.toolkit.site import Site

_failed = pytest.StashKey[bool]()
Sites = Callable[..., Site]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known: ``-m browser``, ``-m "not browser"``."""
    config.addinivalue_line("markers", "browser: opens pages in Chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that opens a page is marked "browser"."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    # The canary of this folder goes before everything else in it.
    is_canary = {item: item.path.name == "test_canary.py" for item in items}
    first = next((n for n, item in enumerate(items) if Path(__file__).parent in item.path.parents), 0)
    items[first:] = sorted(items[first:], key=lambda item: not is_canary[item])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know whether the test has failed."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The one browser of all these tests; each visitor has a profile of their own in it."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"!!! {reason}; `make test` installs it where it may")
    with launched() as browser:
        yield browser


@pytest.fixture
def setup(request: pytest.FixtureRequest) -> Setup:
    """Database, server and mode; see ``setups``."""
    return getattr(request, "param", SQLITE)


@pytest.fixture
def sites(
    request: pytest.FixtureRequest, browser: Browser, setup: Setup, servers: Servers, tmp_path: Path
) -> Iterator[Sites]:
    """Makes sites with settings of their own: ``sites(TASKQUEUE_BUDGET=0.1)``."""
    with ExitStack() as stack:

        def open_site(**config: Any) -> Site:
            server = servers.get(request, setup, config)
            site = Site(browser, server, FaultyProxy(server.address))
            stack.callback(_close, site, request.node, tmp_path, server.log_size())
            return site

        yield open_site


@pytest.fixture
def site(sites: Sites) -> Site:
    """The site with the usual settings."""
    return sites()


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that are shared by tests with the same setup and settings."""
    servers = Servers(tmp_path_factory.mktemp("web"))
    yield servers
    servers.close()


@dataclass
class Servers:
    """Starts a server when it is first asked for, and again when the last test has killed or frozen it."""

    folder: Path
    _servers: dict[str, AppServer] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def get(self, request: pytest.FixtureRequest, setup: Setup, config: dict[str, Any]) -> AppServer:
        """A server that answers."""
        key = f"{setup} {sorted(config.items())}"
        if key not in self._servers:
            name = f"web{next(self._numbers)}"
            folder = self.folder / name
            url = setup.make_database(request, name, folder)
            self._servers[key] = AppServer(folder, url, {**setup.config, **config}, setup.hosting)
        server = self._servers[key]
        server.thaw()
        server.start()
        return server

    def close(self) -> None:
        """End them all."""
        for server in self._servers.values():
            server.thaw()
            server.kill()


def _close(site: Site, node: pytest.Item, folder: Path, log_start: int) -> None:
    try:
        complaints = site.complain()
        if complaints or node.stash.get(_failed, False):
            print(site.explain(folder, log_start))
    finally:
        site.close()
    assert not complaints, "the browser complained:\n" + "\n".join(complaints)
