"""Mistakes of those who write services are told where they are made, not when a message has failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import SpecError
from taskqueue.outbox import CAP, MessageContext, Outbox, RetryPolicy, after, handles, on, queued
from tests.outbox.conftest import flush

# --- marks ---


@pytest.mark.parametrize("mark", [handles("work", retry="cap"), on("work", retry="cap")])
def test_a_handler_has_a_policy_by_its_name(
    make_outbox: Callable[..., Outbox], session: Session, mark: Callable[[Any], Any]
) -> None:
    class Failing:
        @mark
        def fail(self, ctx: MessageContext, data: Any) -> bool:
            return False

    outbox, failing = make_outbox(), Failing()
    outbox.register("failing", failing)
    form = queued(failing, session)
    (form.emit if mark.__qualname__.startswith("on") else form.send)("work", 1)
    session.commit()

    assert flush(outbox) == 1
    assert flush(outbox, CAP.pause(1) or 0.0) == 1


@pytest.mark.parametrize("mark", [handles, on])
@pytest.mark.parametrize("wrong", ["capp", 5, True])
def test_a_policy_that_is_none_is_refused_at_the_decoration(mark: Callable[..., Any], wrong: Any) -> None:
    with pytest.raises(SpecError, match=r"retry must be a RetryPolicy or one of 'default', 'cap', not"):
        mark("work", retry=wrong)


@pytest.mark.parametrize("wrong", [lambda self, ctx: None, "", None, 7])
def test_a_mark_without_the_name_of_an_event_is_refused(wrong: Any) -> None:
    with pytest.raises(SpecError, match="@on takes the name of an event"):
        on(wrong)
    with pytest.raises(SpecError, match="@after takes the name of an event"):
        after(wrong, "done")


@pytest.mark.parametrize("jitter", [5, 1.1])
def test_a_jitter_is_a_share(jitter: float) -> None:
    with pytest.raises(SpecError, match="jitter must be a number from 0 to 1"):
        RetryPolicy(jitter=jitter)
