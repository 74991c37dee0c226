// Changing the configuration: as text with faults at their lines, or value by value; its diff, what it would do, trying it.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Act, Field, Table } from "../parts.js";
import { moment } from "../format.js";
import { ask, base } from "../store.js";
import { moved } from "../trial.js";

const c = t.editing;
const WINDOWS = [[10, c.seconds10], [60, c.minute], [300, c.minutes5], [3600, c.hour]];

// What was changed here and not applied yet outlives going to another page.
const kept = { text: null, tag: "" };

export function Editing({ trial }) {
  const [file, setFile] = useState(null);
  const [why, setWhy] = useState("");
  const [text, setText] = useState("");
  const [checked, setChecked] = useState(null);
  const [edits, setEdits] = useState(new Map());
  const [busy, setBusy] = useState(false);
  const [stale, setStale] = useState(null);

  const put = (value) => { kept.text = value; setText(value); };
  const read = async (keep) => {
    try {
      const found = await ask("api/v1/config");
      setFile(found);
      setWhy("");
      if (found.file === null) return undefined; // started with devices
      if (keep && kept.text !== null) {
        setText(kept.text);
        return check(kept.text);
      }
      kept.tag = found.tag;
      setStale(null);
      setEdits(new Map());
      put(found.text);
      return check(found.text);
    } catch (error) { return setWhy(error.message); }
  };
  const check = async (candidate, changes = []) => {
    setBusy(true);
    try {
      const found = await ask("api/v1/config/check", { text: candidate, changes });
      if (kept.text === candidate) { // nobody has typed meanwhile
        setChecked(found);
        put(found.text);
        setEdits(new Map());
      }
      setWhy("");
    } catch (error) { setWhy(error.message); }
    setBusy(false);
  };
  useEffect(() => { read(true); }, []);
  useEffect(() => { if (file) ask("api/v1/config").then((found) => {
    setFile(found);
    if (found.last?.fate === "confirmed" && found.text === kept.text) { kept.tag = found.tag; check(kept.text); }
  }, () => {}); }, [trial?.number]);

  const bring = async (input) => {
    try {
      const content = await input.files[0].arrayBuffer();
      const found = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(content); // byte for byte
      put(found);
      await check(found);
    } catch (error) { setWhy(`${c.noText}: ${error.message}`); }
    input.value = "";
  };
  const apply = async (reason, window) => {
    moved.places = checked.impact.filter((each) => each.part === "http").flatMap((each) => each.listen);
    try {
      await ask("api/v1/config/apply", { text, why: reason, window }, "POST", { "If-Match": `"${kept.tag}"` });
    } catch (error) {
      if (error.problem?.status === 412) setStale(error.problem);
      throw error;
    }
    return c.tried;
  };
  if (!file) return html`<p class=${why ? "why" : "empty"} role="status">${why || t.working}</p>`;
  if (file.file === null) return null;
  const current = checked && checked.text === text && edits.size === 0;
  const changes = () => [...edits.values()];
  return html`
    ${file.last && !trial && html`<p class="notice" role="status">${c.change} ${file.last.number}: ${c.fates[file.last.fate]}</p>`}
    ${!file.editable && html`<section class="card warn"><h2>${c.off}</h2><p class="why">${file.reason}</p><p>${c.offText}</p><pre class="dropin"><code>${file.drop_in}</code></pre></section>`}
    ${stale && html`<section class="card warn"><h2>${c.stale}</h2><p>${c.staleText}</p><${Diff} text=${stale.diff} /><p><button type="button" onClick=${() => { kept.tag = stale.tag; setStale(null); check(text); }}>${c.goOn}</button></p></section>`}
    <section class="card"><h2>${c.text}</h2><${Source} text=${text} faults=${current ? checked.faults : []} change=${put} />
      <p class="actions"><button type="button" disabled=${busy} onClick=${() => check(text, changes())}>${busy ? t.working : c.check}</button>
        <button type="button" class="quiet" onClick=${() => read(false)}>${c.again}</button>
        <a class="button" href=${`${base}api/v1/config/file`} download>${c.export}</a>
        <label class="button">${c.import}<input type="file" class="hidden" accept=".toml" onChange=${(e) => bring(e.target)} /></label></p>
      ${why && html`<p class="why" role="alert">${why}</p>`}
      ${!current && html`<p class="hint">${c.unchecked}</p>`}</section>
    ${checked && html`<${Values} values=${checked.values} edits=${edits} setEdits=${setEdits} check=${() => check(text, changes())} busy=${busy} />`}
    ${current && html`<${Result} found=${checked} file=${file} trial=${trial} apply=${apply} />`}
    <${History} trial=${trial} compare=${async (number) => { const entry = await ask(`api/v1/config/history/${number}`); put(entry.text); await check(entry.text); }} />
    <section><h2>${c.host}</h2><p>${c.hostText}</p><${Table} columns=${[["what", c.what], ["type", c.command]]} rows=${c.hostRows.map(([what, command]) => ({ key: what, what, type: html`<code>${command}</code>` }))} /></section>`;
}

