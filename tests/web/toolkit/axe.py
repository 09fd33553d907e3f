"""What axe finds on a page, in the looks that it may have: light and dark, wide and narrow."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
Look = tuple[str, dict[str, int]]
LOOKS: list[Look] = [("light", DESK), ("dark", PHONE), ("dark", DESK), ("light", PHONE)]
#: All of axe's own choice, and the size of what is to be hit, which it leaves out.
AXE_OPTIONS = {"resultTypes": ["violations", "incomplete"], "rules": {"target-size": {"enabled": True}}}
#: Rules whose result may be another one in another look of the same page.
OF_THE_LOOK = ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block", "meta-viewport"]
AXE = Axe()


def examined(page: Page, look: Look) -> dict[str, Any]:
    """What axe says of a page in a look; once it has been there, only what depends on the look."""
    scheme, size = look
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size(size)  # type: ignore[arg-type]
    options = AXE_OPTIONS
    if page.evaluate("'axe' in window"):
        options = AXE_OPTIONS | {"runOnly": {"type": "rule", "values": OF_THE_LOOK}}
    else:
        page.evaluate(AXE.axe_script)
    return dict(page.evaluate("options => axe.run(options)", options))


def violations(found: dict[str, Any]) -> list[str]:
    """A line for each fault."""
    return [f"{rule['id']} ({rule['impact']}): {rule['help']} {where(rule)}" for rule in found["violations"]]


def where(rule: dict[str, Any]) -> list[str]:
    return [node["html"][:120] for node in rule["nodes"]]
