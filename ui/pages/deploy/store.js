// The store: functions that are ready to be deployed, as they are or changed first.

import * as api from "../../api.js";
import { html, useState } from "../../html.js";
import { useLive } from "../../live.js";
import { useAction } from "../../parts/action.js";
import { Empty, Loading, Problem, useLoad } from "../../parts/load.js";
import { go, to, usePlace } from "../../route.js";
import { ago, count, moment } from "../../words.js";
import { Progress, rowOf, useNamespaces } from "./progress.js";

/**
 * @typedef {import("../../api.js").Store} Store
 * @typedef {import("../../api.js").StoreEntry} StoreEntry
 */

export function FromStore() {
  const { value: store, problem, again } = useLoad(api.store, []);
  const { usual } = useNamespaces();
  const search = usePlace().query.get("search") ?? "";
  if (!store) return problem ? html`<${Problem} text="The store cannot be shown: ${problem}" again=${again} />` : html`<${Loading} />`;
  const shown = store.functions.filter((entry) => fits(entry, search));
  return html`
    <div class="title">
      <div class="choice">
        <input type="search" placeholder="Search" aria-label="Search the store" autocomplete="off" spellcheck=${false}
          value=${search} onInput=${(/** @type {any} */ event) => go(to(["deploy", "store"], { search: event.target.value }), { replace: true })} />
      </div>
      <p class="hint"><span role="status">${shown.length === store.functions.length ? count(shown.length) : `${count(shown.length)} of ${count(store.functions.length)}`} functions</span> · <${Source} store=${store} /></p>
    </div>
    ${store.problem && html`<${Problem} text=${store.problem} again=${again} />`}
    ${shown.length === 0
      ? html`<${Empty}>${store.functions.length === 0 ? "The store is empty." : html`No function fits. <a href=${to(["deploy", "store"])}>Show all</a>`}<//>`
      : html`<ul class="cards">${shown.map((entry) => html`<${Card} key=${entry.name} entry=${entry} usual=${usual} />`)}</ul>`}
  `;
}

const Source = (/** @type {{store: Store}} */ { store }) =>
  html`<span title=${store.fetched_at ? moment(store.fetched_at) : undefined}>${store.source === "built in" ? "built in" : `from ${store.source}`}${store.fetched_at && `, fetched ${ago(store.fetched_at)}`}</span>`;

function fits(/** @type {StoreEntry} */ { name, title, description, author }, /** @type {string} */ search) {
  const text = [name, title, description, author ?? ""].join(" ").toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function Card(/** @type {{entry: StoreEntry, usual: string}} */ { entry, usual }) {
  const { name, title, description, author, repo_url, runs, reason } = entry;
  return html`
    <li class=${runs ? "card" : "card off"}>
      <h2>${title || name}</h2>
      <p class="hint">${name}${author && ` · by ${author}`}${repo_url && html` · <a href=${repo_url} target="_blank" rel="noreferrer">source ↗<span class="unseen"> of ${title || name}, in a new tab</span></a>`}</p>
      <p class="card-text">${description}</p>
      ${runs ? html`<${Choices} entry=${entry} usual=${usual} />` : html`<p class="hint">Cannot run here: ${reason}</p>`}
    </li>
  `;
}

function Choices(/** @type {{entry: StoreEntry, usual: string}} */ { entry, usual }) {
  const [accepted, setAccepted] = useState(false);
  const [problem, setProblem] = useState("");
  const up = useLive().status?.provider.up !== false;
  const deployment = { ...entry.deployment, namespace: entry.deployment.namespace || usual };
  const there = rowOf(deployment);
  const { run, busy } = useAction(async () => {
    setProblem("");
    await api.deploy(deployment);
    setAccepted(true);
  }, { failed: setProblem });
  const label = entry.title || entry.name;
  if (accepted || there)
    return html`
      ${accepted && html`<${Progress} deployment=${deployment} />`}
      <div class="actions">
        ${there && html`<a class="button" href=${to(["function", there.id])}>Open ${there.name}</a>`}
        ${!accepted && html`<span class="hint">is deployed</span>`}
        <a class="button quiet" href=${to(["deploy", "custom"], { from: entry.name })}>Another one…<span class="unseen"> of ${label}</span></a>
      </div>`;
  return html`
    ${problem && html`<${Problem} text=${problem} />`}
    <div class="actions">
      <button type="button" aria-label="Deploy ${label}" disabled=${busy || !up} aria-busy=${busy} title=${up ? undefined : "The provider cannot be reached."} onClick=${() => run()}>${busy ? "Deploying…" : "Deploy"}</button>
      <a class="button quiet" href=${to(["deploy", "custom"], { from: entry.name })}>Change first…<span class="unseen"> ${label}</span></a>
    </div>
  `;
}
