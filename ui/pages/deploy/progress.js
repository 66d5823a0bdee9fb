// How a deployment comes along, step by step: accepted, starting, ready, or what is in the way. And which
// namespace and function of the live list it is about.

import * as api from "../../api.js";
import { html, useEffect, useState } from "../../html.js";
import { live, useLive } from "../../live.js";
import { useLoad } from "../../parts/load.js";
import { to } from "../../route.js";
import { plural } from "../../words.js";

/**
 * @typedef {import("../../live.js").Row} Row
 * @typedef {import("../../api.js").Deployment} Deployment
 * @typedef {{kind: "current" | "done" | "failed" | "later", text: any}} Step
 */

/** An update that was not seen to be under way within so long is done: it was a matter of a moment. */
const SETTLED_MS = 3000;
/** The namespace that providers usually take where none is named. */
const USUAL = "openfaas-fn";

/** What kind of provider there is; empty while that is not known. */
export const useKind = () => useLive().status?.provider.kind ?? "";

/** The namespaces there are, and the default one where that is known: the first one of a provider of processes. */
export function useNamespaces() {
  const kind = useKind();
  const { value } = useLoad(api.namespaces, []);
  const names = value ?? [];
  return { names, usual: kind === "process" ? (names[0] ?? "") : "" };
}

/** The function that a deployment is or will be; undefined while it is not there. */
export function rowOf(/** @type {Deployment} */ { service, namespace = "" }) {
  if (namespace) return live.functions.get(`${service}.${namespace}`);
  const rows = [...live.functions.values()].filter((row) => row.name === service);
  return rows.find((row) => row.namespace === "") ?? rows.find((row) => row.namespace === USUAL) ?? rows[0];
}

/** @param {{deployment: Deployment, updated?: boolean}} props shown from the moment on in which it was accepted */
export function Progress({ deployment, updated = false }) {
  useLive();
  const [settled, setSettled] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), SETTLED_MS);
    return () => clearTimeout(timer);
  }, []);
  const row = rowOf(deployment);
  return html`
    <div role="status" aria-label="Progress of ${deployment.service}">
      <ol class="steps">${steps(row, updated, settled).map(({ kind, text }) => html`<li class=${kind}><span>${text}</span></li>`)}</ol>
    </div>
  `;
}

/** @returns {Step[]} */
function steps(/** @type {Row | undefined} */ row, /** @type {boolean} */ updated, /** @type {boolean} */ settled) {
  const stage = stageOf(row, updated, settled);
  const starts = updated ? "The new revision starts, and the old one serves until it is ready" : "Starting";
  if (stage === "failed") {
    const log = row && html`<a href=${to(["function", row.id, "logs"])}>See its log</a>`;
    return [{ kind: "done", text: "Accepted" }, { kind: "failed", text: html`<b>It does not start:</b> ${row?.problem}. ${updated && "The old revision serves on. "}${log}` }];
  }
  return [
    { kind: "done", text: "Accepted" },
    { kind: stage === "ready" ? "done" : "current", text: starts },
    { kind: stage === "ready" ? "done" : "later", text: row && stage === "ready" ? readyWords(row) : "Ready" },
  ];
}

/** How far it is. */
export function stageOf(/** @type {Row | undefined} */ row, updated = false, settled = true) {
  if (row?.problem && (!updated || settled || row.updating)) return "failed";
  if (!row || row.updating || (updated && !settled)) return "starting";
  return row.available > 0 || row.replicas === 0 ? "ready" : "starting";
}

const readyWords = (/** @type {Row} */ row) => (row.replicas === 0 ? "Ready: asleep, the first call wakes it" : `Ready: ${plural(row.available, "replica")} can be called`);
