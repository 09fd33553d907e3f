"""The stored form of tasks and data, plain and signed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskqueue.errors import PayloadError, PayloadTooNew, SerializationError, SpecError
from taskqueue.payload import FORMAT, Codec
from taskqueue.task import Task
from tests.unit import callables

UID = "0" * 32
OLD_KEY, NEW_KEY = "the old key of the tests", "the new key of the tests"
TASK = Task(callables.function, (1, ("a", b"b")), "Größe 😀", kwargs={"k": None}, run_as={"contact_id": 7})


@pytest.fixture(params=[(), (OLD_KEY,)], ids=["plain", "signed"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec(request.param)


@pytest.mark.parametrize("data", [TASK, Task(callables.function), None, "text", {"callback": "x", "v": 9}], ids=repr)
def test_what_was_packed_comes_back(codec: Codec, data: Any) -> None:
    text = codec.pack(data, "jobs", UID)

    assert codec.unpack(text, "jobs", UID) == data
    assert type(codec.unpack(text, "jobs", UID)) is type(data)


def test_the_plain_form_is_json_with_a_version() -> None:
    stored = json.loads(Codec().pack(TASK, "jobs", UID))

    assert stored["v"] == FORMAT == 1
    assert stored["callback"] == "tests.unit.callables:function"
    assert list(stored) == ["v", "callback", "title", "args", "kwargs", "run_as"]
    assert json.loads(Codec().pack("x", "jobs", UID)) == {"v": 1, "data": "x"}


def test_a_lazy_title_becomes_text() -> None:
    class Lazy:
        def __str__(self) -> str:
            return "now"

    codec = Codec()

    assert codec.unpack(codec.pack(Task(callables.function, (), Lazy()), "q", UID), "q", UID).title == "now"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", '"text"', "{}", '{"v":"1","data":1}', '{"v":null}', '{"data":1}',
     '{"v":1,"callback":7}', '{"v":1,"callback":"a:b","args":{}}', '{"v":1,"callback":"a:b","title":7}',
     '{"v":1,"callback":"a:b","kwargs":[]}', '{"v":1,"callback":"a:b","run_as":"me"}'],
)  # fmt: skip
def test_what_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(PayloadError) as caught:
        Codec().unpack(text, "jobs", UID)

    assert not isinstance(caught.value, PayloadTooNew)


@pytest.mark.parametrize("body", ['"data":1', '"callback":7', '"anything":[]'])
def test_a_newer_version_is_told_from_damage(body: str) -> None:
    with pytest.raises(PayloadTooNew, match="format 2, this release reads up to 1"):
        Codec().unpack(f'{{"v":2,{body}}}', "jobs", UID)


def test_sizes_are_counted_in_bytes() -> None:
    frame = len('{"v":1,"data":""}')
    codec = Codec(max_bytes=100)

    codec.pack("x" * (100 - frame), "jobs", UID)
    codec.pack("😀" * ((100 - frame) // 4), "jobs", UID)
    for data in ("x" * (101 - frame), "😀" * ((100 - frame) // 4 + 1)):
        with pytest.raises(SerializationError, match="100"):
            codec.pack(data, "jobs", UID)


def test_all_parts_of_a_task_count_together() -> None:
    with pytest.raises(SerializationError, match="more than the 200"):
        Codec(max_bytes=200).pack(Task(callables.function, ("x" * 80,), "y" * 80), "jobs", UID)


# --- signatures ---


@pytest.fixture
def signing() -> Codec:
    return Codec([OLD_KEY])


@pytest.mark.parametrize("position", [0, 40, 60, -1])
def test_each_altered_character_is_noticed(signing: Codec, position: int) -> None:
    text = signing.pack(TASK, "jobs", UID)
    altered = list(text)
    altered[position] = "x" if altered[position] != "x" else "y"

    with pytest.raises(PayloadError, match="signature"):
        signing.unpack("".join(altered), "jobs", UID)


def test_a_signature_is_for_one_item_in_one_queue(signing: Codec) -> None:
    text = signing.pack(TASK, "jobs", UID)

    with pytest.raises(PayloadError, match="no valid signature"):
        signing.unpack(text, "other", UID)
    with pytest.raises(PayloadError, match="belongs to another item"):
        signing.unpack(text, "jobs", "1" * 32)


def test_what_is_not_signed_is_refused_by_who_signs(signing: Codec) -> None:
    with pytest.raises(PayloadError, match="no valid signature"):
        signing.unpack(Codec().pack(TASK, "jobs", UID), "jobs", UID)


@pytest.mark.parametrize("text", ["", "|", ".", "a|b.c", "ü|{}.😀", "\ud800.x"], ids=ascii)
def test_nonsense_is_refused_by_who_signs(signing: Codec, text: str) -> None:
    with pytest.raises(PayloadError):
        signing.unpack(text, "jobs", UID)


def test_keys_are_rotated_by_adding_the_new_one_at_the_end() -> None:
    old, both, new = Codec([OLD_KEY]), Codec([OLD_KEY, NEW_KEY]), Codec([NEW_KEY])
    by_old, by_both = old.pack("x", "jobs", UID), both.pack("x", "jobs", UID)

    assert both.unpack(by_old, "jobs", UID) == both.unpack(by_both, "jobs", UID) == "x"
    assert new.unpack(by_both, "jobs", UID) == "x"
    with pytest.raises(PayloadError):
        new.unpack(by_old, "jobs", UID)


def test_keys_may_be_bytes_or_text() -> None:
    text = Codec([OLD_KEY]).pack("x", "jobs", UID)

    assert Codec([OLD_KEY.encode()]).unpack(text, "jobs", UID) == "x"


@pytest.mark.parametrize("key", ["", "too short", b"too short"])
def test_a_short_key_is_refused(key: Any) -> None:
    with pytest.raises(SpecError, match="at least 16 characters"):
        Codec([key])
