"""Which queue a thread of a worker turns to next."""

from __future__ import annotations

import math

from taskqueue import QueueService
from taskqueue.worker.rota import Prospect, Rota


def test_a_queue_that_was_not_active_is_left_alone_until_the_next_look_at_all_queues_finds_it_active() -> None:
    queue = QueueService(allow=[]).create("Memory", "jobs", agent="server", error="dead")
    rota = Rota()
    rota.serve([queue])
    line = rota.take()
    assert line is not None

    rota.leave(line, line.rings, Prospect(math.inf, is_held=True), has_worked=False)
    assert rota.is_at_rest

    rota.serve([queue])
    assert not rota.is_at_rest
    assert rota.take() is line


def test_a_queue_at_which_a_thread_works_is_left_as_it_is_by_a_look_at_all_queues() -> None:
    queue = QueueService(allow=[]).create("Memory", "jobs", agent="server", error="dead")
    rota = Rota()
    rota.serve([queue])
    line = rota.take()
    assert line is not None
    rota.leave(line, line.rings, Prospect(0.0, is_held=True), has_worked=False)
    assert rota.take() is line

    rota.serve([queue])

    assert line.not_before == math.inf  # no second thread until more was found
