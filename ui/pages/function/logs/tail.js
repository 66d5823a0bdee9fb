// Follows the log of a function: begins anew where it breaks off, and keeps the newest lines. While the tab
// is hidden it does not follow: a browser allows six connections to a host, and this is one of them.

import * as api from "../../../api.js";

/**
 * @typedef {object} Line
 * @property {number} key counts the lines
 * @property {string} timestamp
 * @property {string} instance
 * @property {string} text
 * @property {boolean} [gap] stands for lines that may be missing
 *
 * @typedef {object} Followed
 * @property {"asking" | "following" | "again" | "ended"} state
 * @property {string} problem why it does not follow
 * @property {number} status what the gateway refused with; 0: it did not answer
 * @property {number} wait seconds until the next try
 */

/** Lines that are kept; the oldest go. */
export const KEPT = 5000;
/** Waits between tries, in seconds. After the last one somebody has to ask for more. */
const WAITS = [1, 1, 2, 4, 8, 15, 15, 15, 15, 15];
/** A connection that stood for so long was a good one. */
const STOOD_MS = 5000;
/** Refusals that another try does not change. */
const FINAL = [400, 401, 403, 404, 422, 501];

const GAP = "Lines may be missing here: the gateway keeps the newest ones only.";

/** Colours, moves and links of a terminal, which have no meaning here. */
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\))/g;

/**
 * Follows until `signal` ends it.
 * @param {string} id
 * @param {number} tail lines to begin with; 0: all there are
 * @param {{lines: (lines: Line[]) => void, changed: (followed: Followed) => void}} tell
 * @param {AbortSignal} signal
 */
export async function follow(id, tail, tell, signal) {
  const seen = new Seen();
  for (let failures = 0; !signal.aborted; ) {
    await shown(signal);
    const began = Date.now();
    const mine = new AbortController();
    const stop = () => (document.hidden || signal.aborted) && mine.abort();
    document.addEventListener("visibilitychange", stop);
    signal.addEventListener("abort", stop);
    let problem = "The log broke off";
    let status = 0;
    let heard = false;
    let wanted = true;
    try {
      tell.changed({ state: failures > 0 ? "asking" : "following", problem: "", status: 0, wait: 0 });
      for await (const lines of api.logs(id, { follow: true, ...seen.wanted(tail) }, mine.signal)) {
        if (mine.signal.aborted) break;
        if (!heard) tell.changed({ state: "following", problem: "", status: 0, wait: 0 });
        heard = true;
        tell.lines(seen.fresh(lines));
      }
    } catch (error) {
      problem = /** @type {Error} */ (error).message;
      status = error instanceof api.Refused ? error.status : 0;
    } finally {
      document.removeEventListener("visibilitychange", stop);
      signal.removeEventListener("abort", stop);
      wanted = !mine.signal.aborted;
      // A line that cannot be read ends the loop, but not the stream.
      mine.abort();
    }
    if (!wanted) continue;
    failures = heard || Date.now() - began > STOOD_MS ? 1 : failures + 1;
    const wait = WAITS[failures - 1];
    if (FINAL.includes(status) || wait === undefined) return tell.changed({ state: "ended", problem, status, wait: 0 });
    tell.changed({ state: "again", problem, status, wait });
    await pause(wait, signal);
  }
}

/** What has come, so that nothing comes twice and it shows where something is missing. */
class Seen {
  last = "";
  /** The lines written at that very time. */
  ofLast = new Set();
  resumed = false;
  next = 0;

  /** What is to be asked for now. */
  wanted(/** @type {number} */ tail) {
    this.resumed = this.last !== "";
    return this.resumed ? { since: this.last } : { tail };
  }

  /** @returns {Line[]} those that have not been here */
  fresh(/** @type {api.LogLine[]} */ lines) {
    const fresh = lines.filter((line) => !(line.timestamp === this.last && this.ofLast.has(mark(line))));
    /** @type {Line[]} */
    const made = [];
    // The last line comes again when the gateway still has it; else those after it may be gone, too.
    if (this.resumed && fresh.length === lines.length && lines.length > 0) made.push({ key: this.next++, timestamp: "", instance: "", text: GAP, gap: true });
    if (lines.length > 0) this.resumed = false;
    for (const line of fresh) {
      if (line.timestamp !== this.last) this.ofLast.clear();
      this.last = line.timestamp;
      this.ofLast.add(mark(line));
      made.push({ key: this.next++, timestamp: line.timestamp, instance: line.instance, text: line.text.replace(ESCAPES, "") });
    }
    return made;
  }
}

const mark = (/** @type {api.LogLine} */ { instance, text }) => `${instance}\n${text}`;

/** Waits until the tab is seen. */
function shown(/** @type {AbortSignal} */ signal) {
  return new Promise((/** @type {(value?: any) => void} */ done) => {
    if (!document.hidden || signal.aborted) return done();
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
  });
}

function pause(/** @type {number} */ seconds, /** @type {AbortSignal} */ signal) {
  return new Promise((/** @type {(value?: any) => void} */ done) => {
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener("abort", end, { once: true });
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    }
  });
}
