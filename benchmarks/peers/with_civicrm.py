"""The statements of CiviCRM's ``Sql`` queue on MariaDB: the head by weight and id, leased, deleted, counted each time.

In favour of it, its LOCK TABLES and its second count are left out, and what PHP costs.
"""

from __future__ import annotations

import json
import os
import sys

import pymysql
from sqlalchemy.engine import make_url

from .contestant import url
from .witness import argument, mark

_TABLE = """CREATE TABLE IF NOT EXISTS civicrm_queue_item (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, queue_name VARCHAR(64) NOT NULL, weight INT NOT NULL,
    submit_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, release_time TIMESTAMP NULL,
    run_count INT NOT NULL DEFAULT 0, data LONGTEXT, INDEX index_queueids (queue_name, weight, id))"""


def _cursor() -> pymysql.cursors.Cursor:
    address = make_url(url())
    return pymysql.connect(
        host=address.host, port=address.port or 3306, user=address.username, database=address.database,
        autocommit=True, ssl_disabled=True,
    ).cursor()  # fmt: skip


def produce(count: int, bulk: bool) -> None:
    """Put tasks in."""
    cursor = _cursor()
    cursor.execute(_TABLE)
    rows = [("bench", 0, json.dumps(argument(number))) for number in range(count)]
    insert = "INSERT INTO civicrm_queue_item (queue_name, weight, data) VALUES (%s, %s, %s)"
    if bulk:
        cursor.executemany(insert, rows)
        return
    for row in rows:
        cursor.execute(insert, row)


def _work() -> None:
    cursor = _cursor()
    while True:
        cursor.execute("SELECT COUNT(*) FROM civicrm_queue_item WHERE queue_name = %s", ("bench",))
        cursor.execute(
            "SELECT id, data FROM civicrm_queue_item WHERE queue_name = %s ORDER BY weight, id LIMIT 1", ("bench",)
        )
        row = cursor.fetchone()
        if row is None:
            return
        cursor.execute(
            "UPDATE civicrm_queue_item SET release_time = UTC_TIMESTAMP() + INTERVAL 1 HOUR, run_count = run_count + 1 "
            "WHERE id = %s",
            (row[0],),
        )
        mark(json.loads(row[1]))
        cursor.execute("DELETE FROM civicrm_queue_item WHERE id = %s", (row[0],))


if __name__ == "__main__":
    assert os.environ and len(sys.argv) == 1
    _work()
