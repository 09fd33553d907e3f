"""Runs that workers carry out: the page is a monitor, and drives only when no worker is there and somebody says so."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import Any

from tests.web.setups import on_databases
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.site import Run, Site

SERVED = {"agent": "server", "error": "delete"}
NOBODY = re.compile("no worker serves this queue", re.IGNORECASE)
HERE = "Run it here"


def made(site: Site, *tasks: dict[str, Any]) -> Run:
    return site.make(*tasks, options=SERVED, background=True, on_end="end")


def start_worker(site: Site, run: Run) -> subprocess.Popen[str]:
    return site.start_program("--app", "tests.web.serving:service", "work", run.queue)


def then_the_page_has_only_watched(site: Site, tab: Tab) -> None:
    assert site.proxy.drives() == [], "the page has asked for work"
    assert tab.button(HERE).count() == 0


@on_databases
def test_given_a_worker_when_a_run_is_begun_then_its_page_follows_it_to_the_end(site: Site) -> None:
    # given
    run = made(site, {"kind": "ok", "times": 3}, {"kind": "hold"}, {"kind": "fail", "message": "no disk"})
    worker = start_worker(site, run)
    run.journal.wait_for("start", number=4)
    # when
    tab = site.open(run)
    # then
    tab.expect_text("Workers run this in the background")
    tab.expect_text(re.compile("Running: .*Task 4"))
    assert tab.status == "running"
    run.journal.open_gate()
    tab.expect_status("completed")
    tab.expect_text("4 of 5 tasks, 1 failed")
    tab.expect_text(re.compile("no disk"))
    then_the_page_has_only_watched(site, tab)
    assert run.journal.starts() == dict.fromkeys(range(6), 1)  # the last step is number 0
    assert os.getpid() != run.journal.lines("start", number=0)[0]["pid"]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


@on_databases
def test_given_no_worker_when_the_admin_says_so_then_the_page_does_the_work(site: Site) -> None:
    # given
    run = made(site, {"kind": "ok", "times": 3})
    tab = site.open(run)
    tab.expect_text(NOBODY)
    tab.pause(1)
    assert run.journal.lines() == []
    assert not site.proxy.drives()
    # when
    tab.press(HERE)
    # then
    tab.expect_status("completed")
    run.journal.assert_each_once(range(4))
    tab.expect_text("pages run it from now on")


def test_given_no_worker_and_no_scripts_then_the_form_takes_over_as_well(site: Site) -> None:
    # given
    run = made(site, {"kind": "ok", "times": 3})
    tab = site.visitor(java_script_enabled=False).open(run.url)
    tab.expect_text(NOBODY)
    # when
    tab.press(HERE)
    # then
    tab.expect_status("completed")
    run.journal.assert_each_once(range(4))


def test_given_a_worker_that_is_killed_when_another_comes_then_it_finishes_the_run(site: Site) -> None:
    # given
    run = made(site, {"kind": "ok"}, {"kind": "fail"}, {"kind": "hold"}, {"kind": "ok"})
    tab = site.open(run)
    first = start_worker(site, run)
    pid = run.journal.wait_for("start", number=3)["pid"]
    # when
    first.kill()
    os.kill(pid, signal.SIGKILL)
    # then: what it came to is known, although it could tell nobody
    tab.expect_text(NOBODY)
    tab.expect_text("1 of 4 tasks, 1 failed")
    # when
    run.journal.open_gate()
    start_worker(site, run)
    # then
    tab.expect_status("completed")
    tab.expect_text("3 of 4 tasks, 1 failed")
    assert run.journal.starts() == {1: 1, 2: 1, 3: 2, 4: 1, 0: 1}
    then_the_page_has_only_watched(site, tab)
