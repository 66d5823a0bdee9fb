// How the queue is, and how much waits in it.

import { html } from "../../html.js";
import { count } from "../../words.js";

/** @typedef {import("../../api.js").Calls["queue"]} Queue */

/** @param {{queue: Queue, functions: Queue["functions"]}} props `functions` those that are counted */
export function QueueState({ queue, functions }) {
  const { queued, retrying, running, callbacks } = sum(functions);
  const numbers = /** @type {[string, number][]} */ ([["Queued", queued], ["Retrying", retrying], ["Running", running], ["Callbacks", callbacks]]);
  return html`
    <dl class="numbers" aria-label="The queue">
      ${numbers.map(([name, value]) => html`<div><dt>${name}</dt><dd>${count(value)}</dd></div>`)}
      <div>
        <dt>Queue: ${queue.name}</dt>
        <dd class=${queue.problem ? "bad" : ""} title=${where(queue.name)}>${queue.problem ? "takes no calls" : "takes calls"}</dd>
      </div>
    </dl>
    ${queue.problem && html`<p class="problem" role="alert">${queue.problem}</p>`}
  `;
}

/** Where calls are kept. */
const where = (/** @type {string} */ name) =>
  `Calls are kept in ${name === "embedded" ? "the gateway's state directory" : `the stream ${name} of NATS JetStream`}.`;

export function sum(/** @type {Queue["functions"]} */ functions) {
  const add = (/** @type {"queued" | "retrying" | "running" | "callbacks"} */ key) => functions.reduce((all, waiting) => all + waiting[key], 0);
  const all = { queued: add("queued"), retrying: add("retrying"), running: add("running"), callbacks: add("callbacks") };
  return { ...all, total: all.queued + all.retrying + all.running + all.callbacks };
}
