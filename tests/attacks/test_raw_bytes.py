"""Bytes that are no good request, over a socket: no error of the server, nothing executed, and it still answers (S1).

``HOSTILE_REQUESTS=10000`` sends so many; the number and the answers are printed.

How it is counted: all answers of the whole application carry a mark, so that its own answers and those of the server
around it (waitress, gunicorn) can be told apart. The application may answer what :data:`OURS` lists, the server
:data:`SERVERS`, where 501 and 505 are its word on a way of sending, or a version of HTTP, that it does not speak. The
two programs of the command line carry no mark: they may answer what either list holds. A connection that is closed
without an answer is counted as "none".
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter

import pytest

from tests.attacks.raw import SPOILS, requests
from tests.attacks.serving import PROGRAMS, Served, serving
from tests.web_api.world import World, secret_of

NUMBER = int(os.environ.get("HOSTILE_REQUESTS") or 2_000)
#: What part of them each program gets.
SHARES = {"waitress": 0.4, "gunicorn": 0.3, "taskqueue web": 0.2, "metrics port": 0.1}
#: What the application may answer; 200 of the door is an envelope that says no.
OURS = {200, 204, 303, 304, 308, 400, 401, 403, 404, 405, 406, 409, 410, 411, 412, 413, 415, 416, 422, 429, 431}
#: What the server itself may answer, before or instead of the application.
SERVERS = {100, 400, 405, 408, 411, 413, 414, 417, 431, 501, 505}
_STATUS = re.compile(rb"(?:\A|\n)HTTP/1\.[01] (\d{3}) ")
_SEED = 20_261


@pytest.mark.parametrize("name", PROGRAMS)
def test_given_broken_bytes_when_sent_then_no_error_no_execution_and_it_still_answers(
    name: str, first_world: World, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    number = round(NUMBER * SHARES[name])
    chance, counts, wrong = random.Random(f"{_SEED} {name}"), Counter[str](), list[str]()
    with serving(name, world) as served:
        is_unchanged = world.watched() if name != "metrics port" else lambda: True  # a worker tells that it lives
        # when
        for count, (way, request) in enumerate(requests(chance, number, served.paths, served.cookies, served.token), 1):
            answer = served.talk(request)
            counts.update(_told(served, answer))
            wrong += [f"{way}: {fault}: {request[:300]!r}: {answer[:600]!r}" for fault in faults(served, answer)]
            if count % 100 == 0:
                assert served.answers(), f"it does not answer after {request[:300]!r}"
                assert is_unchanged(), f"one of the requests up to {count} has changed something"
        # then
        assert served.answers()
        assert is_unchanged()
    with capsys.disabled():
        print(f"\n{name}: {number} requests, {dict(sorted(counts.items()))}")
    assert wrong == []
    assert world.executed() == []
    log = served.log.read_text(errors="replace")
    assert "Traceback" not in log, log[-4000:]
    assert secret_of("ann") not in log or name == "taskqueue web"  # whose people may see all
    assert number < 10 * len(SPOILS) or len(counts) > 3, "they were all refused alike"


def faults(served: Served, answer: bytes) -> list[str]:
    """What is wrong with an answer."""
    found = []
    for status, is_ours in _statuses(served, answer):
        allowed = OURS | SERVERS if not served.is_marked else OURS if is_ours else SERVERS
        if status not in allowed:
            found.append(f"status {status} of {'the application' if is_ours else 'the server'}")
    is_of_task = b"annsecret went wrong" in answer and served.name == "taskqueue web"
    if b"Traceback (most recent" in answer and not is_of_task:
        found.append("a traceback")
    # Metrics name all queues, and whoever has come by the link of ``taskqueue web`` may see all runs.
    is_for_all = b"# HELP" in answer or served.name == "taskqueue web"
    if secret_of("ann").encode() in answer and not is_for_all:
        found.append("what belongs to somebody else")
    return found


def _statuses(served: Served, answer: bytes) -> list[tuple[int, bool]]:
    """The status of each answer, and whether it is the application's."""
    found = [*_STATUS.finditer(answer)]
    heads = [answer[one.start() :].partition(b"\r\n\r\n")[0] for one in found]
    return [(int(one[1]), b"X-From-Application" in head) for one, head in zip(found, heads, strict=True)]


def _told(served: Served, answer: bytes) -> list[str]:
    statuses = _statuses(served, answer)
    if not statuses:
        return ["none"]
    return [
        f"{status}" if is_ours or not served.is_marked else f"{status} of the server" for status, is_ours in statuses
    ]
