"""``list``, ``show``, ``items`` and ``dead list|show`` tell what is there, to humans and programs."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from taskqueue import BatchQueue, QueueService, Runner, Task
from tests.cli.conftest import JOBS, Here, Shell
from tests.cli.jobs import HOSTILE

OK = f"{JOBS}:ok"
BAD = f"{JOBS}:bad"


def test_list_shows_counts_and_status_of_each_queue(here: Here, service: QueueService, queue: BatchQueue) -> None:
    # given
    other = service.create("SqlParallel", "a.other", status="paused")
    other.create_items([1, 2, 3])
    other.create_item(4, delay=60)
    other.claim_item()
    # when
    table, facts = here("list"), here("list", "--json")
    # then
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["name", "type", "status", "ready", "leased", "delayed", "dead"],
        ["a.other", "SqlParallel", "paused", "2", "1", "1", "0"],
        ["q", "Sql", "active", "0", "0", "0", "0"],
    ]
    assert json.loads(facts.stdout)[0] == {
        "name": "a.other", "type": "SqlParallel", "status": "paused",
        "total": 4, "ready": 2, "blocked": 2, "leased": 1, "delayed": 1, "dead": 0,
    }  # fmt: skip


@pytest.mark.parametrize("given", [[], ["--database", "sqlite:///other.db"], ["--app", f"{JOBS}:service"]])
def test_list_without_a_database_is_empty_and_makes_none(given: list[str], here: Here, shell: Shell) -> None:
    # when
    text, facts = here(*given, "list"), here(*given, "list", "--json")
    # then
    assert (text.exit_code, facts.exit_code, json.loads(facts.stdout)) == (0, 0, [])
    assert "no queues" in text.stdout
    assert ".db" in text.stdout
    assert list(shell.folder.iterdir()) == []


def test_list_of_a_database_without_queues_says_so(here: Here, service: QueueService) -> None:
    # given
    assert service.queues() == []
    # when, then
    assert here("list").stdout == "There are no queues.\n"


def test_show_tells_options_counts_head_and_last_error(here: Here, service: QueueService) -> None:
    # given
    queue = service.create("Sql", "q", retry_limit=2, error="dead")
    queue.enqueue(BAD, "first line\nsecond line", title="the head", weight=-3)
    Runner(queue).run_next()
    # when
    text, facts = here("show", "q").stdout, json.loads(here("show", "q", "--json").stdout)
    # then
    for part in ("Sql", "active", "the head", "ValueError: first line"):
        assert part in text
    assert re.search(r"retry_limit +2\n", text)
    assert "second line" not in text
    assert (facts["name"], facts["type"], facts["status"]) == ("q", "Sql", "active")
    assert (facts["options"]["retry_limit"], facts["options"]["error"]) == (2, "dead")
    assert facts["statistics"] == queue.statistics()
    assert (facts["head"]["title"], facts["head"]["weight"], facts["head"]["failures"]) == ("the head", -3, 1)
    assert facts["last_error"] == "ValueError: first line\nsecond line"


def test_show_of_a_queue_with_dead_letters_only_tells_the_latest_error(here: Here, service: QueueService) -> None:
    # given
    queue = service.create("Sql", "q", error="dead")
    for message in ("older", "latest"):
        queue.enqueue(BAD, message)
        Runner(queue).run_all()
    # when
    facts = json.loads(here("show", "q", "--json").stdout)
    # then
    assert (facts["head"], facts["last_error"]) == (None, "ValueError: latest")
    assert "ValueError: latest" in here("show", "q").stdout


def test_items_are_listed_in_the_order_of_the_queue_up_to_a_limit(here: Here, queue: BatchQueue) -> None:
    # given
    for weight in (2, 1, 3):
        queue.enqueue(OK, title=f"weighs {weight}", weight=weight)
    # when
    result = here("items", "q", "--limit", "2")
    # then
    assert [line.split()[-2:] for line in result.stdout.splitlines()[1:3]] == [["weighs", "1"], ["weighs", "2"]]
    assert result.stdout.splitlines()[3] == "... and 1 more (--limit)"


def test_items_as_json_are_one_object_a_line(here: Here, queue: BatchQueue) -> None:
    # given
    queue.create_item(Task(OK, (1, {"when": datetime(2026, 1, 2, tzinfo=timezone.utc)}), "a task"), delay=60)
    queue.create_item({"plain": ("data",)})
    # when
    task, data = [json.loads(line) for line in here("items", "q", "--json").stdout.splitlines()]
    # then
    standing = next(queue.items())
    assert (task["id"], task["title"], task["callback"], task["args"][0]) == (standing.id, "a task", OK, 1)
    assert datetime.fromisoformat(task["release_time"]) == standing.release_time
    assert datetime.fromisoformat(task["submit_time"]).utcoffset() == timedelta(0)
    assert data["release_time"] is None
    assert data["data"]["plain"] != ["data"]  # a tuple is told from a list


def test_items_of_an_empty_queue(here: Here, queue: BatchQueue) -> None:
    assert here("items", "q").stdout == "Queue 'q' is empty.\n"
    assert here("items", "q", "--json").stdout == ""


def test_an_unreadable_item_is_listed_all_the_same(here: Here, shell: Shell) -> None:
    # given
    writer = QueueService(shell.url, secret_key="the key of somebody else")
    writer.create("Sql", "signed").enqueue(OK, title="signed")
    writer.close()
    # when
    text, facts = here("items", "signed"), json.loads(here("items", "signed", "--json").stdout)
    # then
    assert "(unreadable item)" in text.stdout
    assert (facts["title"], bool(facts["problem"])) == ("(unreadable item)", True)


def test_dead_letters_are_listed_and_shown_with_their_whole_error(here: Here, service: QueueService) -> None:
    # given
    queue = service.create("Sql", "q", error="dead")
    queue.enqueue(BAD, "first line\nsecond line", title="it died")
    Runner(queue).run_all()
    dead = queue.dead_items()[0]
    # when
    table, facts = here("dead", "list", "q").stdout, json.loads(here("dead", "list", "q", "--json").stdout)
    text, one = here("dead", "show", "q", str(dead.id)), here("dead", "show", "q", str(dead.id), "--json")
    # then
    assert "it died" in table
    assert "ValueError: first line" in table
    assert [(each["id"], each["error"], each["callback"]) for each in facts] == [(dead.id, dead.error, BAD)]
    assert datetime.fromisoformat(facts[0]["dead_time"]) == dead.dead_time
    assert "  ValueError: first line\n  second line\n" in text.stdout
    assert json.loads(one.stdout) == facts[0]
    assert here("dead", "list", service.create("Sql", "other").name).stdout == "Queue 'other' has no dead letters.\n"


def test_hostile_titles_and_errors_cannot_reach_the_terminal(here: Here, service: QueueService) -> None:
    # given
    queue = service.create("Sql", "q", error="dead")
    queue.enqueue(f"{JOBS}:hostile", title=HOSTILE)
    Runner(queue).run_all()
    queue.enqueue(OK, title=HOSTILE)
    queue.enqueue(OK, title="two\nlines\r\tand a tab")
    dead_id = str(queue.dead_items()[0].id)
    commands = ["show q", "items q", "dead list q", f"dead show q {dead_id}"]
    # when
    outputs = [here(*command.split(), *json_) for command in commands for json_ in ([], ["--json"])]
    outputs.append(here("skip", "q", "--yes"))
    # then
    for output in outputs:
        assert output.exit_code == 0
        assert "[red]evil[/red]" in output.stdout
        assert all(char == "\n" or char.isprintable() for char in output.stdout)
        assert "\x1b" not in output.stdout


def test_characters_that_the_terminal_lacks_are_escaped(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK, title="東京")
    # when
    result = shell.run("items", "q", env={"PYTHONIOENCODING": "latin-1"})
    # then
    assert (result.returncode, result.stderr) == (0, "")
    assert r"\u6771\u4eac" in result.stdout


def test_a_reader_that_has_seen_enough_is_no_error(shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.create_items(["x" * 100] * 3000)
    # when
    listing = shell.start("items", "q", "--limit", "3000", "--json")
    assert listing.stdout is not None
    listing.stdout.readline()
    listing.stdout.close()
    # then
    assert listing.wait(30) == 141
    assert listing.stderr is not None
    assert listing.stderr.read() == ""


def test_queue_names_are_completed(shell: Shell, service: QueueService) -> None:
    # given
    for name in ("import", "images", "mails"):
        service.create("Sql", name)
    words = {"_TASKQUEUE_COMPLETE": "bash_complete", "COMP_WORDS": "taskqueue show im", "COMP_CWORD": "2"}
    # when
    result = _complete(shell, words)
    # then
    assert (result.splitlines(), service.queues()[0].name) == (["plain,images", "plain,import"], "images")


@pytest.mark.parametrize("before", ["", "--database nonsense ", "--app no_such_module:service "])
def test_completion_is_silent_when_there_is_nothing_to_complete(before: str, shell: Shell) -> None:
    # given
    words = f"taskqueue {before}show im"
    # when
    result = _complete(shell, {
        "_TASKQUEUE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1),
    })  # fmt: skip
    # then
    assert (result.strip(), list(shell.folder.iterdir())) == ("", [])


def _complete(shell: Shell, env: dict[str, str]) -> str:
    code = "from taskqueue.cli import main; main(prog_name='taskqueue')"
    process = shell.start(env=env, program=["-c", code])
    out, err = process.communicate(timeout=30)
    assert err == ""
    return out
