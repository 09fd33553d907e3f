// The progress page of one run. The server says what is true and what this user may do; this script asks, draws the
// answer, and passes presses of buttons on. A request that failed says nothing about the task: the state is asked
// for again. All words come from the server; they are only ever set as text.

const page = JSON.parse(document.getElementById("taskqueue-page").textContent);
const { urls, strings } = page;
const root = document.getElementById("taskqueue");
const part = (name) => document.getElementById(`tq-${name}`);

const LOG_LINES = 50;
const NEVER = 0x7fffffff; // the longest that a timer can wait
const hex = (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
// Of several pages one drives. A page that loads itself again keeps its name, so that the run need not wait until the name
// of before counts as gone; the name is out of reach while the page lives, so that a copy of the tab gets its own.
const DRIVER = `taskqueue-driver-${page.snapshot.run.id}`;
const former = takeName();
const driver = former ?? hex(16);

function takeName() {
  try {
    const name = sessionStorage.getItem(DRIVER);
    sessionStorage.removeItem(DRIVER);
    return name;
  } catch {
    return null; // a browser may refuse even that
  }
}

function keepName() {
  try {
    sessionStorage.setItem(DRIVER, driver);
  } catch {
    /* then the page after this one waits a moment */
  }
}
const clock = new Intl.DateTimeFormat(root.lang, { timeStyle: "medium" });
const calendar = new Intl.DateTimeFormat(root.lang, { dateStyle: "medium", timeStyle: "medium" });

let csrf = page.csrf;
let shown = null; // the snapshot on the page
let steady = 1000; // ms between two looks
let halted = false; // signed out or gone: no requests until the user comes back

const isOver = (snapshot) => ["completed", "aborted"].includes(snapshot.run.status);
// What was in hand when a run was aborted may still come to its end.
const isStill = (snapshot) => isOver(snapshot) && !(snapshot.run.status === "aborted" && snapshot.driver.alive);

// ---------------------------------------------------------------------------------------------------------- asking

/** One request. Answers {kind, data?}: ok, moved, csrf, refused, busy, sign_in, gone, outdated, or lost: nobody knows. */
async function call(url, { body, timeout, stop = new AbortController() }) {
  const timer = setTimeout(() => stop.abort(), timeout);
  try {
    const headers = { Accept: "application/json", "X-Driver": driver };
    if (body) Object.assign(headers, { "Content-Type": "application/json", "X-CSRFToken": csrf });
    const response = await fetch(url, {
      method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body),
      redirect: "manual", cache: "no-store", credentials: "same-origin", signal: stop.signal,
    });
    // What sends us elsewhere is a login, and what is no JSON comes from a gateway, not from the application.
    if (response.type === "opaqueredirect") return { kind: "sign_in" };
    const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
    const data = isJson ? await response.json() : null;
    return { kind: kindOf(response.status, data, body), data };
  } catch {
    return { kind: "lost" };
  } finally {
    clearTimeout(timer);
  }
}

function kindOf(status, data, isPost) {
  if (status === 401) return "sign_in";
  // An extension of the host's may refuse a token before our view is reached, with a page of its own.
  if (!data) return isPost && (status === 400 || status === 403) ? "csrf" : "lost";
  if (status === 200) return data.protocol === undefined || data.protocol === 1 ? "ok" : "outdated";
  // The page was there once: whom it is hidden from now is somebody else, or nobody any more.
  if (status === 404) return "sign_in";
  if (status === 403 && data.error?.code === "csrf") return "csrf";
  return { 409: "moved", 410: "gone", 429: "busy", 503: "busy" }[status] ?? (status >= 500 ? "lost" : "refused");
}

/** A POST; a token that is too old is replaced once, and the same request sent again. */
async function post(url, body, options) {
  const send = () => call(`${url}?after=${log.seq}`, { body, ...options });
  const answer = await send();
  if (answer.kind !== "csrf") return answer;
  const fresh = await call(urls.csrf, { timeout: 10000 });
  if (fresh.kind !== "ok") return fresh;
  csrf = fresh.data.csrf;
  const again = await send();
  return again.kind === "csrf" ? { ...again, kind: "refused" } : again;
}

