// The last records of the log.
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Field } from "../parts.js";
import { clock, day } from "../format.js";
import { ask, store } from "../store.js";

const l = t.log;
const SKIPPED = new Set(["number", "time", "level", "logger", "message", "traceback"]);

export function Log() {
  const [level, setLevel] = useState("debug");
  const [text, setText] = useState("");
  const [records, setRecords] = useState([]);
  const [why, setWhy] = useState("");
  const query = new URLSearchParams({ level, ...(text && { text }) });
  useEffect(() => {
    let alive = true;
    const look = async () => {
      if (!store.live) return;
      try {
        const found = await ask(`api/v1/log?${query}`);
        if (alive) { setRecords(found.records.reverse()); setWhy(""); }
      } catch (error) {
        if (alive) setWhy(error.message);
      }
    };
    look();
    const timer = setInterval(look, 2000);
    return () => { alive = false; clearInterval(timer); };
  }, [level, text]);
  const file = useMemo(() => URL.createObjectURL(new Blob([[...records].reverse().map((each) => `${JSON.stringify(each)}\n`).join("")], { type: "application/x-ndjson" })), [records]);
  useEffect(() => () => URL.revokeObjectURL(file), [file]);
  return html`<div class="actions"><div><${Field} label=${l.level}><select value=${level} onChange=${(e) => setLevel(e.target.value)}>${Object.entries(l.levels).map(([key, name]) => html`<option value=${key}>${name}</option>`)}</select><//>
      <${Field} label=${l.text}><input type="search" value=${text} onInput=${(e) => setText(e.target.value)} /><//>
      <a class="button" href=${file} download="nportpy-log.ndjson">${l.download}</a></div></div>
    ${why && html`<p class="why">${why}</p>`}
    ${records.length === 0 && !why && html`<p class="empty">${l.empty}</p>`}
    <ol class="log">${records.map((each) => html`<li key=${each.number} class=${each.level}><time title=${day(each.time)}>${clock(each.time, true)}</time> <b>${l.levels[each.level] ?? each.level}</b> <span class="logger">${each.logger.replace("nportpy.", "")}</span>
      ${" "}<span>${each.message}</span>${Object.entries(each).filter(([key]) => !SKIPPED.has(key)).map(([key, value]) => html` <span class="pair"><i>${key}</i>=${String(value)}</span>`)}
      ${each.traceback && html`<pre>${each.traceback}</pre>`}</li>`)}</ol>`;
}
