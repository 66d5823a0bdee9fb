// The fields of a deployment: for a new function, and for one that is changed.

import * as api from "../../api.js";
import { html, useState } from "../../html.js";
import { Field, PairsField } from "../../parts/fields.js";
import { useLoad } from "../../parts/load.js";
import { to } from "../../route.js";
import { MEANINGS, wrongLabel } from "./labels.js";
import { mistakes } from "./draft.js";
import { useKind, useNamespaces } from "./progress.js";

/**
 * @typedef {import("./draft.js").Draft} Draft
 * @typedef {import("./draft.js").Mistakes} Mistakes
 * @typedef {(change: Partial<Draft>) => void} Change
 * @typedef {{draft: Draft, set: Change, wrong: Mistakes}} Part
 */

/** Variables that say something to the watchdog of a provider that runs processes. */
const VARIABLES = {
  mode: "How calls reach the process: classic and streaming start one for each call, http sends them to one that listens on {port}.",
  exec_timeout: "Longest time of a call, such as 10s; no limit if not set.",
  max_inflight: "Calls at once, more are answered with 429; no limit if not set.",
  ready_path: "Path that is asked until the process is ready, in http mode.",
  content_type: "Type of the response.",
  cgi_headers: "Whether headers of the request become variables; true if not set.",
  combine_output: "Whether stderr goes into the response; true if not set.",
  read_debug: "Whether requests are written to the log.",
  write_debug: "Whether responses are written to the log.",
};

/**
 * A draft that is being changed, with what is wrong with it. `check` says whether it can be sent, `keep` is
 * told of each change.
 */
export function useDraft(/** @type {Draft} */ first, keep = (/** @type {Draft} */ _draft) => {}) {
  const [draft, setDraft] = useState(first);
  const [tried, setTried] = useState(false);
  const kind = useKind();
  const set = (/** @type {Partial<Draft>} */ change) => setDraft((before) => {
    const after = { ...before, ...change };
    keep(after);
    return after;
  });
  const check = () => {
    setTried(true);
    return Object.keys(mistakes(draft, { kind, whole: true })).length === 0;
  };
  return { draft, set, check, wrong: mistakes(draft, { kind, whole: tried }) };
}

/** All fields. `isNew`: its name and namespace are asked for, too. */
export function Fields(/** @type {Part & {isNew?: boolean}} */ { isNew = false, ...part }) {
  const kind = useKind();
  return html`
    ${isNew && html`<${Identity} ...${part} />`}
    <${Program} ...${part} kind=${kind} />
    <${PairsField} legend="Environment" name="Variable" pairs=${part.draft.environment} known=${kind === "process" ? VARIABLES : {}}
      change=${(/** @type {Draft["environment"]} */ environment) => part.set({ environment })} />
    ${part.wrong.environment && html`<p class="hint bad" role="alert">${part.wrong.environment}</p>`}
    <${Secrets} ...${part} />
    <${Advanced} ...${part} kind=${kind} />
  `;
}

function Identity(/** @type {Part} */ { draft, set, wrong }) {
  const { names, usual } = useNamespaces();
  const others = [...new Set([...names, draft.namespace])].filter((name) => name && name !== usual);
  return html`
    <div class="fields">
      <${Field} label="Name" problem=${wrong.name} hint="It is called at /function/NAME." field=${(/** @type {string} */ id) => html`
        <input id=${id} value=${draft.name} required maxlength="63" autocomplete="off" autocapitalize="off" spellcheck=${false}
          onInput=${(/** @type {any} */ event) => set({ name: event.target.value })} />`} />
      <${Field} label="Namespace" field=${(/** @type {string} */ id) => html`
        <select id=${id} value=${draft.namespace === usual ? "" : draft.namespace} onChange=${(/** @type {any} */ event) => set({ namespace: event.target.value })}>
          <option value="">${usual || "the default one"}</option>
          ${others.map((name) => html`<option value=${name}>${name}</option>`)}
        </select>`} />
    </div>
  `;
}

/** What is run: each kind of provider asks for another one of the two. */
function Program(/** @type {Part & {kind: string}} */ { draft, set, wrong, kind }) {
  const command = html`
    <${Field} label=${kind === "process" ? "Command" : "Command (optional)"} problem=${wrong.command}
      hint=${kind === "process" ? "A program of this machine with its arguments, split at spaces. It may be left out where the configuration maps the image to one." : "Left empty, the image's own is run."}
      field=${(/** @type {string} */ id) => html`
        <input id=${id} class="mono" value=${draft.command} placeholder=${kind === "process" ? "python3 handler.py" : ""} autocomplete="off" autocapitalize="off" spellcheck=${false}
          onInput=${(/** @type {any} */ event) => set({ command: event.target.value })} />`} />`;
  const image = html`
    <${Field} label=${kind === "process" ? "Image (optional)" : "Image"} problem=${wrong.image}
      hint=${kind === "process" ? "This gateway runs no images: the name stands for what provider.images of its configuration says, and for nothing else." : "With its registry and tag."}
      field=${(/** @type {string} */ id) => html`
        <input id=${id} class="mono" value=${draft.image} placeholder=${kind === "process" ? localImage(draft.name) : "ghcr.io/acme/hello:1"} autocomplete="off" autocapitalize="off" spellcheck=${false}
          onInput=${(/** @type {any} */ event) => set({ image: event.target.value })} />`} />`;
  return html`<div class="fields wide">${kind === "process" ? [command, image] : [image, command]}</div>`;
}

