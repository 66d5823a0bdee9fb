// What came back of a call.

import { html, useEffect, useState } from "../../../html.js";
import { BodyView, HeadersView } from "../../../parts/body.js";
import { Copy } from "../../../parts/fields.js";
import { Loading, Problem } from "../../../parts/load.js";
import { fileName, save } from "../../../parts/save.js";
import { reasonWords } from "../../../reasons.js";
import { to } from "../../../route.js";
import { bytes, moment, seconds } from "../../../words.js";
import { Result, Timeline, useCall } from "../../async/call.js";
import { isFinal, isGood, State } from "../../async/state.js";
import { choose, useDesk, write } from "./calls.js";
import { methodOf } from "./request.js";

/** @typedef {import("./calls.js").Made} Made */

export function Answer(/** @type {{id: string}} */ { id }) {
  const { made, shown } = useDesk(id);
  const call = made.find(({ key }) => key === shown);
  if (!call) return html`<p class="empty">What the function answers is shown here.</p>`;
  const queued = call.draft.later && call.status === 202 ? header(call, "location").split("/").pop() : "";
  return html`
    <div class="stack tight">
      <${Head} call=${call} />
      <${Why} call=${call} />
      <${Identity} id=${id} call=${call} />
      ${call.headers.length > 0 && html`<${HeadersView} headers=${call.headers} />`}
      ${queued && html`<${Followed} key=${queued} id=${id} call=${queued} />`}
      ${call.status > 0 && !queued && html`
        <${BodyView} key=${call.key} type=${call.type} size=${call.size} text=${call.text} cut=${call.cut} whole=${call.state !== "receiving"}
          save=${call.pieces && (() => save(new Blob(/** @type {BlobPart[]} */ (call.pieces), { type: call.type }), fileName(id, call.type)))} />`}
    </div>
    <${Earlier} id=${id} made=${made} shown=${shown} />
  `;
}

const header = (/** @type {Made} */ { headers }, /** @type {string} */ name) => headers.find(([key]) => key === name)?.[1] ?? "";

/** The status, and what it took. */
function Head(/** @type {{call: Made}} */ { call }) {
  const kind = call.status === 0 ? "" : isGood(call.status) ? "succeeded" : "failed";
  const words = { waiting: "Waiting for the answer…", receiving: "Receiving…", done: "", stopped: "Stopped", broken: "Broken off" }[call.state];
  return html`
    <p class="head" role="status">
      ${call.status > 0 && html`<span class="state ${kind}">${call.status} ${call.statusText}</span>`}
      ${words && html`<span class=${call.state === "broken" ? "bad" : ""}>${words}</span>`}
      ${call.state === "waiting" && html`<${Elapsed} since=${call.at} />`}
    </p>
    ${call.status > 0 && html`
      <dl class="numbers flat">
        <div><dt>Answered after</dt><dd>${seconds(call.first / 1000)}</dd></div>
        <div><dt>In all</dt><dd>${call.state === "receiving" ? html`<${Elapsed} since=${call.at} />` : seconds(call.total / 1000)}</dd></div>
        <div><dt>Size</dt><dd>${bytes(call.size)}</dd></div>
      </dl>`}
  `;
}

function Elapsed(/** @type {{since: number}} */ { since }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, []);
  return html`<span class="faint" aria-hidden="true">${seconds(Math.max(0, Math.round((now - since) / 100) / 10))}</span>`;
}

/** What should be known beside the status. */
function Why(/** @type {{call: Made}} */ { call }) {
  const reason = header(call, "x-gateway-error");
  const cold = header(call, "x-cold-start");
  return html`
    ${call.problem && html`<p class="problem">${call.problem}</p>`}
    ${reason && html`<p class="problem"><span><b>${reason}</b> ${reasonWords(reason)}</span></p>`}
    ${cold && html`<p class="note">Cold start: the call waited ${seconds(Number(cold) / 1000)} for a replica.</p>`}
    ${call.redirected && html`<p class="note">The function sent the call on, to ${call.redirected}</p>`}
  `;
}

function Identity(/** @type {{id: string, call: Made}} */ { id, call }) {
  const callId = header(call, "x-call-id");
  return callId && html`
    <p class="identity">
      Call <code>${callId}</code> <${Copy} text=${callId} label="Copy the call's id" />
      <a href=${to(["function", id, "logs"], { search: callId })}>Its lines in the log</a>
    </p>
  `;
}

/** A call that was queued, until it has ended. */
function Followed(/** @type {{id: string, call: string}} */ { id, call }) {
  const { value, problem, again } = useCall(call);
  return html`
    <section class="stack tight" aria-label="The queued call">
      <p class="head">
        <b>In the queue</b>
        ${value && html`<span role="status"><${State} state=${value.state} /></span>`}
        <a href=${to(["function", id, "async", call])}>Show it among the asynchronous calls</a>
      </p>
      ${problem && html`<${Problem} text=${problem} again=${again} />`}
      ${!value && !problem && html`<${Loading} />`}
      ${value && html`<${Timeline} call=${value} />`}
      ${value && isFinal(value) && html`<h3>Result</h3><${Result} call=${value} />`}
    </section>
  `;
}

/** The calls before, with what came of them. */
function Earlier(/** @type {{id: string, made: Made[], shown: number}} */ { id, made, shown }) {
  const chosen = made.find(({ key }) => key === shown);
  if (made.length < 2 || !chosen) return null;
  return html`
    <div class="earlier">
      <div class="toolbar">
        <h3>Calls made here</h3>
        ${chosen !== made[0] && html`<button type="button" class="small" onClick=${() => write(id, chosen.draft)}>Write it into the form again</button>`}
      </div>
      <ul>
        ${made.map((call) => html`
          <li key=${call.key}>
            <button type="button" class="quiet" aria-pressed=${call.key === shown} onClick=${() => choose(id, call.key)}>
              <span>${moment(new Date(call.at).toISOString())}</span>
              <span class="mono">${methodOf(call.draft)} ${call.draft.rest || "/"}${call.draft.later ? " later" : ""}</span>
              <span class=${call.state === "broken" || call.status >= 400 ? "bad" : ""}>${outcomeOf(call)}</span>
            </button>
          </li>`)}
      </ul>
    </div>
  `;
}

function outcomeOf(/** @type {Made} */ call) {
  if (call.state === "waiting" || call.state === "receiving") return "runs";
  if (call.state === "done") return `${call.status} · ${seconds(call.total / 1000)}`;
  return call.state === "stopped" ? "stopped" : "broken off";
}
