// Secrets: their names by namespace, and the functions that use them. Values go in and never come out.

import * as api from "../api.js";
import { html, useEffect, useState } from "../html.js";
import { useLive } from "../live.js";
import { Dialog, ask } from "../parts/dialog.js";
import { useAction } from "../parts/action.js";
import { Field } from "../parts/fields.js";
import { Empty, Loading, Problem, useLoad } from "../parts/load.js";
import { go, to, usePlace } from "../route.js";
import { bytes, count, plural } from "../words.js";

/**
 * @typedef {object} Known
 * @property {string} namespace whose secrets these are; empty where the provider knows no namespaces
 * @property {string[]} namespaces the first is the default one
 * @property {string[]} names
 *
 * @typedef {Map<string, string[]>} Users ids of functions by the name of the secret
 * @typedef {{name: string, what: "replaced" | "deleted", users: string[] | null, kind: string}} Change `users` null: not known
 */

const EVERY_MS = 15_000;
const FOLDER = "/var/openfaas/secrets/";
const LONGEST_NAME = 253;
/** Functions that are named one by one. */
const MOST_NAMED = 12;
/** The API takes bodies of 1 MiB, and base64 makes four bytes of three. */
const LARGEST_FILE = 750 * 1024;

/** Nothing can be asked for before the namespace is known. */
const UNTIL_THEN = /** @type {Promise<Users>} */ (new Promise(() => {}));

export function Page() {
  const { status } = useLive();
  const { query } = usePlace();
  const wanted = query.get("namespace") ?? "";
  const { value, problem, again } = useLoad(() => known(wanted), [wanted], { every: EVERY_MS });
  const namespace = value && !("refused" in value) ? value.namespace : null;
  const { value: users, loading } = useLoad(() => (namespace === null ? UNTIL_THEN : usersIn(namespace)), [namespace]);
  const kind = status?.provider.kind ?? "";
  const [editing, setEditing] = useState(/** @type {string | null} */ (null));
  const [change, setChange] = useState(/** @type {Change | null} */ (null));
  useEffect(() => void (document.title = "Secrets · gateway"), []);
  useEffect(() => setChange(null), [wanted]);

  const up = status?.provider.up !== false;
  const blocked = up ? undefined : "The provider cannot be reached";
  const changed = (/** @type {Change | null} */ made) => {
    setChange(made && made.users?.length !== 0 ? made : null);
    again();
  };
  return html`
    <div class="title">
      <h1>Secrets <small role="status">${value && !("refused" in value) && count(value.names.length)}</small></h1>
      <div class="choice">${value && !("refused" in value) && html`<${Namespaces} ...${value} />`}</div>
      <button type="button" class="primary" disabled=${!up || !value || "refused" in value} title=${blocked} onClick=${() => setEditing("")}>New secret</button>
    </div>
    ${problem && html`<${Problem} text="The secrets could not be listed: ${problem}" again=${again} />`}
    ${change && html`<${After} ...${change} close=${() => setChange(null)} />`}
    ${!value && !problem && html`<${Loading} />`}
    ${value && "refused" in value && html`<${Empty}><p>The provider keeps no secrets. It said: ${value.refused}</p><//>`}
    ${value && !("refused" in value) && html`
      <${List} ...${value} users=${users} looking=${loading} kind=${kind} blocked=${blocked} replace=${setEditing} changed=${changed} />
      <p class="hint">${hint(kind)}</p>
      ${editing !== null && html`<${Editor} ...${value} users=${users} kind=${kind} name=${editing} changed=${changed} close=${() => setEditing(null)} />`}`}
  `;
}

function Namespaces(/** @type {Known} */ { namespace, namespaces }) {
  if (namespaces.length < 2) return null;
  const choose = (/** @type {any} */ event) => go(to(["secrets"], { namespace: event.target.value }), { replace: true });
  return html`
    <select aria-label="Namespace" value=${namespace} onChange=${choose}>
      ${[...new Set([...namespaces, namespace])].map((name) => html`<option key=${name}>${name}</option>`)}
    </select>
  `;
}

/** @param {Known & {users: Users | null, looking: boolean, kind: string, blocked: string | undefined, replace: (name: string) => void, changed: (change: Change) => void}} props */
function List({ namespace, names, users, looking, kind, blocked, replace, changed }) {
  if (names.length === 0) {
    return html`<${Empty}><p>No secret${namespace && ` in ${namespace}`} yet.</p><p>Functions read secrets as files: passwords, keys, certificates.</p><//>`;
  }
  const { run, busy } = useAction(async (/** @type {string} */ name) => {
    // Functions may have come since the page was opened.
    const now = await usersIn(namespace).catch(() => null);
    askDelete({ name, namespace }, { name, what: "deleted", users: idsOf(now, name), kind }, changed);
  });
  const line = (/** @type {string} */ name) => html`
    <tr key=${name}>
      <th scope="row" class="mono">${name}</th>
      <td>${looking ? html`<span class="faint">…</span>` : html`<${Links} ids=${idsOf(users, name)} />`}</td>
      <td class="end">
        <button type="button" class="quiet" aria-label="Replace the value of ${name}" disabled=${blocked} title=${blocked} onClick=${() => replace(name)}>Replace</button>
        <button type="button" class="quiet" aria-label="Delete ${name}" disabled=${blocked} title=${blocked}
          aria-busy=${busy} onClick=${() => run(name)}>Delete</button>
      </td>
    </tr>`;
  return html`
    <table class="secrets">
      <thead><tr><th scope="col">Name</th><th scope="col">Used by</th><th scope="col"><span class="unseen">Actions</span></th></tr></thead>
      <tbody>${names.map(line)}</tbody>
    </table>
  `;
}

