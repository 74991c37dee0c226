// What is on a line, as it comes. The gateway filters; only the rows that are seen are in the document.
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Field } from "../parts.js";
import { clock, moment, number } from "../format.js";
import { ask, base, follow } from "../store.js";

const m = t.monitor;
const KEPT = 20000, HELD = 16e6; // rows, and characters of bytes in them
const LONGEST = 600; // characters of bytes in a row; chosen, it shows all
const SIGNS = { rx: "◀", tx: "▶", answer: "✓", unsent: "○", discarded: "✗", up: "●", down: "▲", settings: "⚙", modem: "⇅", errors: "✗", break: "▬", purged: "✗", holder: "◆" };
const TIMES = ["absolute", "previous", "request"];
const phone = matchMedia("(max-width: 640px)");
const quoted = (text) => `"${text.replace(/(["\\])/g, "\\$1")}"`;

export function Monitor({ doc, rest }) {
  const names = [...new Set([...doc.lines, ...doc.buses].map((each) => each.name))]; // servers elsewhere have no line
  if (!names.length) return html`<p class="empty">${m.busy}</p>`;
  const name = names.includes(rest[0]) ? rest[0] : names[0];
  return html`<div class="actions"><div><${Field} label=${m.line}><select value=${name} onChange=${(e) => { location.hash = `#/monitor/${encodeURIComponent(e.target.value)}`; }}>${
    names.map((each) => html`<option key=${each}>${each}</option>`)}</select><//></div></div><${Watch} key=${name} name=${name} />`;
}