// A text with line numbers, and marks where faults are.
function Source({ text: whole, faults, change }) {
  const numbers = useRef(), area = useRef();
  const text = whole.replaceAll("\r\n", "\n"); // as a textarea has it
  const ended = whole.includes("\r\n") && !/[^\r]\n/.test(whole) ? "\r\n" : "\n";
  const marked = new Map(faults.map((fault) => [fault.line, fault.said]));
  const lines = text.split("\n").length;
  const go = (line) => {
    const start = text.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    area.current.focus();
    area.current.setSelectionRange(start, start + (text.split("\n")[line - 1]?.length ?? 0));
    area.current.scrollTop = Math.max(0, (line - 5) * area.current.scrollHeight / lines);
  };
  return html`<div class="source"><div class="numbers" ref=${numbers} aria-hidden="true">${Array.from({ length: lines }, (_, i) =>
      html`<div class=${marked.has(i + 1) ? "fault" : ""} title=${marked.get(i + 1) ?? ""}>${i + 1}</div>`)}</div>
    <textarea ref=${area} aria-label=${c.text} spellcheck="false" wrap="off" autocomplete="off" value=${text} onInput=${(e) => change(e.target.value.replaceAll("\n", ended))}
      onScroll=${(e) => { numbers.current.scrollTop = e.target.scrollTop; }}></textarea></div>
    ${faults.length > 0 && html`<ul class="faults" aria-label=${c.faults}>${faults.map((fault, i) => html`<li key=${i}><button type="button" class="quiet" disabled=${!fault.line} onClick=${() => go(fault.line)}>${fault.line ? `${c.line} ${fault.line}` : c.file}</button>
      <pre>${fault.said.replace(/^[^\n]*?:\d+: /, "")}</pre></li>`)}</ul>`}`;
}

const named = (path) => path.map((step, i) => (typeof step === "number" ? `[${step}]` : `${i ? "." : ""}${step}`)).join("");

