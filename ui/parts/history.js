// The last hour of a function in columns, kept up to date: the whole is asked for once, then only what is
// new. And the choice of how much of it is shown.

import * as api from "../api.js";
import { html, useMemo, useRef } from "../html.js";
import { go, here, to } from "../route.js";
import { useLoad } from "./load.js";

/** @typedef {import("../api.js").History} History */

const HOUR = 3600;
const EVERY_MS = 5000;
/** Steps that are asked for again: the newest ones may not have been complete. */
const AGAIN = 2;

/** What can be chosen, in minutes. */
const RANGES = /** @type {[number, string][]} */ ([[5, "5 min"], [15, "15 min"], [60, "1 h"]]);

/** The last hour of a function; `value` is null until it is known. */
export function useHistory(/** @type {string} */ id) {
  const known = useRef(/** @type {{history: History, at: number} | null} */ (null));
  const ask = async () => {
    const at = performance.now();
    const history = await newer(id, known.current && { ...known.current, ago: (at - known.current.at) / 1000 });
    known.current = { history, at };
    return history;
  };
  return useLoad(ask, [id], { every: EVERY_MS });
}

/** So many of the newest minutes of it, with the time of each step in seconds since 1970. */
export function useLast(/** @type {History | null} */ history, /** @type {number} */ minutes) {
  return useMemo(() => {
    if (!history) return null;
    const steps = Math.round((minutes * 60) / history.step_seconds);
    const shown = columns(history, (values) => values.slice(-steps));
    const until = Date.parse(history.until) / 1000;
    const times = shown.calls_per_second.map((_, index, { length }) => until - (length - 1 - index) * history.step_seconds);
    return { times, ...shown };
  }, [history, minutes]);
}

/** Whether anything is known in a column. */
export const isKnown = (/** @type {(number | null)[]} */ values) => values.some((value) => value !== null);

/** How much is shown, as the address says it. */
export function minutesOf(/** @type {URLSearchParams} */ query) {
  const asked = Number(query.get("minutes"));
  return RANGES.some(([minutes]) => minutes === asked) ? asked : 15;
}

/** The choice of how much is shown. */
export function Range(/** @type {{minutes: number}} */ { minutes }) {
  const choose = (/** @type {number} */ chosen) => {
    const { path, query } = here();
    go(to(path, { ...Object.fromEntries(query), minutes: String(chosen) }), { replace: true });
  };
  return html`
    <div class="segments" role="group" aria-label="Time that is shown">
      ${RANGES.map(([value, name]) => html`<button type="button" aria-pressed=${value === minutes} onClick=${() => choose(value)}>${name}</button>`)}
    </div>
  `;
}

/** What is known with what has come since; all of it where that does not fit together. */
async function newer(/** @type {string} */ id, /** @type {{history: History, ago: number} | null} */ known) {
  if (!known) return api.history(id, HOUR);
  const { history, ago } = known;
  const steps = Math.ceil(ago / history.step_seconds) + AGAIN;
  if (steps * history.step_seconds >= HOUR) return api.history(id, HOUR);
  const tail = await api.history(id, steps * history.step_seconds);
  return joined(history, tail) ?? api.history(id, HOUR);
}

/** @returns {History | null} */
function joined(/** @type {History} */ history, /** @type {History} */ tail) {
  const fresh = (Date.parse(tail.until) - Date.parse(history.until)) / 1000 / tail.step_seconds;
  const again = tail.calls_per_second.length - fresh;
  // Another step or a hole: the gateway was restarted, or this machine slept.
  if (!Number.isInteger(fresh) || fresh < 0 || again < 0) return null;
  const whole = history.calls_per_second.length;
  const before = /** @type {any} */ (history);
  const merged = columns(tail, (values, name) => [...before[name].slice(0, whole - again), ...values].slice(-whole));
  return { ...tail, ...merged };
}

/** @returns {History} */
function columns(/** @type {History} */ history, /** @type {(values: (number | null)[], name: string) => (number | null)[]} */ change) {
  const parts = Object.entries(history).map(([name, value]) => [name, Array.isArray(value) ? change(value, name) : value]);
  return Object.fromEntries(parts);
}