/** Draw what an answer brought, and say what it means; tells whether the server is there and lets us go on. */
function receive({ kind, data }) {
  const snapshot = kind === "ok" ? data : data?.snapshot;
  if (snapshot) draw(snapshot);
  halted = ["sign_in", "gone", "outdated"].includes(kind);
  if (kind === "sign_in") say("halt", strings.sign_in, data?.error?.login_url ?? page.login_url ?? urls.page, strings.sign_in_link);
  else if (kind === "gone") say("halt", strings.gone);
  else if (kind === "outdated") say("halt", strings.outdated, urls.page, strings.reload);
  else say("halt", "");
  if (kind === "lost") say("line", strings.checking);
  else if (kind === "busy") say("line", data?.error?.message || strings.unavailable);
  else say("line", "");
  if (kind === "moved") say("remark", data?.error?.message || strings.moved_on);
  if (kind === "refused") say("remark", data?.error?.message || strings.refused);
  return kind === "ok" || kind === "moved" || kind === "refused";
}

// ---------------------------------------------------------------------------------------------------------- waiting

const bell = new EventTarget();
const ring = () => bell.dispatchEvent(new Event("ring"));

/** Wait; something that makes waiting pointless rings the bell. */
const sleep = (ms) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      bell.removeEventListener("ring", done); // else there is one more listener with each look
      resolve();
    };
    const timer = setTimeout(done, ms);
    bell.addEventListener("ring", done);
  });

const backoff = (failures) => Math.min(5000, 400 * 2 ** Math.min(failures, 4)) * (0.5 + Math.random() / 2);

/** Until the next look. A snapshot that asks for work names no time, so the last one that did counts. */
function pace() {
  if (halted || isStill(shown)) return NEVER;
  return document.hidden ? Math.max(5000, steady) : steady;
}

// ---------------------------------------------------------------------------------------------------------- driving

let pollFailures = 0;
let driveFailures = 0;
let driveAfter = 0;
let driving = null;

async function poll() {
  const slow = setTimeout(() => say("line", strings.checking), 2500);
  const answer = await call(`${urls.state}?after=${log.seq}`, { timeout: 10000 });
  clearTimeout(slow);
  const isFine = receive(answer);
  pollFailures = isFine || halted ? 0 : pollFailures + 1;
  return pollFailures ? backoff(pollFailures) : pace();
}

/** Have the server work for its budget. When that takes long the state is looked at meanwhile. */
async function kick() {
  const { version } = shown.run;
  const { done } = shown.progress;
  const begun = performance.now();
  const stop = new AbortController();
  driving = stop;
  const beside = setTimeout(async () => {
    for (let idle = 0; driving === stop && !halted; ) {
      const before = shown;
      await poll();
      // Nothing runs or moves although this page shall drive: whoever has our request stands still or is gone.
      const isIdle = shown.drive && !shown.running.length && shown.progress.done === before.progress.done;
      idle = isIdle ? idle + 1 : 0;
      if (idle > 2) stop.abort();
      if (driving === stop) await sleep(Math.min(pace(), 5000));
    }
  }, 1200);
  const answer = await post(urls.drive, { request_id: hex(16) }, { timeout: 60000, stop });
  driving = null;
  clearTimeout(beside);
  if (answer.kind === "ok") {
    driveFailures = 0;
    say("drive", "");
    receive(answer);
    // An answer at once that brought nothing: asking again at once would bring as little.
    const isIdle = performance.now() - begun < 250 && shown.run.version === version && shown.progress.done === done;
    return shown.drive && !isIdle ? 0 : pace();
  }
  driveFailures += 1;
  driveAfter = performance.now() + backoff(driveFailures - 1);
  // A lost answer is no failure of the task, nor worth a word while the state can be had and it does not repeat itself.
  if (answer.kind !== "lost") receive(answer);
  if (driveFailures >= 5) say("drive", strings.stuck);
  return 0;
}