// Rows of one line with one filter, in an array that is not copied when it grows.
function useRows(name, query) {
  const [version, setVersion] = useState(0);
  const [state, setState] = useState({ why: "", done: false });
  const rows = useRef([]), counted = useRef(0), held = useRef(0);
  useEffect(() => {
    let alive = true, asked = 0, last = -1, heard = 0;
    const stop = new AbortController();
    rows.current = [];
    counted.current = held.current = 0;
    setVersion((n) => n + 1);
    const hear = (row) => {
      row.ms = Date.parse(row.time);
      // Seen before the connection was lost; but a gateway or a line that began anew numbers anew.
      if (row.n <= last && row.ms < heard + 500 && !query.includes("trigger=")) return;
      last = row.n;
      heard = row.ms;
      if (row.count) counted.current += 1; // of this page: the gateway's number is of one connection
      const before = rows.current.at(-1);
      row.id = before ? before.id + 1 : 0;
      row.previous = before ? row.ms - before.ms + (Number(row.time.slice(23, 26)) - Number(before.time.slice(23, 26))) / 1000 : null;
      rows.current.push(row);
      held.current += row.hex?.length ?? 0;
      if (rows.current.length > KEPT || held.current > HELD)
        for (const gone of rows.current.splice(0, Math.ceil(rows.current.length / 10))) held.current -= gone.hex?.length ?? 0;
      asked ||= requestAnimationFrame(() => { asked = 0; if (alive) setVersion((n) => n + 1); });
    };
    const run = async () => {
      while (alive) {
        try {
          setState({ why: "", done: false });
          await follow(`api/v1/ports/${encodeURIComponent(name)}/monitor?${query}`, hear, { signal: stop.signal });
          if (query.includes("trigger=") && alive) return setState({ why: "", done: true });
        } catch (error) {
          if (alive && error.name !== "AbortError") setState({ why: error.name === "TypeError" ? "" : error.message, done: false });
        }
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    };
    run();
    return () => { alive = false; stop.abort(); cancelAnimationFrame(asked); };
  }, [name, query]);
  return { rows: rows.current, counted: counted.current, version, ...state, clear: () => { rows.current = []; counted.current = held.current = 0; setVersion((n) => n + 1); } };
}

function Watch({ name }) {
  const [set, setSet] = useState({ unit: "", function: "", dir: "", faults: false, bytes: "", text: "", more: "", trigger: "", then: "stop", before: "20", after: "20" });
  const [time, setTime] = useState("absolute");
  const query = useMemo(() => {
    const terms = [set.unit && `unit:${set.unit}`, set.function && `function:${set.function}`, set.dir && `dir:${set.dir}`, set.faults && "fault:any",
      set.bytes && `hex:${quoted(set.bytes)}`, set.text && `text:${quoted(set.text)}`, set.more].filter(Boolean);
    return String(new URLSearchParams({ history: "1", ...(terms.length && { filter: terms.join(" ") }), ...(set.trigger && (set.then === "count" ? { count: set.trigger } : { trigger: set.trigger, before: set.before || "0", after: set.after || "0" })) }));
  }, [set]);
  const settled = useSettled(query, 400);
  const found = useRows(name, settled);
  const put = (key) => (e) => setSet({ ...set, [key]: e.target.type === "checkbox" ? e.target.checked : e.target.value });
  const input = (key, label, more = {}) => html`<${Field} label=${label}><input ...${more} value=${set[key]} onInput=${put(key)} spellcheck="false" /><//>`;
  return html`<div class="actions"><div>
      ${input("unit", m.unit, { class: "short", placeholder: "1,5-7" })} ${input("function", m.functions, { class: "short", placeholder: "3,16" })}
      <${Field} label=${m.direction}><select value=${set.dir} onChange=${put("dir")}><option value="">${m.both}</option><option value="rx">${m.rx}</option><option value="tx">${m.tx}</option></select><//>
      ${input("bytes", m.bytes, { placeholder: m.bytesHint })} ${input("text", m.text)} <label class="check"><input type="checkbox" checked=${set.faults} onChange=${put("faults")} /> ${m.faults}</label>
      <${Field} label=${m.relative}><select value=${time} onChange=${(e) => setTime(e.target.value)}>${TIMES.map((each) => html`<option value=${each}>${m[each]}</option>`)}</select><//></div>
    <details><summary>${m.trigger}</summary><div>${input("more", m.filter, { placeholder: "register:41001-41010 -unit:5" })} ${input("trigger", m.trigger, { placeholder: "fault:exception unit:5" })}
      <${Field} label=${m.then}><select value=${set.then} onChange=${put("then")}><option value="stop">${m.stop}</option><option value="count">${m.count}</option></select><//>
      ${input("before", m.before, { class: "short", inputmode: "numeric" })} ${input("after", m.after, { class: "short", inputmode: "numeric" })}</div></details></div>
    ${found.why && html`<p class="why" role="alert">${found.why}</p>`}
    ${settled.includes("count=") && html`<p class="notice" role="status">${m.counted}: ${number(found.counted)}</p>`}
    ${found.done && html`<p class="notice" role="status">${m.triggered}</p>`}
    <${Rows} ...${found} time=${time} /><${Others} name=${name} />`;
}

// A value once it has been the same for so long.
function useSettled(value, delay) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delay);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function Rows({ rows, version, time, clear }) {
  const box = useRef(null), placed = useRef(0);
  const [top, setTop] = useState(0);
  const [paused, setPaused] = useState(null); // the rows as they were then
  const [chosen, setChosen] = useState(null);
  const height = phone.matches ? 62 : 26;
  const shown = paused ?? rows;
  useEffect(() => {
    if (paused || !box.current) return;
    box.current.scrollTop = box.current.scrollHeight;
    placed.current = box.current.scrollTop;
  }, [version, paused]);
  useEffect(() => setPaused(null), [rows]);
  const room = box.current?.clientHeight ?? 520;
  const first = Math.max(0, Math.min(shown.length, Math.floor(top / height) - 8)), last = Math.min(shown.length, first + Math.ceil(room / height) + 16);
  const scrolled = (e) => {
    setTop(e.currentTarget.scrollTop);
    // More rows can have come since it was placed at the end: only who scrolls up wants it to stay there.
    const { scrollTop, clientHeight, scrollHeight } = e.currentTarget;
    if (!paused && scrollTop < placed.current - height && scrollTop + clientHeight < scrollHeight - 3 * height) setPaused([...rows]);
  };
  const step = (e) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!by || chosen === null) return;
    e.preventDefault();
    const next = Math.max(0, Math.min(shown.length - 1, shown.findIndex((row) => row.id === chosen) + by));
    setChosen(shown[next].id);
    const y = next * height;
    if (y < box.current.scrollTop || y > box.current.scrollTop + room - height) box.current.scrollTop = y - room / 2;
  };
  const row = chosen === null ? null : shown.find((each) => each.id === chosen);
  return html`<div class="actions"><div><button type="button" aria-pressed=${paused !== null} onClick=${() => setPaused(paused ? null : [...rows])}>${paused ? m.resume : m.pause}</button>
      <button type="button" onClick=${() => { clear(); setPaused(null); setChosen(null); }}>${m.clear}</button> <span class="hint">${number(rows.length)} ${m.records}</span></div></div>
    <div class="rows" ref=${box} onScroll=${scrolled} onKeyDown=${step} tabindex="0" role="log" aria-live="off" aria-label=${t.pages.monitor}>
      ${shown.length === 0 && html`<p class="empty">${m.nothing}</p>`}
      <div class="all" ref=${(e) => { if (e) e.style.height = `${shown.length * height}px`; }}><div class="seen" ref=${(e) => { if (e) e.style.transform = `translateY(${first * height}px)`; }}>
        ${shown.slice(first, last).map((each) => html`<${Row} key=${each.id} row=${each} time=${time} chosen=${each.id === chosen} choose=${() => setChosen(each.id === chosen ? null : each.id)} />`)}</div></div></div>
    ${row && html`<${Detail} row=${row} />`}`;
}

