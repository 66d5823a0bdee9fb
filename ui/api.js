// What the portal asks of the gateway: one function for each operation of the API. All addresses are
// relative to /ui/, so that the portal also works behind a path prefix.

/**
 * @typedef {object} FunctionStatus a function as `GET /system/functions` tells of it
 * @property {string} name
 * @property {string} [namespace]
 * @property {string} [image]
 * @property {string} [envProcess]
 * @property {number} [invocationCount]
 * @property {number} [replicas]
 * @property {number} [availableReplicas]
 * @property {Record<string, string> | null} [labels]
 * @property {Record<string, string> | null} [annotations]
 * @property {Record<string, string>} [envVars]
 * @property {string[]} [constraints]
 * @property {string[]} [secrets]
 * @property {Resources} [limits]
 * @property {Resources} [requests]
 * @property {boolean} [readOnlyRootFilesystem]
 * @property {{cpu: number, totalMemoryBytes: number}} [usage]
 * @property {string} [createdAt]
 * @property {string} [problem]
 *
 * @typedef {{memory?: string, cpu?: string}} Resources
 *
 * @typedef {object} Deployment what is posted to deploy a function
 * @property {string} service
 * @property {string} [namespace]
 * @property {string} [image]
 * @property {string} [envProcess]
 * @property {Record<string, string>} [envVars]
 * @property {Record<string, string>} [labels]
 * @property {Record<string, string>} [annotations]
 * @property {string[]} [secrets]
 * @property {string[]} [constraints]
 * @property {Resources} [limits]
 * @property {Resources} [requests]
 * @property {boolean} [readOnlyRootFilesystem]
 *
 * @typedef {object} History columns of one hour, oldest first; null where nothing is known
 * @property {string} id
 * @property {number} step_seconds
 * @property {string} until
 * @property {(number | null)[]} calls_per_second
 * @property {(number | null)[]} errors_per_second
 * @property {(number | null)[]} p50
 * @property {(number | null)[]} p95
 * @property {(number | null)[]} p99
 * @property {(number | null)[]} in_flight
 * @property {(number | null)[]} waiting
 * @property {(number | null)[]} queued
 * @property {(number | null)[]} replicas
 * @property {(number | null)[]} available
 * @property {(number | null)[]} cold_starts
 * @property {(number | null)[]} cpu
 * @property {(number | null)[]} memory
 *
 * @typedef {object} Call an asynchronous call
 * @property {string} id
 * @property {string} call_id
 * @property {string} function
 * @property {"queued" | "running" | "retrying" | "succeeded" | "failed" | "dead" | "cancelled"} state
 * @property {string} submitted_at
 * @property {string | null} ended_at
 * @property {string | null} next_try_at
 * @property {string | null} expires_at
 * @property {number} attempts
 * @property {number} replays
 * @property {Try[]} tries
 * @property {{url: string, state: string, attempts: number, last: Try | null} | null} callback
 * @property {{status: number, headers: [string, string][], body: string | null, body_base64: string | null, truncated: boolean} | null} [result]
 *
 * @typedef {{at: string, seconds: number, status: number | null, error: string | null}} Try
 *
 * @typedef {object} Calls
 * @property {{name: string, problem: string | null, functions: {function: string, queued: number, retrying: number, running: number, callbacks: number, oldest_at: string | null}[]}} queue
 * @property {Call[]} calls
 *
 * @typedef {object} Numbers
 * @property {number} replicas
 * @property {number} available
 * @property {number} in_flight
 * @property {number} waiting
 * @property {number} queued
 * @property {number} calls_per_second
 * @property {number} successes_per_second
 * @property {number} [load]
 * @property {number} idle_seconds
 *
 * @typedef {object} Explanation
 * @property {string} name
 * @property {string} namespace
 * @property {Numbers} now
 * @property {{type: string, says: string, min: number, max: number, factor: number, target: number | null, target_proportion: number | null, down_window: string | null, zero_duration: string | null, concurrency: number | null}} rule
 * @property {{at: string, from: number, to: number, direction: "up" | "down", reason: string, inputs: Numbers, error?: string}[]} decisions
 *
 * @typedef {object} StoreEntry
 * @property {string} name
 * @property {string} title
 * @property {string} description
 * @property {string | null} author
 * @property {string | null} repo_url
 * @property {boolean} runs
 * @property {string | null} reason
 * @property {Deployment} deployment
 *
 * @typedef {{source: string, fetched_at: string | null, problem: string | null, functions: StoreEntry[]}} Store
 * @typedef {{functions: {deployment: Deployment, warnings: string[]}[], warnings: string[]}} Stack
 * @typedef {{kind: string, says: string, route: {number: number, host: string | null, path: string} | null, function: string | null, exists: boolean, path: string | null, location: string | null}} Match
 * @typedef {{name: string, namespace?: string}} SecretName
 * @typedef {SecretName & {value?: string, rawValue?: string}} Secret `rawValue`: bytes in base64
 * @typedef {{name: string, namespace: string, instance: string, timestamp: string, text: string}} LogLine
 * @typedef {{generation: number, hash: string, file: string | null, loaded_at: string, last_error: string | null, pending_restart: string[], warnings: string[], config: any}} ConfigShown
 */

