"""Watches pages in a browser for data that have become markup or script."""

from __future__ import annotations

import json
import re
import unicodedata
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, Request

from tests.web.toolkit.browser import Complaints

# In each page before anything of its own: whatever the data may call, and every element and attribute that comes to be.
_WATCHER = """
(() => {
  const tell = (what) => console.error(`ATTACK: ${what}`);
  for (const name of ["alert", "confirm", "prompt", "print", "open"]) window[name] = () => tell(`${name} was called`);
  window.tqHit = () => tell("a script of the data was executed");
  const FOREIGN = new Set(["svg", "iframe", "object", "embed", "base", "marquee", "video", "audio", "math", "frame",
    "frameset", "applet", "style", "animate", "mglyph", "bgsound", "area", "b"]);
  const ADDRESSES = new Set(["href", "src", "action", "formaction", "data", "xlink:href", "srcdoc", "poster", "ping"]);
  const isOwn = (value) => {
    try { return new URL(value, location.href).origin === location.origin; } catch { return false; }
  };
  const ofElement = (element) => {
    const name = element.localName;
    // Charts are drawn on the server: of our own class, or in our own box, and of shapes alone.
    const isChart = name === "svg" && (element.matches(".tq-spark") || element.closest(".tq-chart-box"))
      && [...element.querySelectorAll("*")].every((each) => ["path", "rect", "polyline"].includes(each.localName));
    if (FOREIGN.has(name) && !isChart) return `an element ${name}`;
    const isOurs = /^[/].*static[/]/.test(element.getAttribute("src"));
    if (name === "script" && element.type !== "application/json" && !isOurs) return "a script";
    if (name === "img" && !isOurs) return "a picture";
    if (name === "meta" && /refresh/i.test(element.httpEquiv) && !/url=[/][^/]/.test(element.content))
      return "a page that leads away";
    for (const { name, value } of element.attributes) {
      if (name.startsWith("on")) return `an attribute ${name}`;
      if (ADDRESSES.has(name) && (name === "srcdoc" || !isOwn(value))) return `${name} leads to ${value}`;
      if (name === "style" && /url|expression/i.test(value)) return "a style";
    }
    return "";
  };
  const look = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    for (const element of [node, ...node.querySelectorAll("*")]) {
      const odd = ofElement(element);
      if (odd) tell(`${odd}: ${element.outerHTML.slice(0, 200)}`);
    }
  };
  new MutationObserver((changes) => {
    for (const change of changes) change.type === "attributes" ? look(change.target) : change.addedNodes.forEach(look);
  }).observe(document, { childList: true, subtree: true, attributes: true });
})();
"""


class Watched:
    """Pages of one visitor; what is wrong with them is among the complaints."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints = Complaints()
        self.complaints.listen_to(context)
        # Refusals are not what is looked for here.
        self.complaints.allow(r"Failed to load resource: the server responded with a status of [45]")
        context.add_init_script(_WATCHER)
        self._asked: list[str] = []
        context.on("request", self._note)

    def faults(self) -> list[str]:
        """What was wrong so far."""
        return [*self.complaints.unexpected(), *self._asked]

    def _note(self, request: Request) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            self._asked.append(f"a request for {request.url[:200]}")


def text_of(page: Page) -> str:
    """Everything that a page says, whether it is HTML, JSON or text; with its title and what its fields hold."""
    found: str = page.evaluate(
        """() => [document.title, document.documentElement.textContent,
        ...[...document.querySelectorAll("input, textarea")].map((field) => field.value)].join("\\n")"""
    )
    return found


def says(found: str, text: str) -> bool:
    """Whether ``text`` stands there as it is; JSON has it with its escapes."""
    return flat(text) in flat(found) or flat(json.dumps(text)[1:-1]) in flat(found)


def flat(text: str) -> str:
    """What is to be compared: without what pages put between (spaces, isolating marks) or leave out (controls)."""
    kept = (char for char in text if not char.isspace() and unicodedata.category(char) not in ("Cc", "Cf"))
    return re.sub(r"\\(?:[tnrbf]|u00[01][0-9a-f])", "", "".join(kept))
