// The asynchronous calls of one function.

import { html } from "../../html.js";
import { to, usePlace } from "../../route.js";
import { CallPage } from "../async/call.js";
import { CallList } from "../async/list.js";
import { QueueState } from "../async/queue.js";

/** @typedef {import("../../api.js").Calls} Calls */

export function Tab(/** @type {{id: string}} */ { id }) {
  const call = usePlace().path[3];
  const path = ["function", id, "async"];
  if (call) return html`<${CallPage} key=${call} id=${call} back=${to(path)} />`;
  return html`
    <${CallList} path=${path} id=${id}>
      ${(/** @type {Calls} */ { queue }) => html`<${QueueState} queue=${queue} functions=${queue.functions.filter((waiting) => waiting.function === id)} />`}
    <//>`;
}
