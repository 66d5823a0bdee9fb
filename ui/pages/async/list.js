// The newest asynchronous calls, of all functions or of one, asked for again every few seconds.

import * as api from "../../api.js";
import { html, useEffect, useRef, useState } from "../../html.js";
import { live } from "../../live.js";
import { Empty, Loading, Problem, useLoad } from "../../parts/load.js";
import { Rows } from "../../parts/rows.js";
import { go, to, usePlace } from "../../route.js";
import { ago, count, moment, plural, seconds } from "../../words.js";
import { First } from "./first.js";
import { isGood, outcome, State, STATES } from "./state.js";

/** @typedef {api.Call} Call */

const EVERY_MS = 3000;
/** How many are asked for; more when somebody wants more, and no more than the gateway lists. */
const LIMITS = [100, 300, 1000];
/** Functions that are offered while a name is typed. */
const OFFERED = 200;

/**
 * @param {{path: string[], id?: string, children: (calls: api.Calls) => any}} props
 *   `path` where this list is: a call is at the path and its id; `id` the function, where it is of one;
 *   `children` what is shown above
 */
export function CallList({ path, id = "", children }) {
  const { query } = usePlace();
  const [more, setMore] = useState(0);
  const [state, search] = [query.get("state") ?? "", (query.get("search") ?? "").trim()];
  const wanted = { function: id || (query.get("function") ?? ""), state, limit: String(LIMITS[more]) };
  const { value, problem, again } = useLoad(() => api.calls(wanted), Object.values(wanted), { every: EVERY_MS });
  // What was there stays until there is something else to show.
  const last = useRef(/** @type {api.Calls | null} */ (null));
  if (value) last.current = value;
  if (!last.current) return problem ? html`<${Problem} text=${problem} again=${again} />` : html`<${Loading} />`;
  const { calls } = last.current;
  const found = calls.filter((call) => call.id.includes(search) || call.call_id.includes(search));
  const set = (/** @type {Record<string, string>} */ change) =>
    go(to(path, { function: id ? "" : wanted.function, state, search, ...change }), { replace: true });
  const filtered = state !== "" || (wanted.function !== "" && !id);
  return html`
    ${problem && html`<${Problem} text=${problem} again=${again} />`}
    ${children(last.current)}
    <div class="toolbar">
      <h2>Calls</h2>
      <div class="choice">
        ${!id && html`<${FunctionChoice} value=${wanted.function} set=${(/** @type {string} */ name) => set({ function: name })} />`}
        <select aria-label="State" value=${state} onChange=${(/** @type {any} */ event) => set({ state: event.target.value })}>
          <option value="">All states</option>
          ${Object.entries(STATES).map(([key, { word }]) => html`<option value=${key}>${word}</option>`)}
        </select>
        <input type="search" placeholder="Search by id" aria-label="Search by id" autocomplete="off" spellcheck=${false} value=${search}
          onInput=${(/** @type {any} */ event) => set({ search: event.target.value })} />
      </div>
      <span class="hint" role="status">${counted(calls.length, more)}</span>
    </div>
    ${found.length > 0 && html`<${Table} calls=${found} path=${path} named=${!id} />`}
    ${calls.length > 0 && found.length === 0 && html`
      <${Empty}>None of these calls has ${search} in its id. <a href=${to([...path, search])}>Ask the gateway for the call with this id</a><//>`}
    ${calls.length === 0 && (filtered ? html`<${Empty}>No call fits. <a href=${to(path)}>Show all</a><//>` : html`<${First} id=${id} />`)}
    ${calls.length >= LIMITS[more] && more < LIMITS.length - 1 && html`
      <p class="more"><button type="button" onClick=${() => setMore(more + 1)}>Show more</button></p>`}
  `;
}

/** A name may be typed that nobody offers: of a function that is gone, say. */
function FunctionChoice(/** @type {{value: string, set: (name: string) => void}} */ { value, set }) {
  const taken = (/** @type {any} */ event) => set(event.target.value.trim());
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  return html`
    <input type="search" list="functions-called" placeholder="All functions" aria-label="Function" autocomplete="off" spellcheck=${false} value=${typed}
      onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} onChange=${taken} onSearch=${taken} />
    <datalist id="functions-called">${offered(typed).map((name) => html`<option value=${name}></option>`)}</datalist>
  `;
}

/** Some functions with `typed` in their names; of many the first that are found, as all are looked through at each draw. */
function offered(/** @type {string} */ typed) {
  const wanted = typed.trim().toLowerCase();
  const found = [];
  for (const id of live.functions.keys()) {
    if (id.toLowerCase().includes(wanted)) found.push(id);
    if (found.length === OFFERED) break;
  }
  return found.sort();
}

function Table(/** @type {{calls: Call[], path: string[], named: boolean}} */ { calls, path, named }) {
  return html`
    <table class="calls" aria-rowcount=${calls.length + 1}>
      <thead>
        <tr>
          <th scope="col">Call</th>
          <th scope="col">State</th>
          <th scope="col" class="number wide-only">Submitted</th>
          <th scope="col" class="number wide-only">Tries</th>
          <th scope="col" class="wide-only">Last try</th>
          <th scope="col" class="wide-only">Callback</th>
        </tr>
      </thead>
      <${Rows} items=${calls} columns=${6} row=${(/** @type {Call} */ call, /** @type {number} */ index) => html`
        <${Line} key=${call.id} call=${call} index=${index} path=${path} named=${named} />`} />
    </table>
  `;
}

function Line(/** @type {{call: Call, index: number, path: string[], named: boolean}} */ { call, index, path, named }) {
  const last = call.tries.at(-1);
  return html`
    <tr aria-rowindex=${index + 2}>
      <th scope="row">
        <a class="call" href=${to([...path, call.id])}>
          ${named && html`<b>${call.function}</b>`}
          <span><span class="narrow-only">${ago(call.submitted_at)} · </span><span class="mono">${call.id}</span></span>
        </a>
      </th>
      <td><${State} state=${call.state} /></td>
      <td class="number wide-only" title=${moment(call.submitted_at)}>${ago(call.submitted_at)}</td>
      <td class="number wide-only">${count(call.attempts)}</td>
      <td class="wide-only" title=${outcome(last)}>
        ${last && html`<span class=${isGood(last.status) ? "" : "bad"}>${outcome(last)}</span> <span class="faint">in ${seconds(last.seconds)}</span>`}
      </td>
      <td class="wide-only" title=${call.callback?.url}><span class=${call.callback?.state === "failed" ? "bad" : ""}>${call.callback?.state}</span></td>
    </tr>
  `;
}

function counted(/** @type {number} */ shown, /** @type {number} */ more) {
  if (shown < LIMITS[more]) return plural(shown, "call");
  return more < LIMITS.length - 1 ? `The newest ${count(shown)}` : `The newest ${count(shown)}; choose a state or a function to see others`;
}
