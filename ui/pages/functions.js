// The list of functions: search, sort, choose a namespace, delete.

import * as api from "../api.js";
import { html, useEffect, useMemo } from "../html.js";
import { live, namespacesSeen, useLive } from "../live.js";
import { ask } from "../parts/dialog.js";
import { LastError } from "../parts/lasterror.js";
import { Empty, Loading, useLoad } from "../parts/load.js";
import { Rows } from "../parts/rows.js";
import { useSlash } from "../parts/slash.js";
import { Sparkline } from "../parts/sparkline.js";
import { go, to, usePlace } from "../route.js";
import { count, figure } from "../words.js";

/** @typedef {import("../live.js").Row} Row */

const RATES_MS = 5000;

/**
 * What a column shows, and how rows are ordered by it; `falling`: beginning with the largest.
 * @type {{key: string, title: string, value: (row: Row) => string | number, kind?: string, falling?: boolean}[]}
 */
const COLUMNS = [
  { key: "name", title: "Name", value: (row) => row.id },
  { key: "replicas", title: "Replicas", value: (row) => row.replicas ?? row.available, kind: "number", falling: true },
  { key: "rate", title: "Calls / s", value: (row) => row.calls_per_second ?? 0, kind: "number", falling: true },
  { key: "invocations", title: "Invocations", value: (row) => row.invocations, kind: "number wide-only", falling: true },
  { key: "error", title: "Last error", value: (row) => (row.last_error ? Date.parse(row.last_error.at) : 0), kind: "wide-only", falling: true },
];

