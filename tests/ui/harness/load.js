// Calls that go on and on, so that there is something to see.

import { setMaxListeners } from "node:events";
import { setTimeout as pause } from "node:timers/promises";

/**
 * @typedef {object} Calls
 * @property {string} name of the function
 * @property {number} rate calls per second, about; it rises and falls over some minutes
 * @property {number} [callers] calls in flight at most
 * @property {string} [path]
 * @property {string} [body]
 * @property {boolean} [later] asynchronously
 */

/** Milliseconds from one busy time to the next. */
const TIDE = 180_000;

/** Callers of one gateway. `stop` ends them. */
export class Load {
  #gateway;
  #over = new AbortController();
  /** @type {Promise<void>[]} */
  #callers = [];

  /** @param {import("./gateway.js").Gateway} gateway */
  constructor(gateway) {
    this.#gateway = gateway;
  }

  /** @param {Calls[]} all */
  start(all) {
    // Each call listens for the end.
    setMaxListeners(0, this.#over.signal);
    for (const calls of all) {
      for (let caller = 0; caller < (calls.callers ?? 2); caller++) this.#callers.push(this.#go(calls));
    }
  }

  async stop() {
    this.#over.abort();
    await Promise.all(this.#callers);
  }

  /** @param {Calls} calls */
  async #go({ name, rate, callers = 2, ...request }) {
    const { signal } = this.#over;
    while (!signal.aborted) {
      try {
        const tide = 1 + 0.7 * Math.sin((Date.now() / TIDE) * 2 * Math.PI);
        await pause((1000 * callers * -Math.log(1 - Math.random())) / (rate * tide), undefined, { signal });
        const response = await this.#gateway.call(name, { ...request, signal });
        await response.text();
      } catch {
        // It is over, or the gateway is gone: then the next call finds out whether it came back.
      }
    }
  }
}
