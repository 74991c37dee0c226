// The status as the gateway tells it: the whole once, then changes. Comes back by itself, and says when it is stale.
import { useEffect, useState } from "./vendor/preact.js";

const STALE = 3000;
const HISTORY = 120;

export const base = new URL("../../", import.meta.url).href;
const assets = new URL(".", import.meta.url).pathname.split("/").at(-2);

export const store = { doc: null, at: 0, live: false, lostAt: 0, why: "", skew: 0, history: [], step: 0, login: false, who: "", rights: null }; // null: not known yet
const listeners = new Set();

export function useStore() {
  const [, again] = useState(0);
  useEffect(() => {
    const hear = () => again((n) => n + 1);
    listeners.add(hear);
    return () => listeners.delete(hear);
  }, []);
  return store;
}

function tell() {
  for (const hear of [...listeners]) hear();
}

function put(path, value) {
  let place = store.doc;
  for (const key of path.slice(0, -1)) place = place[key];
  if (path.length) place[path.at(-1)] = value;
  else store.doc = value;
}

function remember(time) {
  const lines = {}, buses = {}, clients = {};
  for (const line of store.doc.lines) lines[line.name] = [line.received, line.sent];
  for (const bus of store.doc.buses) buses[bus.name] = bus.busy;
  store.history.push({ time, lines, buses, clients });
  if (store.history.length > HISTORY) store.history.shift();
}

function heard(message) {
  store.at = performance.now();
  if (message.time) store.skew = Date.now() / 1000 - message.time;
  if (message.event === "hello" && message.assets !== assets && renewed(message.assets)) return;
  if (message.event === "hello") knowWho();
  if (message.event === "status") {
    store.doc = message.status;
    store.history = [];
  }
  if (message.event === "change") for (const [path, value] of message.changes) put(path, value);
  if (store.doc) {
    if (message.event !== "hello") remember(message.time);
    store.live = true;
    store.why = "";
    document.title = `${store.doc.name} – nportpy`;
  }
  tell();
}

// A new version: load its page, once. Where that brings the old one again, a proxy keeps it, and this one goes on.
function renewed(wanted) {
  if (sessionStorage.getItem("assets") === wanted) return false;
  sessionStorage.setItem("assets", wanted);
  location.reload();
  return true;
}

// Lines of NDJSON from a stream, until it ends. `hear` gets each object.
export async function follow(path, hear, options = {}) {
  const response = await fetch(new URL(path, base), { headers: { Accept: "application/x-ndjson", ...options.headers }, ...options });
  if (!response.ok) {
    const problem = await problemOf(response);
    throw Object.assign(new Error(problem.detail), { problem });
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) hear(JSON.parse(part));
  }
}

async function problemOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.trim() || response.statusText, status: response.status };
  }
}

// What the API answers; `error.problem` has what is wrong.
export async function ask(path, body, method = body === undefined ? "GET" : "POST", more = {}) {
  const headers = body === undefined ? more : { "Content-Type": "application/json", ...more };
  const response = await fetch(new URL(path, base), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.ok) return response.json();
  const problem = await problemOf(response);
  const error = new Error(problem.detail);
  error.problem = problem;
  throw error;
}

// Who is logged in; "" where nobody need be.
async function knowWho() {
  store.login = false;
  const found = await ask("api/v1/session").catch(() => ({ how: "", rights: [] }));
  store.who = found.how === "session" ? found.name : "";
  store.rights = found.rights;
  tell();
}

export async function logIn(name, password) {
  await ask("api/v1/session", { name, password });
  location.reload();
}

export async function logOut() {
  await ask("api/v1/session", undefined, "DELETE");
  location.reload();
}

function lost(why) {
  if (store.live || !store.lostAt) store.lostAt = Date.now();
  store.live = false;
  store.why = why;
  tell();
}

export async function run() {
  let stop = new AbortController();
  setInterval(() => {
    if (store.live && performance.now() - store.at > STALE) {
      lost("");
      stop.abort();
    } else if (store.live) tell(); // ages go on
  }, 1000);
  for (let pause = 300; ; pause = Math.min(pause * 1.5, 2000)) {
    stop = new AbortController();
    store.at = performance.now();
    try {
      await follow("api/v1/events", (message) => { pause = 300; heard(message); }, { signal: stop.signal });
      lost("");
    } catch (error) {
      store.login = error.problem?.status === 401;
      lost(error.name === "TypeError" || error.name === "AbortError" ? "" : error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// How fast a counter grows, per second, over the last seconds that are known.
export function rate(kind, name, index, seconds = 5) {
  const found = store.history;
  if (found.length < 2) return null;
  const last = found.at(-1);
  let first = found[0];
  for (const each of found) if (last.time - each.time >= seconds) first = each;
  const pick = (each) => (index === undefined ? each[kind][name] : each[kind][name]?.[index]);
  const before = pick(first), after = pick(last);
  return before === undefined || last.time <= first.time ? null : Math.max(0, (after - before) / (last.time - first.time));
}

export const now = () => Date.now() / 1000 - store.skew;
