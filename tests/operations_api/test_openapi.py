"""The OpenAPI document, and the page for humans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, Field
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client as WsgiClient

from taskqueue import QueueService
from taskqueue.operations import File, Operations
from taskqueue.web import OperationsApi
from tests.operations_api.app import Client


@pytest.fixture
def url(tmp_path: Any) -> str:
    """What is described is the same whatever the database."""
    return f"sqlite:///{tmp_path}/openapi.db"


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
        yield from (part.get("mapping") or {}).values() if "propertyName" in part else ()
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)


def _at(document: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        document = document[step]
    return document


def test_the_document_is_valid_and_whole(alice: Client, ops: Operations) -> None:
    answer = alice.get("/ops/openapi.json")
    document = answer.get_json()
    OpenAPIV31SpecValidator(document).validate()
    assert (answer.content_type, document["openapi"]) == ("application/json", "3.1.0")
    for reference in set(_references(document)):
        _at(document, reference)
    paths = document["paths"]
    assert {f"/ops/{one.name}" for one in ops.known()} < set(paths)
    made = paths["/ops/create_contact"]["post"]
    assert made["summary"] == "Adds a contact."
    assert {one["name"] for one in made["parameters"]} == {"Prefer", "Idempotency-Key"}
    assert "parameters" not in paths["/ops/now"]["post"]
    assert "202" not in paths["/ops/now"]["post"]["responses"]
    assert document["components"]["securitySchemes"]["user"] == {"type": "http", "scheme": "bearer"}


def test_every_view_is_described(alice: Client, app: Flask) -> None:
    described = {
        (path, method.upper())
        for path, item in alice.get("/ops/openapi.json").get_json()["paths"].items()
        for method in item if method != "parameters"
    }  # fmt: skip
    served = {
        (rule.rule.replace("<", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules() if rule.endpoint.startswith("operations.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }  # fmt: skip
    apart = {"/ops/docs", "/ops/openapi.json", "/ops/static/{path:filename}", "/ops/{taskqueue_operation:name}"}
    assert {one for one in served if one[0] not in apart} == {one for one in described if "runs" in one[0] or
                                                                one[0] == "/ops"}  # fmt: skip


def _with_types_of_one_name(ops: Operations) -> None:
    class Address(BaseModel):
        street: str

    first = Address

    class Address(BaseModel):  # type: ignore[no-redef]
        host: str

    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    ops.operation("a:b", schema=list[first])(lambda ctx, data: None)
    ops.operation("a_b", schema=list[Address])(lambda ctx, data: None)
    ops.operation("pets", schema=list[Annotated[Cat | Dog, Field(discriminator="kind")]])(lambda ctx, data: None)


def test_types_of_one_name_do_not_meet(service: QueueService) -> None:
    app = Flask("names")
    ops = Operations(service)
    _with_types_of_one_name(ops)
    OperationsApi(app, ops, identity=lambda: "alice")
    document = Client(app, None).get("/ops/openapi.json").get_json()
    OpenAPIV31SpecValidator(document).validate()

    def named(path: str) -> Any:
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return _at(document, content["properties"]["data"]["items"]["$ref"])["properties"]

    assert (set(named("/ops/a:b")), set(named("/ops/a_b"))) == ({"street"}, {"host"})
    schema = document["paths"]["/ops/pets"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    mapping = schema["properties"]["data"]["items"]["discriminator"]["mapping"]
    assert mapping == {"cat": "#/components/schemas/pets.Cat", "dog": "#/components/schemas/pets.Dog"}


def test_kinds_of_results(service: QueueService) -> None:
    def file(ctx: Any, data: Any) -> File: ...  # type: ignore[empty-body]
    def either(ctx: Any, data: Any) -> File | str: ...  # type: ignore[empty-body]
    def text(ctx: Any, data: Any) -> str: ...  # type: ignore[empty-body]

    app, ops = Flask("results"), Operations(service)
    for function in (file, either, text):
        ops.operation(function.__name__)(function)
    ops.operation("unknown")(lambda ctx, data: None)
    OperationsApi(app, ops, identity=lambda: "alice", title="Shop", version="7")
    document = Client(app, None).get("/ops/openapi.json").get_json()
    assert document["info"] == {"title": "Shop", "version": "7"}
    assert "<title>Shop</title>" in (page := Client(app, None).get("/ops/docs").text)
    assert '<h1 id="tq-title" class="tq-title">Shop</h1>' in page
    found = {path: [*item["post"]["responses"]["200"]["content"]] for path, item in document["paths"].items()
             if path.count("/") == 2 and "post" in item}  # fmt: skip
    both = ["application/json", "*/*"]
    assert found == {"/ops/file": ["*/*"], "/ops/either": both, "/ops/text": both[:1], "/ops/unknown": both}


def test_below_another_path_the_addresses_say_so(app: Flask) -> None:
    client = WsgiClient(DispatcherMiddleware(Flask("root"), {"/shop": app}))
    headers = {"Authorization": "Bearer alice"}
    document = json.loads(client.get("/shop/ops/openapi.json", headers=headers).text)
    assert (document["servers"], "/ops/echo" in document["paths"]) == ([{"url": "/shop"}], True)
    answer = client.post("/shop/ops/echo", json={"options": {"defer": True}}, headers=headers)
    assert answer.headers["Location"].startswith("/shop/ops/runs/")


def test_an_example_of_the_schema_is_shown(service: QueueService) -> None:
    app, ops = Flask("examples"), Operations(service)
    ops.operation("echo", schema=Annotated[int, Field(examples=[7])])(lambda ctx, data: data)
    OperationsApi(app, ops, identity=lambda: "alice")
    document = Client(app, None).get("/ops/openapi.json").get_json()
    OpenAPIV31SpecValidator(document).validate()
    content = document["paths"]["/ops/echo"]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"] == {"1": {"value": {"data": 7}}}
    scheme = document["components"]["securitySchemes"]["user"]
    assert scheme == {"type": "apiKey", "in": "cookie", "name": "session"}


# --- the page ---


def test_the_page_names_all_there_is(alice: Client, ops: Operations) -> None:
    answer = alice.get("/ops/docs")
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    for one in ops.known():
        assert f">{one.name}</h2>" in answer.text
    assert "<script" not in answer.text
    assert "new_contact" in answer.text
    assert 'href="/ops/openapi.json"' in answer.text


def test_the_page_is_german_too(alice: Client) -> None:
    text = alice.get("/ops/docs", Accept_Language="de").text
    assert '<html lang="de"' in text
    assert "kann aufgeschoben werden" in text


def test_what_an_operation_says_of_itself_is_text(service: QueueService) -> None:
    app, ops = Flask("hostile"), Operations(service)

    def hostile(ctx: Any, data: Any) -> None:
        """<script>alert(1)</script>"""

    ops.operation("x", schema=Annotated[str, Field(description="</pre><img src=x onerror=alert(1)>")])(hostile)
    OperationsApi(app, ops, identity=lambda: "alice")
    text = Client(app, None).get("/ops/docs", Host="a.example").text
    assert "<script" not in text
    assert "<img" not in text


def test_without_operations_the_page_says_so(service: QueueService) -> None:
    app = Flask("empty")
    OperationsApi(app, Operations(service), identity=lambda: "alice", locale=lambda: "de")
    assert "noch keine Operationen" in Client(app, None).get("/ops/docs").text
    OpenAPIV31SpecValidator(Client(app, None).get("/ops/openapi.json").get_json()).validate()
