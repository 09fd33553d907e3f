/* The dashboard without a library: the server draws every page, and this asks for it again and swaps the parts that are
   marked with data-live. Nothing is torn away from under a finger: while a row is selected, a field has the focus or
   holds something unsent, a <details> or a dialog is open in a part, or the tab is hidden, it waits. */

const root = document.getElementById("taskqueue-dashboard");
const strings = JSON.parse(document.getElementById("tq-strings").textContent);
const said = document.getElementById("tq-said");
const every = document.getElementById("tq-every");
const help = document.getElementById("tq-help");
const keysOn = document.getElementById("tq-keys-on");

// ------------------------------------------------------------------------------------------------------ remembering

/** What this browser has chosen; where storage is forbidden it lasts as long as the page. */
const chosen = {
  get: (name, usual) => { try { return localStorage.getItem(`taskqueue-${name}`) ?? usual; } catch { return usual; } },
  set: (name, value) => { try { localStorage.setItem(`taskqueue-${name}`, value); } catch { /* not kept */ } },
};

// -------------------------------------------------------------------------------------------------------- selecting

const boxes = (form) => [...form.querySelectorAll('input[name="items"][type="checkbox"]')];

for (const form of root.querySelectorAll("[data-selection]")) {
  const all = form.querySelector("[data-all]");
  if (!all) continue;
  all.closest("label").hidden = false;
  const agree = () => {
    const found = boxes(form);
    all.checked = found.length > 0 && found.every((box) => box.checked);
    all.indeterminate = !all.checked && found.some((box) => box.checked);
  };
  form.addEventListener("change", ({ target }) => {
    if (target === all) for (const box of boxes(form)) box.checked = all.checked;
    agree();
  });
  agree();
}

// A second press of the same button would ask for the same thing twice.
root.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 5000);
});
// A page that comes back from the browser's memory was sent long ago.
addEventListener("pageshow", () => { for (const form of root.querySelectorAll("form")) delete form.dataset.sent; });

// ------------------------------------------------------------------------------------------------------- refreshing

let timer = 0;
let failures = 0;

/** Why the page must not change now, or "". */
function busy() {
  if (document.hidden) return "hidden";
  if (root.querySelector('input[name="items"]:checked')) return "selected";
  if (root.querySelector("dialog[open]")) return "dialog";
  const active = document.activeElement;
  if (active && root.contains(active) && active.matches("input:not([type=checkbox]), select:not(#tq-every), textarea")) return "field";
  if (active && active.closest("[data-live]")) return "focus";
  if ([...root.querySelectorAll("input.tq-input")].some((field) => field.value !== field.defaultValue)) return "unsent";
  return root.querySelector("[data-live] details[open]") ? "open" : "";
}

async function refresh(force) {
  clearTimeout(timer);
  const reason = force ? "" : busy();
  if (!reason || reason === "open") await ask(reason === "open");
  plan();
}

async function ask(keepsOpen) {
  const url = new URL(location.href);
  url.hash = "";
  for (const name of ["done", "n", "of"]) url.searchParams.delete(name);
  try {
    const answer = await load(url.href);
    if (answer.responseURL !== url.href || [401, 403, 404].includes(answer.status)) return fail(strings.sign_in);
    if (answer.status !== 200) return fail(strings.lost);
    swap(answer.response, keepsOpen);
    if (failures) say("");
    failures = 0;
  } catch {
    fail(await leadsAway(url.href) ? strings.sign_in : strings.lost);
  }
}

function fail(text) {
  failures += 1;
  say(text);
}

/** A page, parsed by the browser: a policy of the host's with trusted types would not let this script do it. */
function load(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = 10000;
    for (const [name, value] of [["X-Taskqueue-Live", "1"], ["Accept", "text/html"], ["Cache-Control", "no-cache"]]) {
      request.setRequestHeader(name, value);
    }
    request.onload = () => resolve(request);
    request.onerror = request.ontimeout = reject;
    request.send();
  });
}

/** Whether the server sends to another origin, where people sign in: to a request above that is no answer at all. */
async function leadsAway(url) {
  const headers = { "X-Taskqueue-Live": "1" };
  try {
    return (await fetch(url, { headers, redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(5000) })).type
      === "opaqueredirect";
  } catch {
    return false;
  }
}

/** Put the parts of a new page in the places of the old ones; what has not changed stays as it is. */
function swap(fresh, keepsOpen) {
  const found = fresh.getElementById("taskqueue-dashboard");
  if (!found) return;
  for (const old of root.querySelectorAll("[data-live]")) {
    const next = found.querySelector(`[data-live="${CSS.escape(old.dataset.live)}"]`);
    if (!next || old.isEqualNode(next)) continue;
    if (keepsOpen && old.querySelector("details[open]")) continue;
    // Somebody may have begun something while the answer was on its way.
    if (old.contains(document.activeElement) || old.querySelector('input[name="items"]:checked')) continue;
    old.replaceWith(document.importNode(next, true));
  }
}

function say(text) {
  if (said.textContent === text) return;
  said.textContent = text;
}

// What was done is said once, and not again by a bookmark.
if (said.textContent) {
  const url = new URL(location.href);
  for (const name of ["done", "n", "of"]) url.searchParams.delete(name);
  history.replaceState(history.state, "", url);
}

// What stands there when a page opens is not read out; what comes later is.
if (said.textContent) setTimeout(() => { said.textContent = said.textContent; }, 200);

function plan() {
  clearTimeout(timer);
  const seconds = Number(every.value);
  if (seconds) timer = setTimeout(refresh, seconds * 1000 * Math.min(2 ** failures, 8));
}

document.getElementById("tq-refresh").hidden = false;
every.value = chosen.get("refresh", "5");
if (!every.value) every.value = "5";
every.addEventListener("change", () => { chosen.set("refresh", every.value); plan(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && Number(every.value)) refresh(); });
plan();

// ------------------------------------------------------------------------------------------------------------- keys

keysOn.checked = chosen.get("keys", "on") === "on";
keysOn.addEventListener("change", () => chosen.set("keys", keysOn.checked ? "on" : "off"));
document.getElementById("tq-keys").addEventListener("click", () => help.showModal());

document.addEventListener("keydown", (event) => {
  if (!keysOn.checked || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, select, textarea, dialog[open], [contenteditable]")) return;
  if (event.key === "/") {
    const field = document.getElementById("tq-text");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "r") {
    event.preventDefault();
    refresh(true);
  } else if (event.key === "?") {
    event.preventDefault();
    help.showModal();
  }
});
