// The frame of the pages: which one is shown, the way between them, and whether what they show is true.
import { html, render, useEffect, useState } from "./vendor/preact.js";
import t from "./texts.js";
import { logIn, logOut, run, useStore } from "./store.js";
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
import { Accounts } from "./pages/accounts.js";

const PAGES = { overview: Overview, lines: Lines, services: Services, modbus: Modbus, monitor: Monitor, stations: Stations,
  upstreams: Upstreams, log: Log, alarms: Alarms, configuration: Configuration, support: Support, accounts: Accounts };

// The rights that pages take beside that of looking.
const NEEDS = { monitor: ["monitor"], log: ["monitor"], configuration: ["monitor", "edit"], support: ["monitor"], accounts: ["accounts"] };
const mine = (store, page) => !NEEDS[page] || NEEDS[page].some((right) => store.rights?.includes(right));

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

function Login() {
  const [wrong, say] = useState("");
  const submit = (event) => {
    event.preventDefault();
    const { name, password } = event.target.elements;
    logIn(name.value, password.value).catch((error) => say(error.message));
  };
  return html`<header><span class="brand">${t.title}</span></header><main><h1>${t.logIn}</h1><form onSubmit=${submit}>
    <p><label>${t.name} <input name="name" autocomplete="username" required maxlength="64" /></label></p>
    <p><label>${t.password} <input name="password" type="password" autocomplete="current-password" required maxlength="256" /></label></p>
    ${wrong && html`<p class="alarm" role="alert">${wrong}</p>`}<p><button>${t.logIn}</button></p></form></main>`;
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
  useEffect(() => document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }), [where.page]);
  if (store.login) return html`<${Login} />`;
  const page = mine(store, where.page) || !store.rights ? where.page : "overview";
  const Page = PAGES[page];
  return html`
    <a class="skip" href=${location.hash || "#/"} onClick=${(e) => { e.preventDefault(); document.querySelector("main").focus(); }}>${t.skip}</a>
    <header><a class="brand" href="#/">${t.title}</a> <span class="gateway">${store.doc?.name ?? ""}</span>
      ${store.who && html`<button class="who" onClick=${logOut} title=${store.who}>${t.logOut}</button>`}
      <nav aria-label=${t.title}><ul>${Object.keys(PAGES).filter((each) => mine(store, each)).map((each) => html`<li key=${each}><a href=${`#/${each}`}
        aria-current=${each === page ? "page" : null}>${t.pages[each]}</a></li>`)}</ul></nav></header>
    ${!store.live && html`<p class="alarm" role="alert">${store.lostAt ? `${t.noConnection} ${moment(store.lostAt / 1000)}` : t.connecting}${
      store.why && ` – ${store.why}`}</p>`}
    <${Trial} trial=${store.doc?.trial} live=${store.live} mine=${store.rights?.includes("edit")} />
    ${tabs > 4 && html`<p class="notice" role="status">${t.manyTabs}</p>`}
    <main tabindex="-1" class=${store.live ? "" : "stale"}><h1>${t.pages[page]}</h1>${store.doc && mine(store, page) && html`<${Page} doc=${store.doc} rest=${where.rest} query=${where.query} />`}</main>`;
}

render(html`<${Console} />`, document.body);
run();
