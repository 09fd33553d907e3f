"""Services of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskqueue.outbox import MessageContext, after, handles, on

Step = Callable[[MessageContext], Any] | BaseException | Any


class Scripted:
    """Its handler does what the test says: each attempt takes the next step, which is called, raised or returned."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        #: What the handler got at each attempt.
        self.calls: list[Any] = []

    @handles
    def work(self, ctx: MessageContext, value: Any = None) -> Any:
        self.calls.append(value)
        return self.next_step(ctx)

    def next_step(self, ctx: MessageContext) -> Any:
        """Take the next step; with none left, do nothing."""
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, BaseException):
            raise step
        return step(ctx) if callable(step) else step


class Told(Scripted):
    """The same, and it is told what became of its messages."""

    def __init__(self, *steps: Step) -> None:
        super().__init__(*steps)
        #: What it was told, each as (outcome, what).
        self.news: list[tuple[str, Any]] = []
        #: What its callbacks do, as the steps of the handler.
        self.callback_steps: list[Step] = []
        self.contexts: list[MessageContext] = []
        self.events: list[str] = []

    @after("work", "succeeded")
    def succeeded(self, ctx: MessageContext, result: Any) -> None:
        self._told("succeeded", ctx, result)

    @after("work", "failed")
    def failed(self, ctx: MessageContext, error: Any) -> None:
        self._told("failed", ctx, error)

    @after("work", "done")
    def done(self, ctx: MessageContext, what: Any) -> None:
        self._told("done", ctx, what)

    @on("*")
    def everything(self, ctx: MessageContext, data: Any) -> None:
        self.events.append(ctx.event)

    def _told(self, outcome: str, ctx: MessageContext, what: Any) -> None:
        self.contexts.append(ctx)
        self.news.append((outcome, what))
        step = self.callback_steps.pop(0) if self.callback_steps else None
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            step(ctx)
