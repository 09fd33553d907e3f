"""Options of a queue: what stands in the form as it was shown is not meant, because others change them, too."""

from __future__ import annotations

import re

from tests.web_api.dashboard.stage import SEEN, Stage, service_of

ADDRESS = f"/queues/{SEEN}"


def test_a_form_changes_only_what_was_changed_in_it(stage: Stage) -> None:
    # given: the form of ann
    ann, eve = stage.visitor(name="adam"), stage.visitor(name="eve")
    page = ann.get(ADDRESS).text
    shown = dict(re.findall(r'<input type="hidden" name="was_(\w+)" value="([^"]*)">', page))
    assert shown.keys() >= {"lease_time", "retry_limit", "error"}
    # when: somebody else changes one option, she another one
    assert (
        eve.submit(f"{ADDRESS}/options", {"lease_time": "77", "was_lease_time": shown["lease_time"]}).status_code == 303
    )
    form = {**shown, "retry_limit": "5", **{f"was_{name}": value for name, value in shown.items()}}
    assert ann.submit(f"{ADDRESS}/options", form).status_code == 303
    # then
    queue = service_of(stage.usual).load(SEEN)
    assert queue.status
    assert (queue.spec.lease_time, queue.spec.retry_limit) == (77, 5)
    edits = stage.rows("SELECT actor, detail FROM taskqueue_audit WHERE action = 'edit' ORDER BY id")
    assert [actor for actor, _detail in edits] == ["user:eve", "user:adam"]
    assert "lease_time" not in edits[1][1]


def test_a_pause_in_between_stays(stage: Stage) -> None:
    visitor = stage.visitor()
    assert visitor.submit(f"{ADDRESS}/steer", {"verb": "pause"}).status_code == 303
    assert visitor.submit(f"{ADDRESS}/options", {"retry_limit": "5"}).status_code == 303
    assert service_of(stage.usual).load(SEEN).status == "paused"
