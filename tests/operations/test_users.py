"""In whose name a call is made: then, and as they are when it is executed."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from taskqueue import QueueService, SpecError
from taskqueue.operations import AccessDenied, CallNotFound, InvalidData, OperationFailed, Operations, User
from taskqueue.operations.registry import Registry
from taskqueue.operations.users import Users
from tests.operations.conftest import ALICE, BOB, contacts, drain, names

ROOT = User("root", is_admin=True)


class People:
    """Users who change while their calls wait."""

    def __init__(self, *users: User) -> None:
        self.users = {user.id: user for user in users}
        self.asked: list[Any] = []

    def __call__(self, user_id: Any) -> User | None:
        self.asked.append(user_id)
        return self.users.get(user_id)


@pytest.fixture
def people() -> People:
    return People(ALICE, BOB, ROOT, User(7, frozenset({"sales"})))


@pytest.fixture
def known(service: QueueService, people: People) -> Operations:
    """Operations that load their users, one of which writes."""
    ops = Operations(service, load_user=people)

    @ops.operation("create", queueable=True, idempotent=True, roles={"sales"})
    def create(ctx: Any, data: str) -> str:
        ctx.session.execute(contacts.insert().values(name=data))
        return f"{ctx.user.id!r} {sorted(ctx.user.roles)}"

    return ops


# --- what a user is ---


@pytest.mark.parametrize("user_id", ["a", "ä😀", "a b", "Alice", "' OR 1=1", "#7", ":7", "7", 7, -7, 0, 2**70, "",
                                     "x" * 189, 10**188, "a\tb", "%"], ids=lambda value: repr(value)[:12])  # fmt: skip
def test_ids_of_any_kind_own_their_calls_and_nobody_elses(ops: Operations, user_id: Any) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: ctx.user.id)
    call = ops.defer("note", user=user_id)
    drain(ops)
    assert ops.result(call.id, user=user_id) == user_id
    assert [one.id for one in ops.calls(user=user_id)] == [call.id]
    others = {"7", 7, "#7", ":7", "alice", "ALICE", "Alice", "", "ä", "a", "A", "á"} - {user_id}
    for other in others:
        assert ops.calls(user=other) == []
        with pytest.raises(CallNotFound):
            ops.get(call.id, user=other)
    assert ops.calls(user=User()) == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"id": True}, "the id of a user is a text or a number, not True"),
        ({"id": 1.5}, "the id of a user is a text or a number"),
        ({"id": b"a"}, "the id of a user is a text or a number"),
        ({"id": ["a"]}, "the id of a user is a text or a number"),
        ({"id": "x" * 190}, "at most 189 characters"),
        ({"id": 10**189}, "at most 189 characters"),
        ({"id": 10**5000}, "at most 189 characters"),
        ({"id": "a\0"}, "no character that no database can store"),
        ({"id": "\ud800"}, "no character that no database can store"),
        ({"id": " a"}, "has no blanks around it"),
        ({"id": "a "}, "has no blanks around it"),
        ({"id": "\n"}, "has no blanks around it"),
        ({"roles": "sales"}, "roles is a set of texts"),
        ({"roles": {1}}, "roles is a set of texts"),
        ({"roles": {"\ud800"}}, "roles is a set of texts"),
        ({"roles": None}, "roles is a set of texts"),
        ({"is_admin": 1}, "is_admin of a user must be True or False, not 1"),
        ({"is_active": None}, "is_active of a user must be True or False, not None"),
        ({"locale": 5}, "the locale of a user is a text"),
        ({"locale": "de\n"}, "the locale of a user is a text"),
        ({"claims": ["a"]}, "claims must be a mapping"),
        ({"claims": {1: "a"}}, "claims must have texts as names"),
        ({"claims": {"api_key": "x"}}, "claim 'api_key' carries a secret, which a queue must not store"),
        (
            {"claims": {"a": {"b": [{"password": "x"}]}}},
            "leave it out, and let the operation get one when it is executed",
        ),
        ({"claims": {"header": "Bearer abc"}}, "claim 'header' carries a secret"),
        ({"claims": {"a": object()}}, r'claims must be stored with a deferred call: claims\["a"\] is of type object'),
        ({"claims": {"a": "\0"}}, "contains a NUL"),
    ],
)
def test_a_user_that_cannot_be_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        User(**{"id": "a", **fields})
    assert "abc" not in str(caught.value)


class Role(str, enum.Enum):
    SALES = "sales"


class Id(str):
    __slots__ = ()


class Number(enum.IntEnum):
    SEVEN = 7


def test_texts_and_numbers_of_other_types_are_stored_as_plain_ones(ops: Operations) -> None:
    ops.operation("note", queueable=True, roles={Role.SALES})(lambda ctx, data: [ctx.user.id, sorted(ctx.user.roles)])
    for user_id, plain in ((Id("ann"), "ann"), (Number.SEVEN, 7)):
        call = ops.defer("note", user=User(user_id, [Role.SALES, "x"]))  # type: ignore[arg-type]
        drain(ops)
        assert ops.result(call.id, user=plain) == [plain, ["sales", "x"]]


def test_users_are_values() -> None:
    assert {User("a", claims={"x": [1]}), User("a", claims={"x": [1]})} == {User("a", claims={"x": [1]})}
    assert User(7) != User("7")


def test_claims_and_language_travel_with_the_call(ops: Operations) -> None:
    claims = {"tenant": "t1", "groups": ["a", "b"], "nested": {"x": None}}
    ops.operation("note", queueable=True)(lambda ctx, data: [dict(ctx.user.claims), ctx.user.locale])
    call = ops.defer("note", user=User("a", claims=claims, locale="de_AT"))
    drain(ops)
    assert ops.result(call.id) == [claims, "de_AT"]


# --- then and now ---


def test_whoever_calls_is_loaded_when_it_is_made_and_when_it_is_executed(known: Operations, people: People) -> None:
    call = known.defer("create", "Ann", user="alice")
    assert people.asked == ["alice"]
    people.users["alice"] = User("alice", frozenset({"sales", "more"}))
    drain(known)
    assert people.asked == ["alice", "alice"]
    assert known.result(call.id) == "'alice' ['more', 'sales']"
    assert known.call("create", "Bob", user="alice") == "'alice' ['more', 'sales']"
    assert known.call("create", "Cid", user=7) == "7 ['sales']"


@pytest.mark.parametrize("now", [None, User("alice"), User("alice", frozenset({"sales"}), is_active=False)],
                         ids=["gone", "demoted", "deactivated"])  # fmt: skip
def test_who_lost_the_right_while_the_call_waited_is_denied(
    known: Operations, people: People, service: QueueService, now: User | None
) -> None:
    call = known.defer("create", "Ann", user="alice")
    people.users["alice"] = now  # type: ignore[assignment]
    assert drain(known) == 1
    found = known.get(call.id)
    assert (found.state, found.attempts, (found.error or {})["code"]) == ("failed", 1, "access_denied")
    assert names(service) == []
    with pytest.raises(OperationFailed, match="this user"):
        known.result(call.id)
    for make in (known.call, known.defer):
        with pytest.raises(AccessDenied):
            make("create", "Ann", user="alice")


def test_a_direct_call_with_a_key_is_denied_alike(known: Operations, people: People) -> None:
    with pytest.raises(AccessDenied):
        known.call("create", "Ann", user="bob", key="k")
    assert known.calls() == []


def test_an_id_that_nobody_has_may_call_nothing(known: Operations) -> None:
    known.operation("open", queueable=True)(lambda ctx, data: None)
    for user_id in ("nobody", "7", 8):
        for make in (known.call, known.defer):
            with pytest.raises(AccessDenied, match=r"^this user is unknown or not active$"):
                make("open", user=user_id)
    assert known.calls() == []


def test_a_deactivated_user_sees_nothing(known: Operations, people: People) -> None:
    call = known.defer("create", "Ann", user="alice")
    people.users["alice"] = User("alice", is_active=False)
    with pytest.raises(CallNotFound):
        known.get(call.id, user="alice")


def test_without_load_user_the_roles_are_those_of_then(ops: Operations) -> None:
    ops.operation("create", queueable=True, roles={"sales"})(lambda ctx, data: sorted(ctx.user.roles))
    call = ops.defer("create", user=ALICE)
    drain(ops)
    assert ops.result(call.id) == ["sales"]
    with pytest.raises(AccessDenied):
        ops.defer("create", user="alice")
    with pytest.raises(AccessDenied):
        ops.defer("create", user=BOB)
    with pytest.raises(AccessDenied):
        ops.defer("create")


def test_whoever_may_not_call_it_is_not_told_what_it_takes(ops: Operations) -> None:
    ops.operation("create", roles={"sales"}, schema=int)(lambda ctx, data: None)
    with pytest.raises(AccessDenied, match=r"^this user may not call create$"):
        ops.call("create", "no number", user=BOB)
    with pytest.raises(InvalidData):
        ops.call("create", "no number", user=ALICE)


def test_load_user_that_fails_is_tried_again(known: Operations, people: People, service: QueueService) -> None:
    call = known.defer("create", "Ann", user="alice")
    alice = people.users.pop("alice")
    with pytest.raises(SpecError, match="load_user must return a User or None, not 'alice'"):
        people.users["alice"] = "alice"  # type: ignore[assignment]
        known.call("create", "Ann", user="alice")
    drain(known)
    assert known.get(call.id).state == "retrying"
    people.users["alice"] = alice
    drain(known, 10)
    assert (known.get(call.id).state, names(service)) == ("succeeded", ["Ann"])


def test_the_id_is_that_of_the_call_whoever_is_loaded() -> None:
    users = Users(lambda user_id: User("somebody", frozenset({"sales"})))
    assert users.again(User("alice", claims={"x": 1}, locale="de")) == User(
        "alice", frozenset({"sales"}), claims={"x": 1}, locale="de"
    )


# --- permits ---


def test_a_permit_is_asked_with_validated_data_at_both_times(ops: Operations) -> None:
    asked, may = [], [True]

    def permit(user: User, data: int) -> bool:
        asked.append((user.id, data))
        return may[-1]

    ops.operation("pay", queueable=True, permit=permit)(lambda ctx, data: data)

    @ops.operation("strict", queueable=True, permit=permit)
    def strict(ctx: Any, data: int) -> int:
        return data

    assert ops.call("strict", "5", user="ann") == 5
    assert asked == [("ann", 5)]
    call = ops.defer("strict", "6", user="ann")
    assert asked == [("ann", 5), ("ann", 6)]
    may.append(False)
    drain(ops)
    assert asked == [("ann", 5), ("ann", 6), ("ann", 6)]
    assert (ops.get(call.id).error or {})["message"] == "this user may not call strict with this data"
    for make in (ops.call, ops.defer):
        with pytest.raises(AccessDenied):
            make("strict", 7, user="ann")
        with pytest.raises(InvalidData):
            make("strict", "x", user="ann")


@pytest.mark.parametrize("answer", [1, "yes", None, [True]])
def test_only_true_permits(answer: Any) -> None:
    registry = Registry()
    registry.operation("x", permit=lambda user, data: answer)(lambda ctx, data: None)
    with pytest.raises(AccessDenied):
        registry.named("x").admit(User("a"), None)


def test_a_permit_that_fails_permits_nothing(ops: Operations, service: QueueService) -> None:
    trouble: list[Exception] = []

    def permit(user: User, data: Any) -> bool:
        if trouble:
            raise trouble[-1]
        return True

    @ops.operation("create", queueable=True, retry=1, permit=permit)
    def create(ctx: Any, data: Any) -> None:
        ctx.session.execute(contacts.insert().values(name="Ann"))

    call = ops.defer("create")
    trouble.append(ValueError("secret of the program"))
    for make in (ops.call, ops.defer):
        with pytest.raises(ValueError, match="secret"):
            make("create")
    drain(ops)
    assert ops.get(call.id).state == "dead"
    trouble.append(OperationFailed("not on Sundays", code="sunday"))
    ops.retry(call.id)
    drain(ops)
    assert ops.get(call.id).error == {"code": "sunday", "message": "not on Sundays"}
    assert names(service) == []


# --- administrators ---


def test_an_administrator_sees_and_handles_the_calls_of_all(known: Operations) -> None:
    known.operation("open", queueable=True)(lambda ctx, data: None)
    mine, theirs, nobodys = known.defer("open", user="alice"), known.defer("open", user="bob"), known.defer("open")
    assert {call.id for call in known.calls(user="root")} == {mine.id, theirs.id, nobodys.id}
    assert known.get(theirs.id, user="root").owner == ":bob"
    assert [call.id for call in known.calls(user="alice")] == [mine.id]
    for work in (known.cancel, known.forget, known.retry, known.result, known.get):
        with pytest.raises(CallNotFound, match=r"^there is no such call, or it is not yours to see$"):
            work(theirs.id, user="alice")  # type: ignore[operator]
    assert known.cancel(theirs.id, user="root").state == "cancelled"
    known.forget(theirs.id, user="root")
    with pytest.raises(CallNotFound):
        known.get(theirs.id, user="root")


def test_what_nobody_in_particular_has_deferred_is_no_users(ops: Operations) -> None:
    ops.operation("open", queueable=True)(lambda ctx, data: ctx.user.id)
    call = ops.defer("open")
    assert ops.calls(user="") == []
    with pytest.raises(CallNotFound):
        ops.get(call.id, user="")
    drain(ops)
    assert ops.result(call.id) is None


def test_an_administrator_who_is_not_active_any_more_sees_nothing(known: Operations, people: People) -> None:
    call = known.defer("create", "Ann", user="alice")
    drain(known)
    people.users["root"] = User("root", is_admin=True, is_active=False)
    for look in (known.get, known.result, known.outcome, known.forget):
        with pytest.raises(CallNotFound):
            look(call.id, user="root")
    assert known.calls(user="root") == []
    assert known.get(call.id, user="alice").state == "succeeded"
