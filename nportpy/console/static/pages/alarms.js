// What needs attention now, and who tells whom of it.
import { html } from "../vendor/preact.js";
import t from "../texts.js";
import { Table } from "../parts.js";
import { moment } from "../format.js";
import { base } from "../store.js";

const a = t.alarms;

const RULES = ["prometheus-nportpy-rules.yml", "prometheus-nportpy-modbus-rules.yml", "prometheus-nportpy-edge-rules.yml"];

export function Alarms({ doc }) {
  return html`<section><h2>${a.now}</h2><${Table} empty=${a.nothing} columns=${[["name", t.name], ["what", t.reason], ["since", t.since]]}
      rows=${doc.faults.map((each) => ({ key: each.where + each.what, name: each.where, what: each.what, since: moment(each.since) }))} /></section>
    <section><p>${a.intro}</p><${Table} columns=${[["what", a.what], ["how", a.how]]} rows=${a.rows.map(([what, how]) => ({ key: what, what, how }))} />
      <h2>${a.rules}</h2><ul>${RULES.map((name) => html`<li><code>${name}</code></li>`)}</ul>
      <ul><li><a href=${`${base}metrics`}>${a.metrics}</a></li><li><a href=${`${base}readyz`}>${a.ready}</a></li></ul></section>`;
}