// Single values: each is exchanged in the text, and nothing else.
function Values({ values, edits, setEdits, check, busy }) {
  const [path, setPath] = useState("");
  const [value, setValue] = useState("");
  const set = (name, change) => { const more = new Map(edits); if (change) more.set(name, change); else more.delete(name); setEdits(more); };
  const rows = values.map(([at, was]) => {
    const name = named(at), edit = edits.get(name);
    const say = (to) => set(name, JSON.stringify(to) === JSON.stringify(was) ? null : { path: at, value: to });
    return { key: name, path: html`<code>${name}</code>`, value: edit?.remove ? html`<s>${shown(was)}</s>` : html`<${Input} name=${name} was=${was} now=${edit ? edit.value : was} say=${say} />`,
      act: html`<button type="button" class="quiet" onClick=${() => set(name, edit ? null : { path: at, remove: true })}>${edit ? c.leave : c.remove}</button>` };
  });
  const add = () => {
    const steps = path.split(".").map((step) => step.trim()).flatMap((step) => step.match(/^(.+)\[(\d+)\]$/)?.slice(1).map((each, i) => (i ? Number(each) : each)) ?? [step]);
    set(path, { path: steps, value: meant(value) });
    setPath("");
    setValue("");
  };
  return html`<details class="card values"><summary>${c.values}</summary><p class="hint">${c.valuesText}</p>
    <${Table} columns=${[["path", c.key], ["value", t.value], ["act", ""]]} rows=${rows} rowClass=${(row) => (edits.has(row.key) ? "edited" : "")} />
    <p class="actions"><${Field} label=${c.newKey}><input value=${path} placeholder=${c.keyExample} onInput=${(e) => setPath(e.target.value)} /><//><${Field} label=${t.value}><input value=${value} onInput=${(e) => setValue(e.target.value)} /><//>
      <button type="button" disabled=${!path || !value} onClick=${add}>${c.add}</button></p>
    ${edits.size > 0 && html`<ul>${[...edits].map(([name, edit]) => html`<li key=${name}><code>${name}</code> ${edit.remove ? c.removed : shown(edit.value)}</li>`)}</ul>`}
    <p><button type="button" disabled=${busy || edits.size === 0} onClick=${check}>${busy ? t.working : c.takeOver}</button></p></details>`;
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// What somebody means: true, 19200, ["a", "b"]; all else is text.
function meant(text) {
  try { return JSON.parse(text); } catch { return text; }
}

function Input({ name, was, now, say }) {
  if (typeof was === "boolean") return html`<select aria-label=${name} value=${String(now)} onChange=${(e) => say(e.target.value === "true")}><option value="true">${t.yes}</option><option value="false">${t.no}</option></select>`;
  return html`<input aria-label=${name} value=${shown(now)} onInput=${(e) => say(typeof was === "string" ? e.target.value : meant(e.target.value))} />`;
}

const signs = { "+": "added", "-": "gone", "@": "place" };

function Diff({ text }) {
  if (!text) return html`<p class="empty">${c.same}</p>`;
  return html`<pre class="diff" tabindex="0" aria-label=${c.diff}>${text.replace(/\n$/, "").split("\n").map((line, i) => html`<span key=${i} class=${signs[line[0]] ?? ""}>${line}${"\n"}</span>`)}</pre>`;
}

function Result({ found, file, trial, apply }) {
  const [reason, setReason] = useState("");
  const [window, setWindow] = useState(60);
  const rows = found.impact.map((each, i) => ({ key: i, what: `${c.parts[each.part]} ${each.port} ${each.name}`, becomes: c.becomes[each.becomes], changed: html`<code>${each.changed.join(", ")}</code> ${each.listen.join(", ")}`, clients: each.clients.join(", ") || t.none }));
  const drops = found.impact.reduce((n, each) => n + each.clients.length, 0);
  return html`<section class="card"><h2>${c.diff}</h2><${Diff} text=${found.diff} />
      ${found.diff && html`<p><a class="button" download="nportpy.diff" href=${`data:text/plain;charset=utf-8,${encodeURIComponent(found.diff)}`}>${c.takeAway}</a></p>`}
      ${found.warnings.length > 0 && html`<h2>${c.warnings}</h2><ul class="warnings">${found.warnings.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`}</section>
    ${found.ok && found.diff && html`<section class="card"><h2>${c.impact}</h2><${Table} empty=${c.nothing} columns=${[["what", c.what], ["becomes", c.becomesTitle], ["changed", c.changed], ["clients", c.drops]]} rows=${rows} />
      ${file.editable && html`<p>${drops ? `${c.clientsDrop} ${drops}` : c.nobodyDrops}</p><p class="actions"><${Field} label=${c.why}><input value=${reason} maxlength="500" onInput=${(e) => setReason(e.target.value)} /><//>
        <${Field} label=${c.window}><select value=${window} onChange=${(e) => setWindow(Number(e.target.value))}>${WINDOWS.map(([seconds, name]) => html`<option value=${seconds}>${name}</option>`)}</select><//>
        <${Act} label=${c.apply} disabled=${!!trial} run=${() => apply(reason, window)} /></p>`}</section>`}`;
}

function History({ trial, compare }) {
  const [entries, setEntries] = useState([]);
  useEffect(() => { ask("api/v1/config/history").then((found) => setEntries(found.entries), () => {}); }, [trial?.number]);
  const rows = entries.map((each) => ({ key: each.number, number: each.number, at: moment(each.at), by: each.by || t.unknown, why: each.why, fate: c.fates[each.fate], act: html`<${Act} label=${c.compare} run=${() => compare(each.number)} />` }));
  return html`<section><h2>${c.history}</h2><p class="hint">${c.historyText}</p><${Table} columns=${[["number", c.number, 1], ["at", t.time], ["by", c.by], ["why", c.why], ["fate", t.result], ["act", ""]]} rows=${rows} /></section>`;
}