/** Functions, each with a link to the page where it can be updated. */
function Links(/** @type {{ids: string[] | null}} */ { ids }) {
  if (ids === null) return html`<span class="faint">not known</span>`;
  if (ids.length === 0) return html`<span class="faint">No function</span>`;
  const link = (/** @type {string} */ id, /** @type {number} */ index) => html`${index > 0 && ", "}<a href=${to(["function", id, "configuration"])}>${api.split(id).name}</a>`;
  return html`${ids.slice(0, MOST_NAMED).map(link)}${ids.length > MOST_NAMED && ` and ${count(ids.length - MOST_NAMED)} more`}`;
}

/** The same in a question, from which no link leads away. */
function inWords(/** @type {string[]} */ ids) {
  const names = ids.slice(0, MOST_NAMED).map((id) => api.split(id).name).join(", ");
  return ids.length > MOST_NAMED ? `${names} and ${count(ids.length - MOST_NAMED)} more` : names;
}

const UNKNOWN = "Which functions use it is not known";

/** What a change means for functions that run. */
function After(/** @type {Change & {close: () => void}} */ { name, what, users, kind, close }) {
  return html`
    <div class="note closed-by-hand" role="status">
      <p>${name} ${what === "replaced" ? "has a new value" : "is deleted"}${users ? html`, and is used by <${Links} ids=${users} />` : html`. ${UNKNOWN}`}. ${consequence(what, kind)}</p>
      <button type="button" class="quiet" aria-label="Close the message" onClick=${close}>✕</button>
    </div>
  `;
}

function consequence(/** @type {Change["what"]} */ what, /** @type {string} */ kind) {
  if (kind === "remote") return "When running replicas notice is up to the provider; an update makes them.";
  if (what === "replaced") return "Replicas that run keep the old value until the function is updated or they start again.";
  return "Replicas that run keep the value they have; no new one can start without it.";
}

const hint = (/** @type {string} */ kind) => html`
  A function that names a secret finds its value in the file <code>${FOLDER}NAME</code>.${" "}
  ${kind === "remote"
    ? "When a running function sees a new value is up to the provider."
    : "A replica gets the value when it starts, and keeps it until it ends: after a change, update the functions that use the secret."}
`;

function askDelete(/** @type {api.SecretName} */ secret, /** @type {Change} */ change, /** @type {(change: Change) => void} */ changed) {
  const { users, kind } = change;
  const last = users === null ? `${UNKNOWN}: they could not be listed.` : "No function uses it.";
  ask({
    title: `Delete the secret ${secret.name}?`,
    text: users?.length ? `Used by ${inWords(users)}. ${consequence("deleted", kind)}` : `${last} Its value cannot be brought back.`,
    yes: "Delete",
    doing: "Deleting…",
    danger: true,
    act: async () => {
      await api.deleteSecret(secret);
      changed(change);
      return `${secret.name} is deleted`;
    },
  });
}

/**
 * Makes a secret, or gives one another value where `name` says which.
 * @param {Known & {users: Users | null, kind: string, name: string, changed: (change: Change | null) => void, close: () => void}} props
 */
