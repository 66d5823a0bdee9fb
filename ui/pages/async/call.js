// One asynchronous call: what has happened to it, what comes next, and what its function answered.

import * as api from "../../api.js";
import { html, useEffect, useState } from "../../html.js";
import { ActionButton } from "../../parts/action.js";
import { BodyView, HeadersView, SHOWN } from "../../parts/body.js";
import { ask } from "../../parts/dialog.js";
import { Copy } from "../../parts/fields.js";
import { Loading, Problem, useLoad } from "../../parts/load.js";
import { fileName, save } from "../../parts/save.js";
import { reasonWords } from "../../reasons.js";
import { to } from "../../route.js";
import { ahead, count, moment, seconds } from "../../words.js";
import { isFinal, isGood, isOver, outcome, State, STATES } from "./state.js";

/** @typedef {api.Call} Call */

const EVERY_MS = 1000;
/** One that is over is asked for, too: it may be replayed, by somebody else as well. */
const OVER_EVERY_MS = 10_000;

/** A call as it is now, asked for again and again. */
export function useCall(/** @type {string} */ id) {
  const [calm, setCalm] = useState(false);
  const loaded = useLoad(() => api.call(id), [id], { every: calm ? OVER_EVERY_MS : EVERY_MS });
  const over = loaded.value ? isOver(loaded.value) : loaded.problem !== "";
  useEffect(() => setCalm(over), [over]);
  return loaded;
}

/** @param {{id: string, back: string}} props `back` where the list is */
export function CallPage({ id, back }) {
  const { value: call, problem, again } = useCall(id);
  return html`
    <p class="back"><a href=${back}>← All calls</a></p>
    ${problem && html`<${Problem} text=${problem} again=${again} />`}
    ${call && html`<${Shown} call=${call} again=${again} />`}
    ${!call && !problem && html`<${Loading} />`}
  `;
}

function Shown(/** @type {{call: Call, again: () => void}} */ { call, again }) {
  return html`
    <div class="title">
      <h2 class="mono">${call.id}</h2>
      <${State} state=${call.state} />
      <${Copy} text=${call.id} label="Copy the id" />
      <div class="actions end"><${Actions} call=${call} again=${again} /></div>
    </div>
    <div class="columns">
      <section class="sheet" aria-label="What happened">
        <h2>What happened</h2>
        <${Timeline} call=${call} />
        <${Facts} call=${call} />
      </section>
      <section class="sheet" aria-label="Result">
        <h2>Result</h2>
        <${Result} call=${call} />
      </section>
    </div>
  `;
}

/** What the gateway can do with it: only dead letters are kept with what is needed to call again. */
function Actions(/** @type {{call: Call, again: () => void}} */ { call, again }) {
  const dead = call.state === "dead";
  const replay = async () => {
    await api.replay(call.id);
    again();
    return "The call is queued again";
  };
  return html`
    <${ActionButton} act=${replay} doing="Queueing…" disabled=${!dead}
      title=${dead ? "Call it again, with all its tries" : "Only a dead letter can be replayed"}>Replay<//>
    ${!isFinal(call) && html`<button type="button" class="danger" onClick=${() => askCancel(call, again)}>Cancel call</button>`}
    ${dead && html`<button type="button" class="danger" onClick=${() => askCancel(call, again)}>Throw away</button>`}
  `;
}

function askCancel(/** @type {Call} */ call, /** @type {() => void} */ again) {
  const dead = call.state === "dead";
  ask({
    title: dead ? "Throw this dead letter away?" : "Cancel this call?",
    text: dead ? "It cannot be replayed after that." : `If ${call.function} is working on it, that is broken off. Nobody gets a result.`,
    yes: dead ? "Throw away" : "Cancel the call",
    doing: dead ? "Throwing away…" : "Cancelling…",
    danger: true,
    act: async () => {
      await api.cancel(call.id);
      again();
      return dead ? "The dead letter is thrown away" : "The call is cancelled";
    },
  });
}

/** @typedef {{at: string | null, kind: string, what: any, more?: any}} Moment */

export function Timeline(/** @type {{call: Call}} */ { call }) {
  return html`
    <ol class="timeline">
      ${moments(call).map(({ at, kind, what, more }) => html`
        <li class=${kind}>
          <span class="when" title=${at ?? undefined}>${at && moment(at)}</span>
          <div><p>${what}</p>${more && html`<p class="hint">${more}</p>`}</div>
        </li>`)}
    </ol>
  `;
}

