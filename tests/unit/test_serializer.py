"""What goes through the serializer comes back as it was, and everything else is refused."""

import contextlib
import io
import json
import math
import struct
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal, InvalidOperation, localcontext
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.errors import PayloadError, SerializationError
from taskqueue.serializer import MAX_INT_BITS, decode, encode

ROME = ZoneInfo("Europe/Rome")
LARGEST = 2**MAX_INT_BITS - 1


def assert_same(left: Any, right: Any) -> None:
    """Compare types too, all the way down; ``==`` takes ``1``, ``1.0`` and ``True`` for the same."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, set | frozenset):
        assert left == right
        assert sorted(map(exactly, left)) == sorted(map(exactly, right))
    else:
        assert exactly(left) == exactly(right)


def exactly(value: Any) -> str:
    """Tell more than ``==`` does: the sign of zero, the exponent of a Decimal, the fold, the time zone."""
    if isinstance(value, datetime | time):
        zone = value.tzinfo
        return f"{value.replace(tzinfo=None, fold=0)!r} {value.fold} {zone!r} {value.utcoffset()!r}"
    if isinstance(value, Decimal):
        return f"Decimal {value.as_tuple()}"
    if isinstance(value, int):
        return f"{type(value)} {value:x}"
    if isinstance(value, frozenset | tuple):
        return f"{type(value)} {sorted(map(exactly, value))}"
    return f"{type(value)} {value!r}"


class OtherZone(tzinfo):
    """A time zone as of another package."""

    def __init__(self, offset: timedelta | None) -> None:
        self.offset = offset

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return self.offset

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "other"


def round_trip(value: Any) -> Any:
    return decode(encode(value))


offsets = st.timedeltas(timedelta(microseconds=1) - timedelta(days=1), timedelta(days=1, microseconds=-1))
zones = st.none() | offsets.map(timezone) | st.sampled_from([ROME, ZoneInfo("UTC"), ZoneInfo("Australia/Lord_Howe")])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.builds(lambda bits, add: 2**bits + add, st.integers(0, MAX_INT_BITS - 1), st.integers(-2, 2))
    | st.builds(lambda bits, add: -(2**bits) + add, st.sampled_from([62, 63, 64]), st.integers(-2, 2))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=zones, allow_imaginary=True)
    | st.builds(lambda moment: moment.replace(fold=1), st.datetimes(timezones=zones))
    | st.dates()
    | st.times(timezones=zones)
    | st.builds(lambda moment: moment.replace(fold=1), st.times())
    | st.timedeltas()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.builds(lambda digits, exponent: Decimal(f"{digits}E{exponent}"), st.integers(), st.integers(-999, 999))
    | st.uuids()
)
hashables = st.recursive(scalars, lambda inner: st.frozensets(inner) | st.lists(inner).map(tuple), max_leaves=5)
keys = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(
    ["$", "$$", "$$$", "$tuple", "$$tuple", "$set", "$date", "$int", "$nonsense"]
)
values = st.recursive(
    scalars | st.sets(hashables),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=20,
)


@given(values)
def test_round_trip_is_exact(value: Any) -> None:
    text = encode(value)
    assert_same(decode(text), value)
    assert encode(decode(text)) == text


@given(st.text())
def test_decode_raises_nothing_else(text: str) -> None:
    with contextlib.suppress(PayloadError):
        decode(text)


damaged = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("$0123456789abT:.-+[]; EN", max_size=12),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=8,
)


@given(damaged)
def test_what_decode_accepts_is_what_encode_writes(payload: Any) -> None:
    try:
        value = decode(json.dumps(payload))
    except PayloadError:
        return
    assert_same(round_trip(value), value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["whatever", {"contact_id": 123}], '["whatever",{"contact_id":123}]'),
        ("città \U0001f600 \x7f", '"città \U0001f600 \x7f"'),
        ((1, "a"), '{"$tuple":[1,"a"]}'),
        ((), '{"$tuple":[]}'),
        (b"\xff\0", '{"$bytes":"/wA="}'),
        (2**63 - 1, "9223372036854775807"),
        (2**63, '{"$int":"8000000000000000"}'),
        (-(2**63) - 1, '{"$int":"-8000000000000001"}'),
        (date(2024, 2, 29), '{"$date":"2024-02-29"}'),
        (datetime(2024, 2, 29, 1, 2, 3, 4), '{"$datetime":"2024-02-29T01:02:03.000004"}'),
        (datetime(2024, 2, 29, tzinfo=timezone.utc), '{"$datetime":"2024-02-29T00:00:00+00:00"}'),
        (datetime(2024, 10, 27, 2, fold=1), '{"$datetime":"2024-10-27T02:00:00;fold=1"}'),
        (
            datetime(2024, 10, 27, 2, fold=1, tzinfo=ROME),
            '{"$datetime":"2024-10-27T02:00:00;fold=1[Europe/Rome]"}',
        ),
        (
            datetime(1, 1, 1, tzinfo=timezone(-timedelta(microseconds=1))),
            '{"$datetime":"0001-01-01T00:00:00-00:00:00.000001"}',
        ),
        (time(1, 2), '{"$time":"01:02:00"}'),
        (time(1, 2, tzinfo=timezone(timedelta(hours=-3))), '{"$time":"01:02:00-03:00"}'),
        (time(1, 2, tzinfo=ROME), '{"$time":"01:02:00[Europe/Rome]"}'),
        (timedelta.max, '{"$timedelta":"999999999 86399 999999"}'),
        (-timedelta.resolution, '{"$timedelta":"-1 86399 999999"}'),
        (Decimal("1.10"), '{"$decimal":"1.10"}'),
        (Decimal("-0E+3"), '{"$decimal":"-0E+3"}'),
        (UUID(int=1), '{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
        ({3, 1, 2}, '{"$set":[1,2,3]}'),
        (frozenset({"b", "a"}), '{"$frozenset":["a","b"]}'),
        ({"$tuple": [1]}, '{"$$tuple":[1]}'),
        ({"$": 1}, '{"$$":1}'),
        ({"$$tuple": (1,)}, '{"$$$tuple":{"$tuple":[1]}}'),
        ({"$tuple": [1], "b": 2}, '{"$tuple":[1],"b":2}'),
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
    ],
)
def test_spelling(value: Any, text: str) -> None:
    assert encode(value) == text
    assert_same(decode(text), value)


def test_the_value_itself_is_left_alone() -> None:
    value = {"$tuple": [(1, {2})]}
    encode(value)
    assert value == {"$tuple": [(1, {2})]}


def test_other_time_zones_keep_their_offset() -> None:
    found = round_trip(datetime(2024, 1, 1, tzinfo=OtherZone(timedelta(hours=2))))
    assert_same(found, datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))))


def test_decimal_context_of_the_thread_does_not_matter() -> None:
    value = Decimal("1.2345E+20")
    with localcontext(Context(prec=2, capitals=0, traps=[])):
        text = encode(value)
        assert_same(decode(text), value)
    assert text == '{"$decimal":"1.2345E+20"}'


@pytest.fixture
def short_ints() -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="this Python has no such limit")
@pytest.mark.usefixtures("short_ints")
def test_limit_of_digits_of_the_interpreter_does_not_matter() -> None:
    assert round_trip(LARGEST) == LARGEST
    assert round_trip(-LARGEST) == -LARGEST


class Color(IntEnum):
    RED = 1


class Plain(Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Moment(datetime):
    pass


class Strange:
    pass


@dataclass
class Point:
    x: int


Pair = namedtuple("Pair", "a b")


def nested(depth: int, inner: Any = 1) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


cycle: list[Any] = []
cycle.append({"again": cycle})
HERE = __name__
SURROGATE = "contains a lone surrogate, which not every database can store; remove it or pass bytes."


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            Strange(),
            f"args is of type {HERE}.Strange, which cannot be stored; pass text, numbers, lists or dicts",
        ),
        (Point(1), f"args is of type {HERE}.Point, which cannot be stored"),
        (Strange, "args is of type type, which cannot be stored"),
        (1j, "args is of type complex, which cannot be stored"),
        (bytearray(b"x"), "args is of type bytearray, which cannot be stored"),
        (iter([]), "args is of type list_iterator, which cannot be stored"),
        (
            Color.RED,
            f"args is of the enum type {HERE}.Color, which cannot be stored; pass its .value instead.",
        ),
        (
            Plain.RED,
            f"args is of the enum type {HERE}.Plain, which cannot be stored; pass its .value instead.",
        ),
        (
            Text("x"),
            f"args is of type {HERE}.Text, which would come back as str; convert it to a plain str first.",
        ),
        (
            Pair(1, 2),
            f"args is of type {HERE}.Pair, which would come back as tuple; convert it to a plain tuple",
        ),
        (OrderedDict(a=1), "args is of type collections.OrderedDict, which would come back as dict"),
        (Moment(2024, 1, 1), f"args is of type {HERE}.Moment, which would come back as datetime"),
        ([0, {"x": Strange()}], f'args[1]["x"] is of type {HERE}.Strange'),
        ([0, ({"x": [Text()]},)], f'args[1][0]["x"][0] is of type {HERE}.Text'),
        ({"$tuple": Strange()}, f'args["$tuple"] is of type {HERE}.Strange'),
        ([{frozenset({1j})}], "args[0]{…}{…} is of type complex"),
        ({'a"b': 1j}, 'args["a\\"b"] is of type complex'),
        ({"a" * 99: 1j}, f'args["{"a" * 40}…"] is of type complex'),
        (math.nan, "args is the float nan, which JSON cannot hold; pass None or text instead."),
        ([math.inf], "args[0] is the float inf, which JSON cannot hold"),
        ({"a": -math.inf}, 'args["a"] is the float -inf'),
        (Decimal("NaN"), "args is the Decimal NaN, which cannot be stored; pass None or text instead."),
        (Decimal("sNaN"), "args is the Decimal sNaN"),
        ([Decimal("-Infinity")], "args[0] is the Decimal -Infinity"),
        (
            ["a\0b"],
            "args[0] contains a NUL character, which not every database can store; remove it or pass bytes.",
        ),
        (["\ud800"], f"args[0] {SURROGATE}"),
        (["é\udfff"], f"args[0] {SURROGATE}"),
        ([{1: 2}], "args[0] has a key of type int, but keys must be plain str; convert the key to text."),
        ({None: 2}, "args has a key of type NoneType"),
        ({Text("x"): 2}, "args has a key of type Text"),
        ({"a\0": 2}, 'args has the key "a\\u0000", which contains a NUL character; remove it from the key.'),
        ([{"é\ud800": 2}], 'args[0] has the key "\\u00e9\\ud800", which contains a lone surrogate'),
        (LARGEST + 1, "args is an int of more than 14284 bits, which is too large; pass it as bytes."),
        (-LARGEST - 1, "args is an int of more than 14284 bits"),
        (time(1, tzinfo=OtherZone(None)), "args has a time zone that gives no offset and would get lost"),
        ([datetime(2024, 1, 1, tzinfo=OtherZone(None))], "args[0] has a time zone that gives no offset"),
        (
            nested(33),
            "args" + "[0]" * 32 + " is nested deeper than the 32 levels allowed, or contains itself; fl",
        ),
        (nested(32, ()), "args" + "[0]" * 32 + " is nested deeper than the 32 levels allowed"),
        (nested(32, {1}), "args" + "[0]" * 32 + " is nested deeper than the 32 levels allowed"),
        (nested(32, {}), "args" + "[0]" * 32 + " is nested deeper than the 32 levels allowed"),
        (
            cycle,
            "args" + '[0]["again"]' * 16 + " is nested deeper than the 32 levels allowed, or contains itself",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_refused_values(value: Any, sentence: str) -> None:
    with pytest.raises(SerializationError) as caught:
        encode(value, where="args")
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith(".")
    str(caught.value).encode()  # fit to be logged and stored


@pytest.mark.parametrize("key", [None, "", "My/Zone"])
def test_zone_without_a_known_name(key: Any) -> None:
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    zone_file = io.BytesIO(b"TZif" + bytes(16) + counts + bytes(6) + b"UTC\0")
    zone = ZoneInfo.from_file(zone_file, key=key)
    with pytest.raises(SerializationError, match=r"^data has a ZoneInfo that was not made by its name"):
        encode(datetime(2024, 1, 1, tzinfo=zone))


def test_limit_of_depth() -> None:
    assert_same(round_trip(nested(32)), nested(32))
    assert encode(1, max_depth=0) == "1"
    with pytest.raises(SerializationError, match=r"^data is nested deeper than the 0 levels allowed"):
        encode([], max_depth=0)
    with pytest.raises(SerializationError, match=r"^data is nested too deep for this interpreter; flatten it\.$"):
        encode(nested(50_000), max_depth=100_000)


def test_limit_of_size_counts_bytes() -> None:
    assert encode("é" * 4, max_bytes=10) == '"éééé"'
    with pytest.raises(SerializationError) as caught:
        encode("é" * 4, where="payload", max_bytes=9)
    assert str(caught.value) == (
        "payload takes 10 bytes as JSON, but at most 9 can be stored; "
        "keep the data elsewhere and pass a reference to it."
    )
    assert len(encode("x" * (1_048_576 - 2))) == 1_048_576
    with pytest.raises(SerializationError, match="data takes 1048577 bytes as JSON, but at most 1048576 can"):
        encode("x" * (1_048_576 - 1))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "cannot be read (Expecting value"),
        ("{", "cannot be read (Expecting property name"),
        ("[1] [2]", "cannot be read (Extra data"),
        ("\ufeff1", "cannot be read (Expecting value"),
        ('"\0"', "cannot be read (Invalid control character"),
        ('"\ud800"', "cannot be read ('utf-8' codec can't encode"),
        ('"\\ud800"', "contains a NUL character or a lone surrogate; it was damaged or altered."),
        ('["a", {"b\\u0000": 1}]', "contains a NUL character or a lone surrogate"),
        ("[" * 100_000, "is nested too deep; it was damaged or altered."),
        ("[" * 100_000 + "]" * 100_000, "is nested too deep"),
        ('{"a":' * 100_000, "is nested too deep"),
        ("NaN", "cannot be read (NaN is not a JSON value)"),
        ("[Infinity]", "cannot be read (Infinity is not a JSON value)"),
        ("[-Infinity]", "cannot be read (-Infinity is not a JSON value)"),
        ("1e999", "cannot be read (a number beyond the range of float)"),
        ("9223372036854775808", "cannot be read (an integer beyond 64 bits without its tag)"),
        ("1" * 100_000, "cannot be read (an integer beyond 64 bits without its tag)"),
        ('{"$nonsense":1}', 'cannot be read (unknown tag "$nonsense")'),
        ('{"$":1}', 'cannot be read (unknown tag "$")'),
        ('{"$time":"00:00:00[No/Zone]"}', 'has an unknown time zone, "No/Zone"; install tzdata here.'),
        ('{"$datetime":"2024-01-01T00:00:00[]"}', "has an unknown time zone"),
        ('{"$datetime":"2024-01-01T00:00:00[../../etc]"}', "has an unknown time zone"),
        ('{"$datetime":"2024-01-01T00:00:00[Europe]"}', "has an unknown time zone"),
        *[
            (f'{{"${tag}":{content}}}', f"cannot be read (wrong content of the tag ${tag})")
            for tag, contents in {
                "tuple": ["1", '"ab"', "null", '{"a":1}', '{"$tuple":[]}'],
                "set": ["1", '"ab"', "[[]]", "[{}]", '[{"$set":[]}]'],
                "frozenset": ["1", "[[]]"],
                "int": ["1", '"1"', '""', '"x"', '"0x8000000000000000"', '"8000_0000_0000_0000_0"',
                        f'"{LARGEST + 1:x}"', f'"{"f" * 9999}"', '"FFFFFFFFFFFFFFFFF"'],
                "bytes": ["1", "[1]", '"A"', '"é"', '"YQ"', '"YR=="', '"Y Q=="'],
                "datetime": ["1", '"x"', '"2024-01-01"', '"2024-13-01T00:00:00"', '"2024-01-01 00:00:00"',
                             '"20240101T000000"', '"2024-01-01T00:00:00Z"',
                             '"2024-01-01T00:00:00[Europe/Rome"',
                             '"2024-01-01T00:00:00+01:00[Europe/Rome]"', '"2024-01-01T00:00:00;fold=0"'],
                "date": ["1", '"x"', '"20240101"', '"2024-W01-1"', '"2024-02-30"', '"2024-01-01T00:00:00"'],
                "time": ["1", '"x"', '"T01:02:00"', '"01:02"', '"25:00:00"'],
                "timedelta": ["1", '"1"', '"1 2"', '"1 2 x"', '"0 86400 0"', '"1 2 3 4"', '"1_0 2 3"',
                              '"1000000000 0 0"', f'"{"9" * 400} 0 0"', f'"{"9" * 9999} 0 0"'],
                "decimal": ["1", "1.5", '"x"', '""', '"NaN"', '"Infinity"', '" 1"', '"1_0"', '"1e5"', '"٣"'],
                "uuid": ["1", '"x"', '"00000000000000000000000000000001"',
                         '"{00000000-0000-0000-0000-000000000001}"'],
            }.items()
            for content in contents
        ],
    ],
    ids=lambda text: text[:60].encode("ascii", "backslashreplace").decode(),
)  # fmt: skip
def test_refused_payloads(text: str, sentence: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(text)
    assert str(caught.value).startswith(f"A stored payload {sentence}")
    assert len(str(caught.value)) < 200


def test_refused_decimals_do_not_depend_on_the_context() -> None:
    with (
        localcontext(Context(traps=[])),
        pytest.raises(PayloadError, match=r"wrong content of the tag \$decimal"),
    ):
        decode('{"$decimal":"x"}')
    with localcontext(Context(traps=[InvalidOperation])), pytest.raises(PayloadError):
        decode('{"$decimal":"x"}')


@pytest.mark.parametrize("payload", [b"1", None, 1, ["1"]])
def test_payload_must_be_text(payload: Any) -> None:
    with pytest.raises(PayloadError, match=rf"^A stored payload must be text, not {type(payload).__name__}; "):
        decode(payload)


def test_escapes_that_are_fine() -> None:
    assert decode('["\\u00e9\\ud83d\\ude00", "\\\\u0000"]') == ["é\U0001f600", "\\u0000"]
    assert_same(round_trip("\x1b[0m\\u0000"), "\x1b[0m\\u0000")