async function loop() {
  let wait = shown.drive || former ? 0 : pace();
  for (;;) {
    if (wait > 0) await sleep(wait);
    const hold = driveAfter - performance.now();
    if (shown.drive && !halted && hold <= 0) {
      wait = await kick();
    } else {
      wait = await poll();
      if (shown.drive && !halted && !pollFailures) wait = Math.max(0, driveAfter - performance.now());
    }
  }
}

// ---------------------------------------------------------------------------------------------------------- acting

let acting = null; // the key of the pressed button, until its answer is here
let lastPress = -Infinity;
const confirmBox = part("confirm");
let asked = null; // the key of the action that the open dialog asks about

async function press(form) {
  const action = shown.actions.find((each) => keyOf(each) === form.dataset.key);
  const button = form.querySelector("button");
  if (!action || acting || asked || button.getAttribute("aria-disabled") === "true") return;
  say("remark", "");
  if (action.confirm && !(await confirmed(action))) return;
  acting = form.dataset.key;
  lastPress = performance.now();
  lock();
  // The same id with every repetition, so that the server does it once; and a new one for the next press.
  const body = { request_id: hex(16) };
  if (action.item_id != null) Object.assign(body, { item_id: action.item_id, fence: action.fence });
  let answer;
  for (let tries = 0; ; tries += 1) {
    answer = await post(urls.actions[action.verb], body, { timeout: 15000 });
    if (answer.kind !== "lost" && answer.kind !== "busy") break;
    say("remark", strings.resending);
    await sleep(backoff(tries));
  }
  say("remark", "");
  acting = null;
  receive(answer);
  lock();
  ring();
}

function confirmed(action) {
  if (!confirmBox.showModal) return window.confirm(action.confirm);
  asked = keyOf(action);
  setText(part("confirm-title"), action.label);
  setText(part("confirm-text"), action.confirm);
  setText(part("confirm-yes"), action.label);
  confirmBox.returnValue = "";
  confirmBox.showModal();
  return new Promise((resolve) => {
    confirmBox.addEventListener("close", () => {
      asked = null;
      resolve(confirmBox.returnValue === "yes");
    }, { once: true });
  });
}

/** `aria-disabled`, because `disabled` would drop the focus. */
function lock() {
  for (const form of part("actions").querySelectorAll("form")) {
    const button = form.querySelector("button");
    button.setAttribute("aria-disabled", String(Boolean(acting) || form.dataset.young === "true"));
    button.setAttribute("aria-busy", String(acting === form.dataset.key));
  }
}

/** A button that has just taken the place of a pressed one must not get the second half of a double click. */
function protect(form) {
  if (performance.now() - lastPress > 1000) return;
  form.dataset.young = "true";
  setTimeout(() => {
    delete form.dataset.young;
    lock();
  }, 400);
}

// ---------------------------------------------------------------------------------------------------------- drawing

function setText(element, text) {
  // Only what is new, so that live regions keep still and a selection survives.
  if (element.textContent !== text) element.textContent = text;
}

function put(name, text) {
  const element = part(name);
  setText(element, text ?? "");
  element.hidden = !text;
}

