// A function of one's own, or one of the store that is changed before it is deployed.

import * as api from "../../api.js";
import { html, useEffect, useState } from "../../html.js";
import { useLive } from "../../live.js";
import { useAction } from "../../parts/action.js";
import { Loading, Problem, useLoad } from "../../parts/load.js";
import { go, to, usePlace } from "../../route.js";
import { emptyDraft, toDeployment, toDraft } from "./draft.js";
import { Fields, localImage, useDraft } from "./form.js";
import { Progress, rowOf, useKind, useNamespaces } from "./progress.js";

/**
 * @typedef {import("../../api.js").Deployment} Deployment
 * @typedef {import("./draft.js").Draft} Draft
 */

/** What was typed stays for as long as the portal is open, until it is deployed. */
let kept = emptyDraft();

export function Custom() {
  const from = usePlace().query.get("from") ?? "";
  return html`<${Prefilled} key=${from} from=${from} />`;
}

/** What of the store is taken as a beginning. */
function Prefilled(/** @type {{from: string}} */ { from }) {
  const { value, problem, again } = useLoad(async () => (from ? entry(await api.store(), from) : kept), [from]);
  if (problem) return html`<${Problem} text=${problem} again=${again} />`;
  return value ? html`<${NewFunction} first=${value} from=${from} />` : html`<${Loading} />`;
}

function entry(/** @type {import("../../api.js").Store} */ store, /** @type {string} */ name) {
  const found = store.functions.find((entry) => entry.name === name);
  if (!found) throw new Error(`The store has no function ${name}.`);
  return toDraft(found.deployment);
}

function NewFunction(/** @type {{first: Draft, from: string}} */ { first, from }) {
  const [deployed, setDeployed] = useState(/** @type {Deployment | null} */ (null));
  const anew = () => {
    setDeployed(null);
    go(to(["deploy", "custom"]));
  };
  if (deployed) return html`<${Deployed} deployment=${deployed} anew=${anew} />`;
  return html`<${NewForm} first=${from ? first : kept} from=${from} done=${setDeployed} />`;
}

function NewForm(/** @type {{first: Draft, from: string, done: (deployment: Deployment) => void}} */ { first, from, done }) {
  const { draft, set, check, wrong } = useDraft(first);
  const [problem, setProblem] = useState("");
  const kind = useKind();
  const { usual } = useNamespaces();
  const up = useLive().status?.provider.up !== false;
  useEffect(() => {
    if (!from) kept = draft;
  }, [draft]);
  const { run, busy } = useAction(async () => {
    const deployment = toDeployment(draft);
    if (kind === "process") deployment.image ||= localImage(draft.name);
    deployment.namespace ||= usual;
    await api.deploy(deployment);
    kept = emptyDraft();
    done(deployment);
  }, { failed: setProblem });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    setProblem("");
    if (check()) run();
  };
  const there = rowOf({ service: draft.name.trim(), namespace: draft.namespace || usual });
  return html`
    <form class="sheet form" noValidate onSubmit=${submit}>
      ${from && html`<p class="hint">Filled with ${from} of the store. Change what you like.</p>`}
      <${Fields} isNew draft=${draft} set=${set} wrong=${wrong} />
      ${problem && html`<${Problem} text=${problem} />`}
      ${there && html`<p class="note">${there.id} is there already. <a href=${to(["function", there.id, "configuration"])}>Change it</a>, or choose another name.</p>`}
      <div class="actions end">
        ${!up && html`<span class="hint">The provider cannot be reached.</span>`}
        <button class="primary" disabled=${busy || !up} aria-busy=${busy}>${busy ? "Deploying…" : "Deploy"}</button>
      </div>
    </form>
  `;
}

function Deployed(/** @type {{deployment: Deployment, anew: () => void}} */ { deployment, anew }) {
  useLive();
  const row = rowOf(deployment);
  return html`
    <section class="sheet stack">
      <h2>${deployment.service}</h2>
      <${Progress} deployment=${deployment} />
      <div class="actions">
        ${row && html`<a class="button primary" href=${to(["function", row.id])}>Open ${deployment.service}</a>`}
        ${row && html`<a class="button" href=${to(["function", row.id, "configuration"])}>Change it</a>`}
        <button type="button" onClick=${anew}>Deploy another</button>
      </div>
    </section>
  `;
}
