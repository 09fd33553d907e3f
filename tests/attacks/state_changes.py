"""Requests that change something although nothing shows that a page of ours sent them: what is found is a violation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.web_api.app import Visitor
from tests.web_api.test_matrix import OUTBOX, POSTS, ROWS, fields_of
from tests.web_api.world import World

ELSEWHERE = [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
]  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """A way to post without being a page of ours: with the victim's cookies, which the browser sends along."""

    name: str
    #: Which token it has got: none, one that is wrong, that of another session, or (at worst) the right one.
    token: str
    headers: dict[str, str]
    #: "json", "text" (JSON called text, which a form of any site can send), or "form".
    way: str = "json"


WAYS = ("json", "text", "form")
PAGES = [
    *(Attack(f"{token} token, {way}", token, {}, way) for token in ("no", "wrong", "other") for way in WAYS),
    *(Attack(f"right token, {headers}, {way}", "right", headers, way) for headers in ELSEWHERE for way in WAYS),
]
#: Programs need no token, so that the headers that browsers add, and the type, are all that there is.
PROGRAMS = [Attack(f"{headers}, {way}", "no", headers, way) for headers in ELSEWHERE for way in WAYS]


@dataclass(frozen=True)
class Target:
    """An address that changes something, and whose cookies the attack borrows."""

    endpoint: str
    method: str
    path: str
    fields: dict[str, Any]
    victim: str
    attacks: list[Attack]


def targets(world: World, call_id: str) -> list[Target]:
    """All of them, each with what its own page or a program would send."""
    found = [
        Target(f"taskqueue.{name}", "POST", f"/queue/run/{world.runs['ann', ROWS[name].state]}/{name}",
               {"request_id": "r" * 32, **fields_of(world, "ann", name)}, "ann", PAGES)
        for name in POSTS
    ]  # fmt: skip
    found += [
        Target(f"taskqueue.{name}", "POST", OUTBOX[name], {"ids": [world.message_id]}, "adam", PAGES)
        for name in ("outbox_revive", "outbox_delete")
    ]
    data = {"data": {"a": 1}}
    found += [
        Target("operations.call", "POST", "/ops/echo", data, "ann", PROGRAMS),
        Target("operations.call", "POST", "/ops/echo", {**data, "options": {"defer": True}}, "ann", PROGRAMS),
        Target("operations.retry", "POST", f"/ops/runs/{call_id}/retry", {}, "ann", PROGRAMS),
        Target("operations.end", "DELETE", f"/ops/runs/{call_id}", {}, "ann", PROGRAMS),
        Target("webservice.endpoint", "POST", "/webservice", {"operation": "echo", "a": "b"}, "ann", PROGRAMS),
        Target("webservice.endpoint", "POST", "/webservice",
               {"operation": "echo", "cbwsOptions": {"launchfromqueue": 1}}, "ann", PROGRAMS),
    ]  # fmt: skip
    return found


def violations(world: World, app: Flask, call_id: str, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[str]:
    """Each attack that got through: it was not refused, or something is otherwise than before."""
    for target in targets(world, call_id):
        if not wanted(target.endpoint):
            continue
        victim, other = Visitor(app, target.victim), Visitor(app, "bob")
        tokens = {"no": "", "wrong": victim.token[:-2] + "xx", "other": other.token, "right": victim.token}
        for attack in target.attacks:
            is_unchanged, executed = world.watched(), len(world.executed())
            answer = _post(victim, target, attack, tokens[attack.token])
            refused = answer.status_code >= 400 or (answer.is_json and answer.get_json().get("success") is False)
            changed = not is_unchanged() or len(world.executed()) != executed
            if changed or not refused:
                what = "it changed something" if changed else "it was not refused"
                yield f"{target.method} {target.endpoint}, {attack.name}: {answer.status_code}, {what}"


def _post(victim: Visitor, target: Target, attack: Attack, token: str) -> TestResponse:
    headers = {
        "X-Driver": "d" * 32,
        **attack.headers,
        **({"X-CSRFToken": token} if token and attack.way != "form" else {}),
    }
    if attack.way == "form":
        # As a form of any page can be filled in: no header of its own.
        flat = {name: value if isinstance(value, str) else json.dumps(value) for name, value in target.fields.items()}
        return victim.client.open(
            target.path, method=target.method, data={**flat, "csrf_token": token}, headers=headers
        )
    kind = "application/json" if attack.way == "json" else "text/plain"
    return victim.client.open(
        target.path, method=target.method, data=json.dumps(target.fields), headers=headers, content_type=kind
    )


# --- what only looks ---

#: Addresses that a GET may change something at, and why that is no violation.
BY_GET = {
    "operations.result": "consume=1 is documented to take the result away; refused to other sites, and HEAD only looks",
    "webservice.endpoint": "coreBOS calls operations by GET; refused with cookies unless the page is known as ours",
    "taskqueue.tick": "with a ticket of the visitor's own page without scripts, good for one use",
}
FILLED = {
    "name": "echo", "call_id": "0" * 32, "filename": "taskqueue.css", "item_id": 1, "rest": "x",
}  # fmt: skip


def changed_by_looking(world: World, app: Flask, call_id: str) -> Iterator[str]:
    """Every address of the application, asked for by methods that only look, by who may do everything there."""
    urls = app.url_map.bind("localhost")
    ann, adam = Visitor(app, "ann"), Visitor(app, "adam")
    is_unchanged = world.watched()
    for rule in app.url_map.iter_rules():
        # To sign in and out is the host's, not ours.
        if rule.endpoint in ("make", "enter", "sign_in", "sign_out"):
            continue
        state = getattr(ROWS.get(rule.endpoint.removeprefix("taskqueue.")), "state", "") or "running"
        values = {**FILLED, "call_id": call_id, "run_id": world.runs["ann", state]}
        path = urls.build(rule.endpoint, {name: values[name] for name in rule.arguments})
        for query in ("", "?consume=1&operation=echo&wait=0.01&ids=x&nojs=1"):
            for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
                if rule.endpoint in BY_GET and method == "GET" and query:
                    continue
                for visitor in (ann, adam):
                    headers = {"X-CSRFToken": visitor.token, "X-Driver": "d" * 32}
                    answer = visitor.client.open(path + query, method=method, headers=headers)
                    answer.get_data()
                    answer.close()
                    if not is_unchanged() or world.executed():
                        yield f"{method} {path}{query} changed something"
                        is_unchanged = world.watched()