/** Longest wait for an answer of the API, in milliseconds; streams are not bounded by it. */
const PATIENCE = 30_000;

/** What the gateway refused, in its own words. */
export class Refused extends Error {
  constructor(/** @type {number} */ status, /** @type {string} */ reason, /** @type {string} */ message) {
    super(message);
    this.status = status;
    /** One word for programs; empty where it was not the gateway that answered. */
    this.reason = reason;
  }
}

// --- functions

/** @returns {Promise<FunctionStatus[]>} */
export const functions = (namespace = "") => json("GET", `../system/functions${query({ namespace })}`);

/** @returns {Promise<FunctionStatus>} */
export const functionStatus = (/** @type {string} */ id) => json("GET", named("../system/function/", id));

export const deploy = (/** @type {Deployment} */ deployment) => send("POST", "../system/functions", deployment);

export const update = (/** @type {Deployment} */ deployment) => send("PUT", "../system/functions", deployment);

export function remove(/** @type {string} */ id) {
  const { name, namespace } = split(id);
  return send("DELETE", `../system/functions${query({ namespace })}`, { functionName: name, namespace });
}

export const scale = (/** @type {string} */ id, /** @type {number} */ replicas) =>
  send("POST", named("../system/scale-function/", id), { serviceName: split(id).name, replicas });

/** @returns {Promise<Explanation>} */
export const scaling = (/** @type {string} */ id) => json("GET", named("../system/scaling/", id));

// --- what they did

/** @returns {Promise<{step_seconds: number, until: string, functions: {id: string, calls_per_second: number[]}[]}>} */
export const rates = () => json("GET", "../system/history");

/** @returns {Promise<History>} */
export const history = (/** @type {string} */ id, seconds = 3600) => json("GET", named("../system/history/", id, { seconds: String(seconds) }));

/** Where the event stream is. */
export const eventsAddress = () => absolute("../system/events");

/**
 * The lines of a function's log, as they come; with `follow` until `signal` ends it.
 * @param {string} id
 * @param {{tail?: number, follow?: boolean, since?: string, instance?: string}} wanted
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<LogLine[]>}
 */
export async function* logs(id, { tail = 0, follow = false, since = "", instance = "" }, signal) {
  const { name, namespace } = split(id);
  const asked = query({ name, namespace, instance, since, tail: tail > 0 ? String(tail) : "", follow: follow ? "1" : "" });
  const response = await answer("GET", `../system/logs${asked}`, undefined, signal);
  let rest = "";
  for await (const text of texts(response)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield lines.filter(Boolean).map((line) => JSON.parse(line));
  }
}

// --- calls

/** Where a function is called, as an absolute address. `rest` is what follows its name: path and query. */
export const address = (/** @type {string} */ id, rest = "", later = false) =>
  absolute(`../${later ? "async-function" : "function"}/${encodeURIComponent(id)}${rest}`);

/**
 * Calls a function, now or later. The portal's credentials stay here: functions must not see them.
 * @param {string} url
 * @param {RequestInit} request
 */
export const invoke = (url, request) => fetch(url, { ...request, credentials: "omit" });

/** @returns {Promise<Calls>} */
export const calls = (/** @type {{function?: string, state?: string, limit?: string}} */ wanted) => json("GET", `../system/async${query(wanted)}`);

/** @returns {Promise<Call>} */
export const call = (/** @type {string} */ id) => json("GET", `../system/async/${encodeURIComponent(id)}`);

/** @returns {Promise<Call>} */
export const cancel = (/** @type {string} */ id) => json("DELETE", `../system/async/${encodeURIComponent(id)}`);

/** @returns {Promise<Call>} */
export const replay = (/** @type {string} */ id) => json("POST", `../system/async/${encodeURIComponent(id)}/replay`);

