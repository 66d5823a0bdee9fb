// Parts of forms: a labelled field, names with values, and what can be copied.

import { html, useState } from "../html.js";
import { complain } from "./toast.js";

let next = 0;

/** An id for a label and its field, the same for as long as the component is shown. */
const useId = () => useState(() => `field-${next++}`)[0];

/**
 * A label above a field. `field(id)` draws it.
 * @param {{label: string, hint?: any, problem?: string, field: (id: string) => any}} props
 */
export function Field({ label, hint, problem, field }) {
  const id = useId();
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${field(id)}
      ${problem ? html`<p class="hint bad" role="alert">${problem}</p>` : hint && html`<p class="hint">${hint}</p>`}
    </div>
  `;
}

/** @typedef {[string, string][]} Pairs names with values, in the order of the form */

/**
 * Rows of a name and a value, with an empty one to go on. Of names that are `known` it says what they mean,
 * and offers them; `check` says what is wrong with a value.
 * @param {{legend: string, pairs: Pairs, change: (pairs: Pairs) => void, name?: string, value?: string, hint?: any, known?: Record<string, string>, check?: (name: string, value: string) => string}} props
 */
export function PairsField({ legend, pairs, change, name = "Name", value = "Value", hint, known = {}, check = () => "" }) {
  const id = useId();
  const names = Object.keys(known);
  const set = (/** @type {number} */ index, /** @type {0 | 1} */ part, /** @type {string} */ text) =>
    change(pairs.map((pair, at) => (at === index ? /** @type {[string, string]} */ (part === 0 ? [text, pair[1]] : [pair[0], text]) : pair)));
  return html`
    <fieldset class="pairs">
      <legend>${legend}</legend>
      ${hint && html`<p class="hint">${hint}</p>`}
      ${names.length > 0 && html`<datalist id=${id}>${names.map((known) => html`<option value=${known}></option>`)}</datalist>`}
      ${pairs.map((pair, index) => html`
        <div class="pair" key=${index}>
          <input aria-label="${legend}: ${name} ${index + 1}" placeholder=${name} value=${pair[0]} spellcheck=${false} autocomplete="off"
            list=${names.length > 0 ? id : undefined} onInput=${(/** @type {any} */ event) => set(index, 0, event.target.value)} />
          <${Value} label="${legend}: ${value} ${index + 1}" placeholder=${value} text=${pair[1]} change=${(/** @type {string} */ text) => set(index, 1, text)} />
          <button type="button" class="quiet" aria-label="Remove ${pair[0] || `row ${index + 1}`}"
            onClick=${() => change(pairs.filter((_, at) => at !== index))}>✕</button>
          <${About} says=${known[pair[0].trim()]} problem=${check(pair[0].trim(), pair[1])} />
        </div>`)}
      <button type="button" class="small" onClick=${() => change([...pairs, ["", ""]])}>Add</button>
    </fieldset>
  `;
}

/** A field of one line would lose the breaks of a value that has several. */
function Value(/** @type {{label: string, placeholder: string, text: string, change: (text: string) => void}} */ { label, placeholder, text, change }) {
  const onInput = (/** @type {any} */ event) => change(event.target.value);
  if (text.includes("\n")) return html`<textarea aria-label=${label} rows=${Math.min(8, text.split("\n").length)} value=${text} spellcheck=${false} onInput=${onInput}></textarea>`;
  return html`<input aria-label=${label} placeholder=${placeholder} value=${text} spellcheck=${false} autocomplete="off" onInput=${onInput} />`;
}

const About = (/** @type {{says: string | undefined, problem: string}} */ { says, problem }) =>
  (says || problem) && html`<p class=${problem ? "hint bad" : "hint"}>${[problem, says].filter(Boolean).join(" ")}</p>`;

/** Those with a name, as an object. */
export const fromPairs = (/** @type {Pairs} */ pairs) => Object.fromEntries(pairs.filter(([name]) => name.trim() !== "").map(([name, value]) => [name.trim(), value]));

export const toPairs = (/** @type {Record<string, string> | null | undefined} */ map) => /** @type {Pairs} */ (Object.entries(map ?? {}));

/** A box to tick. */
export const Tick = (/** @type {{label: string, on: boolean, set: (on: boolean) => void}} */ { label, on, set }) => html`
  <label class="tick"><input type="checkbox" checked=${on} onChange=${(/** @type {any} */ event) => set(event.target.checked)} />${label}</label>
`;

/** A button that copies a text. */
export function Copy(/** @type {{text: string | (() => string), children?: any, label?: string}} */ { text, children, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await write(typeof text === "string" ? text : text());
    } catch (error) {
      return complain(`It could not be copied: ${/** @type {Error} */ (error).message}`);
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class="small" aria-label=${label} onClick=${copy}>${done ? "Copied" : (children ?? "Copy")}</button>`;
}

/** The clipboard is there for pages by https and on this machine only; elsewhere the old way. */
async function write(/** @type {string} */ text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const area = Object.assign(document.createElement("textarea"), { value: text });
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  if (!done) throw new Error("the browser does not allow it");
}