function draw(next) {
  if (shown) {
    const { version } = shown.run;
    const isOlder = next.run.version < version || (next.run.version === version && next.server_time < shown.server_time);
    log.add(next.log);
    if (isOlder) return;
  } else {
    log.add(next.log);
  }
  const before = shown;
  shown = next;
  steady = next.poll_ms || steady;
  if (next.csrf) csrf = next.csrf;
  const { run, progress, text } = next;

  for (const name of [...root.classList]) if (name.startsWith("tq-is-")) root.classList.remove(name);
  root.classList.add(`tq-is-${run.status}`);
  const badge = part("status");
  badge.dataset.status = run.status;
  badge.classList.toggle("tq-badge-failures", run.status === "completed" && progress.failed > 0);
  setText(badge, text.status);
  setText(part("title"), run.title);
  for (const name of ["line", "summary", "counts", "time", "retry", "warning", "driver"]) put(name, text[name]);
  part("bar").value = progress.percent;
  part("bar").setAttribute("aria-valuetext", text.bar);
  setText(part("percent"), text.percent);
  setText(part("announce"), text.announce);
  if (document.title !== text.title) document.title = text.title;

  drawRunning(next);
  drawProblem(next);
  drawFailures(next);
  drawActions(next);
  part("notify").hidden = !canNotify() || isOver(next);
  if (before) notice(before, next);
  if (before && !isOver(before) && run.status === "completed") leave(next);
}

function drawRunning({ running, text }) {
  const list = part("running");
  list.hidden = !running.length;
  while (list.children.length > running.length) list.lastElementChild.remove();
  running.forEach((item, index) => {
    if (index >= list.children.length) list.append(part("running-pattern").content.cloneNode(true));
    const row = list.children[index];
    const bar = row.querySelector("progress");
    row.classList.toggle("tq-task-stale", item.lease.stale);
    bar.hidden = item.fraction === null;
    bar.value = item.fraction ?? 0;
    for (const name of ["line", "note", "lease"]) {
      const element = row.querySelector(`.tq-task-${name}`);
      setText(element, text.running[index][name]);
      element.hidden = !text.running[index][name];
    }
  });
}

function drawProblem({ problem, text }) {
  const box = part("problem");
  if (problem) {
    setText(part("problem-title"), text.problem.heading);
    put("problem-explanation", text.problem.explanation);
    put("problem-message", problem.message);
    setText(part("problem-where"), text.problem.where);
    setText(part("problem-when"), calendar.format(problem.when * 1000));
    part("problem-when").dateTime = text.problem.iso;
    setText(part("trace-text"), problem.trace ?? "");
    part("trace").hidden = !problem.trace;
    part("copy").hidden = false;
  } else if (box.contains(document.activeElement)) {
    part("title").focus();
  }
  box.hidden = !problem;
}

function drawFailures({ failures, text }) {
  const list = part("failures-list");
  part("failures").hidden = !failures.length;
  setText(part("failures-title"), text.failures.heading);
  put("failures-more", text.failures.more);
  const wanted = JSON.stringify(failures);
  if (list.dataset.shown === wanted) return;
  list.dataset.shown = wanted;
  list.replaceChildren(
    ...failures.map(({ item_id, title, message }) => {
      const row = document.createElement("li");
      row.append(element("strong", title || String(item_id)), element("span", message));
      return row;
    }),
  );
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.dir = "auto";
  made.textContent = text;
  return made;
}

const keyOf = ({ verb, item_id, fence }) => `${verb}:${item_id ?? ""}:${fence ?? ""}`;

/** Exactly the buttons of the snapshot. One that stays is left alone, so that it keeps the focus. */
function drawActions({ actions, run }) {
  const box = part("actions");
  const end = part("end");
  const target = isOver(shown) ? safeUrl(run.end_url) : null;
  if (target) end.href = target;
  end.hidden = !target;
  const known = new Map([...box.querySelectorAll("form")].map((form) => [form.dataset.key, form]));
  const focused = document.activeElement;
  const had = box.contains(focused);
  actions.forEach((action, index) => {
    const key = keyOf(action);
    let form = known.get(key);
    known.delete(key);
    if (!form) {
      form = part("action-pattern").content.firstElementChild.cloneNode(true);
      form.action = urls.actions[action.verb];
      form.elements.request_id.value = hex(16);
      Object.assign(form.dataset, { verb: action.verb, key });
      protect(form);
    }
    fill(form, action);
    // The link stands first. Moving an element would take the focus from it, so only what stands wrong is moved.
    if (box.children[index + 1] !== form) box.insertBefore(form, box.children[index + 1] ?? null);
  });
  for (const form of known.values()) form.remove();
  box.hidden = !actions.length && !target;
  lock();
  if (asked && !actions.some((action) => keyOf(action) === asked)) {
    confirmBox.close("");
    say("remark", strings.moved_on);
    // Without the button that opened it, the focus stays in the closed dialog, and is lost a moment later.
    if (document.activeElement === document.body || confirmBox.contains(document.activeElement)) part("title").focus();
  }
  if (had && !box.contains(document.activeElement)) {
    if (focused.isConnected && !box.hidden) focused.focus();
    else part("title").focus();
  }
}

