// A stack.yml as faas-cli reads it: pasted or chosen, checked while it is typed, and its functions deployed
// one after the other.

import * as api from "../../api.js";
import { html, useEffect, useRef, useState } from "../../html.js";
import { useLive } from "../../live.js";
import { ask } from "../../parts/dialog.js";
import { Field } from "../../parts/fields.js";
import { complain } from "../../parts/toast.js";
import { to } from "../../route.js";
import { plural } from "../../words.js";
import { rowOf, stageOf, useNamespaces } from "./progress.js";

/**
 * @typedef {import("../../api.js").Stack} Stack
 * @typedef {import("../../api.js").Deployment} Deployment
 * @typedef {"deploying" | "accepted" | {problem: string}} Outcome
 * @typedef {Record<string, Outcome>} Outcomes by the name of the function
 */

/** So long nobody has typed before the text is looked at. */
const PAUSE_MS = 400;
/** A longer file is no stack.yml. */
const LONGEST = 1 << 20;

const EXAMPLE = `version: 1.0
provider:
  name: openfaas
functions:
  hello:
    image: ghcr.io/acme/hello:1
    fprocess: cat
    environment:
      write_debug: true
`;

/**
 * What was typed and chosen, and what came of it, stays for as long as the portal is open; a deployment goes on
 * where the page is left. `left`: functions that are not deployed.
 */
let kept = { text: "", left: /** @type {string[]} */ ([]), namespace: "", busy: false, outcomes: /** @type {Outcomes} */ ({}) };

/** @type {Set<() => void>} what shows it; nothing does where nobody looks */
const lookers = new Set();

function keep(/** @type {Partial<typeof kept>} */ change) {
  kept = { ...kept, ...change };
  for (const looker of lookers) looker();
}

function useKept() {
  const [, again] = useState(0);
  useEffect(() => {
    const changed = () => again((n) => n + 1);
    lookers.add(changed);
    changed(); // It may have changed since it was drawn.
    return () => void lookers.delete(changed);
  }, []);
  return kept;
}

const note = (/** @type {string} */ name, /** @type {Outcome} */ outcome) => keep({ outcomes: { ...kept.outcomes, [name]: outcome } });

export function FromStack() {
  const { text, busy } = useKept();
  const setText = (/** @type {string} */ text) => keep({ text, outcomes: {} });
  const read = useStack(text);
  return html`
    <div class="columns stackfile">
      <section class="sheet stack">
        <div class="title">
          <h2>stack.yml</h2>
          <${FileChoice} take=${setText} empty=${text === ""} busy=${busy} />
        </div>
        <${Text} text=${text} change=${setText} problem=${read.problem} busy=${busy} />
      </section>
      <section class="sheet stack">
        <h2>Functions</h2>
        <${Found} read=${read} text=${text} />
      </section>
    </div>
  `;
}

