"""A message whose handler fails is tried again on its curve, until it is dead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import Later, QueueItem, QueueService, Retry, SpecError, Unrecoverable
from taskqueue.outbox import CAP, DEFAULT, MessageContext, Outbox, RetryPolicy, ServiceOptions, handles, queued
from tests.outbox.conftest import book, dead_letters, flush, names, waiting
from tests.outbox.services import Scripted, Step, Told

#: Seconds that may pass, on a busy machine, between what belongs together.
SLACK = 30.0
SECRET = "the customer is hunter2"


class Gone(Exception):
    """An exception of the application that knows of no other attempt."""

    unrecoverable = True


class Bench:
    """One message of one service, and what becomes of it."""

    def __init__(
        self, service: QueueService, outbox: Outbox, session: Session, thing: Scripted, **options: Any
    ) -> None:
        self.service, self.outbox, self.thing = service, outbox, thing
        outbox.register("scripted", thing, **options)
        self.ref = queued(thing, session).work(1)
        session.commit()
        #: By how many seconds the clocks are ahead.
        self.ahead = 0.0

    def attempt(self) -> QueueItem | None:
        """One attempt, as soon as it is due, and news of it; the message afterwards, or None."""
        calls = len(self.thing.calls)
        flush(self.outbox, self.ahead)
        assert len(self.thing.calls) == calls + 1
        item = self.item
        if item is not None and item.release_time is not None:
            self.ahead += self.pause(item)
        return item

    @property
    def item(self) -> QueueItem | None:
        """The message as it stands."""
        return self.service.load("outbox").fetch_item(self.ref.item_id)

    def pause(self, item: QueueItem) -> float:
        """Seconds, as stored, from the last failure to the next attempt."""
        failed = self.service.load("outbox").history_of(item.id)[-1].end_time
        assert item.release_time is not None
        return (item.release_time - failed).total_seconds()


@pytest.fixture
def make_bench(service: QueueService, make_outbox: Callable[..., Outbox], session: Session) -> Callable[..., Bench]:
    """Makes a bench for a service whose handler takes these steps."""

    def make(*steps: Step, kind: type[Scripted] = Scripted, **options: Any) -> Bench:
        return Bench(service, make_outbox(), session, kind(*steps), **options)

    return make


def failing(times: int) -> list[Exception]:
    return [ValueError(f"failure {number}") for number in range(1, times + 1)]


# --- the curves ---


@pytest.mark.parametrize(
    ("defaults", "options", "attempts"),
    [
        ({"max_attempts": 1}, {"retry": "cap"}, 1),
        ({"max_attempts": 1}, {"retry": RetryPolicy(attempts=7)}, 1),
        ({"max_attempts": 1}, {"retry": "cap", "max_attempts": 3}, 3),
        ({"max_attempts": 1}, {"retry": "cap", "max_attempts": None}, 20),
        ({"retry": "cap"}, {"max_attempts": 2}, 2),
        ({"retry": "cap"}, {}, 20),
    ],
)
def test_attempts_go_before_those_of_a_policy_wherever_they_were_said(
    defaults: dict[str, Any], options: dict[str, Any], attempts: int
) -> None:
    assert ServiceOptions().with_options(defaults).with_options(options).policy.attempts == attempts


def test_the_curve_of_cap_pauses_as_documented_and_ends_after_20_attempts(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(*failing(20), retry="cap")

    for number in range(1, 20):
        item = bench.attempt()
        assert item is not None
        due = min(1.5**number - 1, 1480.0)
        assert due - 0.001 <= bench.pause(item) < due + SLACK
        assert (item.failures, item.last_error) == (number, f"ValueError: failure {number}")
        assert flush(bench.outbox, bench.ahead - bench.pause(item)) == 0 or due < SLACK
    assert bench.attempt() is None
    (letter,) = dead_letters(bench.service)
    assert (letter.failures, letter.error) == (20, "ValueError: failure 20")


def test_our_own_curve_has_jitter_and_outlasts_two_hours(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(*failing(30))

    while (item := bench.attempt()) is not None:
        due = min(1.5**item.failures - 1, 600.0)
        assert due - 0.001 <= bench.pause(item) < due * 1.1 + SLACK
    assert dead_letters(bench.service)[0].failures == DEFAULT.attempts == 30
    assert bench.ahead > 2 * 3600


@pytest.mark.parametrize(
    ("number", "seconds"), [(1, 0.5), (2, 1.25), (3, 2.375), (10, 56.665), (18, 1476.892), (19, 1480)]
)
def test_the_curve_of_cap_is_that_of_cap(number: int, seconds: float) -> None:
    assert CAP.pause(number) == pytest.approx(seconds, abs=0.001)
    assert CAP.pause(20) is None


def test_pauses_of_messages_that_failed_together_differ() -> None:
    assert len({DEFAULT.pause(12) for _ in range(20)}) > 10
    assert all(600 <= (DEFAULT.pause(29) or 0) <= 660 for _ in range(20))
    assert RetryPolicy(attempts=10**6).pause(10**5) is not None, "no number is too large"


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"attempts": True}, {"base": 0.5}, {"cap": "1h"}, {"jitter": -1}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"{next(iter(wrong))} must be"):
        RetryPolicy(**wrong)


def test_a_handler_has_a_policy_of_its_own(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    class Mixed(Scripted):
        @handles(retry=RetryPolicy(attempts=1))
        def once(self, ctx: MessageContext) -> None:
            raise ValueError("once")

    outbox, mixed = make_outbox(), Mixed(ValueError("often"))
    outbox.register("mixed", mixed, max_attempts=3)
    queued(mixed, session).once()
    queued(mixed, session).work()
    session.commit()

    outbox.flush()

    assert [letter.error for letter in dead_letters(service)] == ["ValueError: once"]
    assert waiting(service) == 1


# --- what a handler says ---


def test_retry_after_is_counted_and_waits_as_long_as_it_says(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Retry(after=90, reason="busy"), Retry(after=4000), max_attempts=2)

    item = bench.attempt()

    assert item is not None
    assert (item.failures, item.last_error) == (1, "busy")
    assert 90 <= bench.pause(item) < 90 + SLACK
    assert flush(bench.outbox, 30) == 0
    assert bench.attempt() is None
    assert [letter.failures for letter in dead_letters(bench.service)] == [2]


def test_later_is_not_counted(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(*[Later(300)] * 5, "done", max_attempts=1)

    for day in range(5):
        assert flush(bench.outbox, day * 301) == 1
        item = bench.item
        assert item is not None
        assert item.failures == 0
        assert flush(bench.outbox, day * 301) == 0
    assert flush(bench.outbox, 5 * 301) == 1
    assert (bench.item, dead_letters(bench.service)) == (None, [])


@pytest.mark.parametrize(
    "error", [Unrecoverable("no such flight"), Gone("no such flight")], ids=["verdict", "attribute"]
)
def test_an_unrecoverable_failure_is_dead_after_one_attempt(make_bench: Callable[..., Bench], error: Exception) -> None:
    bench = make_bench(error)

    assert bench.attempt() is None

    (letter,) = dead_letters(bench.service)
    assert letter.failures == 1
    assert "no such flight" in letter.error


@pytest.mark.parametrize("error", [TypeError, NameError, SyntaxError, RecursionError, SystemExit])
def test_a_programming_error_is_a_failure_and_not_the_end_of_the_process(
    make_bench: Callable[..., Bench], error: type[BaseException]
) -> None:
    bench = make_bench(error("a mistake"), "done")

    item = bench.attempt()

    assert item is not None
    assert item.failures == 1
    assert item.last_error is not None
    assert item.last_error.startswith(error.__name__)
    assert bench.attempt() is None
    assert dead_letters(bench.service) == []


def test_false_is_a_failure(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(False, None)

    item = bench.attempt()

    assert item is not None
    assert item.last_error == "the handler returned False"
    assert bench.attempt() is None


def test_given_a_handler_that_writes_and_fails_when_tried_again_then_its_writes_are_there_once(
    make_bench: Callable[..., Bench], service: QueueService
) -> None:
    def write_and_fail(ctx: MessageContext) -> None:
        book(ctx.session, "phantom")
        raise ValueError("after the write")

    bench = make_bench(write_and_fail, lambda ctx: book(ctx.session, "real"))

    item = bench.attempt()

    assert item is not None
    assert (item.failures, item.last_error, names(service.engine)) == (1, "ValueError: after the write", [])
    assert bench.attempt() is None
    assert names(service.engine) == ["real"]


# --- what is written down of a failure ---


@pytest.mark.parametrize("stores", [True, False], ids=["all", "class only"])
def test_store_last_error_decides_what_is_kept_and_logged(
    make_bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture, stores: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    bench = make_bench(
        ValueError(SECRET), Retry(1, SECRET), Unrecoverable(SECRET), kind=Told, store_last_error=stores, max_attempts=9
    )

    told = []
    for _attempt in range(2):
        item = bench.attempt()
        assert item is not None
        told.append(item.last_error)
    bench.attempt()  # dead
    (letter,) = dead_letters(bench.service)
    history = bench.service.load("outbox").history_of(letter.id)
    assert isinstance(bench.thing, Told)
    news = bench.thing.news
    seen = f"{told} {letter.error} {letter.traceback} {history} {news} {caplog.text}"

    assert (SECRET in seen) is stores
    assert told == ([f"ValueError: {SECRET}", SECRET] if stores else ["ValueError", "Retry"])
    assert letter.error == (SECRET if stores else "Unrecoverable")
    assert len(history) == 3
    assert [what["type"] for _outcome, what in news] == ["Unrecoverable", "Unrecoverable"]


def test_an_error_text_that_no_database_takes_is_mended(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Unrecoverable("nul \0, half \ud800, long " + "x" * 2_000_000), kind=Told)

    assert bench.attempt() is None

    (letter,) = dead_letters(bench.service)
    assert "long xxx" in letter.error
    assert isinstance(bench.thing, Told)
    assert [outcome for outcome, _what in bench.thing.news] == ["failed", "done"]
    assert len(bench.thing.news[0][1]["message"]) == 20_000


def test_an_error_that_is_too_large_for_a_callback_leaves_its_type(
    service: QueueService, make_outbox: Callable[..., Outbox], session: Session
) -> None:
    service.settings.codec._max_bytes = 3000
    outbox, told = make_outbox(), Told(Unrecoverable("x" * 5000))
    outbox.register("told", told)
    queued(told, session).work()
    session.commit()

    outbox.flush()

    assert told.news == [(outcome, {"type": "Unrecoverable", "message": ""}) for outcome in ("failed", "done")]
