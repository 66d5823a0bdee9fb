// How an asynchronous call stands, in words.

import { html } from "../../html.js";

/** @typedef {import("../../api.js").Call} Call */

/** @type {Record<Call["state"], {word: string, says: string, kind: "good" | "bad" | "wait" | ""}>} */
export const STATES = {
  queued: { word: "queued", says: "It waits for its first try", kind: "wait" },
  running: { word: "running", says: "Its function is being called", kind: "wait" },
  retrying: { word: "retrying", says: "It was tried in vain, and waits for another try", kind: "wait" },
  succeeded: { word: "succeeded", says: "Its function answered", kind: "good" },
  failed: { word: "failed", says: "Its function answered with an error that another try would not change", kind: "bad" },
  dead: { word: "dead letter", says: "It was tried in vain as often as it was to be; it is kept, and can be replayed", kind: "bad" },
  cancelled: { word: "cancelled", says: "Somebody cancelled it", kind: "" },
};

export const State = (/** @type {{state: Call["state"]}} */ { state }) => html`
  <span class="state ${state}" title=${STATES[state].says}>${STATES[state].word}</span>
`;

/** Whether its function will not be called any more. */
export const isFinal = (/** @type {Call} */ { state }) => !["queued", "running", "retrying"].includes(state);

/** Whether nothing more happens to it by itself. */
export const isOver = (/** @type {Call} */ call) => isFinal(call) && call.callback?.state !== "pending";

/** What came of a try: `500`, or what went wrong. */
export const outcome = (/** @type {import("../../api.js").Try | null | undefined} */ tried) =>
  tried ? String(tried.status ?? tried.error ?? "no answer") : "";

export const isGood = (/** @type {number | null | undefined} */ status) => status != null && status < 400;
