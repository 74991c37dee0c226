// What to send to whom helps, and what programs can ask.
import { html, useEffect, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Table } from "../parts.js";
import { ask, base } from "../store.js";

const s = t.support;
const MADE_WITH = [["preact", "MIT"], ["htm", "Apache-2.0"], ["uPlot", "MIT"]];

export function Support() {
  const [paths, setPaths] = useState([]);
  useEffect(() => { ask("api/v1/openapi.json").then((found) => setPaths(Object.entries(found.paths)), () => {}); }, []);
  const rows = paths.flatMap(([path, methods]) => Object.entries(methods).map(([method, what]) => ({ key: method + path, path: html`<code>${method.toUpperCase()} ${path}</code>`, what: what.description })));
  return html`<section class="card"><h2>${s.bundle}</h2><p>${s.bundleText}</p><p><a class="button" href=${`${base}api/v1/bundle`} download>${s.download}</a> <a class="button" href=${`${base}api/v1/bundle?captures=0`} download>${s.withoutCaptures}</a></p></section>
    <section><h2>${s.api}</h2><p><a href=${`${base}api/v1/openapi.json`}>${s.openapi}</a></p><${Table} columns=${[["path", s.path], ["what", s.what]]} rows=${rows} /></section>
    <section><h2>${s.licences}</h2><ul>${MADE_WITH.map(([name, licence]) => html`<li>${name}, ${licence}</li>`)}</ul></section>`;
}