/** What the gateway reads in a text, a moment after it was last changed. */
function useStack(/** @type {string} */ text) {
  const [read, setRead] = useState(/** @type {{stack: Stack | null, problem: string, busy: boolean}} */ ({ stack: null, problem: "", busy: false }));
  useEffect(() => {
    if (text.trim() === "") {
      setRead({ stack: null, problem: "", busy: false });
      return;
    }
    let gone = false;
    setRead((before) => ({ ...before, busy: true }));
    const timer = setTimeout(async () => {
      const [stack, problem] = await api.stack(text).then((stack) => /** @type {const} */ ([stack, ""]), (error) => /** @type {const} */ ([null, error.message]));
      if (!gone) setRead({ stack, problem, busy: false });
    }, PAUSE_MS);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [text]);
  return read;
}

function FileChoice(/** @type {{take: (text: string) => void, empty: boolean, busy: boolean}} */ { take, empty, busy }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const choose = async (/** @type {any} */ event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    if (file.size > LONGEST) complain(`${file.name} is too long for a stack.yml`);
    else take(await file.text());
  };
  return html`
    <div class="actions end">
      <input ref=${field} type="file" accept=".yml,.yaml,text/yaml" aria-label="A stack.yml of this machine" class="unseen" tabindex="-1" disabled=${busy} onChange=${choose} />
      <button type="button" class="small" disabled=${busy} onClick=${() => field.current?.click()}>Choose a file…</button>
      ${empty && html`<button type="button" class="small" onClick=${() => take(EXAMPLE)}>Show an example</button>`}
    </div>
  `;
}

/** The text with numbers beside its lines, and where it cannot be read. It stays as it is while it is deployed. */
function Text(/** @type {{text: string, change: (text: string) => void, problem: string, busy: boolean}} */ { text, change, problem, busy }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const numbers = useRef(/** @type {HTMLElement | null} */ (null));
  const lines = text.split("\n");
  const bad = Number(/\bline (\d+)/.exec(problem)?.[1] ?? 0);
  const follow = () => {
    if (field.current && numbers.current) numbers.current.scrollTop = field.current.scrollTop;
  };
  const lead = () => {
    const start = lines.slice(0, bad - 1).join("\n").length + (bad > 1 ? 1 : 0);
    field.current?.focus();
    field.current?.setSelectionRange(start, start + (lines[bad - 1] ?? "").length);
  };
  return html`
    <div class="editor">
      <div ref=${numbers} class="line-numbers" aria-hidden="true">${lines.map((_, index) => html`<span class=${index + 1 === bad ? "bad" : ""}>${index + 1}</span>`)}</div>
      <textarea ref=${field} aria-label="Text of the stack.yml" aria-invalid=${problem !== ""} aria-describedby=${problem ? "stack-problem" : undefined} rows="24" wrap="off" spellcheck=${false} readonly=${busy}
        placeholder="Paste it here, or choose a file." value=${text} onScroll=${follow} onInput=${(/** @type {any} */ event) => change(event.target.value)}></textarea>
    </div>
    ${problem && html`<p id="stack-problem" class="problem" role="alert"><span>${problem}</span>${bad > 0 && html`<button type="button" onClick=${lead}>Go to line ${bad}</button>`}</p>`}
  `;
}

function Found(/** @type {{read: ReturnType<typeof useStack>, text: string}} */ { read, text }) {
  const { stack, problem, busy } = read;
  if (text.trim() === "") return html`<p class="empty">The functions of the file are shown here before anything is deployed.</p>`;
  if (problem) return html`<p class="empty">The file cannot be read yet.</p>`;
  if (!stack) return html`<p class="empty" role="status">${busy ? "Reading…" : ""}</p>`;
  return html`
    ${stack.warnings.map((warning) => html`<p class="note">${warning}</p>`)}
    ${stack.functions.length === 0 ? html`<p class="empty">The file declares no function.</p>` : html`<${Choice} stack=${stack} />`}
  `;
}

/** Which of them are deployed, and how far each is. */
function Choice(/** @type {{stack: Stack}} */ { stack }) {
  const { names, usual } = useNamespaces();
  const up = useLive().status?.provider.up !== false;
  const { left, namespace, busy, outcomes } = useKept();
  const placed = stack.functions.map(({ deployment, warnings }) => ({ deployment: { ...deployment, namespace: namespace || deployment.namespace || usual }, warnings }));
  const chosen = placed.map(({ deployment }) => deployment).filter(({ service }) => !left.includes(service));
  const failed = chosen.filter(({ service }) => typeof outcomes[service] === "object");
  const turn = (/** @type {string} */ name) => keep({ left: left.includes(name) ? left.filter((other) => other !== name) : [...left, name] });
  return html`
    <${Field} label="Namespace" field=${(/** @type {string} */ id) => html`
      <select id=${id} value=${namespace} disabled=${busy} onChange=${(/** @type {any} */ event) => keep({ namespace: event.target.value })}>
        <option value="">as the file says</option>
        ${names.map((name) => html`<option value=${name}>${name}</option>`)}
      </select>`} />
    <ul class="found">
      ${placed.map(({ deployment, warnings }) => html`
        <${Line} key=${deployment.service} deployment=${deployment} warnings=${warnings} chosen=${!left.includes(deployment.service)} outcome=${outcomes[deployment.service]}
          busy=${busy} turn=${() => turn(deployment.service)} retry=${() => run([deployment])} />`)}
    </ul>
    <div class="actions end">
      ${!up && html`<span class="hint">The provider cannot be reached.</span>`}
      ${failed.length > 1 && html`<button type="button" disabled=${busy || !up} onClick=${() => run(failed)}>Try the ${failed.length} failed ones again</button>`}
      <button type="button" class="primary" disabled=${busy || !up || chosen.length === 0} aria-busy=${busy} onClick=${() => begin(chosen)}>${busy ? "Deploying…" : `Deploy ${plural(chosen.length, "function")}`}</button>
    </div>
  `;
}

/** Asks first where functions that are there would be changed. */
function begin(/** @type {Deployment[]} */ chosen) {
  const there = chosen.filter(rowOf).map(({ service }) => service);
  if (there.length === 0) return void run(chosen);
  ask({
    title: there.length === 1 ? `Update ${there[0]}?` : `Update ${there.length} functions?`,
    text: `${there.join(", ")} ${there.length === 1 ? "is" : "are"} there already, and will be what the file says. The old revision serves until the new one is ready.`,
    yes: there.length === chosen.length ? "Update" : "Update and deploy",
    doing: "Deploying…",
    act: async () => void run(chosen),
  });
}

/** Deploys one after the other, whether or not anybody looks. */
async function run(/** @type {Deployment[]} */ wanted) {
  if (kept.busy) return;
  const others = Object.entries(kept.outcomes).filter(([name]) => !wanted.some(({ service }) => service === name));
  keep({ busy: true, outcomes: Object.fromEntries(others) });
  for (const deployment of wanted) await put(deployment);
  keep({ busy: false });
}

async function put(/** @type {Deployment} */ deployment) {
  note(deployment.service, "deploying");
  try {
    await (rowOf(deployment) ? api.update(deployment) : api.deploy(deployment));
    note(deployment.service, "accepted");
  } catch (error) {
    const problem = /** @type {Error} */ (error).message;
    note(deployment.service, { problem });
    if (lookers.size === 0) complain(`${deployment.service} is not deployed: ${problem}`);
  }
}

/** @param {{deployment: Deployment, warnings: string[], chosen: boolean, outcome: Outcome | undefined, busy: boolean, turn: () => void, retry: () => void}} props */
function Line({ deployment, warnings, chosen, outcome, busy, turn, retry }) {
  const { service, namespace, image, envProcess } = deployment;
  const row = rowOf(deployment);
  return html`
    <li>
      <label class="tick"><input type="checkbox" checked=${chosen} disabled=${busy} onChange=${turn} /><span><b>${service}</b>${namespace && html`<span class="faint">.${namespace}</span>`}</span></label>
      <${State} outcome=${outcome} row=${row} retry=${busy ? undefined : retry} />
      <p class="hint mono">${[image, envProcess].filter(Boolean).join(" · ")}</p>
      ${warnings.map((warning) => html`<p class="note">${warning}</p>`)}
    </li>
  `;
}

function State(/** @type {{outcome: Outcome | undefined, row: ReturnType<typeof rowOf>, retry?: () => void}} */ { outcome, row, retry }) {
  if (!outcome) return row ? html`<span class="state">will be updated</span>` : html`<span class="state">new</span>`;
  if (outcome === "deploying") return html`<span class="state running" role="status">deploying</span>`;
  if (typeof outcome === "object") return html`<div class="problem" role="alert"><span>${outcome.problem}</span>${retry && html`<button type="button" class="small" onClick=${retry}>Try again</button>`}</div>`;
  const stage = stageOf(row);
  return html`
    <div class="actions">
      <span class="state ${stage}" role="status">${stage === "failed" ? `does not start: ${row?.problem}` : stage}</span>
      ${row && html`<a href=${to(["function", row.id])} aria-label="Open ${row.id}">Open</a>`}
    </div>
  `;
}
