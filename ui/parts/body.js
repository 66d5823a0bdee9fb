// The body of an answer: as text, as JSON in lines of its own, or to be saved. Nothing of it is ever shown as
// anything but text: it comes from a function.

import { html, useMemo, useState } from "../html.js";
import { bytes } from "../words.js";
import { Copy, Tick } from "./fields.js";
import { jsonProblem, pretty } from "./json.js";

/** Longest text that is shown, in characters; the whole of it can be saved. */
export const SHOWN = 256 * 1024;

/** Whether a body of this type can be read. */
export const isText = (/** @type {string} */ type) => /^text\/|json|xml|javascript|yaml|urlencoded/.test(type);

/**
 * @typedef {object} Content
 * @property {string} type
 * @property {number} size in bytes
 * @property {string | null} text as much of it as is shown; null: it is no text
 * @property {boolean} cut whether there is more text than is shown
 * @property {boolean} whole whether all of it is here, so that it can be printed prettily
 * @property {(() => void) | null} save null: it is not kept
 */

/** @param {Content & {note?: any}} props */
export function BodyView({ type, size, text, cut, whole, save, note }) {
  const [wanted, setWanted] = useState(true);
  const fits = whole && !cut && text !== null && /json/.test(type) && !/ndjson|seq/.test(type);
  // Only what is JSON indeed: types may say what is not so.
  const laidOut = useMemo(() => (fits && jsonProblem(text) === "" ? pretty(text) : ""), [fits, text]);
  if (size === 0) return html`<p class="faint">${whole ? "The body is empty." : ""}</p>`;
  const shown = laidOut && wanted ? laidOut : text;
  return html`
    <div class="body">
      <div class="actions">
        <h3>Body</h3>
        ${laidOut && html`<${Tick} label="Pretty-printed" on=${wanted} set=${setWanted} />`}
        <span class="rest"></span>
        ${text !== null && whole && !cut && html`<${Copy} text=${() => shown ?? ""} label="Copy the body" />`}
        <button type="button" class="small" aria-label="Save the body" disabled=${!save || !whole} title=${save ? undefined : "It is not kept"}
          onClick=${save}>Save</button>
      </div>
      ${shown === null
        ? html`<p class="binary">${bytes(size)} of ${type || "an unknown type"}, which is not shown as text. Save it to look at it.</p>`
        : html`<pre tabindex="0" role="region" aria-label="Body">${shown}</pre>`}
      ${cut && html`<p class="hint">Only the first ${bytes(SHOWN)} are shown${save ? "; to save it gives all" : ""}.</p>`}
      ${note && html`<p class="hint">${note}</p>`}
    </div>
  `;
}

/** Headers, folded. */
export function HeadersView(/** @type {{headers: [string, string][]}} */ { headers }) {
  if (headers.length === 0) return null;
  return html`
    <details class="folded">
      <summary>${headers.length === 1 ? "1 header" : `${headers.length} headers`}</summary>
      <dl class="facts mono">${headers.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    </details>
  `;
}
