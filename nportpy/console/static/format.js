// Numbers, times and sizes as people read them.
import t from "./texts.js";
import { now } from "./store.js";

const u = t.units;

export const number = (n, digits = 0) =>
  n === null || n === undefined ? t.unknown : Number(n).toLocaleString("en", { maximumFractionDigits: digits, useGrouping: true });

export function size(n) {
  if (n === null || n === undefined) return t.unknown;
  for (const [unit, of] of [[u.gib, 2 ** 30], [u.mib, 2 ** 20], [u.kib, 1024]]) if (n >= of) return `${number(n / of, n < 10 * of ? 1 : 0)} ${unit}`;
  return `${number(n)} ${u.bytes}`;
}

export const speed = (n) => (n === null ? t.unknown : `${size(Math.round(n))}${u.perSecond}`);
export const percent = (part) => (part === null || part === undefined ? t.unknown : `${number(100 * part, part < 0.1 ? 1 : 0)} ${u.percent}`);

export function span(seconds) {
  if (seconds === null || seconds === undefined || !isFinite(seconds)) return t.unknown;
  const s = Math.max(0, seconds);
  if (s < 1) return `${number(s * 1000, s < 0.01 ? 1 : 0)} ${u.ms}`;
  if (s < 60) return `${Math.floor(s)} ${u.s}`;
  if (s < 3600) return `${Math.floor(s / 60)} ${u.min}`;
  if (s < 86400) return `${Math.floor(s / 3600)} ${u.h} ${Math.floor((s % 3600) / 60)} ${u.min}`;
  return `${Math.floor(s / 86400)} ${u.d} ${Math.floor((s % 86400) / 3600)} ${u.h}`;
}

const two = (n) => String(n).padStart(2, "0");
export const date = (at) => (typeof at === "string" ? new Date(at) : new Date(at * 1000));
export function clock(at, millis = false) {
  const d = date(at);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}${millis ? `.${String(d.getMilliseconds()).padStart(3, "0")}` : ""}`;
}
export const day = (at) => { const d = date(at); return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`; };
export const moment = (at) => (at === null || at === undefined ? t.unknown : day(at) === day(now()) ? clock(at) : `${day(at)} ${clock(at)}`);
export const age = (at) => (at === null || at === undefined ? null : now() - date(at).getTime() / 1000);
export const ago = (at) => (at === null || at === undefined ? t.unknown : `${span(age(at))} ${t.ago}`);

// A measured value: as many digits as say something.
export function value(v) {
  if (v === null || v === undefined) return t.unknown;
  if (typeof v === "boolean") return v ? t.yes : t.no;
  if (typeof v !== "number") return String(v);
  if (Number.isInteger(v)) return number(v);
  const digits = Math.max(0, Math.min(6, 5 - Math.floor(Math.log10(Math.abs(v) || 1))));
  return number(v, Math.min(digits, 3));
}