function stamp(row, time) {
  if (time === "previous") return row.previous === null ? t.unknown : `+${number(row.previous, 1)} ${t.units.ms}`;
  if (time === "request") return row.since_request_ms === undefined ? t.unknown : `+${number(row.since_request_ms, 1)} ${t.units.ms}`;
  return clock(row.time, true);
}

const clipped = (text = "") => text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;

function Row({ row, time, chosen, choose }) {
  const faulty = row.faults?.length > 0;
  const gap = row.gap_characters === undefined ? "" : `${number(row.gap_ms, 1)} ${t.units.ms}`;
  return html`<div class=${`row ${row.kind} ${faulty ? "faulty" : ""} ${row.marked ? "marked" : ""} ${chosen ? "chosen" : ""}`} onClick=${choose}>
    <time>${stamp(row, time)}</time><span class="sign" title=${row.kind}>${SIGNS[row.kind] ?? ""} ${row.kind}</span><span class="gap" title=${m.gap}>${gap}</span>
    <span class="unit">${row.unit ?? ""}</span><span class="hexes">${row.kind === "answer" ? "" : clipped(row.hex)}</span><span class="ascii">${row.kind === "answer" ? "" : clipped(row.ascii)}</span>
    <span class="text">${row.lost ? `${number(row.lost)} ${m.lost} – ` : ""}${row.text ?? ""}${faulty ? ` [${row.faults.join(", ")}]` : ""}</span></div>`;
}

function Detail({ row }) {
  const facts = Object.entries(row).filter(([key]) => !["n", "id", "ms", "previous"].includes(key));
  return html`<dl class="card facts detail">${facts.map(([key, value]) => html`<div key=${key}><dt>${key.replaceAll("_", " ")}</dt><dd class="hexes">${Array.isArray(value) ? value.join(", ") : String(value)}</dd></div>`)}</dl>`;
}

// Who else looks, what was frozen, and files for Wireshark.
function Others({ name }) {
  const [found, setFound] = useState(null);
  useEffect(() => {
    let alive = true;
    const look = () => ask("api/v1/captures").then((all) => alive && setFound(all.find((each) => each.port === name) ?? null), () => {});
    look();
    const timer = setInterval(look, 2000);
    return () => { alive = false; clearInterval(timer); };
  }, [name]);
  const file = (query) => `${base}api/v1/ports/${encodeURIComponent(name)}/capture.pcapng?${query}`;
  return html`<section><p>${m.capture}: <a class="button" href=${file("history=1&for=10s")} download>${m.download}</a> <code>${`nportpy capture ${name} -w - | wireshark -k -i -`}</code></p>
    ${found?.frozen?.length > 0 && html`<p>${m.frozen}</p><ul>${found.frozen.map((each) => html`<li key=${each.number}><a href=${file(`frozen=${each.number}`)} download>${moment(each.time)}</a> ${each.cause}, ${number(each.records)} ${m.records}</li>`)}</ul>`}
    ${found?.watchers?.length > 0 && html`<p class="hint">${m.watched}: ${found.watchers.map((each) => each.who).join("; ")}</p>`}</section>`;
}
