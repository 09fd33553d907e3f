"""A task: what to call, with which arguments, under which title."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue.errors import CallbackError, SpecError
from taskqueue.task import Task
from tests.names import shown
from tests.unit import callables

NAME = "tests.unit.callables:function"


def test_a_task_keeps_its_callback_by_name() -> None:
    tasks = [Task(callables.function), Task(NAME), Task(("tests.unit.callables", "function"))]

    assert [task.callback for task in tasks] == [NAME] * 3


def test_a_task_needs_only_a_callback() -> None:
    task = Task(callables.function)

    assert (task.args, task.kwargs, task.title, task.run_as) == ((), {}, "", None)


@pytest.mark.parametrize("args", [[1, "b"], (1, "b")])
def test_args_are_kept_as_a_tuple(args: Any) -> None:
    assert Task(NAME, args).args == (1, "b")


@pytest.mark.parametrize("args", ["text", {"a": 1}, {1}, 7, None, iter([1])], ids=shown)
def test_what_is_no_list_of_arguments_is_refused(args: Any) -> None:
    with pytest.raises(SpecError, match="args of a task must be a list or tuple"):
        Task(NAME, args)


def test_later_changes_of_what_was_given_do_not_reach_the_task() -> None:
    args, kwargs = [1], {"a": 1}
    task = Task(NAME, args, kwargs=kwargs)

    args.append(2)
    kwargs["b"] = 2

    assert (task.args, task.kwargs) == ((1,), {"a": 1})


def test_run_as_may_be_set_later() -> None:
    task = Task(NAME)

    task.run_as = {"contact_id": 7}

    assert task == Task(NAME, run_as={"contact_id": 7})


def test_a_lambda_is_refused_when_the_task_is_made() -> None:
    with pytest.raises(CallbackError, match="lambda"):
        Task(lambda ctx: None)


@pytest.mark.parametrize(
    "other",
    [
        Task(callables.replaced, (1,), "T", kwargs={"a": 1}),
        Task(NAME, (2,), "T", kwargs={"a": 1}),
        Task(NAME, (1,), "U", kwargs={"a": 1}),
        Task(NAME, (1,), "T", kwargs={"a": 2}),
        Task(NAME, (1,), "T", kwargs={"a": 1}, run_as={}),
        "a text",
    ],
    ids=["callback", "args", "title", "kwargs", "run_as", "type"],
)
def test_tasks_are_equal_when_everything_is(other: Any) -> None:
    task = Task(NAME, (1,), "T", kwargs={"a": 1})

    assert task == Task(NAME, [1], "T", kwargs={"a": 1})
    assert task != other


def test_a_task_is_no_key() -> None:
    with pytest.raises(TypeError):
        hash(Task(NAME))


def test_a_task_shows_what_it_calls() -> None:
    assert repr(Task(NAME, (1,))) == f"Task({NAME!r}, (1,))"
    assert repr(Task(NAME, (), "T")) == f"Task({NAME!r}, (), title='T')"


def test_a_stored_task_is_not_looked_up() -> None:
    task = Task.stored("no.such.module:x", (1,), "T", {}, None)

    assert (task.callback, task.args, task.title) == ("no.such.module:x", (1,), "T")
