// What the portal knows of the gateway right now: from the event stream, or by asking again and again
// where a stream does not get through. Held for the visible tab only: browsers allow six connections to
// a host, and a stream takes one of them.

import * as api from "./api.js";
import { useEffect, useState } from "./html.js";

/**
 * @typedef {object} Row a function, as the event stream tells of it
 * @property {string} id
 * @property {string} name
 * @property {string} namespace
 * @property {number | null} replicas asked for; null: nobody scales it
 * @property {number} available
 * @property {number} invocations
 * @property {number | null} calls_per_second
 * @property {number} in_flight
 * @property {number} waiting
 * @property {number} queued
 * @property {boolean} declared in the configuration file: changed there, and not here
 * @property {boolean} updating a new revision starts that will take over
 * @property {string | null} problem
 * @property {{at: string, status: number, reason: string | null, call_id: string | null} | null} last_error
 *
 * @typedef {object} Status how the gateway is
 * @property {{release: string, sha: string, arch: string, started_at: string}} [gateway]
 * @property {{generation: number, last_error: string | null, pending_restart: string[], warnings: string[]}} config
 * @property {{kind: string, up: boolean}} provider
 * @property {{problem: string | null, queued: number, retrying: number, running: number}} queue
 * @property {boolean} draining
 */

const POLL_MS = 3500;
/** A stream that says nothing for so long is cut off without a word, as by a network that is gone: there is a beat every 15 s. */
const SILENCE_MS = 35_000;
/** A stream that was refused, or of which nothing was heard, is asked for again after so long. */
const STREAM_AGAIN_MS = 30_000;

/** @type {Status} what only the event stream tells */
const UNKNOWN = {
  config: { generation: 0, last_error: null, pending_restart: [], warnings: [] },
  provider: { kind: "", up: true },
  queue: { problem: null, queued: 0, retrying: 0, running: 0 },
  draining: false,
};

export const live = {
  /** @type {Map<string, Row>} */
  functions: new Map(),
  /** @type {Status | null} */
  status: null,
  /** @type {"connecting" | "live" | "polling" | "lost"} */
  mode: "connecting",
  /** Whether `functions` has been filled once. */
  known: false,
  /** Why nothing new is known. */
  problem: "",
  /** When it was last heard from. */
  heard: 0,
};

/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {EventSource | null} */
let stream = null;
/** Whether that stream has said something: only then nothing else is asked. */
let streaming = false;
let timer = 0;
let streamAgain = 0;
/** @type {{kind: string, usual: string, functions: Map<string, any>} | null} the configuration while there is no stream, for what a list does not tell */
let config = null;

/** Shows a component again whenever something is heard. */
export function useLive() {
  const [, again] = useState(0);
  useEffect(() => {
    const changed = () => again((n) => n + 1);
    listeners.add(changed);
    return () => void listeners.delete(changed);
  }, []);
  return live;
}

/** Namespaces that have functions, in order. */
export const namespacesSeen = () => [...new Set([...live.functions.values()].map((row) => row.namespace))].sort();

/** Begins to follow the gateway for as long as the tab is seen. */
export function follow() {
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : listen()));
  if (!document.hidden) listen();
}

function pause() {
  stream?.close();
  stream = null;
  streaming = false;
  clearTimeout(timer);
}

/** Opens the stream, and asks for the list until something comes of it: not everything that is open gets through. */
function listen() {
  pause();
  schedule();
  streamAgain = Date.now() + STREAM_AGAIN_MS;
  const opened = new EventSource(api.eventsAddress());
  stream = opened;
  opened.addEventListener("functions", (event) => hear(() => take(JSON.parse(event.data))));
  opened.addEventListener("status", (event) => hear(() => (live.status = JSON.parse(event.data))));
  opened.addEventListener("beat", () => hear(() => {}));
  // The browser tries again by itself, unless the stream was refused, as where too many listen; the list is
  // asked for meanwhile.
  opened.addEventListener("error", () => {
    if (stream !== opened) return;
    streaming = false;
    schedule(0);
  });

  function hear(/** @type {() => void} */ change) {
    if (stream !== opened) return;
    live.mode = "live";
    streaming = true;
    config = null;
    change();
    tell();
    clearTimeout(timer);
    timer = setTimeout(doubt, SILENCE_MS);
  }
}

