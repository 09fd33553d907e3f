"""``prune`` removes what was kept for long enough."""

from __future__ import annotations

import json

import pytest

from taskqueue import QueueService, Runner, travel
from tests.cli.conftest import JOBS, Here, Shell, refused

DAY = 86_400


@pytest.fixture
def service(service: QueueService) -> QueueService:
    """A service with a dead letter, its history and its run."""
    queue = service.create("Sql", "q", error="dead")
    queue.enqueue(f"{JOBS}:bad")
    Runner(queue).run_all()
    return service


def test_what_is_older_goes_dead_letters_only_when_that_is_said(here: Here, service: QueueService) -> None:
    with travel(31 * DAY):
        assert here("prune", "--older-than", "5w").stdout.startswith("Removed 0 recorded failures, 0 dead letters")
        would = here("prune", "--dead", "--dry-run")
        assert would.stdout == (
            "Would remove 1 recorded failure, 1 dead letter, 0 results, 1 run, 0 batches, 0 received keys, 0 calls, "
            "0 notes of what was done by hand.\n"
        )
        facts = json.loads(here("prune", "--json").stdout)
        assert facts == {
            "endings": 1,
            "dead_letters": 0,
            "results": 0,
            "runs": 1,
            "batches": 0,
            "received": 0,
            "calls": 0,
            "audit": 0,
            "dry_run": False,
        }
        facts = json.loads(here("prune", "--older-than", "30d", "--dead", "--json").stdout)
        assert facts == {
            "endings": 0,
            "dead_letters": 1,
            "results": 0,
            "runs": 0,
            "batches": 0,
            "received": 0,
            "calls": 0,
            "audit": 0,
            "dry_run": False,
        }
    assert service.load("q").dead_items() == []


@pytest.mark.parametrize(("age", "is_older"), [("3500", True), ("59m", True), ("1h", False), ("2d", False)])
def test_ages_have_units(age: str, is_older: bool, here: Here, service: QueueService) -> None:
    with travel(3600 - 30):
        facts = json.loads(here("prune", "--older-than", age, "--json").stdout)
    assert facts["endings"] == is_older


@pytest.mark.parametrize("age", ["", "soon", "-1d", "1.5h", "1y", "9999999999"])
def test_what_is_no_age_is_refused(age: str, here: Here, service: QueueService) -> None:
    assert "is no age: write it as 90s, 15m, 12h, 30d or 2w" in refused(here("prune", f"--older-than={age}"))


def test_an_age_of_more_than_a_century_is_refused(here: Here, service: QueueService) -> None:
    assert "at most a hundred years" in refused(here("prune", "--older-than", "99999w"))


def test_without_a_database_there_is_nothing_to_remove_and_none_is_made(here: Here, shell: Shell) -> None:
    result = here("prune")

    assert result.stdout == (
        "Removed 0 recorded failures, 0 dead letters, 0 results, 0 runs, 0 batches, 0 received keys, 0 calls, "
        "0 notes of what was done by hand.\n"
    )
    assert list(shell.folder.iterdir()) == []
