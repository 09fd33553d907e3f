"""What items hold is shown without what looks like a secret, wherever a task has put it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest

from taskqueue import Task
from taskqueue.errors import PayloadError
from taskqueue.redact import HIDDEN
from taskqueue.showing import content_of, presentable


@dataclass
class Holding:
    data: Any


class Unreadable:
    @property
    def data(self) -> Any:
        raise PayloadError("it was damaged")


def log_in(ctx: Any, user: str, password: str, *, api_key: str = "") -> None:
    """Takes a secret by its place."""


class Mail:
    @staticmethod
    def send(ctx: Any, to: str, token: str) -> None: ...

    @classmethod
    def check(cls, ctx: Any, secret: str, to: str) -> None: ...


def test_arguments_are_hidden_by_the_names_that_their_function_gives_them() -> None:
    shown = content_of(Holding(Task(log_in, ("ann", "hunter2"), kwargs={"api_key": "abc"})))

    assert (shown["args"], shown["kwargs"]) == (["ann", HIDDEN], {"api_key": HIDDEN})


@pytest.mark.parametrize(
    ("callback", "args", "expected"),
    [(Mail.send, ("ann", "t0ken"), ["ann", HIDDEN]), (Mail.check, ("s3cret", "ann"), [HIDDEN, "ann"])],
)
def test_methods_have_names_for_their_arguments_too(callback: Any, args: Any, expected: list[Any]) -> None:
    assert content_of(Holding(Task(callback, args)))["args"] == expected


def test_nothing_is_imported_to_show_it() -> None:
    name = "this"  # of the standard library, and prints when it is imported
    sys.modules.pop(name, None)

    shown = content_of(Holding(Task.stored(f"{name}:func", ("a",), "", {}, None)))

    assert (shown["args"], name in sys.modules) == (["a"], False)


@pytest.mark.parametrize(
    "callback", ["nonsense", f"{__name__}:nothing", f"{__name__}:Mail.nothing", f"{__name__}:Mail"]
)
def test_what_is_no_function_is_shown_all_the_same(callback: str) -> None:
    assert content_of(Holding(Task.stored(callback, (1,), "", {}, None)))["args"] == [1]


def test_data_bytes_and_what_cannot_be_read() -> None:
    assert content_of(Holding({"password": "x", "n": 1})) == {"data": {"password": HIDDEN, "n": 1}}
    assert presentable(b"key") == {"$bytes": HIDDEN}
    assert content_of(Unreadable()) == {"problem": "it was damaged"}


def test_a_hook_hides_what_only_the_application_knows() -> None:
    def hook(name: str, value: Any) -> Any:
        return "…" if name == "iban" else value

    shown = content_of(Holding({"iban": "DE00", "nested": [{"iban": "DE01"}], "token": "x"}), hook)

    assert shown["data"] == {"iban": "…", "nested": [{"iban": "…"}], "token": HIDDEN}


def test_nothing_is_shown_where_the_hook_fails() -> None:
    def hook(name: str, value: Any) -> Any:
        raise RuntimeError

    assert content_of(Holding({"a": 1}), hook) == {"data": HIDDEN}
