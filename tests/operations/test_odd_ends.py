"""Whatever an operation raises or returns, its call comes to an end that says so, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import QueueService, SerializationError, TaskFailed
from taskqueue.operations import OperationError, OperationFailed, Operations
from tests.operations.conftest import contacts, drain, names


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Odd(OperationFailed):
    """Was made without the words that its base wants."""

    def __init__(self) -> None:
        Exception.__init__(self)


class Unprintable:
    """A detail that is no JSON, and no text."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def raising(error: BaseException) -> Callable[..., Any]:
    """An operation that writes a name, then fails."""

    def function(ctx: Any, data: Any) -> None:
        ctx.session.execute(contacts.insert().values(name="x"))
        raise error

    return function


@pytest.mark.parametrize(
    "error",
    [SystemExit(0), GeneratorExit(), asyncio.CancelledError(), BaseException(), Mute(), ValueError("\0 \ud800")],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_word_of_the_operation_is_a_failure(
    ops: Operations, service: QueueService, error: BaseException
) -> None:
    ops.operation("odd", queueable=True, idempotent=True, retry=1)(raising(error))
    call = ops.defer("odd")
    drain(ops)
    found = ops.get(call.id)
    assert (found.state, (found.error or {})["code"], names(service)) == ("dead", "internal_error", [])
    with pytest.raises(OperationError, match="could not be executed"):
        ops.call("odd", key="k")
    with pytest.raises(type(error)):
        ops.call("odd")
    assert names(service) == []


def test_an_interrupt_gives_the_call_back(ops: Operations, service: QueueService) -> None:
    errors: list[BaseException] = [KeyboardInterrupt(), KeyboardInterrupt()]

    @ops.operation("odd", queueable=True, idempotent=True, retry=1)
    def odd(ctx: Any, data: Any) -> str:
        ctx.session.execute(contacts.insert().values(name="x"))
        if errors:
            raise errors.pop()
        return "ok"

    call = ops.defer("odd")
    with pytest.raises(KeyboardInterrupt):
        drain(ops)
    assert (ops.get(call.id).state, ops.get(call.id).attempts, names(service)) == ("queued", 0, [])
    with pytest.raises(KeyboardInterrupt):
        ops.call("odd", key="k")
    assert (ops.call("odd", key="k"), drain(ops), ops.result(call.id)) == ("ok", 1, "ok")
    assert names(service) == ["x", "x"]


def test_an_interrupt_in_another_thread_is_a_failure(ops: Operations) -> None:
    ops.operation("odd", queueable=True, retry=1)(raising(KeyboardInterrupt()))
    call = ops.defer("odd")
    thread = threading.Thread(target=ops.drain)
    thread.start()
    thread.join(60)
    assert ops.get(call.id).state == "dead"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OperationFailed("no", details={1: object()}), "failed", "no"),
        (OperationFailed("no", details={(1, 2): 3}), "failed", "no"),
        (OperationFailed("no", details=Unprintable()), "failed", "no"),
        (OperationFailed("no", details=[float("nan")]), "failed", "no"),
        (OperationFailed("no", details=["x" * 20_000_000]), "failed", "no"),
        (OperationFailed("no \0 \ud800", code="odd"), "odd", None),
        (OperationFailed("x" * 20_000_000), "failed", None),
        (Odd(), "failed", None),
    ],
    ids=["object", "tuple", "unprintable", "nan", "huge", "characters", "long", "bare"],
)
def test_details_of_an_odd_make_do_not_hide_what_was_said(
    ops: Operations, service: QueueService, error: OperationError, code: str, message: str | None
) -> None:
    ops.operation("odd", queueable=True)(raising(error))
    call = ops.defer("odd")
    assert drain(ops) == 1
    found = ops.get(call.id)
    said = found.error or {}
    assert (found.state, said["code"], names(service)) == ("failed", code, [])
    assert message is None or said["message"] == message
    assert len(str(said)) < 200_000
    with pytest.raises(OperationFailed):
        ops.result(call.id)


async def _later(ctx: Any, data: Any) -> str:
    ctx.session.execute(contacts.insert().values(name="x"))
    await asyncio.sleep(0)
    return "later"


def test_a_coroutine_is_run_to_its_end(ops: Operations, service: QueueService) -> None:
    ops.operation("odd", queueable=True, idempotent=True)(_later)
    call = ops.defer("odd")
    drain(ops)
    assert (ops.result(call.id), ops.call("odd"), ops.call("odd", key="k")) == ("later",) * 3
    assert names(service) == ["x"] * 3


def test_a_generator_is_a_failure(ops: Operations) -> None:
    ops.operation("odd", queueable=True, retry=1)(lambda ctx, data: (n for n in range(3)))
    call = ops.defer("odd")
    drain(ops)
    assert ops.get(call.id).state == "dead"
    with pytest.raises(TaskFailed, match="generator"):
        ops.call("odd")


def _round() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("make", [lambda: "x" * 16_000_000, object, _round, lambda: {1: {2: object()}}],
                         ids=["large", "object", "endless", "deep"])  # fmt: skip
def test_a_result_that_cannot_be_stored_is_dead_at_once(ops: Operations, service: QueueService, make: Any) -> None:
    @ops.operation("odd", queueable=True, idempotent=True)
    def odd(ctx: Any, data: Any) -> Any:
        ctx.session.execute(contacts.insert().values(name="x"))
        return make()

    call = ops.defer("odd")
    drain(ops)
    assert (ops.get(call.id).state, ops.get(call.id).attempts, names(service)) == ("dead", 1, [])
    with pytest.raises(OperationError, match="could not be executed"):
        ops.call("odd", key="k")
    if make().__class__ is not str:
        with pytest.raises(SerializationError):
            ops.call("odd")
    assert names(service) in ([], ["x"])