function Editor({ namespace, namespaces, names, users, kind, name: given, changed, close }) {
  const [name, setName] = useState(given);
  const [into, setInto] = useState(namespace);
  const [from, setFrom] = useState(/** @type {"text" | "file"} */ ("text"));
  const [text, setText] = useState("");
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  const [refused, setRefused] = useState("");

  const wrong = given ? "" : wrongName(name, into === namespace ? names : []);
  const ready = name !== "" && !wrong && (from === "text" ? text !== "" : file !== null && file.size <= LARGEST_FILE);
  const { run, busy } = useAction(async () => {
    const value = from === "text" ? { value: text } : { rawValue: await base64(/** @type {File} */ (file)) };
    await (given ? api.updateSecret : api.createSecret)({ name, namespace: into, ...value });
    changed(given ? { name, what: "replaced", users: idsOf(users, name), kind } : null);
    close();
    return given ? `${name} has a new value` : `${name} is created`;
  }, { failed: setRefused });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (ready) run();
  };
  return html`
    <${Dialog} title=${given ? `A new value for ${given}` : "New secret"} close=${close} busy=${busy}>
      <form class="form" onSubmit=${submit}>
        ${!given && html`
          <${Field} label="Name" problem=${wrong} hint=${html`The function reads <code>${FOLDER}${name || "NAME"}</code>`}
            field=${(/** @type {string} */ id) => html`<input id=${id} class="mono" value=${name} required autofocus autocomplete="off" autocapitalize="off" spellcheck=${false}
              onInput=${(/** @type {any} */ event) => setName(event.target.value)} />`} />`}
        ${!given && namespaces.length > 1 && html`
          <${Field} label="Namespace" field=${(/** @type {string} */ id) => html`
            <select id=${id} value=${into} onChange=${(/** @type {any} */ event) => setInto(event.target.value)}>
              ${namespaces.map((one) => html`<option key=${one}>${one}</option>`)}
            </select>`} />`}
        <div class="segments" role="group" aria-label="Where the value comes from">
          <button type="button" aria-pressed=${from === "text"} onClick=${() => setFrom("text")}>Text</button>
          <button type="button" aria-pressed=${from === "file"} onClick=${() => setFrom("file")}>File</button>
        </div>
        ${from === "text" && html`
          <${Field} label="Value" hint=${aboutText(text)} field=${(/** @type {string} */ id) => html`
            <textarea id=${id} rows="6" value=${text} autofocus=${given !== ""} autocomplete="off" autocapitalize="off" spellcheck=${false}
              onInput=${(/** @type {any} */ event) => setText(event.target.value)}></textarea>`} />`}
        ${from === "file" && html`
          <${Field} label="File" problem=${file && file.size > LARGEST_FILE ? `It has ${bytes(file.size)}; a secret can have ${bytes(LARGEST_FILE)}.` : ""}
            hint=${file ? `${bytes(file.size)}, taken byte by byte` : "Any file, taken byte by byte"}
            field=${(/** @type {string} */ id) => html`<input id=${id} type="file" onChange=${(/** @type {any} */ event) => setFile(event.target.files[0] ?? null)} />`} />`}
        ${refused && html`<p class="problem" role="alert">${refused}</p>`}
        <div class="actions end">
          <button type="button" disabled=${busy} onClick=${close}>Cancel</button>
          <button class="primary" disabled=${!ready || busy} aria-busy=${busy}>${busy ? "Saving…" : given ? "Replace" : "Create"}</button>
        </div>
      </form>
    <//>
  `;
}

/** A line break at the end is seldom wanted, and hard to see. */
function aboutText(/** @type {string} */ text) {
  if (text === "") return "Taken as it is, with its spaces and line breaks";
  const size = plural(new TextEncoder().encode(text).length, "byte");
  return /\s$/.test(text) ? html`${size}, <b>with ${text.endsWith("\n") ? "a line break" : "a space"} at the end</b>` : size;
}

/** What the gateway would refuse: a secret's name is a file's as well. */
function wrongName(/** @type {string} */ name, /** @type {string[]} */ names) {
  if (/[^-\w.]/.test(name)) return "Only letters, digits, -, _ and . can be in a name.";
  if (name.startsWith(".")) return "A name cannot begin with a dot.";
  if (name.length > LONGEST_NAME) return `A name has ${LONGEST_NAME} characters at most.`;
  return names.includes(name) ? "There is a secret of this name: replace its value instead." : "";
}

/** The bytes of a file as JSON can hold them. */
async function base64(/** @type {File} */ file) {
  const text = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(/** @type {string} */ (reader.result));
    reader.onerror = () => reject(new Error(`The file cannot be read: ${reader.error?.message}`));
    reader.readAsDataURL(file);
  });
  return text.slice(text.indexOf(",") + 1);
}

/** @returns {Promise<Known | {refused: string}>} */
async function known(/** @type {string} */ wanted) {
  const [secrets, namespaces] = await Promise.all([api.secrets(wanted).catch(notOffered), api.namespaces().catch(() => [])]);
  if ("refused" in secrets) return secrets;
  return { namespace: wanted || namespaces[0] || "", namespaces, names: secrets.map(({ name }) => name).sort() };
}

/** Who uses the secrets of a namespace. Of many functions that is a long list, which is asked for only when it is needed. */
async function usersIn(/** @type {string} */ namespace) {
  const users = /** @type {Users} */ (new Map());
  for (const uses of (await api.functions(namespace)).map(usesOf)) {
    for (const name of uses.secrets) users.set(name, [...(users.get(name) ?? []), uses.id]);
  }
  for (const [name, ids] of users) users.set(name, [...new Set(ids)].sort());
  return users;
}

const idsOf = (/** @type {Users | null} */ users, /** @type {string} */ name) => users && (users.get(name) ?? []);

function notOffered(/** @type {unknown} */ error) {
  if (error instanceof api.Refused && [404, 501].includes(error.status)) return { refused: error.message };
  throw error;
}

function usesOf(/** @type {api.FunctionStatus} */ { name, namespace = "", secrets }) {
  return { id: namespace ? `${name}.${namespace}` : name, secrets: secrets ?? [] };
}
