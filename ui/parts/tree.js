// Values as YAML whose parts can be folded, and the same as text. What is folded is not in the page: a
// configuration may have thousands of functions.

import { html, useState } from "../html.js";
import { count, plural } from "../words.js";

/** Entries of one part that are shown at once. */
const MOST = 200;

/** Words and paths, addresses, durations and sizes. */
const PLAIN = /^(([A-Za-z_/]|\.{1,2}\/)[-\w./@+=%*]*(:[-\w./@+=%*]+)*( [-\w./@+=%]+)*|(\d+[A-Za-z]+)+|\d+(\.\d+){3}([:/]\d+)?)$/;
/** What looks like them and is something else. */
const OTHERWISE = /^(true|false|yes|no|on|off|null|y|n|0[xob].*)$/i;

/** A tree; all of its parts are folded at first. */
export function Tree(/** @type {{value: Record<string, any>}} */ { value }) {
  return html`<div class="tree"><${Entries} value=${value} /></div>`;
}

function Entries(/** @type {{value: any}} */ { value }) {
  const [most, setMost] = useState(MOST);
  const entries = Object.entries(value);
  return html`
    ${entries.slice(0, most).map(([key, inner]) => html`<${Entry} key=${key} name=${Array.isArray(value) ? "-" : `${word(key)}:`} value=${inner} />`)}
    ${entries.length > most && html`<button type="button" class="small" onClick=${() => setMost(most + MOST)}>${count(entries.length - most)} more</button>`}
  `;
}

function Entry(/** @type {{name: string, value: any}} */ { name, value }) {
  if (fitsInLine(value)) return html`<div class="leaf"><span class="key">${name}</span> ${flow(value)}</div>`;
  return html`<${Branch} name=${name} value=${value} />`;
}

function Branch(/** @type {{name: string, value: any}} */ { name, value }) {
  const [open, setOpen] = useState(false);
  const size = Object.keys(value).length;
  return html`
    <details open=${open} onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}>
      <summary><span class="key">${name}</span> <span class="faint">${plural(size, Array.isArray(value) ? "item" : "key")}</span></summary>
      ${open && html`<${Entries} value=${value} />`}
    </details>
  `;
}

/** The whole of it as YAML. */
export function yaml(/** @type {Record<string, any>} */ value) {
  return `${lines(value).join("\n")}\n`;
}

/** @returns {string[]} */
function lines(/** @type {any} */ value) {
  if (Array.isArray(value)) {
    return value.flatMap((item) => (fitsInLine(item) ? [`- ${flow(item)}`] : lines(item).map((line, at) => `${at === 0 ? "- " : "  "}${line}`)));
  }
  return Object.entries(value).flatMap(([key, inner]) =>
    fitsInLine(inner) ? [`${word(key)}: ${flow(inner)}`] : [`${word(key)}:`, ...lines(inner).map((line) => `  ${line}`)],
  );
}

/** Scalars, what is empty, and lists of scalars or of small maps of them. */
function fitsInLine(/** @type {any} */ value) {
  if (!isTree(value)) return true;
  const items = Object.values(value);
  return items.length === 0 || (Array.isArray(value) ? items.every((item) => !isTree(item)) : items.length <= 3 && items.every((item) => !isTree(item)));
}

/** @returns {string} */
function flow(/** @type {any} */ value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (!isTree(value)) return typeof value === "string" ? word(value) : String(value);
  const entries = Object.entries(value).map(([key, inner]) => `${word(key)}: ${flow(inner)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}

const isTree = (/** @type {any} */ value) => typeof value === "object" && value !== null;

/** As it is where YAML reads it as the same text, else in quotes. */
const word = (/** @type {string} */ text) => (PLAIN.test(text) && !OTHERWISE.test(text) ? text : JSON.stringify(text));
