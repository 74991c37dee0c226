// Everything at a glance, and at the end every field of the status.
import { html, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Bar, Facts, State, Table, Tree, sum } from "../parts.js";
import { age, date, moment, number, percent, size, span, speed } from "../format.js";
import { rate } from "../store.js";

const o = t.overview;

export function Overview({ doc }) {
  const edge = doc.edge;
  const clients = sum(doc.services, (each) => each.clients.length);
  return html`
    <section class="cards">
      <div class=${`card ${doc.faults.length ? "warn" : "well"}`}><h2>${o.gateway}</h2>
        <p class="big"><${State} is=${doc.ready ? "ready" : "unready"} /></p>
        <${Facts} of=${[[o.version, doc.version], [o.running, span(age(doc.started)), moment(doc.started)], [o.reloads, number(doc.reloads)],
          doc.reloads_failed > 0 && [o.failedReloads, number(doc.reloads_failed)]]} /></div>
      <div class="card"><h2>${o.clients}</h2><p class="big">${number(clients)}</p>
        <${Facts} of=${[[o.lines, number(doc.lines.length)], [o.received, speed(sumRates(doc, 0))], [o.sent, speed(sumRates(doc, 1))]]} /></div>
      ${doc.buses.length > 0 && html`<div class="card"><h2>${o.requests}</h2><p class="big">${number(sum(doc.buses, (bus) => sum(bus.requests, (r) => r.count)))}</p>
        <${Facts} of=${doc.buses.map((bus) => [bus.name, html`<${Bar} part=${rate("buses", bus.name)} label=${percent(rate("buses", bus.name))} />`])} /></div>`}
      ${edge && html`<div class="card"><h2>${o.archive}</h2><p class="big">${number(edge.archive?.samples)} <small>${o.samples}</small></p>
        <${Facts} of=${[...edge.upstreams.map((up) => [up.name, html`<${State} is=${up.up ? "connected" : "away"} /> ${o.backlog} ${number(up.backlog)}`]),
          [t.upstreams.trusted, edge.archive?.trusted ? t.upstreams.isTrusted : t.upstreams.notTrusted]]} /></div>`}
    </section>
    <section><h2>${doc.faults.length ? o.attention : o.allWell}</h2>
      ${doc.faults.length > 0 && html`<ul class="alarms">${doc.faults.map((each) => html`<li key=${each.where + each.what}><b>${each.where}</b>${" "}${each.what}${each.since && html` <small>${t.since} ${moment(each.since)}</small>`}</li>`)}</ul>`}</section>
    <section><h2>${o.lines}</h2><${Table} columns=${[["name", t.name], ["state", t.state], ["device", o.device], ["settings", o.settings], ["rx", o.received, 1], ["tx", o.sent, 1], ["use", o.use]]}
      rows=${doc.lines.map((line) => ({ key: line.name, name: html`<a href=${`#/monitor/${encodeURIComponent(line.name)}`}>${line.name}</a>`,
        state: html`<${State} is=${line.state} since=${line.state === "up" ? null : line.since} why=${line.error} />${line.error && html`<small class="why">${line.error}</small>`}`,
        device: html`<code>${line.device}</code>`, settings: settingsOf(line.settings), rx: speed(rate("lines", line.name, 0)), tx: speed(rate("lines", line.name, 1)),
        use: html`<${Bar} part=${useOf(line)} label=${percent(useOf(line))} />` }))} /></section>
    ${edge?.stations.length > 0 && html`<section><h2>${o.stations}</h2><${Table} columns=${[["name", t.name], ["state", t.state], ["samples", t.stations.samples, 1], ["lag", t.stations.lag, 1]]}
      rows=${edge.stations.map((s) => ({ key: s.name, name: html`<a href=${`#/stations/${encodeURIComponent(s.name)}`}>${s.name}</a>`,
        state: html`<${State} is=${s.up === null ? "unasked" : s.up ? "answers" : "silent"} since=${s.since} why=${s.reason} />`, samples: number(s.samples), lag: span(s.lag) }))} /></section>`}
    <${Everything} doc=${doc} />`;
}

function Everything({ doc }) {
  const [open, setOpen] = useState(false);
  return html`<details class="everything" onToggle=${(e) => setOpen(e.currentTarget.open)}><summary>${t.everything}</summary>${open && html`<${Tree} name=${doc.name} value=${doc} />`}</details>`;
}

const sumRates = (doc, index) => sum(doc.lines, (line) => rate("lines", line.name, index) ?? 0);

export const settingsOf = (s) => `${s.baudrate} ${s.data_bits}${s.parity}${s.stop_bits}${s.flow === "none" ? "" : ` ${s.flow}`}`;

// How much of the wire's time its characters take: both directions of a half-duplex line, the fuller one of another.
export function useOf(line) {
  const s = line.settings;
  const rates = [0, 1].map((i) => rate("lines", line.name, i));
  if (rates[0] === null) return null;
  const character = (1 + s.data_bits + (s.parity === "N" ? 0 : 1) + Number(s.stop_bits)) / s.baudrate;
  return Math.min(1, Math.max(rates[0], rates[1], line.report?.rs485 ? rates[0] + rates[1] : 0) * character);
}
