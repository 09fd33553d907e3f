"""``taskqueue health``: its words and its exit code are for scripts and probes."""

from __future__ import annotations

import json

import pytest

from taskqueue import QueueService
from tests.cli.conftest import Here, Shell
from tests.cli.working import at_work


def test_it_fails_until_a_worker_serves_the_queue(shell: Shell, here: Here, service: QueueService) -> None:
    # given
    queue = service.create("Sql", "q", agent="server", error="delete")
    # when
    before = here("health")
    # then
    assert (before.exit_code, before.stdout) == (1, "no worker serves queue 'q': start 'taskqueue work'\n")
    assert json.loads(here("health", "--json").stdout) == {
        "status": "failing",
        "troubles": [{"kind": "unserved", "queue": "q", "text": "no worker serves queue 'q': start 'taskqueue work'"}],
    }
    assert here("health", "--cron").exit_code == 0
    # and when
    at_work(shell, queue, "until_stopped")
    after = here("health")
    # then
    assert (after.exit_code, after.stdout) == (0, "ok\n")
    assert json.loads(here("health", "--json").stdout) == {"status": "ok", "troubles": []}


def test_names_and_the_limit_may_be_given(here: Here, service: QueueService) -> None:
    # given
    service.create("Sql", "q").create_item("x")
    service.database.statement(lambda tx: tx.change("UPDATE {item} SET submit_time = submit_time - 90000"))
    # then
    assert here("health", "q").exit_code == 0
    late = here("health", "q", "--oldest", "60")
    assert late.exit_code == 1 and "has been waiting for 90 s, longer than 60 s" in late.stdout
    assert (unknown := here("health", "nothing")).exit_code == 1 and "there is no queue 'nothing'" in unknown.stdout


@pytest.mark.parametrize("seconds", ["-1", "nan", "much"])
def test_a_limit_that_is_none_is_refused(here: Here, seconds: str, service: QueueService) -> None:
    assert here("health", "--oldest", seconds).exit_code == 2


def test_without_a_database_file_none_is_made(shell: Shell, here: Here) -> None:
    # when
    result = here("health")
    # then
    assert result.exit_code == 2 and "there is no database file" in result.stderr
    assert list(shell.folder.iterdir()) == []
