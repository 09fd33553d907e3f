"""First of all: browser and application start. When this fails, nothing that follows means much."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pytest
from playwright.sync_api import Browser

from tests.web.setups import everywhere
from tests.web.toolkit.browser import chromium
from tests.web.toolkit.site import Site

PACKAGES = ("playwright", "axe-playwright-python", "flask", "waitress", "gunicorn", "sqlalchemy")


def test_given_a_browser_when_started_then_its_version_is_told(
    browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    with capsys.disabled():
        print(f"\nChromium {browser.version} ({chromium()}), {versions}, Python {platform.python_version()}")
    assert int(browser.version.partition(".")[0]) >= 100


@everywhere
def test_given_the_application_when_opened_then_it_answers_through_the_proxy(site: Site) -> None:
    tab = site.admin.open("/done")
    assert tab.page.get_by_role("heading").inner_text() == "The import is done"
    assert [seen.status for seen in site.proxy.seen("/done")] == [200]
