// The form of a call: when, how, where, with what.

import { html } from "../../../html.js";
import { useLive } from "../../../live.js";
import { Copy, Field, PairsField } from "../../../parts/fields.js";
import { jsonProblem, pretty } from "../../../parts/json.js";
import { bytes } from "../../../words.js";
import { running, send, useDesk, write } from "./calls.js";
import { curl, faasCli, hasBody, headerProblem, KNOWN, methodOf, METHODS, problems, requestOf, typeOf, urlOf } from "./request.js";

/** @typedef {import("./calls.js").Draft} Draft */

const KINDS = /** @type {[Draft["kind"], string][]} */ ([["text", "Text"], ["json", "JSON"], ["file", "File"]]);

export function Form(/** @type {{id: string}} */ { id }) {
  const desk = useDesk(id);
  const { status } = useLive();
  const { draft } = desk;
  const call = running(desk);
  const found = problems(id, draft);
  const closed = draft.later ? status?.queue.problem : "";
  const fine = Object.keys(found).length === 0 && !closed;
  const change = (/** @type {Partial<Draft>} */ changed) => write(id, changed);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (fine && !call) send(id, requestOf(id, draft));
  };
  const keys = (/** @type {KeyboardEvent & {currentTarget: HTMLFormElement}} */ event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.currentTarget.requestSubmit();
  };
  return html`
    <form class="form" aria-label="Call" onSubmit=${submit} onKeyDown=${keys}>
      <${Choice} label="When" value=${draft.later ? "later" : "now"} choose=${(/** @type {string} */ when) => change({ later: when === "later" })}
        options=${[["now", "Now"], ["later", "Later"]]} />
      ${draft.later && html`<p class="hint">It is answered at once and kept; the function is called from the queue, again and again until it answers.</p>`}
      ${closed && html`<p class="note">The queue takes no calls now: ${closed}</p>`}
      <div class="where">
        <${Field} label="Method" field=${(/** @type {string} */ fieldId) => html`
          <select id=${fieldId} value=${methodOf(draft)} disabled=${draft.later} title=${draft.later ? "Calls for later are posted" : undefined}
            onChange=${(/** @type {any} */ event) => change({ method: event.target.value })}>${METHODS.map((method) => html`<option>${method}</option>`)}</select>`} />
        <${Field} label="Path and query" problem=${found.rest} hint=${html`<span class="mono">${urlOf(id, draft)}</span>`}
          field=${(/** @type {string} */ fieldId) => html`<input id=${fieldId} class="mono" placeholder="/ what follows the name" autocomplete="off" spellcheck=${false} value=${draft.rest}
            onInput=${(/** @type {any} */ event) => change({ rest: event.target.value })} />`} />
      </div>
      <${PairsField} legend="Headers" pairs=${draft.headers} known=${KNOWN} check=${headerProblem}
        change=${(/** @type {Draft["headers"]} */ headers) => change({ headers })} />
      ${draft.later && html`
        <${Field} label="Callback URL" problem=${found.callback}
          hint="Optional. The result is posted there. Private networks are refused unless queue.callbacks.allow names them."
          field=${(/** @type {string} */ fieldId) => html`
            <input id=${fieldId} type="url" placeholder="https://" autocomplete="off" spellcheck=${false} value=${draft.callback}
              onInput=${(/** @type {any} */ event) => change({ callback: event.target.value })} />`} />`}
      <${Body} draft=${draft} change=${change} problem=${found.body} />
      <div class="actions">
        <button class="primary" disabled=${call != null || !fine} aria-keyshortcuts="Control+Enter" title="Ctrl+Enter">
          ${call ? "Calling…" : draft.later ? "Send to the queue" : "Call"}
        </button>
        ${call ? html`<button type="button" onClick=${() => call.stop.abort()}>Stop</button>` : html`<span class="hint wide-only">Ctrl+Enter</span>`}
        <span class="rest"></span>
        <${Commands} id=${id} draft=${draft} fine=${!found.rest} />
      </div>
    </form>
  `;
}

function Body(/** @type {{draft: Draft, change: (changed: Partial<Draft>) => void, problem: string | undefined}} */ { draft, change, problem }) {
  if (!hasBody(draft)) return html`<p class="hint">A ${methodOf(draft)} has no body.</p>`;
  const { kind, text, file } = draft;
  const empty = kind === "file" ? file === null : text === "";
  const printable = kind === "json" && !empty && jsonProblem(text) === "";
  const sent = html`Sent as <span class="mono">${typeOf(draft)}</span>${kind === "file" && `, ${bytes(file?.size)}`}`;
  return html`
    <div class="field">
      <div class="body-head">
        <${Choice} label="Body" value=${kind} options=${KINDS} choose=${(/** @type {Draft["kind"]} */ chosen) => change({ kind: chosen })} />
        ${kind === "json" && html`<button type="button" class="small" disabled=${!printable} onClick=${() => change({ text: pretty(text) })}>Format</button>`}
      </div>
      ${kind === "file"
        ? html`<${FileField} file=${file} choose=${(/** @type {File | null} */ chosen) => change({ file: chosen })} />`
        : html`<textarea aria-label="Body as ${kind === "json" ? "JSON" : "text"}" rows="8" spellcheck=${false} value=${text}
            aria-invalid=${problem ? "true" : undefined} onInput=${(/** @type {any} */ event) => change({ text: event.target.value })}></textarea>`}
      ${problem && !empty ? html`<p class="hint bad" role="alert">${problem}</p>` : html`<p class="hint">${empty ? (problem ?? "An empty body is sent.") : sent}</p>`}
    </div>
  `;
}

/** A file that was chosen before stays chosen, though the browser's own field forgets it. */
function FileField(/** @type {{file: File | null, choose: (file: File | null) => void}} */ { file, choose }) {
  return html`
    <div class="actions">
      <input type="file" aria-label="File for the body" onChange=${(/** @type {any} */ event) => choose(event.target.files[0] ?? file)} />
      ${file && html`<span>${file.name}</span><button type="button" class="quiet small" onClick=${() => choose(null)}>Remove</button>`}
    </div>
  `;
}

/** One of a few, side by side. */
function Choice(/** @type {{label: string, value: string, options: [string, string][], choose: (value: any) => void}} */ { label, value, options, choose }) {
  return html`
    <div class="one-of">
      <span class="label" aria-hidden="true">${label}</span>
      <div class="segments" role="group" aria-label=${label}>
        ${options.map(([key, name]) => html`<button type="button" aria-pressed=${value === key} onClick=${() => choose(key)}>${name}</button>`)}
      </div>
    </div>
  `;
}

function Commands(/** @type {{id: string, draft: Draft, fine: boolean}} */ { id, draft, fine }) {
  const cli = fine ? faasCli(id, draft) : null;
  if (!fine) return null;
  return html`
    <${Copy} text=${() => curl(id, draft)} label="Copy as curl">Copy as curl<//>
    ${cli === null
      ? html`<button type="button" class="small" disabled title="faas-cli has no way to name a path">Copy as faas-cli</button>`
      : html`<${Copy} text=${cli} label="Copy as faas-cli">Copy as faas-cli<//>`}
  `;
}
