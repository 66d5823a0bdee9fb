// How many replicas a function has and why: its rule, its numbers now, the last hour, and what was decided.

import * as api from "../../api.js";
import { html, useState } from "../../html.js";
import { live } from "../../live.js";
import { useAction } from "../../parts/action.js";
import { Chart } from "../../parts/chart.js";
import { ask } from "../../parts/dialog.js";
import { Facts } from "../../parts/facts.js";
import { Field } from "../../parts/fields.js";
import { isKnown, minutesOf, Range, useHistory, useLast } from "../../parts/history.js";
import { Empty, Loading, Problem, useLoad } from "../../parts/load.js";
import { usePlace } from "../../route.js";
import { ago, count, figure, moment, plural, seconds } from "../../words.js";

/**
 * @typedef {import("../../live.js").Row} Row
 * @typedef {import("../../api.js").Explanation} Explanation
 * @typedef {import("../../api.js").Numbers} Numbers
 * @typedef {Explanation["rule"]} Rule
 * @typedef {NonNullable<ReturnType<typeof useLast>>} Shown
 */

const LOOK_MS = 2000;
/** Replicas that one machine runs of a function at most. */
const MOST = 1000;

const KINDS = /** @type {Record<string, string>} */ ({ classic: "classic", rps: "calls per second (rps)", capacity: "calls at once (capacity)", queue: "calls in line (queue)" });

/** Why something was decided, in plain words. */
const REASONS = /** @type {Record<string, (numbers: Numbers, up: boolean) => string>} */ ({
  woken: () => "It was called while it had no replica",
  idle: (numbers) => `Nobody had called it for ${seconds(numbers.idle_seconds)}`,
  busy: (numbers) => `${figure(numbers.successes_per_second)} successful calls per second are more than the classic rule leaves to so few`,
  quiet: () => "It is quiet again: what the classic rule had added is taken back",
  rps: (numbers, up) => `${figure(numbers.load)} calls per second ${up ? "need more" : "need no more, and did not for a while"}`,
  capacity: (numbers, up) => `${figure(numbers.load)} calls at once ${up ? "need more" : "need no more, and did not for a while"}`,
  queue: (numbers, up) => `${figure(numbers.load)} calls in line ${up ? "need more" : "need no more, and did not for a while"}`,
  alert_firing: () => "An alert fires",
  alert_resolved: () => "An alert is over",
  asked: () => "Somebody asked for it",
});

export function Tab(/** @type {{id: string, row: Row}} */ { id, row }) {
  const { value, problem, again } = useLoad(() => api.scaling(id), [id], { every: LOOK_MS });
  if (!value) return problem ? html`<${Problem} text=${problem} again=${again} />` : html`<${Loading} />`;
  return html`
    <div class="stack">
      ${problem && html`<${Problem} text="What is shown is not of now: ${problem}" />`}
      <div class="columns">
        <div class="stack">
          <section class="sheet stack">
            <h2>Replicas</h2>
            <${Way} row=${row} />
            <${ScaleNow} id=${id} row=${row} rule=${value.rule} again=${again} />
          </section>
          <section class="sheet"><h2>Now</h2><${Now} numbers=${value.now} rule=${value.rule} /></section>
        </div>
        <section class="sheet"><h2>Rule</h2><${RuleFacts} rule=${value.rule} /></section>
      </div>
      <${Charts} id=${id} rule=${value.rule} />
      <section class="sheet"><h2>Decisions</h2><${Decisions} decisions=${value.decisions} /></section>
    </div>
  `;
}

/** What it has of what it shall have. */
function Way(/** @type {{row: Row}} */ { row }) {
  const { available, replicas } = row;
  if (replicas === null) return html`<p><b>${count(available)}</b> available at addresses that somebody else looks after.</p>`;
  const [words, share] = way(available, replicas);
  return html`
    <div class="way" role="status">
      <p><b>${count(available)}</b> of <b>${count(replicas)}</b> available<span class="faint"> · ${words}</span></p>
      <meter min="0" max="1" value=${share} aria-label="Replicas that are available"></meter>
      ${row.problem && html`<p class="bad">${row.problem}</p>`}
    </div>
  `;
}

