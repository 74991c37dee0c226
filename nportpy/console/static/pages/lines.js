// Each line: what it is set to, how it is, what it carries; and what can be done with it.
import { html, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Act, Bar, Facts, Field, State, Table } from "../parts.js";
import { moment, number, percent, size, span, speed } from "../format.js";
import { ask, rate } from "../store.js";
import { settingsOf, useOf } from "./overview.js";

const l = t.lines;
const MODEM = ["dtr", "rts", "cts", "dsr", "cd", "ri"];

export function Lines({ doc }) {
  if (!doc.lines.length) return html`<p class="empty">${t.noneHere}</p>`;
  return doc.lines.map((line) => html`<${Line} key=${line.name} line=${line} />`);
}

function Line({ line }) {
  const report = line.report;
  return html`<section class="card"><h2>${line.name} <${State} is=${line.state} since=${line.since} why=${line.error} /></h2>
    ${line.error && html`<p class="why">${line.error}</p>`}
    <${Facts} of=${[
      [l.device, html`<code>${line.device}</code>`], [l.settings, settingsOf(line.settings)],
      [l.heldBy, line.held_by.length ? line.held_by.join(", ") : l.ofThePort], [l.driver, report?.driver ?? l.unknownDriver],
      [l.rs485, report?.rs485 ? Object.entries(report.rs485).filter(([, v]) => v !== null && v !== false && v !== 0).map(([k, v]) => (v === true ? k : `${k} ${v}`)).join(", ") : t.none],
      [l.modem, line.modem_lines ? html`<span class="modem">${MODEM.map((name) => html`<span class=${line.modem_lines.includes(name) ? "on" : "off"}>${name.toUpperCase()}${line.modem_lines.includes(name) ? "▲" : "▽"}</span>`)}</span>` : t.none],
      [l.errors, line.uart ? Object.entries(line.uart).map(([name, n]) => `${t.uart[name] ?? name} ${number(n)}`).join(", ") : l.unknownDriver],
      [l.use, html`<${Bar} part=${useOf(line)} label=${percent(useOf(line))} />`],
      [l.received, `${size(line.received)}, ${speed(rate("lines", line.name, 0))}`, line.received], [l.sent, `${size(line.sent)}, ${speed(rate("lines", line.name, 1))}`, line.sent],
      [l.unsent, size(line.unsent)], [l.unheard, size(line.unheard)], [l.purged, size(line.purged)],
      [l.opens, number(line.opens)], [l.losses, number(line.losses)], [l.attempts, number(line.attempts)], [l.changeovers, number(line.changeovers)],
    ]} />
    ${line.leases.length > 0 && html`<${Table} caption=${l.leases} columns=${[["holder", l.holder], ["held", t.state], ["outcomes", l.outcomes], ["seconds", l.seconds, 1], ["waited", l.waited, 1], ["ways", l.ways, 1]]}
      rows=${line.leases.map((each) => ({ key: each.holder, holder: each.holder, held: each.held ? l.held : "", outcomes: Object.entries(each.outcomes).map(([k, n]) => `${k} ${number(n)}`).join(", "),
        seconds: span(each.seconds), waited: span(each.waited), ways: number(each.ways_given) }))} />`}
    <p><a href=${`#/monitor/${encodeURIComponent(line.name)}`}>${l.watch}</a></p>
    <details><summary>${l.actions}</summary><${Actions} line=${line} /></details></section>`;
}

function Actions({ line }) {
  const [text, setText] = useState("");
  const [hex, setHex] = useState(false);
  const to = (what, body) => ask(`api/v1/lines/${encodeURIComponent(line.name)}/${what}`, body);
  const down = line.state !== "up";
  const level = (name, on) => html`<${Act} key=${name + on} label=${`${l[name]} ${on ? l.raise : l.drop}`} disabled=${down} run=${() => to("modem_lines", { [name]: on }).then(() => "")} />`;
  return html`<div class="actions"><p class="hint">${t.localOnly}</p>
    <div><${Field} label=${hex ? l.hex : l.text}><input value=${text} onInput=${(e) => setText(e.target.value)} spellcheck="false" /><//>
      <label class="check"><input type="checkbox" checked=${hex} onChange=${(e) => setHex(e.target.checked)} /> ${l.hex}</label>
      <${Act} label=${l.send} disabled=${down || !text} run=${async () => {
        const done = await to("send", hex ? { hex: text } : { text });
        return `${done.bytes} ${done.left ? l.bytesLeft : l.bytesWait}`;
      }} /></div>
    <div><${Act} label=${l.sendBreak} disabled=${down} run=${() => to("break", {}).then((done) => `${done.milliseconds} ${l.milliseconds}`)} />
      ${level("dtr", true)} ${level("dtr", false)} ${level("rts", true)} ${level("rts", false)}
      <${Act} label=${l.reopen} danger question=${l.reopenAsk} disabled=${down} run=${() => to("reopen", {}).then(() => "")} /></div></div>`;
}
