"""Every row exactly once, whenever the process is killed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.demo.application import Application

# A file of five rows in batches of two: find, open, cut, three batches, summary.
OPEN, CUT, SECOND_BATCH, SUMMARY = 2, 3, 5, 7


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("database_url", ["sqlite", "mariadb"], indirect=True)
def test_given_20000_real_rows_when_killed_in_the_middle_and_run_again_then_the_table_is_the_undisturbed_one(
    application: Application, cities: Path, undisturbed: list[Any]
) -> None:
    with application.start(cities, "--batch-size", "50") as process:
        application.wait_for_rows(len(undisturbed) // 4, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert len(undisturbed) // 4 <= len(application.rows()) < len(undisturbed)

    again = application.run()

    assert again.returncode == 0, again.stderr
    assert "Going on with the interrupted import" in again.stdout
    assert len(undisturbed) >= 20_000
    assert application.rows() == undisturbed
    assert application.bad_rows() == []


@pytest.mark.chaos
@pytest.mark.parametrize("number", [OPEN, CUT, SECOND_BATCH, SUMMARY])
@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_given_a_kill_right_at_the_commit_of_a_task_when_run_again_then_nothing_is_lost_or_doubled(
    application: Application, moment: str, number: int
) -> None:
    source = application.folder / "five.csv"
    source.write_text("name\na\nb\nc\nd\n,\ne,bad\n")
    dead = application.run("killed", source, moment, str(number), module="tests.demo.child")
    assert dead.returncode == -signal.SIGKILL, dead.stderr

    done = application.run("finish", module="tests.demo.child")

    assert done.returncode == 0, done.stderr
    assert [(row[1], row[2]) for row in application.rows()] == [(2, "a"), (3, "b"), (4, "c"), (5, "d")]
    assert [line for _, line, _ in application.bad_rows()] == [7]
