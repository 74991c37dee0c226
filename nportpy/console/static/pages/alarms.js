// What needs attention now, and who tells whom of it.
import { html } from "../vendor/preact.js";
import t from "../texts.js";
import { Table } from "../parts.js";
import { moment } from "../format.js";
import { base } from "../store.js";

const a = t.alarms;

export function attention(doc) {
  const found = [];
  for (const line of doc.lines) if (line.state !== "up") found.push({ kind: "line", name: line.name, why: line.error, since: line.since });
  for (const each of doc.missing) found.push({ kind: "missing", name: `${each.port} ${each.service} ${each.listen}`, why: each.reason });
  for (const bus of doc.buses) for (const unit of bus.units) if (unit.silent) found.push({ kind: "unit", name: `${bus.name} ${unit.unit}`, since: unit.silent_since });
  if (doc.edge) {
    const { stations, upstreams, archive, error } = doc.edge;
    for (const each of stations) if (each.up === false) found.push({ kind: "station", name: each.name, why: each.reason, since: each.since });
    for (const each of upstreams) if (!each.up) found.push({ kind: "upstream", name: each.name, why: each.reason, since: each.since });
    if (archive?.error) found.push({ kind: "archive", name: archive.path, why: archive.error });
    if (error) found.push({ kind: "edge", name: doc.name, why: error });
  }
  return found;
}

const RULES = ["prometheus-nportpy-rules.yml", "prometheus-nportpy-modbus-rules.yml", "prometheus-nportpy-edge-rules.yml"];

export function Alarms({ doc }) {
  const alarms = attention(doc);
  return html`<section><h2>${a.now}</h2><${Table} empty=${a.nothing} columns=${[["name", t.name], ["what", t.state], ["why", t.reason], ["since", t.since]]}
      rows=${alarms.map((each) => ({ key: each.kind + each.name, name: each.name, what: a.kinds[each.kind], why: each.why || t.unknown, since: each.since ? moment(each.since) : t.unknown }))} /></section>
    <section><p>${a.intro}</p><${Table} columns=${[["what", a.what], ["how", a.how]]} rows=${a.rows.map(([what, how]) => ({ key: what, what, how }))} />
      <h2>${a.rules}</h2><ul>${RULES.map((name) => html`<li><code>${name}</code></li>`)}</ul>
      <ul><li><a href=${`${base}metrics`}>${a.metrics}</a></li><li><a href=${`${base}readyz`}>${a.ready}</a></li></ul></section>`;
}