export function Functions() {
  const { functions, known, status } = useLive();
  const { query } = usePlace();
  const { value: rates } = useLoad(api.rates, [], { every: RATES_MS });
  const lines = useMemo(() => new Map(rates?.functions.map(({ id, calls_per_second }) => [id, calls_per_second])), [rates]);
  const wanted = { search: query.get("search") ?? "", namespace: query.get("namespace") ?? "", sort: query.get("sort") ?? "name" };
  const rows = chosen([...functions.values()], wanted);
  const set = (/** @type {Record<string, string>} */ change) => go(to([], clean({ ...wanted, ...change })), { replace: true });
  useEffect(() => void (document.title = "Functions · gateway"), []);
  return html`
    <div class="title">
      <h1>Functions <small role="status">${known && counted(rows.length, functions.size)}</small></h1>
      <${Choice} ...${wanted} set=${set} />
      <a class="button primary" href=${to(["deploy"])} aria-disabled=${status?.provider.up === false}>Deploy</a>
    </div>
    ${rows.length > 0 && html`<${Table} rows=${rows} lines=${lines} sort=${wanted.sort} set=${set} />`}
    ${rows.length === 0 && known && html`<${Nothing} any=${functions.size > 0} />`}
    ${!known && (status?.provider.up === false ? html`<${Empty}>Nothing is known of its functions yet.<//>` : html`<${Loading} />`)}
  `;
}

function Choice(/** @type {{search: string, namespace: string, set: (change: Record<string, string>) => void}} */ { search, namespace, set }) {
  const namespaces = namespacesSeen();
  const field = useSlash();
  return html`
    <div class="choice">
      ${(namespaces.length > 1 || namespace) && html`
        <select aria-label="Namespace" value=${namespace} onChange=${(/** @type {any} */ event) => set({ namespace: event.target.value })}>
          <option value="">All namespaces</option>
          ${[...new Set([...namespaces, namespace])].filter(Boolean).map((name) => html`<option>${name}</option>`)}
        </select>`}
      <input ref=${field} type="search" placeholder="Search  /" aria-label="Search by name" autocomplete="off" spellcheck=${false}
        value=${search} onInput=${(/** @type {any} */ event) => set({ search: event.target.value })} />
    </div>
  `;
}

function Table(/** @type {{rows: Row[], lines: Map<string, number[]>, sort: string, set: (change: Record<string, string>) => void}} */ { rows, lines, sort, set }) {
  const many = namespacesSeen().length > 1;
  const heading = (/** @type {typeof COLUMNS[0]} */ { key, title, kind = "", falling = false }) => {
    const [up, down] = [key, `-${key}`];
    const [first, other] = falling ? [down, up] : [up, down];
    const next = sort === first ? other : first;
    const order = sort === up ? "ascending" : sort === down ? "descending" : undefined;
    return html`
      <th scope="col" class=${kind} aria-sort=${order}>
        <button type="button" class="heading" onClick=${() => set({ sort: next })}>${title}<span aria-hidden="true">${sort === up ? " ↑" : sort === down ? " ↓" : ""}</span></button>
      </th>`;
  };
  return html`
    <table class="functions" aria-rowcount=${rows.length + 1}>
      <thead><tr>${COLUMNS.map(heading)}<th scope="col" class="wide-only"><span class="unseen">Actions</span></th></tr></thead>
      <${Rows} items=${rows} columns=${COLUMNS.length + 1}
        row=${(/** @type {Row} */ row, /** @type {number} */ index) => html`<${Line} key=${row.id} row=${row} index=${index} values=${lines.get(row.id)} many=${many} />`} />
    </table>
  `;
}

/** `many`: whether the namespace says anything, as there are several. */
function Line(/** @type {{row: Row, index: number, values: number[] | undefined, many: boolean}} */ { row, index, values, many }) {
  const { word, kind } = state(row);
  return html`
    <tr aria-rowindex=${index + 2}>
      <th scope="row">
        <a class="name ${kind}" href=${to(["function", row.id])} title=${row.problem ?? word}>${row.name}${many && row.namespace && html`<span>.${row.namespace}</span>`}</a>
        <span class="unseen">${word}</span>
      </th>
      <td class="number">${replicas(row)}</td>
      <td class="number"><${Sparkline} values=${values} /><span class="rate">${figure(row.calls_per_second)}</span></td>
      <td class="number wide-only">${count(row.invocations)}</td>
      <td class="wide-only"><${Trouble} row=${row} /></td>
      <td class="wide-only end"><button type="button" class="quiet" aria-label="Delete ${row.id}" disabled=${reasonNotToChange(row) !== ""} title=${reasonNotToChange(row)} onClick=${() => askDelete(row.id)}>Delete</button></td>
    </tr>
  `;
}

function Trouble(/** @type {{row: Row}} */ { row }) {
  if (row.problem) return html`<span class="bad" title=${row.problem}>${row.problem}</span>`;
  return row.last_error && html`<${LastError} error=${row.last_error} />`;
}

/** Asks whether to delete a function, and does it. */
export function askDelete(/** @type {string} */ id, then = () => {}) {
  ask({
    title: `Delete ${id}?`,
    text: "Calls in flight are finished, then its replicas are stopped. Its logs and history go with it.",
    yes: "Delete",
    doing: "Deleting…",
    danger: true,
    act: async () => {
      await api.remove(id);
      then();
      return `${id} is deleted`;
    },
  });
}

/** Why a function cannot be changed from here; empty where it can. */
export function reasonNotToChange(/** @type {Row} */ row) {
  if (row.declared) return "It is declared in the configuration file: change it there.";
  return live.status?.provider.up === false ? "The provider cannot be reached." : "";
}

/** How a function is, in a word for people and one for the style sheet. */
export function state(/** @type {Row} */ row) {
  if (row.problem && row.available > 0) return { word: `ready, but ${row.problem}`, kind: "starting" };
  if (row.problem) return { word: `failed: ${row.problem}`, kind: "failed" };
  if (row.replicas === 0) return { word: "asleep, woken by a call", kind: "asleep" };
  if (row.available === 0) return { word: "starting", kind: "starting" };
  if (row.updating) return { word: "ready, a new revision starts", kind: "ready" };
  return { word: "ready", kind: "ready" };
}

const replicas = (/** @type {Row} */ row) => (row.replicas === null || row.available === row.replicas ? count(row.available) : `${count(row.available)} / ${count(row.replicas)}`);

const counted = (/** @type {number} */ shown, /** @type {number} */ all) => (shown === all ? count(all) : `${count(shown)} of ${count(all)}`);

function Nothing(/** @type {{any: boolean}} */ { any }) {
  if (any) return html`<${Empty}>No function fits. <a href="#/">Show all</a><//>`;
  return html`
    <${Empty}>
      <p>No function yet.</p>
      <p><a href=${to(["deploy"])}>Deploy one</a>, from the store or your own, or declare it in the configuration file.</p>
    <//>`;
}

/** The rows that are asked for, in order. */
function chosen(/** @type {Row[]} */ rows, /** @type {{search: string, namespace: string, sort: string}} */ { search, namespace, sort }) {
  const text = search.trim().toLowerCase();
  const fits = (/** @type {Row} */ row) => row.id.toLowerCase().includes(text) && (namespace === "" || row.namespace === namespace);
  const { value } = COLUMNS.find(({ key }) => key === sort.replace(/^-/, "")) ?? COLUMNS[0];
  const sign = sort.startsWith("-") ? -1 : 1;
  const compare = (/** @type {Row} */ a, /** @type {Row} */ b) => {
    const [x, y] = [value(a), value(b)];
    return (x < y ? -sign : x > y ? sign : 0) || (a.id < b.id ? -1 : 1);
  };
  return rows.filter(fits).sort(compare);
}

/** What says nothing is left out of the address. */
const clean = (/** @type {Record<string, string>} */ { sort, ...others }) => (sort === "name" ? others : { ...others, sort });
