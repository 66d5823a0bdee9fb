// Patience: nothing here waits for a fixed time, only until something is so.

import { setTimeout as pause } from "node:timers/promises";

/** Longest wait for anything that should happen, in milliseconds: only a failing test waits so long. */
export const PATIENCE = 15_000;

/**
 * Waits until `get` gives something that is true, and returns it; `what` names it in the failure.
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} get
 * @returns {Promise<Exclude<T, false | 0 | "" | null | undefined>>}
 */
export async function eventually(what, get, limit = PATIENCE) {
  const deadline = performance.now() + limit;
  for (;;) {
    const found = await get();
    if (found) return /** @type {any} */ (found);
    if (performance.now() > deadline) throw new Error(`not within ${limit / 1000} s: ${what}`);
    await pause(20);
  }
}
