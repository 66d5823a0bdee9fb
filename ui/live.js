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
/** A stream that says nothing for so long may be cut off without a word, as by a network that is gone. */
const SILENCE_MS = 20_000;
/** A stream that was refused is asked for again after so long. */
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
let timer = 0;
let streamAgain = 0;

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

/** One function; undefined while it is not there. */
export const useRow = (/** @type {string} */ id) => useLive().functions.get(id);

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
  clearTimeout(timer);
}

function listen() {
  pause();
  const opened = new EventSource(api.eventsAddress());
  stream = opened;
  opened.addEventListener("functions", (event) => hear(() => take(JSON.parse(event.data))));
  opened.addEventListener("status", (event) => hear(() => (live.status = JSON.parse(event.data))));
  opened.addEventListener("error", () => {
    if (stream !== opened) return;
    // Still connecting: the browser tries by itself, and the list is asked for meanwhile. Closed: the
    // stream was refused, as where too many listen.
    if (opened.readyState === EventSource.CLOSED) {
      stream = null;
      streamAgain = Date.now() + STREAM_AGAIN_MS;
    }
    schedule(0);
  });

  function hear(/** @type {() => void} */ change) {
    live.mode = "live";
    change();
    tell();
    clearTimeout(timer);
    timer = setTimeout(doubt, SILENCE_MS);
  }
}

/** Asks for something small: a stream cannot be asked whether it is still there. */
async function doubt() {
  const doubted = stream;
  const [answer] = await Promise.allSettled([api.rates()]);
  if (stream !== doubted || document.hidden || live.mode !== "live") return;
  if (answer.status === "fulfilled") {
    clearTimeout(timer);
    timer = setTimeout(doubt, SILENCE_MS);
  } else {
    fail(answer.reason);
    listen();
  }
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
  if (!stream && Date.now() > streamAgain) {
    listen();
    return;
  }
  try {
    const [functions, rates] = await Promise.all([api.functions(), api.rates().catch(() => null)]);
    if (live.mode === "live" && stream?.readyState === EventSource.OPEN) return;
    const last = new Map(rates?.functions.map(({ id, calls_per_second }) => [id, calls_per_second.at(-1) ?? 0]));
    take({ full: true, functions: functions.map((status) => row(status, last)), removed: [] });
    live.mode = "polling";
    notice(true);
    tell();
  } catch (error) {
    fail(/** @type {Error} */ (error));
  }
  schedule();
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
  live.status = { ...before, provider: { ...before.provider, up } };
}

/** @returns {Row} what a list tells of a function; the rest is as it was last heard */
function row(/** @type {api.FunctionStatus} */ status, /** @type {Map<string, number>} */ rates) {
  const { name, namespace = "" } = status;
  const id = namespace ? `${name}.${namespace}` : name;
  const before = live.functions.get(id);
  return {
    id,
    name,
    namespace,
    replicas: status.replicas ?? 0,
    available: status.availableReplicas ?? 0,
    invocations: status.invocationCount ?? 0,
    calls_per_second: rates.get(id) ?? 0,
    in_flight: before?.in_flight ?? 0,
    waiting: before?.waiting ?? 0,
    queued: before?.queued ?? 0,
    declared: before?.declared ?? false,
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