// --- secrets, store, stack

/** @returns {Promise<SecretName[]>} */
export const secrets = (namespace = "") => json("GET", `../system/secrets${query({ namespace })}`);

export const createSecret = (/** @type {Secret} */ secret) => send("POST", "../system/secrets", secret);

export const updateSecret = (/** @type {Secret} */ secret) => send("PUT", "../system/secrets", secret);

export const deleteSecret = (/** @type {SecretName} */ secret) => send("DELETE", "../system/secrets", secret);

/** @returns {Promise<string[]>} */
export const namespaces = () => json("GET", "../system/namespaces");

/** @returns {Promise<Store>} */
export const store = () => json("GET", "../system/store");

/** @returns {Promise<Stack>} */
export const stack = (/** @type {string} */ text) => json("POST", "../system/stack", text, "text/yaml");

// --- the gateway

/** @returns {Promise<{provider: any, version: {release: string, sha: string}, arch: string}>} */
export const info = () => json("GET", "../system/info");

/** @returns {Promise<ConfigShown>} */
export const config = () => json("GET", "../system/config");

/** @returns {Promise<{generation: number, changes: string[]}>} */
export const reload = () => json("POST", "../system/config/reload");

/** @returns {Promise<Match>} */
export const match = (/** @type {string} */ url) => json("GET", `../system/routes/match${query({ url })}`);

/** The description of the API (OpenAPI 3.1). */
export const openapi = () => json("GET", "../system/openapi.json");

// --- how it is asked

/** `name.namespace` in its two parts; a name has no dot. */
export function split(/** @type {string} */ id) {
  const dot = id.indexOf(".");
  return dot < 0 ? { name: id, namespace: "" } : { name: id.slice(0, dot), namespace: id.slice(dot + 1) };
}

/** The other way round. */
export const idOf = (/** @type {{name: string, namespace?: string}} */ { name, namespace = "" }) => (namespace ? `${name}.${namespace}` : name);

/** The text of a response, piece by piece. */
export async function* texts(/** @type {Response} */ response) {
  if (!response.body) return;
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      yield decoder.decode(piece.value, { stream: true });
    }
  } finally {
    // Whoever stops reading wants no more of it; where it broke off there is nothing to stop.
    reader.cancel().catch(() => {});
  }
  yield decoder.decode();
}

function named(/** @type {string} */ path, /** @type {string} */ id, /** @type {Record<string, string>} */ more = {}) {
  const { name, namespace } = split(id);
  return `${path}${encodeURIComponent(name)}${query({ namespace, ...more })}`;
}

function query(/** @type {Record<string, string | undefined>} */ parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return given.length > 0 ? `?${new URLSearchParams(/** @type {any} */ (given))}` : "";
}

/** @returns {Promise<any>} */
async function json(/** @type {string} */ method, /** @type {string} */ path, /** @type {string | undefined} */ body = undefined, type = "application/json") {
  const response = await answer(method, path, body, AbortSignal.timeout(PATIENCE), type);
  return response.json();
}

async function send(/** @type {string} */ method, /** @type {string} */ path, /** @type {unknown} */ body) {
  await answer(method, path, JSON.stringify(body), AbortSignal.timeout(PATIENCE));
}

async function answer(/** @type {string} */ method, /** @type {string} */ path, /** @type {string | undefined} */ body, /** @type {AbortSignal} */ signal, type = "application/json") {
  const headers = new Headers(body === undefined ? [] : [["Content-Type", type]]);
  const response = await fetch(absolute(path), { method, body, signal, headers }).catch((error) => {
    throw signal.aborted && error.name !== "TimeoutError" ? error : new Error(unheard(error));
  });
  if (!response.ok) throw await refusal(response);
  return response;
}

function unheard(/** @type {Error} */ error) {
  return error.name === "TimeoutError" ? `no answer within ${PATIENCE / 1000} s` : "the gateway cannot be reached";
}

async function refusal(/** @type {Response} */ response) {
  const text = (await response.text().catch(() => "")).trim();
  try {
    const { error, reason = "" } = JSON.parse(text);
    if (typeof error === "string") return new Refused(response.status, reason, error);
  } catch {
    // Not the gateway's own words: a provider answers in plain text.
  }
  return new Refused(response.status, "", text.slice(0, 500) || `the answer was ${response.status} ${response.statusText}`.trim());
}

/** Without the user and password the page itself may have been opened with: fetch refuses those. */
const absolute = (/** @type {string} */ path) => new URL(path, location.origin + location.pathname).href;
