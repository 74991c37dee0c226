// Who may use the console and the API, and what was done by whom.
import { html, useEffect, useState } from "../vendor/preact.js";
import t from "../texts.js";
import { Act, Field, Table } from "../parts.js";
import { clock, day, moment } from "../format.js";
import { ask, store } from "../store.js";

const a = t.accounts;
const EXTRAS = ["monitor", "capture", "edit"];
const SKIPPED = new Set(["number", "time", "level", "logger", "message"]);
const part = (text) => encodeURIComponent(text);

export function Accounts() {
  const [known, setKnown] = useState({ accounts: [], tokens: [] });
  const [events, setEvents] = useState([]);
  const [why, setWhy] = useState("");
  const [token, setToken] = useState(null);
  const look = async () => {
    try {
      const audit = await ask("api/v1/audit");
      setEvents(audit.records.reverse());
      setKnown(await ask("api/v1/users"));
      setWhy("");
    } catch (error) {
      setWhy(error.message);
    }
  };
  useEffect(() => { look(); }, []);
  const change = async (path, body) => {
    const found = await ask(`api/v1/${path}`, body);
    await look();
    return found;
  };
  const add = async (event, path, more) => {
    event.preventDefault();
    const form = event.target;
    const told = { name: form.elements.name.value, role: form.elements.role.value, ...more(form.elements) };
    for (const each of EXTRAS) if (form.elements[each].checked) told[each] = true;
    try {
      const found = await change(path, told);
      setToken(found.token ? found : null);
      form.reset();
    } catch (error) {
      setWhy(error.message);
    }
  };
  const rights = (each) => [each.role, ...each.rights].join(", ");
  const own = (each) => each.name === store.who;
  return html`${why && html`<p class="why" role="alert">${why}</p>`}
    <section><h2>${a.accounts}</h2><${Table} empty=${a.nobody} columns=${[["name", t.name], ["role", a.role], ["act", ""]]} rows=${known.accounts.map((each) => ({
      key: each.name, name: each.name, role: rights(each),
      act: html`<${Act} label=${a.remove} danger disabled=${own(each)} question=${`${a.removeAsk} ${each.name}?`} run=${() => change(`users/${part(each.name)}/remove`, {}).then(() => "")} />`,
    }))} />
    <form class="actions" onSubmit=${(e) => add(e, "users", (fields) => ({ password: fields.password.value }))}><div><${Named} />
      <${Field} label=${t.password}><input name="password" type="password" autocomplete="new-password" required minlength="12" maxlength="256" /><//><button>${a.add}</button></div></form></section>
    <section><h2>${a.tokens}</h2>${token && html`<p class="notice" role="status">${token.name}: <code>${token.token}</code> ${a.once}</p>`}
    <${Table} empty=${a.noTokens} columns=${[["name", t.name], ["role", a.role], ["end", a.end], ["act", ""]]} rows=${known.tokens.map((each) => ({
      key: each.name, name: each.name, role: rights(each), end: each.end ? moment(each.end) : a.never,
      act: html`<${Act} label=${a.remove} danger question=${`${a.removeAsk} ${each.name}?`} run=${() => change(`tokens/${part(each.name)}/remove`, {}).then(() => "")} />`,
    }))} />
    <form class="actions" onSubmit=${(e) => add(e, "tokens", (fields) => (fields.days.value ? { days: Number(fields.days.value) } : {}))}><div><${Named} />
      <${Field} label=${a.days}><input name="days" type="number" min="1" max="36500" /><//><button>${a.addToken}</button></div></form></section>
    <section><h2>${a.audit}</h2><ol class="log">${events.map((each) => html`<li key=${each.number}><time title=${day(each.time)}>${clock(each.time, true)}</time> <b>${each.event}</b>${Object.entries(each).filter(([key, value]) => !SKIPPED.has(key) && key !== "event" && value !== "").map(([key, value]) =>
      html` <span class="pair"><i>${key}</i>=${String(value)}</span>`)}</li>`)}</ol></section>`;
}

const Named = () => html`<${Field} label=${t.name}><input name="name" required maxlength="64" autocomplete="off" /><//>
  <${Field} label=${a.role}><select name="role">${["viewer", "operator", "admin"].map((role) => html`<option>${role}</option>`)}</select><//>
  ${EXTRAS.map((each) => html`<label><input type="checkbox" name=${each} /> ${each}</label>`)}`;
