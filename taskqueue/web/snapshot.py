"""The snapshot of a run: one JSON from which the page draws everything, and the only truth that it has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..queues.base import Wait
from ..queues.sql_base import SqlBase
from ..runs import on_record
from ..runs.look import InHand, Look, Retry
from ..runs.problems import SEPARATOR
from ..runs.standing import standing_of
from ..runs.state import Problem, RunState
from ..storage import runs
from ..storage.runs import LogLine
from .counts import Count
from .end_url import check_end_url
from .log_texts import describe_line
from .permission import Permissions
from .texts import describe

if TYPE_CHECKING:
    from ..storage.transaction import Transaction
    from .i18n import Translations
    from .site import Site

#: Lines of the log, and failures, in one snapshot.
_LINES = 50
_FAILURES = 50
#: How often a page looks at a run that has ended (ms): somebody may try its failures again.
_POLL_ENDED = 10_000
#: A remaining time is told only after so many items and seconds.
_ETA_ITEMS, _ETA_SECONDS = 3, 1.0


@dataclass(frozen=True)
class _Facts:
    run: RunState
    queue_status: str
    question: Problem | None
    retry: Retry | None
    in_hand: list[InHand]
    wait: Wait | None
    log: list[LogLine]
    failures: list[LogLine]
    #: Whether a worker is there for a run that workers carry out; True for others.
    is_served: bool


def take_snapshot(
    site: Site, queue: SqlBase, run_id: str, permissions: Permissions, translate: Translations, *, driver: str,
    after: int,
) -> dict[str, Any]:  # fmt: skip
    """The snapshot of a run for one visitor.

    Arguments:
        driver: names the page that asks.
        after: the number of the last line of the log that it has.
    """
    facts = queue.database.statement(lambda tx: _facts(tx, site, queue, run_id, after), write=False)
    count = site.counts.of(queue, facts.run)
    snapshot = _Snapshot(site, queue, facts, count, permissions, translate, driver).as_json()
    describe(snapshot, translate, on_abort=site.settings.on_abort)
    return snapshot


def _facts(tx: Transaction, site: Site, queue: SqlBase, run_id: str, after: int) -> _Facts:
    row, look = site.row(tx, run_id), Look(queue)
    status = look.status(tx)
    question = look.question(tx, row, status)
    is_open = row.status in runs.OPEN
    # What was in hand when a run was aborted may still come to its end.
    is_at_work = is_open or (row.status == "aborted" and row.driver_until > row.now)
    run = RunState.of(row, queue.settings.codec)
    return _Facts(
        run=run,
        queue_status=status,
        question=question,
        retry=look.next_retry(tx) if row.status == "running" and question is None else None,
        in_hand=look.in_hand(tx, row) if is_at_work else [],
        wait=queue.wait_within(tx) if is_open else None,
        log=runs.log(tx, run_id, after, _LINES),
        failures=on_record.failed(tx, queue, run, _FAILURES) if run.failed or run.definition.is_background else [],
        is_served=not (is_open and run.definition.is_watched) or look.is_served(tx),
    )


class _Snapshot:
    def __init__(
        self, site: Site, queue: SqlBase, facts: _Facts, count: Count, permissions: Permissions,
        translate: Translations, driver: str,
    ) -> None:  # fmt: skip
        self.site = site
        self.queue = queue
        self.facts = facts
        self.run = count.seen(facts.run)
        self.permissions = permissions
        self.translate = translate
        self.driver = driver
        self.delayed = count.delayed
        self.status = standing_of(self.run, facts.queue_status, facts.question)
        self.is_mine = self.run.is_driven and self.run.driver == driver
        # What is not there any more, and was not counted by who drives, was done by others.
        finished = self.run.finished
        if self.run.is_open:
            left = max(count.total - (finished - count.finished), 0)
        else:
            left = max(self.run.total - finished, 0)
        self.total = max(self.run.total, finished + left)
        self.done = max(self.run.done, self.total - self.run.skipped - self.run.failed - left)
        self.left = left

    def as_json(self) -> dict[str, Any]:
        run, facts = self.run, self.facts
        drive = self._shall_drive()
        return {
            "protocol": 1,
            "server_time": run.now / 1000,
            "run": {
                "id": run.id,
                "title": run.title,
                "queue": run.queue_name,
                "status": self.status,
                "version": run.version,
                "elapsed_s": round(run.elapsed, 1),
                "eta_s": self._eta(),
                "end_url": self._end_url() if run.status == "completed" else None,
                "is_minimal": run.definition.is_minimal,
                "mode": run.definition.mode,
                "is_unattended": self.status == "running" and not (run.is_driven or facts.in_hand or self._may_drive()),
                "is_unserved": self._is_unserved(),
                "owner_is_me": self.permissions.is_owner,
            },
            "progress": self._progress(),
            "running": [self._in_hand(item) for item in facts.in_hand],
            "problem": self._problem(),
            "next_retry": self._next_retry(),
            "failures": [_failure(line) for line in facts.failures],
            "driver": self._driver(),
            "drive": drive,
            "log": [describe_line(line, self.translate) for line in facts.log],
            "actions": self._actions(),
            "poll_ms": self._poll_ms(drive),
        }

    def _end_url(self) -> str | None:
        """Checked again: a run of a terminal knows no web settings, and a database may have been written by others."""
        try:
            return check_end_url(self.run.definition.on_end_url, self.site.settings.end_url_hosts)
        except ConfigurationError:
            return None

    def _driver(self) -> dict[str, Any]:
        run, others = self.run, [item for item in self.facts.in_hand if item.holder and not item.is_stale]
        if run.is_driven:
            return {"mine": self.is_mine, "alive": True, "label": None if self.is_mine else run.driver_label or None}
        # Somebody may work on the queue without knowing of this run.
        return {"mine": False, "alive": bool(others), "label": others[0].holder if others else None}

    def _progress(self) -> dict[str, int]:
        run = self.run
        # What is leased ahead of its turn waits like all others.
        running = min(sum(item.item_id > 0 for item in self.facts.in_hand), self.left)
        scheduled = min(self.delayed, self.left - running) if run.is_open else 0
        return {
            "total": self.total,
            "done": self.done,
            "skipped": run.skipped,
            "failed": run.failed,
            "waiting": self.left - running - scheduled,
            "scheduled": scheduled,
            "added": max(self.total - run.initial, 0),
            "percent": self._percent(),
        }

    def _percent(self) -> int:
        if self.run.status == "completed":
            return 100
        if not self.total:
            return 0
        begun = sum(item.fraction or 0.0 for item in self.facts.in_hand if item.item_id)
        finished = self.done + self.run.skipped + self.run.failed
        return min(math.floor(100 * min(finished + begun, self.total) / self.total), 99)

    def _eta(self) -> float | None:
        run = self.run
        finished = self.done + run.skipped + run.failed
        # Each worker knows its own pace, and nobody how many of them there will be.
        pace = run.elapsed / max(finished, 1) if run.definition.is_background else run.pace
        is_known = self.status == "running" and pace is not None and finished >= _ETA_ITEMS
        if pace is None or not is_known or run.elapsed < _ETA_SECONDS or not (run.is_driven or self.facts.in_hand):
            return None
        in_hand = [item for item in self.facts.in_hand if item.item_id]
        waiting = max(self.total - finished - len(in_hand), 0)
        return round(waiting * pace + sum(_seconds_left(item, pace) for item in in_hand), 1)

    def _in_hand(self, item: InHand) -> dict[str, Any]:
        return {
            "item_id": item.item_id,
            "title": item.title,
            "attempt": item.attempt,
            "fence": item.fence,
            "running_s": _rounded(item.running),
            "worker": item.holder or None,
            "fraction": item.fraction,
            "note": item.message,
            "progress_age_s": _rounded(item.silent),
            "lease": {
                "heartbeat_age_s": _rounded(item.beat_age),
                "stale_after_s": self.site.service.settings.stale_after,
                "stale": item.is_stale,
            },
        }

    def _problem(self) -> dict[str, Any] | None:
        problem = self.facts.question
        if problem is None and self.run.damage and self.run.is_open:
            problem = Problem(0, 0, self.run.title, kind="missing_callback", message=self.run.damage)
        if problem is None:
            return None
        found = {
            "item_id": problem.item_id,
            "title": problem.title,
            "fence": problem.fence,
            "attempt": problem.attempt,
            "kind": problem.kind,
            "message": problem.message,
            "when": (problem.when or self.run.now) / 1000,
            "has_trace": bool(problem.trace),
        }
        if problem.trace and self.permissions.may("view_trace", problem.item_id):
            found["trace"] = problem.trace
        return found

    def _next_retry(self) -> dict[str, Any] | None:
        retry = self.facts.retry
        if retry is None or self.status != "running":
            return None
        return {
            "item_id": retry.item_id,
            "title": retry.title,
            "fence": retry.fence,
            "attempt": retry.attempt,
            "attempts": retry.attempts,
            "seconds": round(retry.seconds, 1),
        }

    # --- what this visitor may do ---

    def _actions(self) -> list[dict[str, Any]]:
        return [
            {"verb": verb} if item_id is None else {"verb": verb, "item_id": item_id, "fence": fence}
            for verb, item_id, fence in self._offered()
            if self.run.definition.offers(verb) and self.permissions.may(verb, item_id)
        ]

    def _offered(self) -> list[tuple[str, int | None, int | None]]:
        facts = self.facts
        offered: list[tuple[str, int | None, int | None]] = []
        stale: list[tuple[str, int | None, int | None]] = [
            ("steal", item.item_id, item.fence) for item in facts.in_hand if item.is_stale
        ]
        if self.status == "ready":
            offered = [("start", None, None)]
        elif self.status == "paused":
            offered = [("resume", None, None)]
        elif self.status == "blocked" and facts.question is not None:
            offered = [(verb, facts.question.item_id, facts.question.fence) for verb in ("retry", "skip")]
        elif self.status == "running":
            if facts.retry is not None:
                offered = [(verb, facts.retry.item_id, facts.retry.fence) for verb in ("retry", "skip")]
            if self._may_be_taken_over():
                offered.append(("take_over", None, None))
            offered += [*stale, ("pause", None, None)]
        elif self.status == "finishing":
            offered = list(stale)
        elif self.status == "completed" and facts.failures:
            offered = [("retry_failed", None, None)]
        if self.run.is_open:
            offered.append(("abort", None, None))
        return offered

    def _may_drive(self) -> bool:
        """Whether the page that asks carries the run on, as soon as there is something to do."""
        if self.site.settings.mode == "observe" or self.status != "running" or self.run.damage:
            return False
        if self.run.definition.is_watched:
            return False
        return (not self.run.is_driven or self.is_mine) and self.permissions.may("drive")

    def _is_unserved(self) -> bool:
        """Whether the run waits for workers, and none is there."""
        return self.status == "running" and self.run.definition.is_watched and not self.facts.is_served

    def _may_be_taken_over(self) -> bool:
        """Whether pages may drive what no worker serves."""
        return self._is_unserved() and self.site.may_drive(self.queue)

    def _shall_drive(self) -> bool:
        """Whether the page that asks shall post a drive request now."""
        wait = self.facts.wait
        return (wait is None or wait.seconds <= 0) and self._may_drive()

    def _poll_ms(self, drive: bool) -> int:
        if not self.run.is_open and not (self.run.status == "aborted" and self.run.is_driven):
            return _POLL_ENDED
        poll = int(self.site.settings.poll * 1000)
        wait = self.facts.wait
        if drive:
            return 0
        is_watched = self.run.definition.is_watched
        if self.status == "running" and wait is not None and not wait.is_leased and not is_watched:
            return min(max(int(wait.seconds * 1000) + 20, 50), poll)
        return poll


def _seconds_left(item: InHand, pace: float) -> float:
    """How long an item in hand still takes: by what it reports, else as long as the others."""
    if item.fraction and item.running is not None:
        return item.running * (1 - item.fraction) / item.fraction
    return max(pace - (item.running or 0.0), 0.0)


def _failure(line: LogLine) -> dict[str, Any]:
    title, _separator, message = line.message.partition(SEPARATOR)
    return {"item_id": line.item_id, "title": title, "message": message}


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 1) if seconds is not None else None
