// The frame of the pages: which one is shown, the way between them, and whether what they show is true.
import { html, render, useEffect, useState } from "./vendor/preact.js";
import t from "./texts.js";
import { run, useStore } from "./store.js";
import { moment } from "./format.js";
import { Trial } from "./trial.js";
import { Overview } from "./pages/overview.js";
import { Lines } from "./pages/lines.js";
import { Services } from "./pages/services.js";
import { Modbus } from "./pages/modbus.js";
import { Monitor } from "./pages/monitor.js";
import { Stations } from "./pages/stations.js";
import { Upstreams } from "./pages/upstreams.js";
import { Log } from "./pages/log.js";
import { Configuration } from "./pages/configuration.js";
import { Alarms } from "./pages/alarms.js";
import { Support } from "./pages/support.js";

const PAGES = { overview: Overview, lines: Lines, services: Services, modbus: Modbus, monitor: Monitor, stations: Stations,
  upstreams: Upstreams, log: Log, alarms: Alarms, configuration: Configuration, support: Support };

// #/page/rest?key=value
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map(decodeURIComponent);
  return { page: Object.hasOwn(PAGES, page) ? page : "overview", rest, query: new URLSearchParams(query ?? "") };
}

// How many pages of this gateway this browser has open: it keeps six connections to one host.
function useTabs() {
  const [count, setCount] = useState(1);
  useEffect(() => {
    const me = String(performance.timeOrigin + performance.now()) + location.hash;
    const others = new Map();
    const channel = new BroadcastChannel("nportpy");
    channel.onmessage = ({ data }) => others.set(data, performance.now());
    const timer = setInterval(() => {
      channel.postMessage(me);
      for (const [who, at] of others) if (performance.now() - at > 5000) others.delete(who);
      setCount(1 + others.size);
    }, 1500);
    return () => { clearInterval(timer); channel.close(); };
  }, []);
  return count;
}

function Console() {
  const store = useStore();
  const [where, go] = useState(place());
  const tabs = useTabs();
  useEffect(() => {
    const hear = () => { go(place()); document.querySelector("main")?.focus(); window.scrollTo(0, 0); };
    addEventListener("hashchange", hear);
    return () => removeEventListener("hashchange", hear);
  }, []);
  useEffect(() => document.querySelector("nav [aria-current]").scrollIntoView({ inline: "center", block: "nearest" }), [where.page]);
  const Page = PAGES[where.page];
  return html`
    <a class="skip" href=${location.hash || "#/"} onClick=${(e) => { e.preventDefault(); document.querySelector("main").focus(); }}>${t.skip}</a>
    <header><a class="brand" href="#/">${t.title}</a> <span class="gateway">${store.doc?.name ?? ""}</span>
      <nav aria-label=${t.title}><ul>${Object.keys(PAGES).map((page) => html`<li key=${page}><a href=${`#/${page}`}
        aria-current=${page === where.page ? "page" : null}>${t.pages[page]}</a></li>`)}</ul></nav></header>
    ${!store.live && html`<p class="alarm" role="alert">${store.lostAt ? `${t.noConnection} ${moment(store.lostAt / 1000)}` : t.connecting}${
      store.why && ` – ${store.why}`}</p>`}
    <${Trial} trial=${store.doc?.trial} live=${store.live} />
    ${tabs > 4 && html`<p class="notice" role="status">${t.manyTabs}</p>`}
    <main tabindex="-1" class=${store.live ? "" : "stale"}><h1>${t.pages[where.page]}</h1>${store.doc && html`<${Page} doc=${store.doc} rest=${where.rest} query=${where.query} />`}</main>`;
}

render(html`<${Console} />`, document.body);
run();
