// Who is connected where.
import { html } from "../vendor/preact.js";
import t from "../texts.js";
import { Act, State, Table, sum } from "../parts.js";
import { moment, number, size, span, age } from "../format.js";
import { ask } from "../store.js";

const s = t.services;
const CALLS = new Set(["tcp_client", "pair", "modem", "master"]);
export const endpoint = (each) => (each.address.includes(":") ? `[${each.address}]:${each.port}` : `${each.address}:${each.port}`);

export function Services({ doc }) {
  const clients = doc.services.flatMap((service) => service.clients.map((each) => ({ ...each, service })));
  return html`<section><h2>${s.clients}</h2><${Table} empty=${s.none}
      columns=${[["client", s.client], ["service", s.service], ["since", t.since], ["state", t.state], ["received", s.received, 1], ["sent", s.sent, 1], ["waiting", s.pending, 1], ["end", ""]]}
      rows=${clients.map((each) => ({ key: `${each.service.port} ${each.service.service} ${endpoint(each)}`, client: html`<code>${endpoint(each)}</code>`, service: `${each.service.port} ${each.service.service}`,
        since: html`${moment(each.since)} <small>${span(age(each.since))}</small>`, state: html`<${State} is=${each.state} />${each.controls && html` <small>${s.controls}</small>`}`,
        received: size(each.received), sent: size(each.sent), waiting: size(each.waiting),
        end: html`<${Act} label=${s.end} danger question=${`${s.endAsk} ${endpoint(each)}?`} run=${() => ask("api/v1/services/end", { port: each.service.port, service: each.service.service, client: endpoint(each) }).then(() => "")} />` }))} />
      <p class="hint">${t.localOnly}</p></section>
    <section><h2>${t.pages.services}</h2><${Table} columns=${[["port", s.port], ["service", s.service], ["listen", s.listen], ["state", t.state], ["clients", s.clients, 1], ["results", s.results], ["refused", s.refused], ["dropped", s.dropped, 1]]}
      rows=${doc.services.map((each) => ({ key: `${each.port} ${each.service}`, port: each.port, service: each.service, listen: html`<code>${each.listen.join(", ") || t.unknown}</code>`,
        state: html`<${State} is=${each.listen.length ? "listening" : CALLS.has(each.service.split("-")[0]) ? "calling" : "deaf"} />${each.waiting > 0 && html` <small>${number(each.waiting)} ${s.waiting}</small>`}`,
        clients: number(each.clients.length), results: counts(each.results), refused: counts(each.refused), dropped: size(each.dropped) }))} /></section>`;
}

const counts = (of) => Object.entries(of).filter(([, n]) => n).map(([name, n]) => `${name} ${number(n)}`).join(", ") || t.none;
