"""The dead messages of the outbox over HTTP: in pages, changed by whoever may, and never more than was named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from taskqueue import QueueService
from taskqueue.outbox import DeadMessage, Outbox
from taskqueue.web import TaskQueue
from tests.web_api.app import ADMIN, EXTENSION, SECRET, VIEWER, Visitor, service_of, user
from tests.web_api.world import World, dead_message, secret_of

DEAD = "/queue/outbox/dead"


@pytest.fixture
def ids(world: World) -> list[str]:
    """Five dead messages on two queues, in the order in which they are listed."""
    outbox: Outbox = service_of(world.usual).settings.outbox

    class Faxes:
        outbox_options = {"queue": "faxes"}  # noqa: RUF012  (as users write it)

        def send_fax(self, to: str) -> None:
            raise ValueError(to)

    outbox.register("faxes", Faxes(), max_attempts=1)
    fax = outbox.queued(outbox.connect("faxes")).send_fax("1")
    outbox.flush()
    return [fax.id, world.message_id, *(dead_message(world, f"to {number}") for number in range(3))]


def post(visitor: Visitor, verb: str, body: Any, **options: Any) -> TestResponse:
    headers = {"X-CSRFToken": visitor.token}
    return visitor.client.post(f"{DEAD}/{verb}", **({"json": body, "headers": headers} | options))


def listed(visitor: Visitor, **query: Any) -> list[str]:
    answer = visitor.client.get(DEAD, query_string=query)
    assert answer.status_code == 200, answer.text
    return [message["id"] for message in answer.get_json()["messages"]]


def test_pages_follow_one_another(world: World, ids: list[str]) -> None:
    viewer, found, cursor = Visitor(world.usual, VIEWER), [], ""
    for _page in range(3):
        page = viewer.client.get(DEAD, query_string={"limit": 2, "after": cursor}).get_json()
        found += [message["id"] for message in page["messages"]]
        cursor = page["next"]
    assert (found, cursor) == (ids, None)


def test_a_message_is_shown_with_all_that_is_known(world: World, ids: list[str]) -> None:
    answer = Visitor(world.usual, VIEWER).client.get(DEAD, query_string={"service": "faxes"})
    (message,) = answer.get_json()["messages"]
    assert (message["id"], message["queue"], message["title"], message["args"], message["attempts"]) == (
        ids[0], "faxes", "faxes.send_fax", ["1"], 1
    )  # fmt: skip
    assert "ValueError: 1" in message["error"]


def test_filters(world: World, ids: list[str]) -> None:
    viewer = Visitor(world.usual, VIEWER)
    assert listed(viewer, service="mails") == ids[1:]
    assert listed(viewer, event="send_fax") == listed(viewer, queue="faxes") == ids[:1]
    assert listed(viewer, error=secret_of("ann")) == [world.message_id]
    assert listed(viewer, service="\x00' OR 1=1") == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=٣", "after=7", "after=x.outbox", "queue=x"]
)
def test_what_makes_no_sense_is_named(world: World, query: str) -> None:
    answer = Visitor(world.usual, VIEWER).client.get(f"{DEAD}?{query}")
    assert answer.status_code == 400
    assert f"The field {query.partition('=')[0]} " in answer.get_json()["error"]["message"]


def test_an_unknown_parameter_is_refused_and_not_passed_over(world: World) -> None:
    client = Visitor(world.usual, VIEWER).client
    answers = [client.get(f"{DEAD}?{query}") for query in ("servce=mails", "limit=2&xyz=1")]
    assert {answer.status_code for answer in answers} == {400}
    assert [answer.get_json()["error"]["message"] for answer in answers] == [
        "The parameter 'servce' is not known. Did you mean service?", "The parameter 'xyz' is not known.",
    ]  # fmt: skip


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_scripts_are_told_errors_in_json_whatever_they_accept(world: World, accept: str) -> None:
    admin, headers = Visitor(world.usual, ADMIN), {"Accept": accept}
    answers = [
        admin.client.get(f"{DEAD}?limit=x", headers=headers),
        post(admin, "revive", {}, headers=headers | {"X-CSRFToken": admin.token}),
        admin.client.post(f"{DEAD}/delete", headers=headers),
        Visitor(world.usual).client.get(DEAD, headers=headers),
        Visitor(world.usual).client.get(f"{DEAD}?servce=x", headers=headers),
        Visitor(world.usual).client.get("/queue/run/x/state", headers=headers),
    ]
    codes = [(answer.status_code, answer.get_json()["error"]["code"]) for answer in answers]
    assert codes == [(400, "bad_request"), (400, "bad_request"), (403, "csrf"), *[(404, "not_found")] * 3]
    assert answers[3].data == answers[4].data


@pytest.mark.parametrize(("verb", "state"), [("revive", "waiting"), ("delete", "deleted")])
def test_what_was_named_is_moved_and_nothing_else(world: World, ids: list[str], verb: str, state: str) -> None:
    admin = Visitor(world.usual, ADMIN)
    answer = post(admin, verb, {"ids": [ids[0], ids[2], ids[0]]})
    assert (answer.status_code, answer.get_json()) == (200, {f"{verb}d": 2})
    assert listed(admin) == [ids[1], *ids[3:]]
    assert post(admin, verb, {"ids": [ids[0], ids[1]]}).status_code == 404  # one of them is no longer dead
    assert listed(admin) == [ids[1], *ids[3:]]


@pytest.mark.parametrize(
    "body", [{}, [], None, {"ids": []}, {"ids": "x"}, {"ids": [7]}, {"ids": [None]}, {"ids": ["x"] * 401}, {"ids": {}}]
)
@pytest.mark.parametrize("verb", ["revive", "delete"])
def test_a_post_names_messages(world: World, verb: str, body: Any) -> None:
    before = world.content()
    assert post(Visitor(world.usual, ADMIN), verb, body).status_code == 400
    assert world.content() == before


def test_a_post_from_elsewhere_is_refused(world: World) -> None:
    admin, body = Visitor(world.usual, ADMIN), {"ids": [world.message_id]}
    before = world.content()
    for headers in ({}, {"X-CSRFToken": "x"}, {"X-CSRFToken": admin.token, "Origin": "https://evil.example"}):
        assert post(admin, "delete", body, headers=headers).status_code == 403
    form = {"csrf_token": admin.token, "ids": world.message_id}
    assert admin.client.post(f"{DEAD}/delete", data=form).status_code == 400
    assert world.content() == before


def test_a_tenant_has_addresses_of_its_own(world: World, tmp_path: Path) -> None:
    class Faxes:
        def send_fax(self, to: str) -> None:
            raise ValueError(to)

    app = Flask(__name__)
    app.config.update(SECRET_KEY=SECRET, TESTING=True)
    world._apps.append(app)
    declared = QueueService(world.url)
    outbox = Outbox(declared, tenants={"t1": QueueService(f"sqlite:///{tmp_path / 't1.db'}")})
    outbox.register("faxes", Faxes(), max_attempts=1)
    tenant = outbox.for_tenant("t1")
    app.extensions[EXTENSION] = TaskQueue(app, declared, authorize_outbox=lambda action, message: True)
    TaskQueue(app, tenant.queue_service, name="t1", url_prefix="/queue/t1", authorize_outbox=lambda *_asked: True)
    fax = tenant.queued(outbox.connect("faxes")).send_fax("1")
    tenant.flush()

    visitor = Visitor(app)
    answers = [visitor.client.get(path).get_json()["messages"] for path in (DEAD, "/queue/t1/outbox/dead")]

    assert [[message["id"] for message in messages] for messages in answers] == [[world.message_id], [fax.id]]
    tenant.queue_service.close()


# --- who may ---


class Hook:
    """Permits what it was told, and raises when told so."""

    def __init__(self, *permitted: str) -> None:
        self.permitted = permitted
        self.hidden: list[str] = []
        self.kept: list[str] = []

    def __call__(self, action: str, message: DeadMessage | None) -> bool | None:
        if "raise" in self.permitted:
            raise RuntimeError("no directory")
        if message is not None and message.id in self.hidden:
            return None
        if message is not None and message.id in self.kept:
            return action == "view"
        return action in self.permitted or (f"{action} none" in self.permitted and message is None)


def visitor_of(world: World, hook: Hook | None) -> Visitor:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=SECRET, TESTING=True)
    service = QueueService(world.url)
    Outbox(service)
    app.extensions[EXTENSION] = TaskQueue(app, service, identity=user, authorize_outbox=hook)
    world._apps.append(app)
    return Visitor(app)


@pytest.mark.parametrize("hook", [None, Hook(), Hook("raise"), Hook("revive", "delete"), Hook("view none")])
def test_nobody_sees_or_changes_anything_unless_the_hook_permits(world: World, hook: Hook | None) -> None:
    visitor, body = visitor_of(world, hook), {"ids": [world.message_id]}
    before = world.content()
    answers = [visitor.client.get(DEAD), post(visitor, "revive", body), post(visitor, "delete", body)]
    if hook is not None and hook.permitted == ("view none",):
        assert [answers[0].status_code, answers[0].get_json()] == [200, {"messages": [], "next": None}]
        assert {answer.status_code for answer in answers[1:]} == {403}
    else:
        assert {answer.status_code for answer in answers} == {404}
    assert world.content() == before


def test_the_hook_is_asked_about_each_message(world: World, ids: list[str]) -> None:
    hook = Hook("view", "delete")
    visitor = visitor_of(world, hook)
    hook.hidden = [ids[2]]

    assert listed(visitor) == [ids[0], ids[1], *ids[3:]]
    hidden = post(visitor, "delete", {"ids": [ids[1], ids[2]]})
    missing = post(visitor, "delete", {"ids": [ids[1], "0" * 32]})
    assert (hidden.status_code, hidden.data) == (missing.status_code, missing.data)
    assert hidden.status_code == 404
    assert post(visitor, "revive", {"ids": [ids[1]]}).status_code == 403
    hook.kept = [ids[3]]
    assert post(visitor, "delete", {"ids": [ids[1], ids[3]]}).status_code == 403
    assert listed(visitor) == [ids[0], ids[1], *ids[3:]]
    assert post(visitor, "delete", {"ids": [ids[1]]}).get_json() == {"deleted": 1}
