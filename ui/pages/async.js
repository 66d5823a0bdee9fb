// The asynchronous calls of all functions: how the queue is, what waits by function, and the newest calls.

import { html, useEffect, useState } from "../html.js";
import { to, usePlace } from "../route.js";
import { ago, count } from "../words.js";
import { CallPage } from "./async/call.js";
import { CallList } from "./async/list.js";
import { QueueState, sum } from "./async/queue.js";

/** @typedef {import("../api.js").Calls} Calls */
/** @typedef {Calls["queue"]["functions"][0]} Waiting */

/** Functions that are shown at first. */
const SHOWN = 8;

export function Page() {
  const { path } = usePlace();
  const id = path[1];
  useEffect(() => void (document.title = `${id ? `Call ${id}` : "Asynchronous calls"} · gateway`), [id]);
  return html`
    <div class="title"><h1>Asynchronous calls</h1></div>
    ${id ? html`<${CallPage} key=${id} id=${id} back=${to(["async"])} />` : html`<${CallList} path=${["async"]}>${Above}<//>`}
  `;
}

const Above = (/** @type {Calls} */ { queue }) => html`
  <${QueueState} queue=${queue} functions=${queue.functions} />
  ${queue.functions.length > 0 && html`<${ByFunction} functions=${queue.functions} />`}
`;

function ByFunction(/** @type {{functions: Waiting[]}} */ { functions }) {
  const [all, setAll] = useState(false);
  const busiest = [...functions].sort((a, b) => sum([b]).total - sum([a]).total || (a.function < b.function ? -1 : 1));
  const shown = all ? busiest : busiest.slice(0, SHOWN);
  return html`
    <table class="waiting">
      <caption class="unseen">What waits and runs, by function</caption>
      <thead>
        <tr>
          <th scope="col">Function</th>
          <th scope="col" class="number">Queued</th>
          <th scope="col" class="number">Retrying</th>
          <th scope="col" class="number">Running</th>
          <th scope="col" class="number wide-only">Callbacks</th>
          <th scope="col" class="number wide-only">Oldest</th>
        </tr>
      </thead>
      <tbody>
        ${shown.map((waiting) => html`
          <tr key=${waiting.function}>
            <th scope="row"><a href=${to(["function", waiting.function, "async"])}>${waiting.function}</a></th>
            <td class="number">${count(waiting.queued)}</td>
            <td class="number">${count(waiting.retrying)}</td>
            <td class="number">${count(waiting.running)}</td>
            <td class="number wide-only">${count(waiting.callbacks)}</td>
            <td class="number wide-only">${ago(waiting.oldest_at)}</td>
          </tr>`)}
      </tbody>
    </table>
    ${busiest.length > shown.length && html`<p class="more"><button type="button" onClick=${() => setAll(true)}>Show all ${count(busiest.length)}</button></p>`}
  `;
}