function fill(form, { item_id, fence, label, hint }) {
  form.querySelector("[data-csrf]").value = csrf;
  for (const [name, value] of Object.entries({ item_id, fence })) {
    form.elements[name].value = value ?? "";
    form.elements[name].disabled = value == null;
  }
  const button = form.querySelector("button");
  const words = form.querySelector(".tq-hint");
  setText(button, label);
  setText(words, hint ?? "");
  words.hidden = !hint;
  form.classList.toggle("tq-action-explained", Boolean(hint));
  if (hint) {
    words.id = `tq-hint-${form.dataset.verb}-${item_id ?? ""}`;
    button.setAttribute("aria-describedby", words.id);
  } else {
    button.removeAttribute("aria-describedby");
  }
}

// -------------------------------------------------------------------------------------------------------- one notice

let fading = 0; // a remark on a press is soon out of date
const said = { halt: [""], line: [""], remark: [""], drive: [""] };

/** What is the matter: the end of it, or the connection, the last press, the work. */
function say(topic, ...words) {
  said[topic] = words;
  if (topic === "remark") {
    clearTimeout(fading);
    if (words[0] && !acting) fading = setTimeout(say, 20000, topic, "");
  }
  const [, href, label] = said.halt;
  const link = part("notice-link");
  const text = said.halt[0] || Object.values(said).map(([each]) => each).filter(Boolean).join(" ");
  setText(part("notice-text"), text);
  part("notice").hidden = !text;
  link.hidden = !href;
  if (href) {
    link.href = safeUrl(href) ?? urls.page;
    setText(link, label);
  }
}

/** Web addresses only: no other scheme may come in by a link. */
function safeUrl(url) {
  try {
    const { href, protocol } = new URL(url, location.href);
    return url && ["http:", "https:"].includes(protocol) ? href : null;
  } catch {
    return null;
  }
}

// --------------------------------------------------------------------------------------------------------------- log

const log = {
  seq: 0,
  lines: [],
  errors: null, // only once they have been asked for: older than what the page holds
  add(lines) {
    const fresh = lines.filter((line) => line.seq > this.seq);
    if (!fresh.length) return;
    this.seq = fresh.at(-1).seq;
    this.lines = [...this.lines, ...fresh].slice(-LOG_LINES);
    this.errors &&= [...this.errors, ...fresh.filter((line) => line.level === "error")].slice(-LOG_LINES);
    this.draw();
  },
  draw() {
    const box = part("log");
    const list = part("log-list");
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 8;
    const errorsOnly = part("errors-only").checked;
    const lines = errorsOnly ? this.errors ?? this.lines.filter((line) => line.level === "error") : this.lines;
    const kept = new Map([...list.children].map((row) => [Number(row.dataset.seq), row]));
    list.replaceChildren(...lines.map((line) => kept.get(line.seq) ?? this.row(line)));
    part("log-empty").hidden = lines.length > 0;
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  },
  row({ seq, time, level, message }) {
    const row = document.createElement("li");
    const words = element("span", message);
    const when = document.createElement("time");
    when.dateTime = new Date(time * 1000).toISOString();
    when.textContent = clock.format(time * 1000);
    row.dataset.seq = seq;
    if (level !== "info") {
      row.className = `tq-log-${level}`;
      words.dataset.label = strings[level] ?? level;
    }
    row.append(when, words);
    return row;
  },
  async filter() {
    this.draw();
    if (!part("errors-only").checked || this.errors) return;
    const { kind, data } = await call(`${urls.log}?level=error&format=json&after=0`, { timeout: 10000 });
    const lines = Array.isArray(data) ? data : data?.log;
    if (kind !== "ok" || !lines) return;
    this.errors = lines.filter((line) => line.level === "error").slice(-LOG_LINES);
    this.draw();
  },
};

