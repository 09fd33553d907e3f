"""The dashboard as its tests see it: pages, rows, and a service of the test's own to stage things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Locator, Page, expect

from taskqueue import QueueService, Task
from taskqueue.queues import settlement
from taskqueue.queues.settlement import Settlement
from taskqueue.queues.sql_base import SqlBase
from tests.web import tasks
from tests.web.toolkit.browser import Tab, Visitor
from tests.web.toolkit.journal import Journal, wait_until
from tests.web.toolkit.site import Site

SEEING = ("view", "view_args", "view_trace")
DOING = ("retry", "skip", "delete", "revive", "take_over", "pause", "resume", "edit")
ALL: dict[str, Any] = dict.fromkeys((*SEEING, *DOING), "*")
#: Who may do what, unless a test says otherwise.
USERS: dict[str, dict[str, Any]] = {
    "admin": ALL,
    "reader": {"view": "*"},
    "expert": {"view": "*", "view_trace": "*"},
    "teller": {"view": "*", "view_args": "*"},
}
HOME = "/queue/dashboard"


@dataclass
class Board:
    """The dashboard of a site, and what it shows."""

    site: Site
    service: QueueService
    #: Where it hangs.
    home: str = HOME
    _journals: dict[str, Journal] = field(default_factory=dict)

    # --- what is shown ---

    def path(self, page: str = "", **query: Any) -> str:
        """The path of a page."""
        return self.home + (f"/{page}" if page else "") + (f"?{urlencode(query)}" if query else "")

    def open(self, page: str = "", by: Visitor | None = None, **query: Any) -> Tab:
        """A page in a new tab, with everything on it that has been staged before."""
        self.look_anew()
        return (by or self.site.admin).open(self.path(page, **query))

    def read(self, page: str = "", by: Visitor | None = None, **query: Any) -> dict[str, Any]:
        """What scripts get of a page."""
        answer = (by or self.site.admin).get(self.path(page), format="json", **query)
        assert answer.ok, f"{answer.status} {answer.text()[:500]}"
        facts: dict[str, Any] = answer.json()
        return facts

    def look_anew(self) -> None:
        """Let the application forget what it has counted: an act that changes nothing makes it."""
        token = self.site.admin.get(self.home.rpartition("/")[0] + "/csrf").json()["csrf"]
        headers = {"X-CSRFToken": token, "Accept": "application/json"}
        self.service.create("SqlParallel", "bell")
        path = self.path("queues/bell/steer")

        def told() -> bool:
            return self.site.admin.post(path, {"verb": "resume"}, headers).status == 200

        wait_until(told, "the application knows the queue", explain=self.site.proxy.tail)

    # --- what is staged ---

    def queue(self, *items: Any, type: str = "SqlParallel", name: str = "", **options: Any) -> SqlBase:
        """A new queue with these items, for workers."""
        journal, name = self.site.journal_of(name)
        queue = self.service.create(type, name, **{"agent": "server", "error": "dead", **options})
        assert isinstance(queue, SqlBase)
        self._journals[name] = journal
        queue.create_items(items)
        return queue

    def journal(self, queue: SqlBase) -> Journal:
        """What the tasks of the queue have done."""
        return self._journals[queue.name]

    def letters(self, queue: SqlBase, *items: Any, error: str = "ValueError: boom", trace: str = "") -> list[int]:
        """Dead letters of a queue; their ids."""
        return self._end(queue, items, settlement.bury(error, trace or None))

    def failed(self, queue: SqlBase, *items: Any, error: str = "boom", trace: str = "", wait: float = 600) -> list[int]:
        """Items that have failed once, and wait for their retry; their ids."""
        return self._end(queue, items, settlement.retry(int(wait * 1000), error, trace or None))

    def removed(self, queue: SqlBase, *items: Any, error: str = "boom") -> list[int]:
        """Items that have failed for good, and are gone; their ids."""
        return self._end(queue, items, settlement.delete(error))

    def _end(self, queue: SqlBase, items: Sequence[Any], how: Settlement) -> list[int]:
        before = {item.id for item in queue.items()}
        queue.create_items(items)
        held = [(item.id, item.fence) for item in queue.items() if item.id not in before]
        queue.database.transaction(lambda tx: queue.settle_within(tx, held, how))
        return [item_id for item_id, _fence in held]

    def work(self, *queues: SqlBase, threads: int = 4) -> Any:
        """A worker on these queues, in a process of its own."""
        names = [queue.name for queue in queues]
        arguments = (
            "--app",
            "tests.web.dashboard.serving:service",
            "work",
            *names,
            "--threads",
            str(threads),
            "--prefetch",
            "1",
        )
        return self.site.start_program(*arguments)


@contextmanager
def board_of(site: Site, *, home: str = HOME, prefix: str = "taskqueue_") -> Iterator[Board]:
    """The dashboard of a site."""
    allowed = [tasks.__name__]
    with closing(QueueService(site.server.database_url, allow=allowed, prefix=prefix, stale_after=2)) as service:
        # Known before anybody looks: see look_anew.
        service.create("SqlParallel", "bell")
        yield Board(site, service, home)


def task(kind: str = "ok", number: int = 1, title: str = "", **options: Any) -> Task:
    """One of the tasks in ``tests.web.tasks``."""
    return Task(getattr(tasks, kind), (number,), title or f"Task {number}", kwargs=options)


# --- what stands on a page ---


def line_of(page: Page, name: str) -> Locator:
    """The line of a queue on the overview, on whichever of its pages: those of the tests before are there, too."""
    line = page.locator("tbody tr", has=page.get_by_role("link", name=name, exact=True))
    while not line.count():
        page.get_by_role("link", name="More queues").click()
    return line


def rows(page: Page) -> Locator:
    """The rows of the list, or table, of the page."""
    return page.locator("[data-live=rows] tbody tr")


def row(page: Page, item_id: int) -> Locator:
    """The row of an item."""
    return rows(page).filter(has=page.locator("a", has_text=re.compile(rf"^#{item_id}(\s|$)")))


def box(page: Page, item_id: int) -> Locator:
    """What selects the row of an item."""
    return page.get_by_role("checkbox", name=f"Select item {item_id}", exact=True)


def ids(page: Page) -> list[int]:
    """Of the items in the list."""
    return [int(text[1:]) for text in rows(page).locator(".tq-id").all_inner_texts()]


def all_ids(page: Page, most: int = 30) -> list[int]:
    """Of the items in the list, over all of its pages: goes to the last one."""
    found = ids(page)
    for _ in range(most):
        older = page.locator(".tq-paging a[rel=next]")
        if not older.count():
            return found
        older.click()
        found += ids(page)
    raise AssertionError(f"there are more than {most} pages")


def counter(page: Page, name: str) -> Locator:
    """A number at the top."""
    return page.locator(f"[data-counter={name}]")


def number_in(where: Locator) -> int:
    """The number that stands there."""
    text = where.inner_text()
    found = re.search(r"\d[\d,.]*", text)
    assert found, text
    return int(re.sub(r"\D", "", found[0]))


def notice(page: Page) -> Locator:
    """What is said of acts, and of the connection."""
    return page.get_by_role("status")


def refresh_every(page: Page, seconds: int) -> None:
    """Choose how often the page asks again."""
    page.get_by_label("Refresh").select_option(str(seconds))
    page.locator("h1").click()
    page.evaluate("document.activeElement.blur()")


def press(page: Page, name: str | re.Pattern[str]) -> None:
    """Press a button of the page."""
    page.get_by_role("button", name=name, exact=isinstance(name, str)).first.click()


def expect_heading(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the page is there."""
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def raw(page: Page) -> dict[str, Any]:
    """The JSON behind the page."""
    address = page.get_by_role("link", name="JSON", exact=True).get_attribute("href")
    assert address
    facts: dict[str, Any] = json.loads(
        page.request.get(re.sub(r"^(https?://[^/]+).*", r"\1", page.url) + address).text()
    )
    return facts