/** @returns {Moment[]} */
function moments(/** @type {Call} */ call) {
  const { state, tries } = call;
  /** @type {Moment[]} */
  const all = [{ at: call.submitted_at, kind: "", what: "Submitted" }];
  const left = call.attempts - tries.length;
  if (left > 0) all.push({ at: null, kind: "", what: left === 1 ? "An earlier try" : `${count(left)} earlier tries`, more: "Only the newest ones are kept." });
  for (const tried of tries) all.push(ofTry(tried));
  const times = call.replays === 1 ? "once" : `${count(call.replays)} times`;
  if (call.replays > 0) all.push({ at: null, kind: "", what: `Replayed ${times}`, more: "What came before counts no more." });
  if (state === "running") all.push({ at: null, kind: "wait", what: "The function is being called…" });
  if (state === "queued") all.push({ at: call.next_try_at, kind: "wait", what: "Waits for its turn" });
  if (state === "retrying") all.push({ at: call.next_try_at, kind: "wait", what: `Next try ${ahead(call.next_try_at)}` });
  const { word, says, kind } = STATES[state];
  if (isFinal(call)) all.push({ at: call.ended_at, kind, what: capital(word), more: says });
  if (call.callback && call.callback.attempts > 0) all.push(ofCallback(call, call.callback));
  return all;
}

/** @returns {Moment} */
function ofTry(/** @type {api.Try} */ tried) {
  const answered = tried.status !== null;
  return {
    at: tried.at,
    kind: isGood(tried.status) ? "good" : "bad",
    what: answered ? html`Called: <b>${tried.status}</b> after ${seconds(tried.seconds)}` : `Called in vain, for ${seconds(tried.seconds)}`,
    more: tried.error,
  };
}

/** @returns {Moment} */
function ofCallback(/** @type {Call} */ call, /** @type {NonNullable<Call["callback"]>} */ { state, attempts, last }) {
  const after = attempts > 1 ? `, after ${count(attempts)} tries` : "";
  const word = { delivered: "delivered to its callback", pending: "not delivered yet", failed: "not delivered" }[state] ?? state;
  const more = [outcome(last), state === "pending" && call.next_try_at ? `next try ${ahead(call.next_try_at)}` : ""].filter(Boolean).join("; ");
  return { at: last?.at ?? null, kind: state === "delivered" ? "good" : state === "pending" ? "wait" : "bad", what: `Result ${word}${after}`, more };
}

function Facts(/** @type {{call: Call}} */ { call }) {
  const { callback } = call;
  return html`
    <dl class="facts call-facts">
      <dt>Function</dt><dd><a href=${to(["function", call.function])}>${call.function}</a></dd>
      ${call.call_id !== call.id && html`<dt>X-Call-Id</dt><dd class="mono">${call.call_id}</dd>`}
      ${callback && html`<dt>Callback</dt><dd>${callback.url} <span class="faint">${callback.state}</span></dd>`}
      ${call.expires_at && html`<dt>Forgotten</dt><dd title=${call.expires_at}>${ahead(call.expires_at)}</dd>`}
      <dt>Log</dt><dd><a href=${to(["function", call.function, "logs"], { search: call.call_id })}>Lines with its id</a></dd>
    </dl>
  `;
}

/** What the function answered last, as far as it is kept. */
export function Result(/** @type {{call: Call}} */ { call }) {
  const { result } = call;
  if (!result) return html`<p class="faint">${noResult(call)}</p>`;
  const header = (/** @type {string} */ name) => result.headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? "";
  const type = header("content-type");
  const reason = header("x-gateway-error");
  const body = result.body_base64 === null ? (result.body ?? "") : decoded(result.body_base64);
  const blob = new Blob([body], { type });
  return html`
    <div class="stack tight">
      <p><span class="state ${isGood(result.status) ? "succeeded" : "failed"}">${result.status}</span> ${reason && html`<b>${reason}</b>`}</p>
      ${reason && html`<p class="hint">${reasonWords(reason)}</p>`}
      <${HeadersView} headers=${result.headers} />
      <${BodyView} type=${type} size=${blob.size} text=${typeof body === "string" ? body.slice(0, SHOWN) : null} cut=${body.length > SHOWN} whole=${true}
        save=${() => save(blob, fileName(call.id, type))}
        note=${result.truncated && "Only the first part of the body was kept: queue.results.max_body says how much."} />
    </div>
  `;
}

function noResult(/** @type {Call} */ call) {
  if (call.state === "cancelled") return "A cancelled call has no result.";
  return isFinal(call) ? "No result is kept." : "The function has not given its answer yet.";
}

const decoded = (/** @type {string} */ base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

const capital = (/** @type {string} */ word) => word[0].toUpperCase() + word.slice(1);
