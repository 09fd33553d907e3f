"""Whatever tasks report, the state stays readable: the page has nothing else."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest

from taskqueue import TaskContext
from tests.web_api import tasks
from tests.web_api.app import Visitor
from tests.web_api.world import World


def strictly(text: str) -> Any:
    """The JSON, as browsers read it: they know neither NaN nor Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("done", "total"),
    [
        (1, 2),
        (2, 1),
        (-1, 2),
        (1, 0),
        (1, -3),
        (0.5, 1e308),
        (1e308, 1e-308),
        (math.inf, 1),
        (1, math.inf),
        (math.inf, math.inf),
        (-math.inf, math.inf),
        (math.nan, 1),
        (1, math.nan),
        (10**30, 10**30),
        (10**400, 1),
        (10**400, 10**400),
    ],
)
def test_a_task_reports_odd_numbers(world: World, monkeypatch: pytest.MonkeyPatch, done: float, total: float) -> None:
    seen: list[dict[str, Any]] = []

    def watch(_ctx: TaskContext) -> None:
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            answer = watcher.get(run_id, "state")
            assert answer.status_code == 200
            seen.append(strictly(answer.text))
            assert watcher.get(run_id).status_code == 200
            if seen[-1]["running"] and seen[-1]["running"][0]["fraction"] is not None:
                break
            time.sleep(0.02)

    monkeypatch.setattr(tasks, "watchers", [watch])
    driver, watcher = Visitor(world.usual, "ann"), Visitor(world.app(), "ann")
    # JSON takes no such numbers: they go in by another way.
    monkeypatch.setattr(tasks, "numbers", (done, total))
    run_id = driver.make("odd", ("report_numbers", {}))
    answer = driver.post(run_id, "drive")
    assert answer.status_code == 200
    strictly(answer.text)
    for snapshot in seen:
        for item in snapshot["running"]:
            assert item["fraction"] is None or 0 <= item["fraction"] <= 1
            assert item["lease"]["stale"] is False
        assert 0 <= snapshot["progress"]["percent"] <= 99
    until = time.monotonic() + 5
    while driver.state(run_id)["run"]["status"] not in ("completed", "blocked") and time.monotonic() < until:
        driver.post(run_id, "drive")
    # Whether such a number is an error of the task is the core's to say; the run goes on in either case.
    assert driver.state(run_id)["run"]["status"] in ("completed", "blocked")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</script><script>alert(1)</script>",
        "{{ 7 * 7 }}{% raw %}",
        "%(n)s %s %d %",
        "\u202e\u2028\u2029\x0b\x1b[31m",
        "x" * 100_000,
        "&amp;lt;",
        "\r\nSet-Cookie: a=b",
    ],
)
def test_texts_of_tasks_are_texts(world: World, text: str) -> None:
    ann = Visitor(world.usual, "ann")
    run_id = ann.make("texts", ("fail", {"message": text}), title=text)
    ann.post(run_id, "drive")
    for view in ("", "state", "log", "log?format=txt"):
        answer = ann.get(run_id, view)
        assert answer.status_code == 200
        assert answer.text
        assert "Set-Cookie" not in answer.headers or view == ""
        if view == "":
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
            assert "49" not in answer.text.partition("<h1")[2].partition("</h1>")[0]
        else:
            assert answer.mimetype in ("application/json", "text/plain")
    snapshot = strictly(ann.get(run_id, "state").text)
    assert snapshot["run"]["status"] == "blocked"
    assert snapshot["problem"]["message"]


def test_an_abort_that_is_sent_again_skips_nothing_more(world: World) -> None:
    """Its answer was lost; by the time the page asks again, somebody has filled the queue for a run of his own."""
    ann = Visitor(world.app(TASKQUEUE_ON_ABORT="skip"), "ann")
    run_id = ann.make("again", ("ok", {}), ("ok", {}))
    assert ann.post(run_id, "abort").status_code == 200
    later = ann.make("again", ("ok", {}), ("ok", {}), title="another")
    assert ann.post(run_id, "abort").status_code in (200, 409)
    assert ann.state(later)["progress"]["waiting"] == 2
    assert ann.post(later, "drive").get_json()["progress"]["done"] == 2


def test_what_an_abort_has_skipped_is_counted(world: World) -> None:
    ann = Visitor(world.app(TASKQUEUE_ON_ABORT="skip"), "ann")
    run_id = ann.make("counted", ("ok", {}), ("ok", {}))
    assert ann.post(run_id, "abort").status_code == 200
    progress = ann.state(run_id)["progress"]
    assert (progress["skipped"], progress["waiting"]) == (2, 0)
