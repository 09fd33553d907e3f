"""Everybody can use the page for humans, in light and dark, on a desk and on a phone; and it asks nobody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from taskqueue import QueueService
from tests.operations_api.app import create_app
from tests.operations_api.serving import Server
from tests.web.toolkit.browser import launched, missing

pytestmark = pytest.mark.browser
OPTIONS = {"resultTypes": ["violations", "incomplete"], "rules": {"target-size": {"enabled": True}}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"!!! {reason}; `make test` installs it where it may")
    with launched() as browser:
        yield browser


def test_axe_finds_nothing_on_the_page(browser: Browser, tmp_path: Any) -> None:
    service = QueueService(f"sqlite:///{tmp_path}/page.db")
    app = create_app(service)
    with Server(app, app.extensions["tests"]) as server:
        for scheme, width in (("light", 1280), ("dark", 360)):
            context = browser.new_context(
                color_scheme=scheme,  # type: ignore[arg-type]
                viewport={"width": width, "height": 800}, extra_http_headers={"Authorization": "Bearer alice"},
            )  # fmt: skip
            page, asked, told = context.new_page(), [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))  # type: ignore[misc]
            page.on("console", lambda message, told=told: told.append(message.text))  # type: ignore[misc]
            page.goto(f"{server.url}/ops/docs")
            found = Axe().run(page, options=OPTIONS).response
            lines = [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found["violations"]]
            lines += [f"unsure: {rule['id']}" for rule in found["incomplete"] if "contrast" in rule["id"]]
            assert not lines, f"{scheme}, {width} px:\n" + "\n".join(lines)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
            assert all(url.startswith(f"{server.url}/ops/") for url in asked), asked
            assert told == []
            context.close()
    service.close()
