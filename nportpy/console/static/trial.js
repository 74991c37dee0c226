// A change of the configuration that is tried: confirmed from any page, and told of where the console has moved away.
import { html, useEffect, useState } from "./vendor/preact.js";
import t from "./texts.js";
import { Act } from "./parts.js";
import { date, span } from "./format.js";
import { ask, now } from "./store.js";

const c = t.trial;

// Where the console will be, if this page has tried to move it: its own origin is out of reach then.
export const moved = { places: [] };

// A link for a place to listen at, as this browser may reach it.
function link(place) {
  const [, host, port] = place.match(/^(.*):(\d+)$/) ?? [];
  const any = host === "0.0.0.0" || host === "[::]";
  return `${location.protocol}//${any ? location.hostname : host}:${port}/#/configuration`;
}

export function Trial({ trial, live, mine }) {
  const [, again] = useState(0);
  useEffect(() => {
    if (!trial) return undefined;
    const timer = setInterval(() => again((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [trial?.number]);
  if (!trial) return null;
  const left = date(trial.until).getTime() / 1000 - now();
  const tell = (what) => async () => { await ask(`api/v1/config/${what}`, { number: trial.number }); };
  return html`<section class="trial" role="alert" aria-label=${c.title}>
    <p><strong>${c.title} ${trial.number}</strong> ${trial.why && html`<q>${trial.why}</q>`} (${trial.by}) ${left > 0 ? `${c.back} ${span(left)}` : c.going}</p>
    ${!live && html`<p>${c.lost} ${moved.places.map((place) => html` <a href=${link(place)} target="_blank" rel="noopener">${link(place)}</a>`)}</p>`}
    ${live && mine && html`<p><${Act} label=${c.confirm} run=${tell("confirm")} /> <${Act} label=${c.takeBack} run=${tell("back")} danger /></p>`}</section>`;
}