// ------------------------------------------------------------------------------------------- what a browser can do

async function copy() {
  const { problem, text } = shown;
  const button = part("copy");
  const label = button.dataset.label ?? button.textContent;
  const words = [text.problem.heading, `${text.problem.where} · ${text.problem.when}`, problem.message, problem.trace];
  const copied = await toClipboard(words.filter(Boolean).join("\n"));
  button.dataset.label = label;
  setText(button, copied ? strings.copied : strings.copy_failed);
  setTimeout(() => setText(button, label), 2000);
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain http has no clipboard: the old way, over a field out of sight.
    const field = document.createElement("textarea");
    const focused = document.activeElement;
    field.className = "tq-unseen";
    field.value = text;
    root.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return copied;
  }
}

const NOTIFY = `taskqueue-notify-${page.snapshot.run.id}`;

function canNotify() {
  return window.isSecureContext && "Notification" in window && Notification.permission !== "denied";
}

/** The tab's own memory; a browser may refuse even that. */
function remembered(value) {
  try {
    if (value === undefined) return sessionStorage.getItem(NOTIFY) === "yes";
    sessionStorage.setItem(NOTIFY, value ? "yes" : "no");
  } catch {
    /* then it is only not remembered */
  }
  return value === true;
}

const notifyOn = () => part("notify").getAttribute("aria-pressed") === "true";

async function toggleNotify() {
  const isOn = !notifyOn() && (await Notification.requestPermission()) === "granted";
  part("notify").setAttribute("aria-pressed", String(isOn));
  part("notify").hidden = !canNotify();
  remembered(isOn);
}

/** Only what calls for the user, and only while the page is out of sight. */
function notice(before, { run, text, problem }) {
  const calls = run.status === "blocked" || isOver(shown);
  if (before.run.status === run.status || !calls || !document.hidden || !notifyOn()) return;
  try {
    new Notification(run.title, { body: problem ? text.problem.heading : text.summary, tag: NOTIFY });
  } catch {
    /* some browsers notify from service workers only */
  }
}

/** On to the page after the run: only for whoever looks on, and never past failures. */
function leave({ run, progress }) {
  const target = safeUrl(run.end_url);
  if (!target || progress.failed || document.hidden) return;
  setTimeout(() => {
    if (!document.hidden && shown.run.status === "completed") location.assign(target);
  }, 800);
}

// ------------------------------------------------------------------------------------------------------------- begin

document.addEventListener("submit", (event) => {
  const form = event.target.closest("#tq-actions form");
  if (!form) return;
  event.preventDefault();
  press(form);
});
// A key that is held down is one press.
root.addEventListener("keydown", (event) => {
  if (event.repeat && event.key === "Enter" && event.target.closest("button")) event.preventDefault();
});
part("copy").addEventListener("click", copy);
part("notify").addEventListener("click", toggleNotify);
part("errors-only").addEventListener("change", () => log.filter());
part("filter").hidden = false;

document.addEventListener("visibilitychange", () => document.hidden || ring());
window.addEventListener("pagehide", keepName);
window.addEventListener("focus", () => halted && ring()); // perhaps somebody has signed in elsewhere
window.addEventListener("pageshow", (event) => event.persisted && (takeName(), ring()));
window.addEventListener("online", () => {
  // A request from before may wait for an answer that got lost with the old connection.
  driving?.abort();
  ring();
});

part("notify").setAttribute("aria-pressed", String(canNotify() && Notification.permission === "granted" && remembered()));
part("log-list").replaceChildren();
draw(page.snapshot);
part("log").scrollTop = part("log").scrollHeight;
loop();
