// Modbus units: what is wrong with them in words, how they answer, who asks, what was spared; and asking them.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Act, Bar, Facts, Field, State, Table, sum } from "../parts.js";
import { moment, number, percent, span, value } from "../format.js";
import { ask, follow, rate } from "../store.js";

const m = t.modbus;
const TYPES = ["", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string:16", "bit"];
const ORDERS = ["ABCD", "CDAB", "BADC", "DCBA"];

const LOOK = 5000; // a verdict is about minutes

export function Modbus({ doc }) {
  const verdicts = useVerdicts();
  if (!doc.buses.length) return html`<p class="empty">${m.none}</p>`;
  return html`${doc.buses.map((bus) => html`<${Bus} key=${bus.name} bus=${bus} verdict=${verdicts.find((each) => each.bus === bus.name)} />`)}<${Refused} services=${doc.services} />`;
}

// What the gateway says of its buses, as `nportpy status --bus` does.
function useVerdicts() {
  const [found, setFound] = useState([]);
  useEffect(() => {
    let alive = true;
    const look = () => ask("api/v1/verdict").then((all) => alive && setFound(all), () => {}); // away: the frame says so
    look();
    const timer = setInterval(look, LOOK);
    return () => { alive = false; clearInterval(timer); };
  }, []);
  return found;
}

function Bus({ bus, verdict }) {
  const use = rate("buses", bus.name);
  return html`<section class="card"><h2>${bus.name} <${State} is=${bus.up ? "up" : "down"} /></h2>
    ${verdict && html`<ul class="verdict" aria-label=${m.verdict}>${verdict.sentences.map((each) => html`<li key=${each}>${each}</li>`)}</ul>`}
    <${Facts} of=${[
      [m.use, html`<${Bar} part=${use} label=${percent(use)} />`], [m.requests, number(sum(bus.requests, (each) => each.count))], [m.sent, number(bus.sent)], [m.queued, number(bus.queued)],
      [m.wait, bus.sent ? span(bus.waited / bus.sent) : t.unknown], [m.shared, number(bus.coalesced)], [m.cached, number(bus.cached)], [m.merged, number(bus.merged)],
      [m.retries, number(bus.retries)], [m.spoilt, number(bus.spoilt)], [m.late, number(bus.late)], [m.junk, number(bus.junk)], [m.foreign, number(bus.foreign)],
      [m.unfit, number(bus.unfit)], [m.echoes, number(bus.echoes)], [m.probes, number(bus.probes)]]} />
    <${Units} bus=${bus} ill=${verdict?.units ?? []} />
    ${bus.clients.length > 0 && html`<${Clients} bus=${bus} hogs=${verdict?.hogs ?? []} />`}
    <${Table} caption=${m.requests} columns=${[["unit", t.unit], ["function", m.function], ["result", t.result], ["count", t.count, 1]]}
      rows=${bus.requests.map((each) => ({ key: `${each.unit} ${each.function} ${each.result}`, ...each, count: number(each.count) }))} />
    <${Durations} of=${bus.durations} />
    <details><summary>${m.ask}</summary><${Ask} bus=${bus} /></details></section>`;
}

// What was in the last minutes, and what since the start.
const both = (recent, ever, show = number) => html`${show(recent)} <small>${m.ever} ${show(ever)}</small>`;
const minutes = (bus) => `${m.lately} ${span(bus.recent.seconds)}`;

function Units({ bus, ill }) {
  const counted = (unit, name) => both(unit.recent[name], unit[name]);
  const state = (unit) => ill.find((each) => each.unit === unit.unit)?.ill ?? (unit.silent ? "silent" : "answers");
  return html`<${Table} caption=${`${m.units} – ${minutes(bus)}`} columns=${[["unit", t.unit], ["state", t.state], ["mean", m.meanAnswer, 1], ["answered", m.answered, 1], ["unanswered", m.unanswered, 1],
    ["spoilt", m.spoilt, 1], ["late", m.late, 1], ["retries", m.retries, 1], ["busy", m.busSeconds, 1], ["timeout", m.timeout, 1]]}
    rows=${bus.units.map((unit) => ({ key: unit.unit, unit: number(unit.unit), state: html`<${State} is=${state(unit)} since=${unit.silent_since} />`, mean: both(meanOf(unit.recent), meanOf(unit), span),
      answered: counted(unit, "answered"), unanswered: counted(unit, "unanswered"), spoilt: counted(unit, "spoilt"), late: counted(unit, "late"), retries: counted(unit, "retries"),
      busy: both(unit.recent.busy, unit.busy, span), timeout: span(unit.timeout) }))} />`;
}

function meanOf(counts) {
  const timed = sum(counts.answer_times, (each) => each.count);
  return timed ? counts.answer_seconds / timed : null;
}

// Who has the bus, by the seconds that it was busy for them in the last minutes. The verdict says who has too much of
// it: a client, or all of an address.
function Clients({ bus, hogs }) {
  const total = sum(bus.clients, (each) => each.recent.busy);
  const hosts = hogs.map((each) => each.split(" (")[0]);
  const hogging = (client) => hosts.some((host) => host === client || client.startsWith(`${host}:`) || client.startsWith(`[${host}]:`));
  const part = (each) => (total ? each.recent.busy / total : null);
  return html`<${Table} caption=${`${m.hogs} – ${minutes(bus)}`} columns=${[["client", m.client], ["service", t.services.service], ["state", t.state], ["requests", m.requests, 1], ["busy", m.busSeconds, 1], ["share", m.share], ["refused", m.refused, 1]]}
    rows=${[...bus.clients].sort((a, b) => b.recent.busy - a.recent.busy).map((each) => ({ key: `${each.client} ${each.service} ${each.since}`, client: html`<code>${each.client}</code>`, service: each.service,
      state: html`<${State} is=${hogging(each.client) ? "hogging" : each.left === null ? "open" : "left"} since=${each.left ?? each.since} />`, requests: both(each.recent.requests, each.requests), busy: both(each.recent.busy, each.busy, span),
      share: html`<${Bar} plain=${!hogging(each.client)} part=${part(each)} label=${percent(part(each))} />`, refused: number(each.refused) }))} />`;
}

// Requests that came to no bus: a rule forbids them, or there is nowhere to send them.
function Refused({ services }) {
  const rows = services.flatMap((each) => Object.entries(each.refused).map(([reason, count]) => ({ key: `${each.port} ${each.service} ${reason}`, port: each.port, service: each.service,
    reason: m.reasons[reason] ?? reason, count: number(count) })));
  return rows.length > 0 && html`<section class="card"><h2>${m.rules}</h2><${Table} columns=${[["port", t.services.port], ["service", t.services.service], ["reason", t.reason], ["count", t.count, 1]]} rows=${rows} /></section>`;
}

function Durations({ of }) {
  const most = Math.max(1, ...of.map((each) => each.count));
  return html`<figure class="durations" aria-label=${m.durations}><figcaption>${m.durations}</figcaption><ol>${of.filter((each) => each.count).map((each) => html`<li key=${each.up_to}>
    <span>${each.up_to === null ? m.above : `${m.upTo} ${span(each.up_to)}`}</span> <meter min="0" max=${most} value=${each.count}></meter> <b>${number(each.count)}</b></li>`)}</ol></figure>`;
}

function Ask({ bus }) {
  const [unit, setUnit] = useState(String(bus.units[0]?.unit ?? 1));
  const [address, setAddress] = useState("41001");
  const [type, setType] = useState("");
  const [order, setOrder] = useState("ABCD");
  const [what, setWhat] = useState("");
  const [pdu, setPdu] = useState("");
  const [values, setValues] = useState([]);
  const [said, setSaid] = useState("");
  const to = (action, body) => ask(`api/v1/modbus/${action}`, { bus: bus.name, unit: Number(unit), ...body });
  const typed = { ...(type && { type }), order };
  const read = async () => {
    const { values } = await to("read", { read: address, ...typed });
    setValues(values);
    return " ";
  };
  // The gateway says what it would do, and does it when it is told the same again.
  const confirmed = async (action, body) => {
    try {
      return await to(action, body);
    } catch (error) {
      const problem = error.problem;
      if (problem?.status !== 428) throw error;
      const before = problem.before === undefined ? "" : `${problem.name}: ${value(problem.before)} → ${body.value}\n`;
      if (!confirm(`${m.writeAsk}\n\n${before}${m.request}: ${problem.confirm}`)) return null;
      return to(action, { ...body, confirm: problem.confirm });
    }
  };
  return html`<div class="actions"><p class="hint">${t.localOnly}</p>
    <div><${Field} label=${t.unit}><input class="short" inputmode="numeric" value=${unit} onInput=${(e) => setUnit(e.target.value)} /><//>
      <${Field} label=${m.address}><input value=${address} title=${m.addressHint} onInput=${(e) => setAddress(e.target.value)} /><//>
      <${Field} label=${m.type}><select value=${type} onChange=${(e) => setType(e.target.value)}>${TYPES.map((each) => html`<option value=${each}>${each || t.unknown}</option>`)}</select><//>
      <${Field} label=${m.order}><select value=${order} onChange=${(e) => setOrder(e.target.value)}>${ORDERS.map((each) => html`<option>${each}</option>`)}</select><//>
      <${Act} label=${m.read} run=${read} /></div>
    ${values.length > 0 && html`<${Table} columns=${[["address", m.address], ["value", t.value], ["data", m.answer], ["fault", t.reason]]} rows=${values.map((each) => ({ key: each.address, address: each.address, value: value(each.value), data: html`<code>${each.data}</code>`, fault: each.fault }))} />`}
    <div><${Field} label=${t.value}><input value=${what} onInput=${(e) => setWhat(e.target.value)} /><//>
      <${Act} label=${m.write} danger disabled=${!what} run=${async () => {
        const done = await confirmed("write", { write: address, value: what, ...typed });
        return done ? `${done.after.address}: ${value(done.before.value)} → ${value(done.after.value)}` : t.cancel;
      }} /></div>
    <div><${Field} label=${m.pdu}><input value=${pdu} placeholder="03 03e8 0002" spellcheck="false" onInput=${(e) => setPdu(e.target.value)} /><//>
      <${Act} label=${m.send} disabled=${!pdu} run=${async () => {
        const done = await confirmed("ask", { pdu });
        setSaid(done ? done.answer : "");
        return done ? done.exception || t.done : t.cancel;
      }} /> <code>${said}</code></div>
    <${Scan} bus=${bus} /></div>`;
}

function Scan({ bus }) {
  const [first, setFirst] = useState("1");
  const [last, setLast] = useState("32");
  const [found, setFound] = useState([]);
  const [at, setAt] = useState(null);
  const [said, setSaid] = useState("");
  const stop = useRef(null);
  const scan = async () => {
    const ending = (stop.current = new AbortController());
    setFound([]);
    setSaid("");
    try {
      let any = false;
      await follow("api/v1/modbus/scan", (each) => {
        if (each.done) return setSaid(any ? t.done : m.nobody);
        setAt(each.unit);
        if (each.found) { any = true; setFound((before) => [...before, each]); }
      }, { method: "POST", signal: ending.signal, headers: { "Content-Type": "application/json", Accept: "application/x-ndjson" }, body: JSON.stringify({ bus: bus.name, first: Number(first), last: Number(last) }) });
    } catch (error) {
      if (error.name !== "AbortError") setSaid(`${t.failed}: ${error.message}`);
    }
    setAt(null);
    stop.current = null;
  };
  return html`<div class="scan"><${Field} label=${m.from}><input class="short" inputmode="numeric" value=${first} onInput=${(e) => setFirst(e.target.value)} /><//>
    <${Field} label=${m.to}><input class="short" inputmode="numeric" value=${last} onInput=${(e) => setLast(e.target.value)} /><//>
    ${at === null ? html`<button type="button" onClick=${scan}>${m.scan}</button>` : html`<button type="button" onClick=${() => stop.current?.abort()}>${m.stop}</button> <span role="status">${m.scanning} ${at}</span> <progress max=${Number(last) - Number(first) + 1} value=${at - Number(first) + 1}></progress>`}
    <span role="status">${said}</span>
    ${found.length > 0 && html`<${Table} caption=${m.found} columns=${[["unit", t.unit], ["identity", t.name]]} rows=${found.map((each) => ({ key: each.unit, unit: each.unit, identity: each.identity || t.unknown }))} />`}</div>`;
}
