"""Mistakes of those who write operations are told where they are made, not when a call has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from taskqueue import QueueService, SpecError
from taskqueue.operations import InvalidData, Limits, Operations, RetryPolicy, UnknownOperation, User
from taskqueue.operations.registry import Registry

if TYPE_CHECKING:
    from taskqueue.operations import OperationContext

    class Unknown: ...


from tests.names import shown


class Contact(BaseModel):
    name: str


def _decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def _badly_decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: function(*args, **kwargs)


def usual(ctx: OperationContext, data: Contact) -> str:
    return data.name


async def asynchronous(ctx: OperationContext, data: Contact) -> str:
    return data.name


def generator(ctx: Any, data: Any) -> Iterator[int]:
    yield 1


async def asynchronous_generator(ctx: Any, data: Any) -> Any:
    yield 1


class Thing:
    def method(self, ctx: OperationContext, data: Contact) -> str:
        return data.name

    @classmethod
    def of_class(cls, ctx: OperationContext, data: Contact) -> str:
        return data.name

    @staticmethod
    def alone(ctx: OperationContext, data: Contact) -> str:
        return data.name

    def __call__(self, ctx: OperationContext, data: Contact) -> str:
        return data.name


def _with_more(ctx: Any, data: Contact, more: int) -> str:
    return data.name


def _by_name(ctx: Any, data: Contact, *, size: int) -> str:
    return data.name


# --- functions ---


@pytest.mark.parametrize(
    "function",
    [usual, asynchronous, Thing().method, Thing.of_class, Thing.alone, Thing(), partial(_with_more, more=1),
     partial(_by_name, size=1), _decorated(usual), _decorated(_decorated(usual))],
    ids=shown,
)  # fmt: skip
def test_what_can_be_called_with_ctx_and_data_is_an_operation_of_its_annotation(function: Any) -> None:
    registry = Registry()
    registry.operation("create")(function)
    found = registry.named("create")
    assert found.takes["required"] == ["name"]
    assert found.gives == {"type": "string"}
    with pytest.raises(InvalidData):
        found.validated({"name": 5})


def test_a_function_without_annotations_takes_anything() -> None:
    registry = Registry()
    registry.operation("any")(lambda ctx, data=None: data)
    assert (registry.named("any").takes, registry.named("any").gives) == ({}, {})


def test_without_data_the_default_of_the_function_counts() -> None:
    def dig(ctx: Any, data: str = "a hole") -> str:
        return data

    def plant(ctx: Any, data: Contact = Contact(name="an oak")) -> str:  # noqa: B008
        return data.name

    def water(ctx: Any, data: list[int] = []) -> list[int]:  # noqa: B006
        data.append(1)
        return data

    registry = Registry()
    for function in (dig, _decorated(dig), plant, water):
        registry.operation(f"x{len(registry.known())}", queueable=True)(function)
    for name, sent, given in (("x0", "a hole", "a hole"), ("x1", "a hole", "a hole"),
                              ("x2", {"name": "an oak"}, Contact(name="an oak")), ("x3", [], [])):  # fmt: skip
        operation = registry.named(name)
        assert (operation.plain(None), operation.takes_nothing) == (sent, True)
        assert operation.admit(User(), operation.plain(None)) == given
    assert registry.named("x0").plain("a ditch") == "a ditch"
    # What the function does to its default is not there the next time.
    for _ in range(2):
        water_it = registry.named("x3")
        assert water_it.function(None, water_it.validated(water_it.plain(None))) == [1]


@pytest.mark.parametrize(("default", "told"), [(5, "Input should be a valid string"), (object(), "cannot be sent")])
def test_a_default_that_the_schema_refuses_is_refused(default: Any, told: str) -> None:
    def dig(ctx: Any, data: str = default) -> None: ...

    with pytest.raises(SpecError, match=f"operation 'x' has a default for its data that its schema refuses: .*{told}"):
        Registry().operation("x")(dig)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda: None, r"operation 'x' is called function\(ctx, data\), which a function of \(\) does not take"),
        (lambda ctx: None, r"a function of \(ctx\) does not take \(too many positional arguments\)"),
        (lambda ctx, data, more: None, r"a function of \(ctx, data, more\) does not take"),
        (_by_name, r"a function of \(ctx, data, \*, size\) does not take"),
        (Thing.method, r"a method is registered together with its object, operation\(\.\.\.\)\(thing\.method\)"),
        (lambda *args: None, r"takes \*args, so that nothing tells what its data are: name its parameters"),
        (_badly_decorated(usual), r"decorate with functools\.wraps, or give schema="),
        (Thing, "must be a function .*, not the class Thing"),
        (generator, "yields, so that a call of it would execute nothing"),
        (asynchronous_generator, "yields, so that"),
        (_decorated(generator), "yields, so that"),
        ("usual", r"must be a function \(ctx, data\), not 'usual'"),
        (None, r"must be a function \(ctx, data\), not None"),
        (max, r"the parameters of <built-in function max> cannot be told: wrap it"),
    ],
)
def test_what_cannot_be_called_so_is_refused_at_its_declaration(function: Any, told: str) -> None:
    registry = Registry()
    with pytest.raises(SpecError, match=told):
        registry.operation("x")(function)
    assert registry.known() == []


def test_a_function_of_args_is_fine_with_a_schema() -> None:
    registry = Registry()
    registry.operation("x", schema=Contact)(lambda *args: None)
    assert registry.named("x").takes["title"] == "Contact"


def test_the_decorator_needs_the_name() -> None:
    with pytest.raises(SpecError, match=r"@operation takes the name: @ops\.operation\('\.\.\.'\) above usual"):
        Registry().operation(usual)  # type: ignore[arg-type]


# --- annotations and schemas ---


def test_a_constraint_in_the_annotation_holds() -> None:
    registry = Registry()

    @registry.operation("x")
    def positive(ctx: Any, data: Annotated[int, Field(gt=0)]) -> None: ...

    assert registry.named("x").takes == {"exclusiveMinimum": 0, "type": "integer"}
    with pytest.raises(InvalidData):
        registry.named("x").validated(0)


def test_an_annotation_that_cannot_be_read_does_not_mean_anything() -> None:
    class Local(BaseModel):
        name: str

    def of_local(ctx: Any, data: Local) -> None: ...
    def of_unknown(ctx: Any, data: Unknown) -> None: ...

    registry = Registry()
    for function, name in ((of_local, "Local"), (of_unknown, "Unknown")):
        with pytest.raises(
            SpecError, match=rf"the annotation '{name}' of data cannot be read \(NameError.*or give sch"
        ):
            registry.operation("x")(function)
    registry.operation("x", schema=Local)(of_local)
    assert registry.named("x").takes["title"] == "Local"


def test_annotations_of_other_parameters_may_be_for_type_checkers_only() -> None:
    registry = Registry()

    @registry.operation("x")
    def made(ctx: Unknown, data: Contact) -> Unknown:  # type: ignore[empty-body]
        ...

    assert (registry.named("x").takes["title"], registry.named("x").gives) == ("Contact", {})


class _Arbitrary(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    service: QueueService


class _Unfinished(BaseModel):
    other: Nobody  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("schema", [5, QueueService, _Arbitrary, _Unfinished, Callable, list[QueueService]], ids=shown)
def test_a_schema_that_no_json_can_fill_is_refused(schema: Any) -> None:
    with pytest.raises(SpecError, match=r"operation 'x': .* is no schema that pydantic knows and JSON can fill"):
        Registry().operation("x", schema=schema)(usual)


# --- the other marks ---


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        ({"queueable": 1}, "queueable must be True or False, not 1"),
        ({"idempotent": "yes"}, "idempotent must be True or False, not 'yes'"),
        ({"roles": "sales"}, "roles is a set of texts"),
        ({"roles": [1]}, "roles is a set of texts"),
        ({"roles": []}, "roles is empty, so that nobody could call it"),
        ({"permit": True}, r"permit must be a function \(user, data\)"),
        ({"permit": asynchronous}, "that is not async"),
        ({"retry": 0}, "attempts must be a whole number of at least 1, not 0"),
        ({"retry": "often"}, "retry must be a RetryPolicy or one of"),
        ({"retry": 2.5}, "retry must be a RetryPolicy or one of"),
        ({"on_lost": "ignore"}, "on_lost must be one of retry, dead, not 'ignore'"),
        ({"on_lost": ["dead"]}, "on_lost must be one of retry, dead"),
        ({"result_ttl": 0}, "result_ttl must be more than 0 seconds"),
        ({"result_ttl": timedelta(seconds=-1)}, "result_ttl must be more than 0 seconds"),
        ({"result_ttl": float("inf")}, "result_ttl must be more than 0 seconds and at most a century"),
        ({"result_ttl": float("nan")}, "result_ttl must be seconds, a timedelta"),
        ({"result_ttl": "a week"}, "result_ttl must be seconds, a timedelta"),
        ({"limits": 5}, "limits must be a Limits, not 5"),
        ({"aliases": "other"}, "aliases is a list of names, not 'other'"),
        ({"aliases": ["a b"]}, "'a b' cannot name an operation"),
        ({"aliases": ["x"]}, "there is an operation 'x' already"),
        ({"aliases": ["other", "other"]}, "there is an operation 'other' already"),
        ({"aliases": 5}, "aliases is a list of names, not 5"),
    ],
    ids=shown,
)
def test_marks_that_make_no_sense_are_refused(marks: dict[str, Any], told: str) -> None:
    registry = Registry()
    with pytest.raises(SpecError, match=told):
        registry.operation("x", **marks)(usual)
    assert registry.known() == []
    registry.operation("x")(usual)


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 129, 5, None, "a/b"])
def test_a_name_that_is_none_is_refused_before_there_is_a_function(name: Any) -> None:
    with pytest.raises(SpecError, match="cannot name an operation"):
        Registry().operation(name)


@pytest.mark.parametrize("limits", [{"pending": 0}, {"rate": -1}, {"rate": True}, {"pending": 1.5}, {"per": 0},
                                    {"per": "0s"}, {"per": -1}, {"per": timedelta(0)}, {"per": timedelta(seconds=-5)},
                                    {"per": float("inf")}, {"per": 1e9}], ids=shown)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must be"):
        Limits(**limits)


def test_names_and_aliases_stand_for_one_operation() -> None:
    registry = Registry()
    registry.operation("create", aliases=("add", "make"), retry=RetryPolicy(attempts=7))(usual)
    assert {registry.named(name).name for name in ("create", "add", "make")} == {"create"}
    assert [one.name for one in registry.known()] == ["create"]
    assert (registry.named("add").retry.attempts, registry.named("add").summary) == (7, "")
    with pytest.raises(SpecError, match="'add' already"):
        registry.operation("add")(usual)
    for name in ("", "Create", 5, None, ["create"], "\ud800"):
        with pytest.raises(UnknownOperation, match="there is no operation"):
            registry.named(name)  # type: ignore[arg-type]


def test_operations_by_their_marks() -> None:
    registry = Registry()
    registry.operation("b", queueable=True)(usual)
    registry.operation("a")(usual)
    assert [one.name for one in registry.known()] == ["a", "b"]
    assert [one.name for one in registry.known(queueable=True)] == ["b"]
    assert [one.name for one in registry.known(queueable=False)] == ["a"]


def test_the_first_paragraph_of_the_docstring_is_the_summary() -> None:
    registry = Registry()

    @registry.operation("x")
    def create(ctx: Any, data: Any) -> None:
        """Create a contact,
        or find it.

        More of it.
        """

    assert registry.named("x").summary == "Create a contact, or find it."


# --- who is told, and who is asked ---


@pytest.mark.parametrize("wrong", [None, "told"])
def test_who_is_told_of_ends_must_be_a_function(wrong: Any) -> None:
    with pytest.raises(SpecError, match=r"@finished takes a function \(call\), not"):
        Registry().finished(wrong)


@pytest.mark.parametrize("wrong", [True, "load", asynchronous])
def test_who_is_asked_for_users_must_be_a_function(wrong: Any) -> None:
    service = QueueService("sqlite://")
    with pytest.raises(SpecError, match=r"load_user must be a function \(id\) that is not async"):
        Operations(service, load_user=wrong)
    Operations(service, load_user=User)
    service.close()
