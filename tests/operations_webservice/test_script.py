"""A program of somebody who knows the page of coreBOS alone works with the door, on the contacts of the demo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.operations_client.conftest import served
from tests.operations_webservice.conftest import WAITING, Door
from tests.operations_webservice.test_crm import KEYS, crm, shop

__all__ = ["crm", "shop"]
SCRIPT = Path(__file__).with_name("script.py")
SENTENCE = WAITING["result"]


def test_a_script_that_knows_the_page_alone_works(shop: Door) -> None:
    session = shop.login("maria", KEYS["maria"])["result"]["sessionName"]
    with served(shop.app) as (host, port):
        command = [sys.executable, str(SCRIPT), f"http://{host}:{port}/webservice.php", session]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as script:
            assert script.stdin is not None
            assert script.stdout is not None
            before = json.loads(script.stdout.readline())
            assert shop.ops.drain() == 3
            script.stdin.write("cron has run\n")
            script.stdin.close()
            after, once_more = map(json.loads, script.stdout)
    assert script.returncode == 0
    assert before == once_more == [SENTENCE] * 3
    assert [(one["success"], one["result"]["name"]) for one in after] == [(True, "Contacts")] * 3
