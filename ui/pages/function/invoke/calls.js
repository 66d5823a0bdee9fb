// The calls that were made from this tab of the browser, kept by function so that going elsewhere and
// coming back loses nothing. A call runs on while another page is shown.

import * as api from "../../../api.js";
import { useEffect, useState } from "../../../html.js";
import { isText, SHOWN } from "../../../parts/body.js";

/**
 * @typedef {object} Draft what is written in the form
 * @property {boolean} later
 * @property {string} method
 * @property {string} rest what follows the function's name: path and query
 * @property {import("../../../parts/fields.js").Pairs} headers
 * @property {"text" | "json" | "file"} kind
 * @property {string} text
 * @property {File | null} file
 * @property {string} callback
 *
 * @typedef {object} Made a call that was made
 * @property {number} key
 * @property {Draft} draft
 * @property {number} at when, in milliseconds since 1970
 * @property {"waiting" | "receiving" | "done" | "stopped" | "broken"} state
 * @property {string} problem
 * @property {number} status
 * @property {string} statusText
 * @property {string} redirected where to, if it was
 * @property {[string, string][]} headers
 * @property {string} type
 * @property {number} first milliseconds until the head of the answer was there
 * @property {number} total
 * @property {number} size in bytes
 * @property {string | null} text as much as is shown; null: it is no text
 * @property {boolean} cut
 * @property {Uint8Array[] | null} pieces the body; null: it is not kept
 * @property {AbortController} stop
 *
 * @typedef {object} Desk
 * @property {Draft} draft
 * @property {Made[]} made the newest first
 * @property {number} shown the key of the one that is shown
 */

/** Calls that are kept of a function; the oldest go. */
const KEPT = 10;
/** Longest body that can be saved, in bytes; a longer one is counted only. Memory is not endless. */
const SAVED = 512 * 1024 * 1024;

/** @type {Map<string, Desk>} */
const desks = new Map();
/** @type {Set<() => void>} */
const listeners = new Set();
let next = 1;
let frame = 0;

const blank = () => /** @type {Draft} */ ({ later: false, method: "POST", rest: "", headers: [], kind: "text", text: "", file: null, callback: "" });

/** What is on the desk of a function; shown again whenever that changes. */
export function useDesk(/** @type {string} */ id) {
  const [, again] = useState(0);
  useEffect(() => {
    const changed = () => again((n) => n + 1);
    listeners.add(changed);
    return () => void listeners.delete(changed);
  }, []);
  return desk(id);
}

/** Changes what is written in the form. */
export function write(/** @type {string} */ id, /** @type {Partial<Draft>} */ change) {
  const { draft } = desk(id);
  desk(id).draft = { ...draft, ...change };
  tell();
}

/** Shows an earlier call. */
export function choose(/** @type {string} */ id, /** @type {number} */ key) {
  desk(id).shown = key;
  tell();
}

/** The call that runs now. */
export const running = (/** @type {Desk} */ { made }) => made.find(({ state }) => state === "waiting" || state === "receiving");

/** Makes a call. `request` is the draft as it is sent. */
export async function send(/** @type {string} */ id, /** @type {{url: string, init: RequestInit}} */ { url, init }) {
  const mine = desk(id);
  const began = performance.now();
  const made = /** @type {Made} */ ({
    key: next++,
    draft: mine.draft,
    at: Date.now(),
    state: "waiting",
    problem: "",
    status: 0,
    statusText: "",
    redirected: "",
    headers: [],
    type: "",
    first: 0,
    total: 0,
    size: 0,
    text: "",
    cut: false,
    pieces: [],
    stop: new AbortController(),
  });
  // Of earlier calls only short bodies are kept whole.
  for (const earlier of mine.made) if (earlier.size > SHOWN) earlier.pieces = null;
  mine.made = [made, ...mine.made].slice(0, KEPT);
  mine.shown = made.key;
  tell();
  try {
    const response = await api.invoke(url, { ...init, signal: made.stop.signal });
    made.first = performance.now() - began;
    take(made, response, url);
    tell();
    await receive(made, response);
    made.state = "done";
  } catch (error) {
    made.state = made.stop.signal.aborted ? "stopped" : "broken";
    made.problem = made.state === "stopped" ? "" : why(made, /** @type {Error} */ (error));
  }
  made.total = performance.now() - began;
  tell();
}

function take(/** @type {Made} */ made, /** @type {Response} */ response, /** @type {string} */ url) {
  made.state = "receiving";
  made.status = response.status;
  made.statusText = response.statusText;
  made.redirected = response.redirected && response.url !== url ? response.url : "";
  made.headers = [...response.headers];
  made.type = response.headers.get("Content-Type") ?? "text/plain";
  if (!isText(made.type)) made.text = null;
}

/** Takes the body as it comes: all of it to be saved, the beginning to be shown. */
async function receive(/** @type {Made} */ made, /** @type {Response} */ response) {
  const reader = response.body?.getReader();
  const decoder = decoderOf(made.type);
  for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
    made.size += piece.value.length;
    made.pieces?.push(piece.value);
    if (made.size > SAVED) made.pieces = null;
    if (made.text !== null && !made.cut) append(made, decoder.decode(piece.value, { stream: true }));
    later();
  }
  if (made.text !== null && !made.cut) append(made, decoder.decode());
}

function append(/** @type {Made} */ made, /** @type {string} */ text) {
  const room = SHOWN - (made.text ?? "").length;
  made.text += text.slice(0, room);
  made.cut = text.length > room;
}

/** Characters as the type says they are written. */
function decoderOf(/** @type {string} */ type) {
  try {
    return new TextDecoder(/charset="?([\w-]+)/i.exec(type)?.[1]);
  } catch {
    return new TextDecoder(); // A charset that nobody knows.
  }
}

const NO_ANSWER = "There was no answer: the gateway cannot be reached, or the function sent the call on to another site, where the portal may not follow.";

/** A browser does not tell why there was no answer. */
function why(/** @type {Made} */ { status }, /** @type {Error} */ error) {
  if (status > 0) return "The answer broke off before it was complete.";
  return error.name === "TypeError" ? NO_ANSWER : error.message;
}

function desk(/** @type {string} */ id) {
  const there = desks.get(id) ?? { draft: blank(), made: [], shown: 0 };
  desks.set(id, there);
  return there;
}

/** Once a frame however much comes. */
const later = () => void (frame ||= requestAnimationFrame(tell));

function tell() {
  cancelAnimationFrame(frame);
  frame = 0;
  for (const listener of listeners) listener();
}