/** The API wants a name of an image even where a command says it all. */
export const localImage = (/** @type {string} */ name) => `local/${name.trim() || "hello"}`;

function Secrets(/** @type {Part} */ { draft, set }) {
  const { value, problem } = useLoad(() => api.secrets(draft.namespace), [draft.namespace]);
  const known = (value ?? []).map(({ name }) => name);
  const missing = value ? draft.secrets.filter((name) => !known.includes(name)) : [];
  const turn = (/** @type {string} */ name) => set({ secrets: draft.secrets.includes(name) ? draft.secrets.filter((other) => other !== name) : [...draft.secrets, name] });
  return html`
    <fieldset>
      <legend>Secrets</legend>
      ${problem && html`<p class="hint bad" role="alert">They cannot be listed: ${problem}</p>`}
      <div class="ticks">
        ${[...new Set([...known, ...draft.secrets])].sort().map((name) => html`
          <label key=${name} class="tick"><input type="checkbox" checked=${draft.secrets.includes(name)} onChange=${() => turn(name)} /> ${name}${missing.includes(name) && html` <span class="bad">does not exist</span>`}</label>`)}
      </div>
      ${value && known.length === 0 && draft.secrets.length === 0 && html`<p class="hint">There are none in this namespace.</p>`}
      <p class="hint">A function reads them at /var/openfaas/secrets/NAME. <a href=${to(["secrets"])}>To the secrets</a></p>
    </fieldset>
  `;
}

/** Folded, unless something of it is set. */
function Advanced(/** @type {Part & {kind: string}} */ { draft, set, wrong, kind }) {
  const [open] = useState(() => isAdvanced(draft));
  return html`
    <details class="folded" open=${open || Object.keys(wrong).some((name) => /labels|limits|requests/.test(name))}>
      <summary>Advanced</summary>
      <div class="form">
        <${PairsField} legend="Labels" pairs=${draft.labels} known=${MEANINGS} check=${wrongLabel} hint="Some of them rule scaling and repeated calls: begin with com.openfaas. to see which."
          change=${(/** @type {Draft["labels"]} */ labels) => set({ labels })} />
        ${wrong.labels && html`<p class="hint bad" role="alert">${wrong.labels}</p>`}
        <${PairsField} legend="Annotations" pairs=${draft.annotations} change=${(/** @type {Draft["annotations"]} */ annotations) => set({ annotations })} />
        <div class="fields">
          <${Amount} label="Memory at most" placeholder="64Mi" problem=${wrong["limits.memory"]} value=${draft.limits.memory} set=${(/** @type {string} */ memory) => set({ limits: { ...draft.limits, memory } })} />
          <${Amount} label="Processors at most" placeholder="500m" problem=${wrong["limits.cpu"]} value=${draft.limits.cpu} set=${(/** @type {string} */ cpu) => set({ limits: { ...draft.limits, cpu } })} />
          <${Amount} label="Memory needed" placeholder="32Mi" problem=${wrong["requests.memory"]} value=${draft.requests.memory} set=${(/** @type {string} */ memory) => set({ requests: { ...draft.requests, memory } })} />
          <${Amount} label="Processors needed" placeholder="100m" problem=${wrong["requests.cpu"]} value=${draft.requests.cpu} set=${(/** @type {string} */ cpu) => set({ requests: { ...draft.requests, cpu } })} />
        </div>
        <${Field} label="Constraints, one in each line" field=${(/** @type {string} */ id) => html`
          <textarea id=${id} rows="2" value=${draft.constraints} spellcheck=${false} onInput=${(/** @type {any} */ event) => set({ constraints: event.target.value })}></textarea>`} />
        <label class="tick"><input type="checkbox" checked=${draft.readOnly} onChange=${(/** @type {any} */ event) => set({ readOnly: event.target.checked })} /> Read-only root file system</label>
        ${kind === "process" && html`<p class="hint">What is needed, constraints and the read-only root are kept and shown; on a single machine they have no effect.</p>`}
      </div>
    </details>
  `;
}

const Amount = (/** @type {{label: string, placeholder: string, problem: string | undefined, value: string | undefined, set: (text: string) => void}} */ { label, placeholder, problem, value = "", set }) => html`
  <${Field} label=${label} problem=${problem} field=${(/** @type {string} */ id) => html`
    <input id=${id} value=${value} placeholder=${placeholder} autocomplete="off" spellcheck=${false} onInput=${(/** @type {any} */ event) => set(event.target.value)} />`} />
`;

const isAdvanced = (/** @type {Draft} */ draft) =>
  draft.labels.length + draft.annotations.length + Object.keys(draft.limits).length + Object.keys(draft.requests).length > 0 || draft.constraints !== "" || draft.readOnly;
