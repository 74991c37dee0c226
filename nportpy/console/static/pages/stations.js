// What stations say now, and what they said: latest values, and charts from the archive.
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Chart } from "../chart.js";
import { Facts, State, Table } from "../parts.js";
import { age, ago, moment, number, span, value } from "../format.js";
import { ask, now, store } from "../store.js";

const s = t.stations;
const RANGES = { m10: 600, h1: 3600, h6: 6 * 3600, d1: 86400, d7: 7 * 86400, d28: 28 * 86400 };
const MOST = 8;

// #/stations/STATION?tag=STATION/TAG&range=h1, or &from=..&to=..
const go = (rest, query) => { location.hash = `#/stations${rest.map((each) => `/${encodeURIComponent(each)}`).join("")}?${query}`; };

export function Stations({ doc, rest, query }) {
  const stations = doc.edge?.stations ?? [];
  if (!stations.length) return html`<p class="empty">${s.none}</p>`;
  const shown = rest[0] ? stations.filter((each) => each.name === rest[0]) : stations;
  const chosen = query.getAll("tag").slice(0, MOST);
  const choose = (tag) => {
    const others = chosen.filter((each) => each !== tag);
    const next = new URLSearchParams(query);
    next.delete("tag");
    for (const each of others.length < chosen.length ? others : [...chosen, tag].slice(-MOST)) next.append("tag", each);
    history.replaceState(null, "", `#/stations${rest[0] ? `/${encodeURIComponent(rest[0])}` : ""}?${next}`);
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return html`${chosen.length > 0 ? html`<${Charts} doc=${doc} tags=${chosen} rest=${rest} query=${query} stations=${stations} />` : html`<p class="hint">${s.choose}</p>`}
    ${shown.map((each) => html`<section class="card" key=${each.name}><h2>${each.name} <${State} is=${each.up === null ? "unasked" : each.up ? "answers" : "silent"} since=${each.since} why=${each.reason} /></h2>
      ${each.reason && html`<p class="why">${each.reason}</p>`}
      <${Table} columns=${[["chart", s.chart], ["name", s.tag], ["value", t.value, 1], ["unit", t.unit], ["quality", t.quality], ["age", s.read]]}
        rows=${each.tags.map((tag) => ({ key: tag.name, chart: html`<input type="checkbox" aria-label=${`${s.chart} ${tag.name}`} checked=${chosen.includes(`${each.name}/${tag.name}`)} onChange=${() => choose(`${each.name}/${tag.name}`)} />`,
          name: tag.name, value: html`<b>${value(tag.value)}</b>`, unit: tag.unit, quality: html`<${State} is=${tag.quality} why=${tag.reason} />${tag.reason && html` <small class="why">${tag.reason}</small>`}`,
          age: tag.at ? html`<span title=${moment(tag.at)}>${ago(tag.at)}</span>` : s.never }))} />
      <${Facts} of=${[[s.polls, Object.entries(each.polls).map(([k, n]) => `${s[k] ?? k} ${number(n)}`).join(", ")], [s.overruns, number(each.overruns)], [s.lag, span(each.lag)], [s.samples, number(each.samples)], [s.unchanged, number(each.unchanged)]]} /></section>`)}`;
}

// An archive that has just begun would be a dot at the end of an hour.
const young = (doc) => age(doc.edge.archive?.oldest_at) < 1200;

function Charts({ doc, tags, rest, query, stations }) {
  const range = RANGES[query.get("range")] ? query.get("range") : query.get("from") ? "" : young(doc) ? "m10" : "h1";
  const [found, setFound] = useState(null);
  const [why, setWhy] = useState("");
  const [table, setTable] = useState(false);
  const key = `${tags.join(" ")} ${query}`;
  const set = (changes) => {
    const next = new URLSearchParams(query);
    for (const each of ["range", "from", "to"]) next.delete(each);
    for (const [name, what] of Object.entries(changes)) next.set(name, what);
    go(rest, next);
  };
  useEffect(() => {
    let alive = true, timer;
    const look = async () => {
      const to = range ? now() : Number(query.get("to")), from = range ? to - RANGES[range] : Number(query.get("from"));
      const points = Math.max(100, Math.min(1500, document.querySelector("main").clientWidth));
      const wanted = new URLSearchParams({ from, to, points });
      for (const tag of tags) wanted.append("tag", tag);
      const mark = `chart ${performance.now()}`;
      performance.mark(mark);
      try {
        const answer = await ask(`api/v1/archive/chart?${wanted}`);
        if (alive) { setFound({ ...answer, mark }); setWhy(""); }
      } catch (error) {
        if (alive) setWhy(error.message);
      }
      if (alive && range) timer = setTimeout(look, Math.max(2000, Math.min(60000, (1000 * RANGES[range]) / points)));
    };
    look();
    return () => { alive = false; clearTimeout(timer); };
  }, [key]);
  const move = (by) => {
    const [from, to] = found ? [found.from, found.to] : [now() - 3600, now()];
    set({ from: Math.round(from + by * (to - from)), to: Math.round(to + by * (to - from)) });
  };
  const up = (tag) => stations.find((each) => tag.startsWith(`${each.name}/`))?.up === true && store.live;
  return html`<section class="charts"><div class="actions"><div role="group">${Object.entries(s.ranges).map(([name, label]) => html`<button type="button" key=${name} aria-pressed=${range === name} onClick=${() => set({ range: name })}>${label}</button>`)}
      <button type="button" onClick=${() => move(-0.5)}>${s.earlier}</button> <button type="button" onClick=${() => move(0.5)}>${s.later}</button></div></div>
    <p class="legend"><span class="late"></span> ${s.late} <span class="waiting"></span> ${s.waiting} <span class="gap"></span> ${s.gap}</p>
    ${why && html`<p class="why">${why}</p>`}
    ${found && found.curves.length === 0 && html`<p class="empty">${s.empty}</p>`}
    ${found?.curves.map((curve) => html`<${Chart} key=${curve.tag + curve.unit} curve=${curve} from=${found.from} to=${found.to} holds=${range !== "" && up(curve.tag)} mark=${found.mark}
      choose=${(from, to) => set({ from: Math.round(from), to: Math.round(to) })} />`)}
    ${found?.curves.length > 0 && html`<p class="hint">${found.curves.map((curve) => `${curve.tag}: ${number(curve.times.length)} ${s.points} ${s.from} ${number(curve.samples)} ${s.samplesWord}`).join("; ")}</p>`}
    ${found?.curves.length > 0 && html`<details onToggle=${(e) => setTable(e.currentTarget.open)}><summary>${s.table}</summary>${table && found.curves.map((curve) => html`<${AsTable} curve=${curve} />`)}</details>`}</section>`;
}

const MOST_ROWS = 200;

function AsTable({ curve }) {
  const rows = useMemo(() => {
    const first = Math.max(0, curve.times.length - MOST_ROWS);
    return curve.times.slice(first).map((at, n) => [at, first + n]).map(([at, i]) => ({ key: i, at: moment(at), low: curve.low[i] === null ? s.gap : value(curve.low[i]), high: value(curve.high[i]),
      how: [s.onTime, s.late, s.waiting][curve.how[i]] + (curve.uncertain[i] ? `, ${s.uncertain}` : "") }));
  }, [curve]);
  return html`<${Table} caption=${`${curve.tag} ${curve.unit}`} columns=${[["at", t.time], ["low", s.least, 1], ["high", s.greatest, 1], ["how", s.how]]} rows=${rows} />`;
}
