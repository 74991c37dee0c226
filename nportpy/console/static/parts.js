// What pages are made of.
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import t from "./texts.js";
import { moment, span, age } from "./format.js";

const GOOD = new Set(["up", "good", "open", "ready", "answers", "connected", "listening", "calling"]);
const BAD = new Set(["lost", "bad", "down", "silent", "away", "deaf", "unready", "stalled", "dead", "hogging"]);

// A state by word, sign and colour.
export function State({ is, since, why }) {
  const kind = GOOD.has(is) ? "good" : BAD.has(is) ? "bad" : "middling";
  const sign = { good: "●", bad: "▲", middling: "◆" }[kind];
  return html`<span class="state ${kind}" title=${why || ""}><span aria-hidden="true">${sign}</span> ${t.states[is] ?? is}${
    since && html`<small> ${t.since} ${moment(since)} (${span(age(since))})</small>`}</span>`;
}

export const Facts = ({ of }) => html`<dl class="facts">${of.filter(Boolean).map(([name, value, title]) =>
  html`<div title=${title ?? ""}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

// A table that becomes cards on a phone. `columns` are [key, title, numeric?]; `rows` are objects with `key`.
export function Table({ columns, rows, empty, caption, rowClass }) {
  if (!rows.length) return html`<p class="empty">${empty ?? t.noneHere}</p>`;
  return html`<div class="wide"><table>${caption && html`<caption>${caption}</caption>`}
    <thead><tr>${columns.map(([key, title, numeric]) => html`<th scope="col" class=${numeric ? "n" : ""}>${title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key} class=${rowClass ? rowClass(row) : ""}>${columns.map(([key, title, numeric]) =>
      html`<td data-title=${title} class=${numeric ? "n" : ""}>${row[key]}</td>`)}</tr>`)}</tbody></table></div>`;
}

// A part of a whole; `plain` where much of it is nothing bad.
export function Bar({ part, label, plain }) {
  const full = Math.max(0, Math.min(1, part ?? 0));
  return html`<span class="bar"><meter min="0" max="1" ...${plain ? {} : { low: 0.7, high: 0.9, optimum: 0 }} value=${full} aria-label=${label}></meter> ${label}</span>`;
}

// Asks before it does something; `run` may give a text to show.
export function Act({ label, question, run, danger, detail, disabled, title }) {
  const [stage, setStage] = useState("idle");
  const [said, setSaid] = useState("");
  const alive = useRef(true);
  useEffect(() => () => { alive.current = false; }, []);
  const go = async () => {
    setStage("busy");
    try {
      const told = await run();
      if (alive.current) setSaid(told || t.done);
    } catch (error) {
      if (alive.current) setSaid(`${t.failed}: ${error.message}`);
    }
    if (alive.current) setStage("idle");
  };
  if (stage === "asking") {
    return html`<span class="asking" role="alertdialog" aria-label=${question}>${question} ${detail}
      <button type="button" class=${danger ? "danger" : ""} onClick=${go}>${t.doIt}</button>
      <button type="button" class="quiet" ref=${(e) => e && e.focus()} onClick=${() => setStage("idle")}>${t.cancel}</button></span>`;
  }
  return html`<span class="act"><button type="button" title=${title ?? ""} class=${danger ? "danger" : ""} disabled=${disabled || stage === "busy"}
      onClick=${() => (question ? setStage("asking") : go())}>${stage === "busy" ? t.working : label}</button>
    <span role="status" class="said">${said}</span></span>`;
}

// Any JSON, for what has no place of its own.
export function Tree({ value, name }) {
  if (value !== null && typeof value === "object") {
    const entries = Array.isArray(value) ? value.map((each, i) => [each?.name ?? each?.service ?? i, each]) : Object.entries(value);
    return html`<div class="tree"><span class="key">${name}</span>${entries.length ? "" : html` <span class="leaf">${t.none}</span>`}
      ${entries.map(([key, each]) => html`<${Tree} name=${String(key)} value=${each} />`)}</div>`;
  }
  return html`<div class="tree"><span class="key">${name}</span> <span class="leaf">${value === null || value === "" ? t.unknown : String(value)}</span></div>`;
}

export const Field = ({ label, children }) => html`<label class="field"><span>${label}</span>${children}</label>`;
export const sum = (of, pick = (x) => x) => of.reduce((n, each) => n + pick(each), 0);
