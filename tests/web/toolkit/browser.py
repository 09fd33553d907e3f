"""Chromium, the people who use it, and the progress page as they see it.

Whatever the browser complains about (an error in a script, a console error, a violation of the content security
policy, a failed assertion) fails the test at its end, unless the test has said that it expects it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    APIResponse,
    Browser,
    BrowserContext,
    Error,
    Locator,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
#: Seconds for what the page shows; the machine may be busy.
PATIENCE = 15.0
# Reports what the policy has refused also where no console line would come of it.
_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(
  `policy violated: ${event.effectiveDirective} by ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`));
"""


def chromium() -> str:
    """The program: $CHROMIUM, or the first one on the PATH; empty when there is none."""
    if program := os.environ.get("CHROMIUM"):
        return shutil.which(program) or ""
    return next((found for name in _PROGRAMS if (found := shutil.which(name))), "")


def missing() -> str:
    """Why there is no browser, as a sentence; empty when there is one."""
    return "" if chromium() else "Chromium is not installed: none of " + ", ".join(_PROGRAMS) + " was found"


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser, for as long as the context is open."""
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright, closing_browser(playwright) as browser:
        yield browser


@contextmanager
def closing_browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium, closed at the end."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS.split())
    try:
        yield browser
    finally:
        browser.close()


class Complaints:
    """What browsers complained about, and what of it was expected."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._allowed: list[re.Pattern[str]] = []

    def allow(self, pattern: str) -> None:
        """Expect complaints that match this regular expression, before or after now."""
        self._allowed.append(re.compile(pattern))

    def allow_statuses(self, *statuses: int) -> None:
        """Expect answers with these statuses: the console reports every request that failed."""
        self.allow(rf"Failed to load resource: the server responded with a status of ({'|'.join(map(str, statuses))})")

    def allow_lost_connections(self) -> None:
        """Expect requests that got no answer at all."""
        self.allow(r"net::ERR_")

    def listen_to(self, context: BrowserContext) -> None:
        """Collect what the pages of this context complain about."""
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("console", lambda line: line.type in ("error", "assert") and self._add("console", line))
        context.on("weberror", lambda error: self._add("script", error.error))

    def unexpected(self) -> list[str]:
        """What nobody has expected."""
        return [text for text in self._found if not any(pattern.search(text) for pattern in self._allowed)]

    def _add(self, source: str, what: Any) -> None:
        text = f"{what.text} ({what.location.get('url')})" if source == "console" else str(what)
        self._found.append(f"{source}: {text}")


class Visitor:
    """Somebody with a browser profile of their own, who may open several tabs."""

    def __init__(self, context: BrowserContext, complaints: Complaints, url: str) -> None:
        self.context = context
        self.complaints = complaints
        self.url = url

    def sign_in(self, user: str) -> None:
        """Become that user, in all tabs."""
        self.get("/login", user=user)

    def sign_out(self) -> None:
        """Become nobody, as when a session ends."""
        self.get("/logout")

    def open(self, url: str, *, wait_until: Any = "load") -> Tab:
        """Open a new tab: an address, or a path of the application."""
        tab = Tab(self.context.new_page(), self)
        tab.goto(url, wait_until=wait_until)
        return tab

    def close_tabs(self) -> None:
        """Close the browser, and keep the cookies."""
        for page in self.context.pages:
            page.close()

    def get(self, path: str, **query: Any) -> APIResponse:
        """Ask the application beside any page, with the cookies of this visitor."""
        return self.context.request.get(self.url + path, params=query)

    def post(self, path: str, data: Any = None, headers: Mapping[str, str] | None = None) -> APIResponse:
        """Post JSON beside any page, with the cookies of this visitor."""
        return self.context.request.post(self.url + path, data=data, headers=dict(headers or {}), max_redirects=0)


