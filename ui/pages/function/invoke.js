// Calls a function, now or later, and shows what comes back as it comes.

import { html, useEffect } from "../../html.js";
import { usePlace } from "../../route.js";
import { Answer } from "./invoke/answer.js";
import { write } from "./invoke/calls.js";
import { Form } from "./invoke/form.js";

export function Tab(/** @type {{id: string}} */ { id }) {
  const when = usePlace().query.get("when");
  useEffect(() => void (when && write(id, { later: when === "later" })), [id, when]);
  return html`
    <div class="columns">
      <section class="sheet" aria-labelledby="call-title"><h2 id="call-title">Call</h2><${Form} id=${id} /></section>
      <section class="sheet" aria-labelledby="answer-title"><h2 id="answer-title">Answer</h2><${Answer} id=${id} /></section>
    </div>
  `;
}
