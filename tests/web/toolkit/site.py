"""What one test works with: the application in its process, the proxy before it, visitors, and runs."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.web.toolkit import browser
from tests.web.toolkit.browser import Complaints, Tab, Visitor
from tests.web.toolkit.journal import Journal, wait_until
from tests.web.toolkit.proxy import FaultyProxy
from tests.web.toolkit.server import CHECKOUT, AppServer

_numbers = itertools.count(1)
#: The one who makes the runs, unless the test says otherwise.
ADMIN = "admin"


@dataclass(frozen=True)
class Run:
    """A run that was made for the test, and the journal of its tasks."""

    site: Site
    queue: str
    run_id: str
    #: The path of its page.
    url: str
    journal: Journal
    maker: Visitor

    def state(self, visitor: Visitor | None = None, after: int = 0) -> dict[str, Any]:
        """The snapshot, asked for beside any page and around the proxy's faults."""
        request = (visitor or self.maker).context.request
        answer = request.get(self.site.direct_url + self.url + "/state", params={"after": after})
        assert answer.ok, f"{answer.status} {answer.text()}"
        snapshot: dict[str, Any] = answer.json()
        return snapshot

    def wait_for_status(self, *statuses: str) -> dict[str, Any]:
        """Wait until the application says so; the page may be a moment behind."""
        wait_until(lambda: self.state()["run"]["status"] in statuses, f"status {statuses}", explain=self.explain)
        return self.state()

    def explain(self) -> str:
        """For a failure message."""
        return f"{self.state()}\n{self.journal.tail()}"


@dataclass
class Site:
    """The application, the proxy before it, and everybody who comes by."""

    browser: Browser
    server: AppServer
    proxy: FaultyProxy
    complaints: Complaints = field(default_factory=Complaints)
    _visitors: dict[str, Visitor] = field(default_factory=dict)
    _journals: list[Journal] = field(default_factory=list)
    _programs: list[subprocess.Popen[str]] = field(default_factory=list)

    # --- who comes by ---

    def visitor(self, user: str | None = ADMIN, **options: Any) -> Visitor:
        """Somebody with a new browser profile, signed in; ``options`` are those of Playwright's ``new_context``."""
        context = self.browser.new_context(**options)
        self.complaints.listen_to(context)
        visitor = Visitor(context, self.complaints, self.proxy.url)
        if user is not None:
            visitor.sign_in(user)
        return visitor

    @property
    def admin(self) -> Visitor:
        """The admin with their usual profile."""
        if ADMIN not in self._visitors:
            self._visitors[ADMIN] = self.visitor()
        return self._visitors[ADMIN]

    # --- runs ---

    def make(
        self,
        *tasks: dict[str, Any],
        by: Visitor | None = None,
        start: bool = True,
        title: str = "Import",
        type: str = "Sql",
        options: dict[str, Any] | None = None,
        queue: str = "",
        background: bool = False,
        **runner: Any,
    ) -> Run:
        """Make a queue with these tasks (see ``tests.web.tasks``), numbered from 1, and a run of it.

        ``{"kind": "ok", "times": 120}`` makes 120 of them. ``options`` are those of the queue, ``runner`` those of
        ``Runner`` (``error_mode="continue"``, ``on_end="end"``, …). With ``queue`` the run is made on a queue that
        ``make_queue`` has made. With ``background`` workers are to do it.
        """
        by = by or self.admin
        journal, name = self.journal_of(queue)
        wanted = {"start": start, "type": type, "options": options or {}, "runner": {"title": title, **runner}}
        wanted["background"] = background
        made = self._post(by, {**wanted, "queue": name, "tasks": list(tasks)})
        return Run(self, name, made["run_id"], made["url"], journal, by)

    def make_queue(self, *tasks: dict[str, Any], type: str = "Sql", options: dict[str, Any] | None = None) -> Run:
        """Make a queue with tasks but no run: its ``url`` is empty."""
        journal, name = self.journal_of("")
        wanted = {"queue": name, "type": type, "options": options or {}, "tasks": list(tasks), "run": False}
        self._post(self.admin, wanted)
        return Run(self, name, "", "", journal, self.admin)

    def open(self, run: Run, by: Visitor | None = None) -> Tab:
        """The page of the run in a new tab."""
        return (by or self.admin).open(run.url)

    @property
    def direct_url(self) -> str:
        """The application without the proxy; a page is never opened there."""
        return f"http://127.0.0.1:{self.server.port}"

    def journal_of(self, queue: str = "") -> tuple[Journal, str]:
        """The journal of a queue's tasks, and the name of the queue, which is a new one without ``queue``."""
        name = queue or f"q{os.getpid()}-{next(_numbers)}"
        folder = self.server.folder / name
        folder.mkdir(exist_ok=True)
        journal = Journal(folder)
        self._journals.append(journal)
        self.server.journals.append(journal)
        return journal, name

    def _post(self, visitor: Visitor, wanted: dict[str, Any]) -> dict[str, Any]:
        answer = visitor.context.request.post(self.proxy.url + "/make", data=wanted)
        assert answer.ok, f"/make: {answer.status}\n{answer.text()[:2000]}"
        made: dict[str, Any] = answer.json()
        return made

    # --- the command line as another holder ---

    def start_program(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``taskqueue ARGUMENTS`` on the same database, with the same tasks allowed."""
        program = subprocess.Popen(
            [sys.executable, "-m", "taskqueue", *arguments],
            cwd=CHECKOUT,
            env=self.server.environment(TASKQUEUE_ALLOW="tests.web.tasks"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._programs.append(program)
        return program

    # --- the end ---

    def complain(self) -> list[str]:
        """What the browsers found fault with and no test expected."""
        for context in self.browser.contexts:
            browser.settle(context)
        return self.complaints.unexpected()

    def explain(self, folder: Path, log_start: int) -> str:
        """Everything that helps to understand a failure."""
        pictures = [str(path) for context in self.browser.contexts for path in browser.picture(context, folder)]
        parts = {
            "tasks": "\n".join(journal.tail() for journal in self._journals),
            "requests": self.proxy.tail(),
            "screenshots": "\n".join(pictures),
            "programs": self._end_programs(),
            "application": self.server.log_text(log_start),
        }
        return "\n".join(f"----- {name} -----\n{text}" for name, text in parts.items())

    def _end_programs(self) -> str:
        """What they have printed that the test has not read."""
        outputs = []
        for program in self._programs:
            program.kill()
            if program.stdout is not None and not program.stdout.closed:
                outputs.append(program.communicate()[0])
        return "\n".join(outputs)

    def close(self) -> None:
        """Nobody is left, nothing waits, and nothing of this test runs on."""
        for journal in self._journals:
            journal.end_test()
        for context in self.browser.contexts:
            context.close()
        self._end_programs()
        self.proxy.close()
        self.server.journals.clear()
