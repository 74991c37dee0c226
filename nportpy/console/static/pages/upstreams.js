// Where samples go, what they wait for, and the archive behind it.
import { html, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Act, Facts, Field, State } from "../parts.js";
import { ago, moment, number, size, span } from "../format.js";
import { ask } from "../store.js";

const u = t.upstreams;

export function Upstreams({ doc }) {
  const edge = doc.edge;
  if (!edge) return html`<p class="empty">${u.none}</p>`;
  const a = edge.archive;
  return html`${edge.upstreams.length === 0 && html`<p class="empty">${u.none}</p>`}
    ${edge.upstreams.map((up) => html`<section class="card" key=${up.name}><h2>${up.name} <${State} is=${up.up ? "connected" : "away"} since=${up.since} why=${up.reason} /></h2>
      ${up.reason && html`<p class="why">${up.reason}</p>`}
      <${Facts} of=${[[u.url, html`<code>${up.url}</code>`], [u.backlog, number(up.backlog)], [u.oldest, up.oldest_at ? `${moment(up.oldest_at)} (${ago(up.oldest_at)})` : t.unknown], [u.live, number(up.sent_live)],
        [u.late, number(up.sent_late)], [u.refused, number(up.refused)], [u.lost, number(up.lost)], [u.connects, number(up.connects)], [u.acknowledged, number(up.acknowledged)]]} /></section>`)}
    <section class="card"><h2>${u.archive}</h2>${a ? html`${a.error && html`<p class="why">${a.error}</p>`}
      <${Facts} of=${[[u.file, html`<code>${a.path}</code>`], [u.size, size(a.bytes)], [t.overview.samples, number(a.samples)], [u.oldestSample, moment(a.oldest_at)], [u.evicted, number(a.evicted)], [u.queued, number(a.queued)],
        [u.dropped, number(a.dropped)], [u.commits, number(a.commits)], [u.meanCommit, a.commits ? span(a.commit_seconds / a.commits) : t.unknown], [u.failures, number(a.failures)], [u.recovered, number(a.recovered)],
        [u.trusted, a.trusted ? u.isTrusted : u.notTrusted]]} />` : html`<p class="why">${u.noArchive}: ${edge.error}</p>`}</section>
    ${edge.upstreams.length > 0 && html`<${Backfill} edge=${edge} />`}`;
}

const local = (at) => new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 19);

function Backfill({ edge }) {
  const [upstream, setUpstream] = useState("");
  const [from, setFrom] = useState(local(Date.now() - 3600000));
  const [to, setTo] = useState(local(Date.now()));
  return html`<section class="card"><h2>${u.backfill}</h2><p class="hint">${t.localOnly}</p><div class="actions"><div>
    <${Field} label=${u.upstream}><select value=${upstream} onChange=${(e) => setUpstream(e.target.value)}><option value="">${t.all}</option>${edge.upstreams.map((each) => html`<option>${each.name}</option>`)}</select><//>
    <${Field} label=${u.from}><input type="datetime-local" step="1" value=${from} onInput=${(e) => setFrom(e.target.value)} /><//>
    <${Field} label=${u.to}><input type="datetime-local" step="1" value=${to} onInput=${(e) => setTo(e.target.value)} /><//>
    <${Act} label=${u.send} run=${async () => {
      const query = new URLSearchParams({ upstream, from: new Date(from).toISOString(), to: new Date(to).toISOString() });
      const { upstreams } = await ask(`api/v1/archive/send?${query}`, undefined, "POST");
      return `${u.sending} ${upstreams.join(", ")}`;
    }} /></div></div></section>`;
}