/** A stream that has fallen silent is opened anew, and is not said to be live meanwhile. */
function doubt() {
  live.mode = "connecting";
  for (const listener of listeners) listener();
  listen();
}

function take(/** @type {{full: boolean, functions: Row[], removed: string[]}} */ { full, functions, removed }) {
  if (full) live.functions = new Map();
  for (const row of functions) live.functions.set(row.id, row);
  for (const id of removed) live.functions.delete(id);
  live.known = true;
}

function schedule(wait = POLL_MS) {
  clearTimeout(timer);
  timer = setTimeout(poll, wait);
}

async function poll() {
  if (document.hidden) return;
  if (Date.now() > streamAgain) {
    listen();
    return;
  }
  const [functions, rates] = await Promise.allSettled([api.functions(), api.rates(), learn()]);
  // The stream has told more meanwhile, or nobody looks.
  if (streaming || document.hidden) return;
  if (functions.status === "fulfilled") {
    const told = rates.status === "fulfilled" ? rates.value.functions : [];
    const last = new Map(told.map(({ id, calls_per_second }) => [id, calls_per_second.at(-1) ?? 0]));
    take({ full: true, functions: functions.value.map((status) => row(status, last)), removed: [] });
    live.mode = "polling";
    notice(true);
    tell();
  } else {
    fail(functions.reason);
  }
  schedule();
}

/** Once, until the stream tells of it again. */
async function learn() {
  if (config) return;
  const { provider, functions } = (await api.config()).config;
  config = { kind: provider.kind, usual: provider.namespaces?.[0] ?? provider.namespace ?? "", functions: new Map(Object.entries(functions)) };
}

/** The gateway may be well while the provider behind it is not. */
function fail(/** @type {Error} */ error) {
  if (error instanceof api.Refused && error.reason.startsWith("provider_")) {
    live.mode = "polling";
    notice(false);
    tell();
    return;
  }
  live.mode = "lost";
  live.problem = error.message;
  for (const listener of listeners) listener();
}

/** What asking for the list says about the provider. */
function notice(/** @type {boolean} */ up) {
  const before = live.status ?? UNKNOWN;
  live.status = { ...before, provider: { kind: config?.kind ?? before.provider.kind, up } };
}

/** What the configuration says of a function; nothing where it does not declare it. */
function declaration(/** @type {api.FunctionStatus} */ { name, namespace = "" }) {
  // The default namespace is left out there.
  return config?.functions.get(namespace === config.usual ? name : api.idOf({ name, namespace }));
}

/** @returns {Row} what a list tells of a function; the rest is as it was last heard */
function row(/** @type {api.FunctionStatus} */ status, /** @type {Map<string, number>} */ rates) {
  const { name, namespace = "" } = status;
  const id = api.idOf(status);
  const before = live.functions.get(id);
  const declared = declaration(status);
  return {
    id,
    name,
    namespace,
    replicas: declared?.upstream ? null : (status.replicas ?? 0),
    available: status.availableReplicas ?? 0,
    invocations: status.invocationCount ?? 0,
    calls_per_second: rates.get(id) ?? 0,
    in_flight: before?.in_flight ?? 0,
    waiting: before?.waiting ?? 0,
    queued: before?.queued ?? 0,
    declared: config ? declared !== undefined : (before?.declared ?? false),
    updating: before?.updating ?? false,
    problem: status.problem ?? null,
    last_error: before?.last_error ?? null,
  };
}

function tell() {
  live.problem = "";
  live.heard = Date.now();
  for (const listener of listeners) listener();
}
