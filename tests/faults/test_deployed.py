"""Workers are stopped and started with new code, in which a callback has another name, and then with the fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.stage import Stage
from tests.faults.swarm import Swarm
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
MODULE = "shop_of_the_workers"
OLD = "from tests.faults import tasks\n\n\ndef resize(ctx, *args):\n    tasks.record(ctx, *args)\n"
NEW = OLD.replace("def resize", "def scale")
FIXED = NEW + "\n\nresize = scale\n"


class Releases:
    """The code of the application: each process takes the release that is the latest when it starts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = monkeypatch

    def deploy(self, name: str, text: str) -> None:
        """Let that be the latest one."""
        (self._folder / name).mkdir()
        (self._folder / name / f"{MODULE}.py").write_text(text)
        self._patch.syspath_prepend(self._folder / name)


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    """The code, nothing deployed yet."""
    return Releases(tmp_path, monkeypatch)


def test_given_workers_with_new_code_when_a_callback_was_renamed_then_its_items_die_with_a_reason_and_run_after_the_fix(
    stage: Stage, releases: Releases
) -> None:
    # given: no policy and no further attempt decides about what cannot be called
    queue = stage.create("Sql", agent="server", error="delete", retry_limit=3)
    swarm = Swarm(stage, 1, allow=MODULE)
    releases.deploy("old", OLD)
    worker = swarm.start()
    add(stage, 1)
    stage.history.wait_for("finished", number=1, outcome="ok")
    swarm.stop(worker)
    add(stage, 2, 3)
    # when
    releases.deploy("new", NEW)
    swarm.wait_until_done(swarm.start("--drain"))
    # then
    letters = queue.dead_items()
    assert [(letter.data.args[1], letter.attempts, letter.callback) for letter in letters] == [
        (number, 1, f"{MODULE}:resize") for number in (2, 3)
    ]
    assert all(f"'{MODULE}' has no attribute 'resize'" in letter.error for letter in letters)
    assert stage.history.numbers("start") == [1]
    # when
    releases.deploy("fixed", FIXED)
    taskqueue(stage, "dead", "revive", "stage", "--error", "has no attribute 'resize'", "--yes")
    swarm.wait_until_done(swarm.start("--drain"))
    # then
    assert stage.history.numbers("start") == stage.history.numbers("end") == [1, 2, 3]
    for letter in letters:
        assert [ending.outcome for ending in queue.history_of(letter.id)] == ["dead", "revived"]
    assert queue.statistics() == dict.fromkeys(queue.statistics(), 0)


def add(stage: Stage, *numbers: int) -> None:
    """Let other processes, with the code of the moment, put tasks on the queue."""
    for number in numbers:
        taskqueue(stage, "add", "stage", f"{MODULE}:resize", json.dumps(str(stage.folder)), str(number))


def taskqueue(stage: Stage, *arguments: str) -> None:
    """Run a command to its end."""
    stage.start("command", arguments=arguments).wait_until_done()
