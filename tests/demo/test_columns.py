"""From fields to values: which column is which, and what is a bad row."""

from __future__ import annotations

from typing import Any

import pytest

from demo_ext.columns import BadRow, Columns

HEADER = ("name", "country", "population", "latitude", "longitude")
EMPTY: dict[str, Any] = {"country": None, "population": None, "latitude": None, "longitude": None, "extra": {}}


@pytest.mark.parametrize("name", ["name", "City", " PLACE ", "title", "Full Name", "city_name", "Place-Name"])
def test_given_a_usual_word_for_the_name_when_mapped_then_it_is_the_name(name: str) -> None:
    assert Columns([name]).row(["Bonn"]) == {"name": "Bonn", **EMPTY}


def test_given_two_columns_that_fit_when_mapped_then_the_better_word_counts_and_the_other_is_kept() -> None:
    row = Columns(["Title", "Name", "Lng", "Lat", "Pop.", "Country Code"]).row(["Dr.", "Ada", "2", "1", "3", "GB"])

    assert row == {
        "name": "Ada",
        "country": "GB",
        "population": 3,
        "latitude": 1.0,
        "longitude": 2.0,
        "extra": {"Title": "Dr."},
    }


def test_given_unknown_nameless_and_doubled_columns_when_mapped_then_extra_keeps_each_with_a_value() -> None:
    row = Columns(["name", "mayor", "", "mayor", "flag"]).row(["Bonn", "A", "B", "C", " "])

    assert row["extra"] == {"mayor": "A", "column 3": "B", "mayor (column 4)": "C"}


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        (("x", "", "", "", ""), "population", None),
        (("x", "", "0", "", ""), "population", 0),
        (("x", "", "1000000000000", "", ""), "population", 10**12),
        (("x", "", "", "-90", ""), "latitude", -90.0),
        (("x", "", "", "", "180"), "longitude", 180.0),
        (("x", "", "", "50,5", ""), "latitude", 50.5),
        ((" x ", "", "", "", ""), "name", "x"),
    ],
)
def test_given_a_value_in_its_range_when_parsed_then_it_is_kept(
    fields: tuple[str, ...], column: str, value: Any
) -> None:
    assert Columns(HEADER).row(fields)[column] == value


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (("", "DE", "1", "1", "1"), "the name is empty"),
        (("x" * 201, "", "", "", ""), "the name is longer than 200"),
        (("x", "y" * 101, "", "", ""), "the country is longer than 100"),
        (("x", "", "many", "", ""), "the population is no whole number .* 'many'"),
        (("x", "", "-1", "", ""), "the population is no whole number"),
        (("x", "", "1_000", "", ""), "the population is no whole number"),
        (("x", "", "٣", "", ""), "the population is no whole number"),
        (("x", "", "1000000000001", "", ""), "the population is no whole number"),
        (("x", "", "9" * 9000, "", ""), "the population is no whole number"),
        (("x", "", "", "90.1", ""), "the latitude is no number from -90 to 90"),
        (("x", "", "", "nan", ""), "the latitude is no number"),
        (("x", "", "", "", "inf"), "the longitude is no number"),
        (("x", "", "", "", "1,000,0"), "the longitude is no number"),
        (("x", "", ""), "has 3 fields, the header 5"),
        (("x", "", "", "", "", ""), "has 6 fields, the header 5"),
    ],
)
def test_given_a_bad_value_when_parsed_then_the_reason_names_it(fields: tuple[str, ...], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        Columns(HEADER).row(fields)
