"""Tables of another release are refused, with a sentence that says what to do."""

from __future__ import annotations

import pytest

from taskqueue.errors import SchemaError
from tests.servers import ALL_DATABASES
from tests.storage.conftest import MakeService

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)


@each_database
@pytest.mark.parametrize(
    ("revision", "advice"), [("0000", "taskqueue db upgrade"), ("9999", "upgrade taskqueue-runner")]
)
def test_given_tables_of_another_release_when_used_then_the_error_says_which_side_to_upgrade(
    make_service: MakeService, database_url: str, revision: str, advice: str
) -> None:
    # given
    first = make_service(database_url)
    first.create("Sql", "mail").create_item("x")
    first.database.statement(lambda tx: tx.change("UPDATE {version} SET version_num = :found", found=revision))
    # when
    with pytest.raises(SchemaError, match=advice) as caught:
        make_service(database_url).load("mail")
    # then
    assert revision in str(caught.value)


@each_database
def test_given_tables_without_a_stamp_when_used_then_they_are_stamped_and_keep_their_items(
    make_service: MakeService, database_url: str
) -> None:
    first = make_service(database_url)
    first.create("Sql", "mail").create_item("x")
    first.database.statement(lambda tx: tx.change("DELETE FROM {version}"))

    assert make_service(database_url).load("mail").number_of_items() == 1