/** @returns {[string, number]} */
function way(/** @type {number} */ available, /** @type {number} */ replicas) {
  if (available < replicas) return [`${count(replicas - available)} more to come`, available / replicas];
  if (available > replicas) return [`${count(available - replicas)} to go, when their calls are done`, 1];
  return [replicas === 0 ? "asleep, woken by a call" : "as asked for", replicas === 0 ? 0 : 1];
}

function ScaleNow(/** @type {{id: string, row: Row, rule: Rule, again: () => void}} */ { id, row, rule, again }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const text = typed ?? String(row.replicas ?? "");
  const wanted = /^\d+$/.test(text) ? Number(text) : NaN;
  const scale = async () => {
    await api.scale(id, wanted);
    setTyped(null);
    again();
    return `${id} is on the way to ${plural(wanted, "replica")}`;
  };
  const { run, busy } = useAction(scale);
  const why = reasonNot(row);
  const problem = typed !== null && !(wanted <= MOST) ? `A whole number from 0 to ${count(MOST)}.` : "";
  const warning = warningOf(wanted, rule);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (problem) return;
    if (!warning) return run();
    ask({ title: `${plural(wanted, "replica")} of ${id}?`, text: warning, yes: "Scale", doing: "Scaling…", act: scale });
  };
  return html`
    <form class="form" onSubmit=${submit}>
      <${Field} label="Scale to" problem=${problem} hint=${why || warning || "It holds until the rule or somebody else decides otherwise."} field=${(/** @type {string} */ field) => html`
        <div class="actions">
          <input id=${field} type="number" min="0" max=${MOST} step="1" inputmode="numeric" disabled=${why !== ""}
            value=${text} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />
          <button class="primary" disabled=${busy || why !== "" || problem !== ""} aria-busy=${busy} title=${why}>${busy ? "Scaling…" : "Scale"}</button>
        </div>`} />
    </form>
  `;
}

function reasonNot(/** @type {Row} */ row) {
  if (row.replicas === null) return "Nobody here scales it: its addresses are declared in the configuration file.";
  return live.status?.provider.up === false ? "The provider cannot be reached." : "";
}

/** What one should know before asking for a number that the rule would not choose. */
function warningOf(/** @type {number} */ wanted, /** @type {Rule} */ rule) {
  if (wanted === 0) return "All replicas are stopped when their calls are done. The next call wakes it, unless waking is switched off.";
  if (wanted > rule.max) return `That is more than the ${count(rule.max)} its rule allows. It is done all the same, and the rule may take it back.`;
  if (wanted < rule.min) return `That is less than the ${count(rule.min)} its rule asks for. It is done all the same, and the rule may take it back.`;
  return "";
}

function RuleFacts(/** @type {{rule: Rule}} */ { rule }) {
  const facts = /** @type {[string, any][]} */ ([
    ["Scaled by", KINDS[rule.type] ?? rule.type],
    ["Bounds", `${count(rule.min)} to ${plural(rule.max, "replica")}`],
    ["Target", rule.target === null ? null : `${figure(rule.target)} for each replica, of which ${figure((rule.target_proportion ?? 1) * 100)} % is aimed at`],
    ["Fewer after", rule.down_window],
    ["Step", rule.type === "classic" ? `${count(rule.factor)} % of the most` : null],
    ["Asleep after", rule.zero_duration ?? "never"],
    ["At once", rule.concurrency === null ? "as many calls as come" : `${plural(rule.concurrency, "call")} for each replica, more wait in line`],
  ]);
  return html`
    <div class="stack">
      <p>${sentence(rule.says)}</p>
      ${rule.type !== "none" && html`<${Facts} facts=${facts} />`}
    </div>
  `;
}