class Tab:
    """One tab, with the parts of the progress page by the names that people and screen readers know them by."""

    def __init__(self, page: Page, visitor: Visitor) -> None:
        self.page = page
        self._visitor = visitor

    def goto(self, url: str, *, wait_until: Any = "load") -> None:
        """Go to an address, or to a path of the application."""
        self.page.goto(url if "://" in url else self._visitor.url + url, wait_until=wait_until)

    def reload(self) -> None:
        """Press F5, and do not wait for more than the answer."""
        self.page.reload(wait_until="commit")

    # --- what is on the page ---

    @property
    def bar(self) -> Locator:
        """The progress bar."""
        return self.page.get_by_role("progressbar").first

    @property
    def percent(self) -> float:
        """What the bar shows."""
        return float(self.bar.evaluate("bar => 100 * bar.value / bar.max"))

    @property
    def alert(self) -> Locator:
        """What a blocked run says."""
        return self.page.get_by_role("alert")

    @property
    def announcements(self) -> Locator:
        """What is read out."""
        return self.page.get_by_role("status").first

    @property
    def status(self) -> str:
        """The status of the run, in the run vocabulary."""
        return self.page.locator("[data-status]").first.get_attribute("data-status") or ""

    def button(self, name: str) -> Locator:
        """A button by its name: Start, Pause, Resume, Retry, Skip, Abort, Take over."""
        return self.page.get_by_role("button", name=name, exact=True)

    def buttons(self) -> set[str]:
        """The names of the buttons of the run that can be seen (others, such as Copy, do not count)."""
        names = ("Start", "Pause", "Resume", "Retry", "Skip", "Abort", "Take over")
        return {name for name in names if any(button.is_visible() for button in self.button(name).all())}

    def press(self, name: str) -> None:
        """Press a button, once it is there."""
        self.button(name).first.click()

    def confirm(self) -> None:
        """Answer the question of the dialog that has just opened with yes, its last button."""
        self.page.get_by_role("dialog").get_by_role("button").last.click()

    def says(self, text: str | re.Pattern[str]) -> Locator:
        """Visible text."""
        return self.page.get_by_text(text).locator("visible=true").first

    # --- what is expected ---

    def expect_status(self, *statuses: str, within: float = PATIENCE) -> None:
        """Wait until the page shows one of these."""
        pattern = re.compile(rf"^({'|'.join(statuses)})$")
        expect(self.page.locator("[data-status]").first).to_have_attribute(
            "data-status", pattern, timeout=within * 1000
        )

    def expect_text(self, text: str | re.Pattern[str], within: float = PATIENCE) -> None:
        """Wait until the page says so."""
        expect(self.says(text)).to_be_visible(timeout=within * 1000)

    def expect_button(self, *names: str, within: float = PATIENCE) -> None:
        """Wait until these buttons are there."""
        for name in names:
            expect(self.button(name).first).to_be_visible(timeout=within * 1000)

    def expect_no_button(self, *names: str, within: float = PATIENCE) -> None:
        """Wait until none of these buttons is there."""
        for name in names:
            expect(self.button(name)).to_have_count(0, timeout=within * 1000)

    def pause(self, seconds: float) -> None:
        """Let the page go on for a while. For "nothing happens meanwhile" only: stage everything else."""
        self.page.wait_for_timeout(seconds * 1000)

    def violations(self) -> list[str]:
        """What axe finds, one line for each."""
        found = Axe().run(self.page).response["violations"]
        return [f"{v['id']} ({v['impact']}): {v['help']} {[n['html'][:100] for n in v['nodes']]}" for v in found]


def settle(context: BrowserContext) -> None:
    """Let reports that are on their way come in."""
    for page in context.pages:
        try:
            page.wait_for_timeout(20)
        except Error:  # closed meanwhile
            continue


def picture(context: BrowserContext, folder: Path) -> list[Path]:
    """Screenshots of all tabs, for a failed test."""
    paths = []
    for number, page in enumerate(context.pages, start=1):
        path = folder / f"tab-{number}.png"
        try:
            page.screenshot(path=path, full_page=True, timeout=2000)
        except Error:
            continue
        paths.append(path)
    return paths
