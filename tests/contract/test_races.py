"""Many claimers at once: each item has exactly one winner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from threading import Barrier, Lock

from taskqueue import BatchQueue, LeaseLost, QueueItem, Runner, TaskContext
from tests.contract import processes as jobs
from tests.contract import tasks
from tests.contract.backends import Backend, only_sequential, only_sql
from tests.contract.conftest import MakeQueue

THREADS = 8


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """Call ``work`` with each number in a thread of its own, all from the same moment on."""
    barrier = Barrier(count)

    def start(number: int) -> object:
        barrier.wait(20)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def test_one_of_many_threads_wins_an_item(queue: BatchQueue) -> None:
    for _ in range(5):
        created = queue.create_item("x")

        claims = at_once(THREADS, lambda number: queue.claim_item())

        winners = [item for item in claims if isinstance(item, QueueItem)]
        assert [item.id for item in winners] == [created.id]
        assert winners[0].run_count == 1
        queue.delete_item(winners[0])


def test_threads_share_the_items_among_them(queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]) -> None:
    queue.create_items(range(80))
    queues = [other_of(queue) if number % 2 else queue for number in range(THREADS)]

    def drain(number: int) -> list[int]:
        mine, won = queues[number], []
        while mine.number_of_items():
            item = mine.claim_item()
            if item is not None:
                mine.delete_item(item)
                won.append(item.data)
        return won

    won = at_once(THREADS, drain)

    assert sorted(data for part in won for data in part) == list(range(80))  # type: ignore[attr-defined]


@only_sql
def test_processes_share_the_items_among_them(
    queue: BatchQueue, backend: Backend, processes: ProcessPoolExecutor
) -> None:
    queue.create_items(range(60))
    expected = [item.id for item in queue.items()]

    won = jobs.in_each(processes, jobs.drain_by_hand, backend.url, "jobs")

    assert sorted(item_id for part in won for item_id in part) == expected


def test_batches_of_many_threads_do_not_overlap(
    make_queue: MakeQueue, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    queue = make_queue(batch_limit=10)
    queue.create_items(range(60))

    claims = at_once(THREADS, lambda number: queue.claim_items(10))

    ids = [item.id for batch in claims for item in batch]  # type: ignore[attr-defined]
    assert len(ids) == len(set(ids))
    assert len(ids) == (10 if queue.is_sequential else 60)


@only_sequential
def test_a_sequential_queue_never_overlaps_even_when_lower_weights_arrive(
    queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    lock, inside, most, done = Lock(), 0, 0, 0
    queues = [other_of(queue) for _ in range(4)]
    queue.create_items(range(10))

    def work(number: int) -> None:
        nonlocal inside, most, done
        mine = queues[number]
        while mine.number_of_items():
            item = mine.claim_item()
            if item is None:
                continue
            with lock:
                inside += 1
                most = max(most, inside)
            if isinstance(item.data, int) and item.data < 10:
                mine.create_item(100 + item.data, weight=-1)  # arrives while its parent is held
            with lock:
                inside -= 1
                done += 1
            mine.delete_item(item)

    at_once(4, work)

    assert most == 1
    assert done == 20


def test_a_thief_and_a_finisher_never_both_win(queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]) -> None:
    other = other_of(queue)
    for _ in range(8):
        queue.create_item("x")
        held = queue.claim_item()
        assert held is not None

        def compete(number: int, held: QueueItem = held) -> object:
            if number:
                return other.steal_item()
            try:
                queue.delete_item(held)
            except LeaseLost:
                return None
            return "deleted"

        deleted, stolen = at_once(2, compete)

        assert (deleted is None) == (stolen is not None)
        if isinstance(stolen, QueueItem):
            other.delete_item(stolen)


def test_runners_in_many_threads_execute_each_item_once(
    queue: BatchQueue, other_of: Callable[[BatchQueue], BatchQueue]
) -> None:
    ran: Counter[int] = Counter()

    def run(ctx: TaskContext) -> None:
        assert ctx.item is not None
        ran[ctx.item.id] += 1

    for _ in range(40):
        queue.create_item(tasks.step(run))
    queues = [queue, other_of(queue), other_of(queue)]

    results = at_once(3, lambda number: Runner(queues[number]).run_all())

    assert all(results)
    assert set(ran.values()) == {1}
    assert len(ran) == 40
    assert sum(result.completed for result in results) == 40  # type: ignore[attr-defined]


def test_many_threads_insert_at_once(queue: BatchQueue) -> None:
    at_once(THREADS, lambda number: [queue.create_item((number, index)) for index in range(5)])

    found = [item.data for item in queue.items()]
    assert sorted(found) == [(number, index) for number in range(THREADS) for index in range(5)]
    for number in range(THREADS):  # what one thread adds stays in its order
        assert [index for thread, index in found if thread == number] == list(range(5))
