// The configuration file as the gateway's checker sees it: what is wrong in it, what may not be meant, what it means.
import { html, useEffect, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Table } from "../parts.js";
import { moment } from "../format.js";
import { ask, store } from "../store.js";
import { Editing } from "./editing.js";

const c = t.configuration;

export function Configuration({ doc }) {
  const may = (right) => store.rights.includes(right);
  const [file, setFile] = useState(null); // without one there is nothing to edit
  return html`${may("edit") && (file || !may("monitor")) && html`<${Editing} trial=${doc.trial} />`}${may("monitor") && html`<${Check} tell=${setFile} />`}`;
}

function Check({ tell }) {
  const [found, setFound] = useState(null);
  const [why, setWhy] = useState("");
  const [busy, setBusy] = useState(false);
  const look = async () => {
    setBusy(true);
    try {
      const said = await ask("api/v1/check");
      setFound(said);
      tell(said.file);
      setWhy("");
    } catch (error) {
      setWhy(error.message);
    }
    setBusy(false);
  };
  useEffect(() => { look(); }, []);
  return html`<p><button type="button" disabled=${busy} onClick=${look}>${busy ? t.working : c.again}</button> ${found?.file && html`<span role="status">${found.ok ? c.right : c.wrong} (${moment(found.at)})</span>`}</p>
    ${why && html`<p class="why" role="alert">${why}</p>`}${found && (found.file ? html`<${Found} found=${found} />` : html`<p class="empty">${c.noFile}</p>`)}`;
}

function Found({ found }) {
  return html`<section><h2>${c.faults}</h2><${Table} empty=${c.noFaults} columns=${[["line", c.line, 1], ["path", c.key], ["value", t.value], ["reason", t.reason], ["allowed", c.allowed]]}
      rows=${found.faults.map((each, i) => ({ ...each, key: i, line: each.line ?? t.unknown, path: html`<code class="path">${each.key}</code>`, value: html`<code>${each.value}</code>` }))} /></section>
    <section><h2>${c.warnings}</h2>${found.warnings.length ? html`<ul class="warnings">${found.warnings.map((each) => html`<li key=${each}>${each}</li>`)}</ul>` : html`<p class="empty">${c.noWarnings}</p>`}</section>
    ${found.picture.length > 0 && html`<section><h2>${c.picture}</h2><dl class="card picture">${found.picture.map(([label, text], i) => html`<div key=${i} class=${`depth${(label.length - label.trimStart().length) / 2}`}><dt>${label.trim()}</dt><dd>${text}</dd></div>`)}</dl></section>`}
    <p class="hint">${c.hint} <code>${`nportpy check -c ${found.file}`}</code></p>`;
}
