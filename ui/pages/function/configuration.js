// What a function was deployed with, and the form that changes it: what differs is shown before it is
// deployed again, and how that comes along after.

import * as api from "../../api.js";
import { html, useState } from "../../html.js";
import { ActionButton, useAction } from "../../parts/action.js";
import { Dialog } from "../../parts/dialog.js";
import { Difference, difference } from "../../parts/diff.js";
import { Facts } from "../../parts/facts.js";
import { Loading, Problem, useLoad } from "../../parts/load.js";
import { deploymentOf, toDeployment, toDraft, toLines } from "../deploy/draft.js";
import { Fields, useDraft } from "../deploy/form.js";
import { Progress } from "../deploy/progress.js";
import { reasonNotToChange } from "../functions.js";

/**
 * @typedef {import("../../live.js").Row} Row
 * @typedef {import("../../api.js").FunctionStatus} FunctionStatus
 * @typedef {import("../../api.js").Deployment} Deployment
 * @typedef {import("../deploy/draft.js").Draft} Draft
 * @typedef {{before: Deployment, draft: Draft}} Editing `before`: what was deployed when the draft was begun
 */

/** Drafts by the id of their function: one that is gone from the list for a moment loses nothing. */
const drafts = /** @type {Map<string, Editing>} */ (new Map());

export function Tab(/** @type {{id: string, row: Row}} */ { id, row }) {
  const { value: status, problem, again } = useLoad(() => api.functionStatus(id), [id]);
  const [editing, setEditing] = useState(drafts.get(id) ?? null);
  const [updated, setUpdated] = useState(/** @type {{deployment: Deployment, at: number} | null} */ (null));
  const edit = (/** @type {Editing | null} */ begun) => {
    if (begun) drafts.set(id, begun);
    else drafts.delete(id);
    setEditing(begun);
  };
  if (editing) {
    const done = (/** @type {Deployment} */ deployment) => {
      edit(null);
      setUpdated({ deployment, at: Date.now() });
      again();
    };
    return html`<${Edit} id=${id} editing=${editing} done=${done} cancel=${() => edit(null)} />`;
  }
  if (!status) return problem ? html`<${Problem} text=${problem} again=${again} />` : html`<${Loading} />`;
  const begin = async () => {
    // Somebody else may have changed it since it was shown.
    const before = deploymentOf(await api.functionStatus(id));
    edit({ before, draft: toDraft(before) });
  };
  return html`
    <div class="stack">
      ${updated && html`<section class="sheet" key=${updated.at}><h2>Update</h2><${Progress} deployment=${updated.deployment} updated /></section>`}
      <${Shown} row=${row} status=${status} edit=${begin} />
    </div>
  `;
}

function Shown(/** @type {{row: Row, status: FunctionStatus, edit: () => Promise<void>}} */ { row, status, edit }) {
  const why = reasonNotToChange(row);
  return html`
    <section class="sheet">
      <div class="title">
        <h2>${row.declared ? "Declared" : "Deployed with"}</h2>
        <div class="actions end">
          ${why && html`<span class="hint">${why}</span>`}
          <${ActionButton} act=${edit} doing="Reading…" disabled=${why !== ""} title=${why}>Edit<//>
        </div>
      </div>
      <${Deployed} status=${status} />
    </section>
    <${Named} title="Environment" map=${status.envVars} />
    <div class="columns">
      <${Named} title="Labels" map=${status.labels} />
      <${Named} title="Annotations" map=${status.annotations} />
    </div>
  `;
}

function Deployed(/** @type {{status: FunctionStatus}} */ { status }) {
  const { limits = {}, requests = {} } = status;
  const facts = /** @type {[string, any][]} */ ([
    ["Image", code(status.image)],
    ["Command", code(status.envProcess)],
    ["Memory", amounts(limits.memory, requests.memory)],
    ["Processors", amounts(limits.cpu, requests.cpu)],
    ["Constraints", list(status.constraints)],
    ["Secrets", list(status.secrets)],
    ["Root file system", status.readOnlyRootFilesystem ? "read-only" : "may be written to"],
  ]);
  return html`<${Facts} facts=${facts} none="none" />`;
}

const code = (/** @type {string | undefined} */ text) => text && html`<code>${text}</code>`;

const list = (/** @type {string[] | undefined} */ items) => (items ?? []).length > 0 && html`<code>${(items ?? []).join(", ")}</code>`;

const amounts = (/** @type {string | undefined} */ most, /** @type {string | undefined} */ least) => [most && `${most} at most`, least && `${least} needed`].filter(Boolean).join(", ");

function Named(/** @type {{title: string, map: Record<string, string> | null | undefined}} */ { title, map }) {
  const entries = Object.entries(map ?? {});
  return html`
    <section class="sheet">
      <h2>${title}</h2>
      ${entries.length === 0
        ? html`<p class="faint">none</p>`
        : html`<table class="map"><tbody>${entries.map(([name, value]) => html`<tr><th scope="row"><code>${name}</code></th><td><code>${value}</code></td></tr>`)}</tbody></table>`}
    </section>
  `;
}

/** The form, and what differs before it is sent. */
function Edit(/** @type {{id: string, editing: Editing, done: (deployment: Deployment) => void, cancel: () => void}} */ { id, editing, done, cancel }) {
  const { before } = editing;
  const { draft, set, check, wrong } = useDraft(editing.draft, (draft) => void drafts.set(id, { before, draft }));
  const [asked, setAsked] = useState(/** @type {{now: Deployment, after: Deployment} | null} */ (null));
  const { run, busy } = useAction(async () => {
    const after = toDeployment(draft);
    if (same(before, after)) return "Nothing was changed";
    const now = deploymentOf(await api.functionStatus(id));
    if (same(now, after)) return "It is deployed so already";
    setAsked({ now, after });
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (check()) run();
  };
  return html`
    <form class="sheet form" noValidate onSubmit=${submit}>
      <h2>Change ${before.service}</h2>
      <${Fields} draft=${draft} set=${set} wrong=${wrong} />
      <div class="actions end">
        <button type="button" onClick=${cancel}>Cancel</button>
        <button class="primary" aria-busy=${busy}>Show what differs…</button>
      </div>
    </form>
    ${asked && html`<${Confirm} ...${asked} meanwhile=${!same(before, asked.now)} done=${done} close=${() => setAsked(null)} />`}
  `;
}

const same = (/** @type {Deployment} */ one, /** @type {Deployment} */ other) => toLines(one).join("\n") === toLines(other).join("\n");

/** @param {{now: Deployment, after: Deployment, meanwhile: boolean, done: (deployment: Deployment) => void, close: () => void}} props */
function Confirm({ now, after, meanwhile, done, close }) {
  const [problem, setProblem] = useState("");
  const { run, busy } = useAction(async () => {
    await api.update(after);
    done(after);
  }, { failed: setProblem });
  return html`
    <${Dialog} title="Deploy ${after.service} again?" close=${close} busy=${busy} wide>
      ${meanwhile && html`<p class="note">Somebody else changed it meanwhile: what follows takes their change back where the form has it otherwise.</p>`}
      <p>The new revision starts beside the old one, which serves until the new one is ready.</p>
      <${Difference} label="What differs" changes=${difference(toLines(now), toLines(after))} />
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <div class="actions end">
        <button type="button" disabled=${busy} onClick=${close}>Cancel</button>
        <button type="button" class="primary" disabled=${busy} aria-busy=${busy} onClick=${() => run()}>${busy ? "Deploying…" : "Deploy again"}</button>
      </div>
    <//>
  `;
}
