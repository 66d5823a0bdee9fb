// A function at a glance: what it does now, what it is, and the last hour in charts.

import * as api from "../../api.js";
import { html } from "../../html.js";
import { live } from "../../live.js";
import { Chart } from "../../parts/chart.js";
import { Copy } from "../../parts/fields.js";
import { Facts } from "../../parts/facts.js";
import { isKnown, minutesOf, Range, useHistory, useLast } from "../../parts/history.js";
import { LastError } from "../../parts/lasterror.js";
import { Empty, Loading, Problem, useLoad } from "../../parts/load.js";
import { to, usePlace } from "../../route.js";
import { ago, bytes, count, figure, moment, processors, seconds } from "../../words.js";

/**
 * @typedef {import("../../live.js").Row} Row
 * @typedef {import("../../api.js").FunctionStatus} FunctionStatus
 * @typedef {NonNullable<ReturnType<typeof useLast>>} Shown
 */

const STATUS_MS = 15_000;

export function Tab(/** @type {{id: string, row: Row}} */ { id, row }) {
  const { value: status, problem } = useLoad(() => api.functionStatus(id), [id], { every: STATUS_MS });
  return html`
    <div class="stack">
      <${Now} row=${row} />
      <section class="sheet">
        <h2>Facts</h2>
        <${About} id=${id} row=${row} status=${status} />
        ${problem && html`<${Problem} text="The provider does not tell more: ${problem}" />`}
      </section>
      <${Charts} id=${id} row=${row} />
    </div>
  `;
}

/** Its numbers of this moment. */
function Now(/** @type {{row: Row}} */ { row }) {
  const numbers = [
    ["Calls / s", figure(row.calls_per_second)],
    ["In flight", count(row.in_flight)],
    ["Waiting", count(row.waiting)],
    ["Queued", count(row.queued)],
    ["Replicas", row.replicas === null ? count(row.available) : `${count(row.available)} of ${count(row.replicas)}`],
    ["Invocations", count(row.invocations)],
  ];
  return html`<dl class="numbers" aria-label="Now">${numbers.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function About(/** @type {{id: string, row: Row, status: FunctionStatus | null}} */ { id, row, status }) {
  const address = api.address(id);
  return html`
    <${Facts} facts=${[
      ["Problem", row.problem && html`<span class="bad">${row.problem}</span>`],
      ["Last error", row.last_error ? html`<${Failure} id=${id} error=${row.last_error} />` : html`<span class="faint">none seen</span>`],
      ["Address", html`<code>${address}</code> <${Copy} text=${address} label="Copy the address of ${id}" />`],
      ...(status ? described(row, status) : []),
    ]} />
  `;
}

/** @returns {[string, any][]} what its provider tells of it */
function described(/** @type {Row} */ row, /** @type {FunctionStatus} */ { image, envProcess, createdAt }) {
  if (row.replicas === null) return [["Declared", "in the configuration file, with its addresses"]];
  const known = createdAt && Date.parse(createdAt) > 0;
  return [
    ["Image", image ? html`<code>${image}</code>` : "none: it is declared in the configuration file"],
    ["Command", envProcess ? html`<code>${envProcess}</code>` : "as the image has it"],
    ...(known ? [/** @type {[string, any]} */ (["Deployed", `${moment(createdAt)} · ${ago(createdAt)}`])] : []),
  ];
}

/** With where more is told of it. */
function Failure(/** @type {{id: string, error: NonNullable<Row["last_error"]>}} */ { id, error }) {
  return html`
    <${LastError} error=${error} />
    ${error.call_id && html`<br />Call <code>${error.call_id}</code>
      ${" · "}<a href=${to(["function", id, "logs"], { search: error.call_id })}>in the log</a>
      ${" · "}<a href=${to(["function", id, "async"], { search: error.call_id })}>among asynchronous calls</a>`}
  `;
}

function Charts(/** @type {{id: string, row: Row}} */ { id, row }) {
  const minutes = minutesOf(usePlace().query);
  const { value, problem, again } = useHistory(id);
  const shown = useLast(value, minutes);
  return html`
    <section class="sheet">
      <div class="title"><h2>Lately</h2><div class="actions end"><${Range} minutes=${minutes} /></div></div>
      ${problem && html`<${Problem} text="Its history cannot be shown: ${problem}" again=${again} />`}
      ${shown ? html`<${Grid} shown=${shown} silent=${silent(row)} hint=${LOOKS[live.status?.provider.kind ?? ""]} />` : !problem && html`<${Loading} />`}
    </section>
  `;
}

/** Why nothing is told of processor and memory, if so. */
function silent(/** @type {Row} */ row) {
  if (row.replicas === null) return "It runs elsewhere: the gateway does not see what it uses.";
  return live.status?.provider.kind === "remote" ? "This provider does not tell what a function uses." : "Nothing ran in this time.";
}

/** What the charts do not tell, by kind of provider. */
const LOOKS = /** @type {Record<string, string>} */ ({
  process: "Looked at every 5 s: processes that end between two looks, as those of classic functions, are not counted.",
});

function Grid(/** @type {{shown: Shown, silent: string, hint: string | undefined}} */ { shown, silent, hint }) {
  if (!isKnown(shown.calls_per_second)) return html`<${Empty}>Nothing is known of this time yet. The charts fill as time goes on.<//>`;
  return html`
    <div class="charts">
      <${Chart} title="Calls per second" times=${shown.times} say=${figure} lines=${[
        { label: "calls", values: shown.calls_per_second, colour: "--accent", fill: true },
        { label: "errors", values: shown.errors_per_second, colour: "--bad" },
      ]} />
      <${Chart} title="Time of a call" times=${shown.times} say=${seconds} lines=${[
        { label: "p50", values: shown.p50, colour: "--accent" },
        { label: "p95", values: shown.p95, colour: "--blue" },
        { label: "p99", values: shown.p99, colour: "--violet" },
      ]} />
      <${Chart} title="Calls at once" times=${shown.times} say=${figure} grid="whole" lines=${[
        { label: "in flight", values: shown.in_flight, colour: "--accent", fill: true },
        { label: "waiting", values: shown.waiting, colour: "--wait" },
        { label: "queued", values: shown.queued, colour: "--violet" },
      ]} />
      <${Chart} title="Replicas" times=${shown.times} say=${count} grid="whole" lines=${[
        { label: "asked for", values: shown.replicas, colour: "--blue", stepped: true },
        { label: "available", values: shown.available, colour: "--accent", stepped: true, fill: true },
        { label: "cold starts", values: shown.cold_starts, colour: "--wait", stepped: true },
      ]} />
      <${Used} title="Processor" times=${shown.times} values=${shown.cpu} say=${processors} silent=${silent} hint=${hint} />
      <${Used} title="Memory" times=${shown.times} values=${shown.memory} say=${bytes} grid="bytes" silent=${silent} />
    </div>
  `;
}

/** What a provider may not tell of. */
function Used(/** @type {{title: string, times: number[], values: (number | null)[], say: (value: number | null) => string, grid?: string, silent: string, hint?: string}} */ { title, times, values, say, grid, silent, hint }) {
  if (!isKnown(values)) return html`<figure class="chart"><figcaption><span>${title}</span></figcaption><p class="plot empty">${silent}</p></figure>`;
  return html`<${Chart} title=${title} times=${times} say=${say} grid=${grid} hint=${hint} lines=${[{ label: title, values, colour: "--blue", fill: true }]} />`;
}
