"""What a human reads on the progress page, state by state."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue.web.bidi import isolated, shortened
from taskqueue.web.durations import duration, estimate, utc
from taskqueue.web.i18n import load
from taskqueue.web.texts import describe

ENGLISH, GERMAN = load("en"), load("de")


def snapshot(status: str = "running", **parts: Any) -> dict[str, Any]:
    """A run of 151 tasks; ``parts`` go over the defaults, dictionaries key by key."""
    made: dict[str, Any] = {
        "run": {"title": "Import", "status": status, "elapsed_s": 250.0, "eta_s": None, "is_unattended": False},
        "progress": {
            "total": 151, "done": 37, "skipped": 0, "failed": 0, "waiting": 114, "scheduled": 0, "added": 0,
            "percent": 24,
        },
        "running": [],
        "problem": None,
        "next_retry": None,
        "failures": [],
        "driver": {"mine": True, "alive": True, "label": None},
        "drive": True,
        "log": [],
        "actions": [],
    }  # fmt: skip
    for name, part in parts.items():
        made[name] = made[name] | part if isinstance(made[name], dict) else part
    return made


def item(**parts: Any) -> dict[str, Any]:
    lease = {"heartbeat_age_s": 2.4, "stale_after_s": 10.0, "stale": False} | parts.pop("lease", {})
    return {
        "item_id": 38, "title": "Import 3", "attempt": 2, "fence": 4, "running_s": 12.3, "worker": "w",
        "fraction": None, "note": "", "progress_age_s": None, "lease": lease,
    } | parts  # fmt: skip


def problem(**parts: Any) -> dict[str, Any]:
    return {
        "item_id": 38, "title": "Import 3", "fence": 5, "attempt": 2, "kind": "exception", "message": "boom",
        "when": 1_700_000_000.0, "has_trace": False,
    } | parts  # fmt: skip


def texts(status: str = "running", *, german: bool = False, **parts: Any) -> dict[str, Any]:
    made = snapshot(status, **parts)
    describe(made, GERMAN if german else ENGLISH)
    found: dict[str, Any] = made["text"]
    return found


def action(verb: str, status: str = "running", on_abort: str = "keep", **parts: Any) -> dict[str, Any]:
    made = snapshot(status, actions=[{"verb": verb, "item_id": 38, "fence": 5}], **parts)
    describe(made, ENGLISH, on_abort=on_abort)
    found: dict[str, Any] = made["actions"][0]
    return found


def test_a_running_task() -> None:
    said = texts(running=[item()], run={"eta_s": 171.0}, progress={"skipped": 2, "added": 30, "percent": 42})
    assert said["status"] == "Running"
    assert said["title"] == "(42%) Import"
    assert said["line"] == "Running: Import 3 (for 12 s, attempt 2)"
    assert said["counts"] == "37 of 151 tasks, 2 skipped (30 added while running)"
    assert said["bar"] == "42 percent, 37 of 151 tasks"
    assert said["time"] == "Elapsed 4 min 10 s, about 3 min left"
    assert said["lease"] == "Still running (heartbeat 2 s ago)"
    assert said["announce"] == "Running, 40 percent"
    assert said["driver"] == said["summary"] == said["retry"] == ""


def test_a_running_task_in_german() -> None:
    said = texts(german=True, running=[item()], run={"eta_s": 171.0}, progress={"skipped": 2, "percent": 42})
    assert said["title"] == "(42\u00a0%) Import"
    assert said["line"] == "Läuft: Import 3 (seit 12 s, Versuch 2)"
    assert said["counts"] == "37 von 151 Aufgaben, 2 übersprungen"
    assert said["time"] == "Vergangen 4 min 10 s, noch etwa 3 min"


def test_a_task_that_has_only_begun_shows_neither_time_nor_lease() -> None:
    said = texts(running=[item(running_s=0.3, attempt=1)])
    assert (said["line"], said["lease"]) == ("Running: Import 3", "")


def test_between_two_tasks_the_line_says_how_many_are_left() -> None:
    assert texts()["line"] == "114 tasks to go"
    assert texts(progress={"done": 150})["line"] == "1 task to go"


def test_what_a_task_reports() -> None:
    assert texts(running=[item(fraction=0.4, note="row 400 of 1000")])["note"] == "40%: row 400 of 1000"
    assert texts(running=[item(fraction=0.999)])["note"] == "99%"
    old = item(note="still\nreading", progress_age_s=75.0)
    assert texts(running=[old])["note"] == "still reading (reported 1 min 15 s ago)"
    assert texts(running=[item(progress_age_s=75.0)])["note"] == "", "no report at all"


def test_several_tasks_at_once_are_listed_by_name() -> None:
    said = texts(running=[item(), item(item_id=39, title="", attempt=1, lease={"heartbeat_age_s": 7.0})])
    assert said["line"] == "Running: 2 tasks at once"
    assert [each["line"] for each in said["running"]] == ["Import 3 (for 12 s, attempt 2)", "task 39 (for 12 s)"]
    assert said["lease"] == "Still running (heartbeat 7 s ago)", "the one to look at"


def test_no_sign_of_life() -> None:
    said = texts(running=[item(lease={"heartbeat_age_s": 12.0, "stale": True})])
    assert said["lease"] == "No sign of life for 12 s"
    assert said["title"] == "(!) Import"
    assert said["announce"] == "No sign of life"


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        ("exception", "Failed: Import 3"),
        ("lost_lease", "Lost: Import 3"),
        ("missing_callback", "Cannot be run: Import 3"),
        ("something new", "Failed: Import 3"),
    ],
)
def test_a_blocked_run_names_its_problem(kind: str, heading: str) -> None:
    said = texts("blocked", problem=problem(kind=kind))
    assert (said["status"], said["title"], said["line"]) == ("Blocked", "(!) Import", "Stopped at: Import 3")
    assert said["problem"]["heading"] == heading
    assert said["problem"]["where"] == "Task 38, attempt 2"
    assert said["problem"]["when"] == "2023-11-14 22:13:20 UTC"


def test_a_failing_last_step() -> None:
    said = texts("blocked", problem=problem(item_id=0, title=""))
    assert said["line"] == "Stopped at: last step"
    assert said["problem"]["where"] == "Last step, attempt 2"


def test_waiting_for_a_retry() -> None:
    coming = {"item_id": 38, "title": "Import 3", "fence": 5, "attempt": 2, "attempts": 5, "seconds": 4.2}
    said = texts(next_retry=coming)
    assert said["retry"] == "Next retry in 5 s (attempt 2 of 5)"
    assert said["line"] == "Waiting to retry: Import 3"
    assert texts(next_retry=coming | {"seconds": 0.0})["retry"] == "Next retry now (attempt 2 of 5)"


def test_the_other_states() -> None:
    assert texts("ready")["line"] == "114 tasks, not started yet"
    assert texts("ready")["title"] == "Import"
    assert texts("ready")["time"] == ""
    assert texts("paused")["title"] == "(paused) Import"
    assert texts("paused", running=[item(attempt=1)])["line"] == "Pausing after: Import 3 (for 12 s)"
    assert texts("finishing")["line"] == "All tasks are through; the last step is due"
    assert texts("finishing", running=[item(item_id=0, title="", attempt=1)])["line"] == "Running: last step (for 12 s)"


def test_the_end() -> None:
    said = texts("completed", progress={"percent": 100, "done": 151, "waiting": 0})
    assert said["status"] == "Completed"
    assert said["title"] == "(done) Import"
    assert said["summary"] == said["announce"] == "Completed in 4 min 10 s"
    assert said["line"] == said["time"] == said["driver"] == ""
    assert texts("aborted")["summary"] == "Aborted after 4 min 10 s"
    assert texts("completed", progress={"total": 0, "done": 0})["summary"] == "Completed: there was nothing to do"


def test_the_end_with_failures() -> None:
    failures = [{"item_id": 7, "title": "Import 1", "message": "boom"}]
    said = texts("completed", progress={"failed": 3, "done": 148}, failures=failures)
    assert said["status"] == "Completed with failures"
    assert said["title"] == "(done, 3 failed) Import"
    assert said["summary"] == "Completed with 3 failures in 4 min 10 s"
    assert said["counts"] == "148 of 151 tasks, 3 failed"
    assert said["failures"] == {"heading": "3 tasks failed", "more": "and 2 more"}


def test_who_drives() -> None:
    other = {"mine": False, "alive": True}
    assert texts(drive=False, driver=other)["driver"] == "You are watching: another page drives this run"
    named = other | {"label": "taskqueue run on host, pid 7"}
    said = texts(drive=False, driver=named)["driver"]
    assert said == "You are watching: taskqueue run on host, pid 7 drives this run"
    alone = {"drive": False, "driver": {"mine": False, "alive": False}, "run": {"is_unattended": True}}
    assert texts(**alone)["driver"].startswith("Nobody drives this run")
    assert texts("paused", **alone)["driver"] == ""


def test_announcements_are_few() -> None:
    spoken = {texts(progress={"percent": percent})["announce"] for percent in range(100)}
    assert len(spoken) == 10


@pytest.mark.parametrize(
    ("verb", "label"),
    [
        ("start", "Start"),
        ("pause", "Pause"),
        ("resume", "Resume"),
        ("retry", "Retry"),
        ("skip", "Skip"),
        ("abort", "Abort"),
        ("steal", "Take over"),
        ("retry_failed", "Retry failed (3)"),
    ],
)
def test_the_pinned_labels(verb: str, label: str) -> None:
    assert action(verb, progress={"failed": 3})["label"] == label


def test_only_what_cannot_be_taken_back_is_asked_about() -> None:
    asked = {
        verb for verb in ("start", "pause", "resume", "retry", "skip", "abort", "steal") if "confirm" in action(verb)
    }
    assert asked == {"abort", "steal"}


def test_a_decision_is_explained() -> None:
    stopped = {"status": "blocked", "problem": problem()}
    assert "“Import 3” again" in action("retry", **stopped)["hint"]
    assert "“Import 3” out for good" in action("skip", **stopped)["hint"]
    assert action("abort", **stopped)["hint"] == "Ends the run here. The 114 tasks that are left stay in the queue."
    assert "hint" not in action("abort")
    assert "hint" not in action("pause")


def test_abort_says_what_becomes_of_the_rest() -> None:
    skipping = action("abort", on_abort="skip")["confirm"]
    assert skipping == "What is done stays done. The 114 tasks that are left are skipped."
    assert action("abort", progress={"done": 151})["confirm"] == "What is done stays done."
    running = action("abort", running=[item()], progress={"waiting": 0})["confirm"]
    assert running.startswith("What runs right now may still come to its end.")
    assert running.endswith("The 113 tasks that are left stay in the queue."), "leased ahead, but not in hand"


def test_take_over_names_the_task_and_the_danger() -> None:
    question = action("steal", running=[item(lease={"heartbeat_age_s": 12.0, "stale": True})])["confirm"]
    assert "“Import 3” for 12 s" in question
    assert "may still be running" in question


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.9, "0 s"), (59.9, "59 s"), (60, "1 min"), (250, "4 min 10 s"), (3600, "1 h"), (3900, "1 h 5 min"),
     (97_200, "1 d 3 h"), (10**9, "11,574 d 1 h")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds, ENGLISH) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "1 s"), (3.4, "3 s"), (33, "35 s"), (58, "1 min"), (171, "3 min"), (4000, "1 h 10 min"), (90_000, "1 d 1 h")],
)
def test_estimates_are_coarse(seconds: float, said: str) -> None:
    assert estimate(seconds, ENGLISH) == said


def test_a_moment_that_no_calendar_has() -> None:
    assert utc(1e20, "%Y") == ""


def test_a_title_cannot_turn_a_sentence_round() -> None:
    assert isolated("plain <b>") == "plain <b>"
    assert isolated("أ") == "\u2068أ\u2069"
    assert isolated("a\u202eb\u2069c\u2067d") == "\u2068a\u202ebcd\u2069", "it cannot get out"
    assert texts(run={"title": "أ"})["title"] == "(24%) \u2068أ\u2069"


def test_a_long_title_is_cut_in_sentences() -> None:
    assert shortened("a\n b", 10) == "a b"
    assert shortened("x" * 20, 10) == "x" * 9 + "…"
    assert len(texts(running=[item(title="x" * 5000)])["line"]) < 200
