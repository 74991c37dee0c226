import { html } from "../vendor/preact.js";
export function Monitor() { return html``; }