const sentence = (/** @type {string} */ text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function Now(/** @type {{numbers: Numbers, rule: Rule}} */ { numbers, rule }) {
  const shown = /** @type {[string, string][]} */ ([
    ...(numbers.load === undefined ? [] : [["Load", figure(numbers.load)]]),
    ["Calls / s", figure(numbers.calls_per_second)],
    ["Successful / s", figure(numbers.successes_per_second)],
    ["In flight", count(numbers.in_flight)],
    ["Waiting", count(numbers.waiting)],
    ["Queued", count(numbers.queued)],
    ["Idle for", seconds(Math.round(numbers.idle_seconds))],
  ]);
  return html`<dl class="numbers flat" aria-label="Now, by the rule ${rule.type}">${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Charts(/** @type {{id: string, rule: Rule}} */ { id, rule }) {
  const minutes = minutesOf(usePlace().query);
  const { value, problem, again } = useHistory(id);
  const shown = useLast(value, minutes);
  return html`
    <section class="sheet">
      <div class="title"><h2>Replicas and load</h2><div class="actions end"><${Range} minutes=${minutes} /></div></div>
      ${problem && html`<${Problem} text="Its history cannot be shown: ${problem}" again=${again} />`}
      ${shown ? html`<${Pair} shown=${shown} rule=${rule} />` : !problem && html`<${Loading} />`}
    </section>
  `;
}

function Pair(/** @type {{shown: Shown, rule: Rule}} */ { shown, rule }) {
  if (!isKnown(shown.calls_per_second)) return html`<${Empty}>Nothing is known of this time yet.<//>`;
  const { title, values } = load(shown, rule);
  const each = rule.target === null ? null : rule.target * (rule.target_proportion ?? 1);
  const takes = shown.available.map((replicas) => (replicas === null || each === null ? null : replicas * each));
  return html`
    <div class="charts">
      <${Chart} title="Replicas" times=${shown.times} say=${count} grid="whole" lines=${[
        { label: "asked for", values: shown.replicas, colour: "--blue", stepped: true },
        { label: "available", values: shown.available, colour: "--accent", stepped: true, fill: true },
      ]} />
      <${Chart} title=${title} times=${shown.times} say=${figure} lines=${[
        { label: "load", values, colour: "--violet", fill: true },
        ...(each === null ? [] : [{ label: "what the available ones shall take", values: takes, colour: "--accent", stepped: true }]),
      ]} />
    </div>
  `;
}

/** What the rule looks at, as near as the history tells. */
function load(/** @type {Shown} */ shown, /** @type {Rule} */ rule) {
  const added = (/** @type {(number | null)[]} */ a, /** @type {(number | null)[]} */ b) => a.map((value, index) => (value === null ? null : value + (b[index] ?? 0)));
  if (rule.type === "capacity") return { title: "Calls in flight and in line", values: added(shown.in_flight, shown.waiting) };
  if (rule.type === "queue") return { title: "Calls in line or queued", values: added(shown.waiting, shown.queued) };
  return { title: "Calls per second", values: shown.calls_per_second };
}

function Decisions(/** @type {{decisions: Explanation["decisions"]}} */ { decisions }) {
  if (decisions.length === 0) return html`<${Empty}>Nothing was decided since the gateway was started.<//>`;
  return html`
    <table class="decisions">
      <thead><tr><th scope="col">When</th><th scope="col">Replicas</th><th scope="col">Why</th></tr></thead>
      <tbody>
        ${decisions.map(({ at, from, to, direction, reason, inputs, error }) => html`
          <tr key=${at + to}>
            <td title=${moment(at)}>${ago(at)}</td>
            <td><span aria-hidden="true">${direction === "up" ? "↑" : "↓"}</span> ${count(from)} → <b>${count(to)}</b></td>
            <td>
              ${REASONS[reason]?.(inputs, direction === "up") ?? reason.replaceAll("_", " ")}
              ${error && html`<p class="bad">It could not be done: ${error}</p>`}
              <p class="hint">${told(inputs)}</p>
            </td>
          </tr>`)}
      </tbody>
    </table>
  `;
}

/** What it was decided by. */
function told(/** @type {Numbers} */ numbers) {
  const parts = [
    `${count(numbers.available)} of ${count(numbers.replicas)} available`,
    `${figure(numbers.calls_per_second)} calls / s`,
    `${count(numbers.in_flight)} in flight`,
    numbers.waiting > 0 && `${count(numbers.waiting)} waiting`,
    numbers.queued > 0 && `${count(numbers.queued)} queued`,
    numbers.load !== undefined && `load ${figure(numbers.load)}`,
  ];
  return parts.filter(Boolean).join(" · ");
}
