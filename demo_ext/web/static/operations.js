// Brings the calls on the page up to date from the API of the operations. Without it the page works by reloading.
"use strict";

(() => {
  const list = document.getElementById("calls");
  if (!list) return;
  const news = document.getElementById("news");
  const trouble = document.getElementById("trouble");
  const states = JSON.parse(list.dataset.states);
  const RETRIED = ["dead", "failed"];
  const FINAL = [...RETRIED, "succeeded", "cancelled", "expired"];
  const PAUSE = 700;
  const LONGEST_PAUSE = 20000;
  const LONGEST_RESULT = 2000;
  let pause = PAUSE;
  let timer = 0;

  class SignedOut extends Error {}

  async function asked(address) {
    const answer = await fetch(address, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) throw new SignedOut();
    if (answer.status >= 500 || answer.status === 429) throw new Error(`status ${answer.status}`);
    return answer;
  }

  // One round: each call that has not ended is looked at, one after the other.
  async function look() {
    timer = 0;
    if (document.hidden) return;
    try {
      for (const item of list.querySelectorAll("[data-open]")) {
        const answer = await asked(item.dataset.self);
        if (answer.ok) await show(item, await answer.json());
        else leave(item);
      }
      pause = PAUSE;
      trouble.hidden = true;
    } catch (error) {
      if (error instanceof SignedOut) {
        say("Somebody else is signed in now: load the page again.");
        return;
      }
      pause = Math.min(pause * 2, LONGEST_PAUSE);
      trouble.hidden = false;
    }
    again();
  }

  function again() {
    if (!timer && list.querySelector("[data-open]")) timer = setTimeout(look, pause);
  }

  // The call of an item as the API tells of it.
  async function show(item, call) {
    const isFinal = FINAL.includes(call.state);
    const [label, kind] = states[call.state] ?? [call.state, ""];
    // Before the state is told: whoever hears that it is done finds the result.
    if (call.state === "succeeded") await showResult(item, call.links.result);
    showProgress(item, call);
    if (call.state === item.dataset.state) return;
    item.dataset.state = call.state;
    item.toggleAttribute("data-open", !isFinal);
    const badge = item.querySelector(".badge");
    badge.className = `badge ${kind}`;
    badge.textContent = label;
    offer(item, { cancel: !isFinal, retry: RETRIED.includes(call.state), forget: isFinal });
    say(`${call.operation}: ${label}`);
  }

  function showProgress(item, call) {
    const bar = item.querySelector("progress");
    const { progress, error } = call;
    bar.hidden = !(progress && call.state === "running");
    if (progress?.total) {
      bar.max = progress.total;
      bar.value = progress.done;
    } else bar.removeAttribute("value");
    let words = bar.hidden ? "" : progress.message;
    if (error) words = `${error.message} (${error.code})`;
    else if (call.state === "scheduled" && call.due) words = `due at ${call.due.slice(11, 19)} UTC`;
    item.querySelector(".words").textContent = words;
  }

  async function showResult(item, address) {
    const answer = await asked(address);
    const came = item.querySelector(".came");
    const isFile = (answer.headers.get("Content-Disposition") ?? "").startsWith("attachment");
    const text = isFile || !answer.ok ? "" : JSON.stringify(await answer.json(), null, 2);
    const shown = came.querySelector("pre");
    shown.hidden = isFile;
    shown.textContent = text.length > LONGEST_RESULT ? `${text.slice(0, LONGEST_RESULT)}\n...` : text;
    came.querySelector("a").textContent = isFile ? "Download the file" : "All of it";
    came.hidden = false;
  }

  function offer(item, offered) {
    let hadFocus = false;
    for (const form of item.querySelectorAll("form[data-verb]")) {
      const isHidden = !offered[form.dataset.verb];
      hadFocus ||= isHidden && form.contains(document.activeElement);
      form.hidden = isHidden;
    }
    // The button is gone: the keyboard goes on from the call, not from the top of the page.
    if (hadFocus) item.focus();
  }

  // It was forgotten elsewhere, or its time is over.
  function leave(item) {
    say(`${item.dataset.operation}: not on record any more`);
    if (item.contains(document.activeElement)) document.getElementById("calls-title").focus();
    item.remove();
  }

  function say(text) {
    news.textContent = text;
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !timer) look();
  });
  again();
})();
