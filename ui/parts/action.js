// Buttons that do something which takes a while and may fail: while it runs the button says so, and what
// it led to is said in a toast or where the caller shows it.

import { html, useEffect, useRef, useState } from "../html.js";
import { complain, say } from "./toast.js";

/**
 * An action with its state. It runs once at a time.
 * @template {any[]} A
 * @param {(...args: A) => Promise<string | void>} act returns what to say when it is done
 * @param {{failed?: (message: string) => void}} [options] who shows the failure; else a toast does, as it
 * does where nobody is there any more to show it
 */
export function useAction(act, { failed = complain } = {}) {
  const [busy, setBusy] = useState(false);
  const running = useRef(false);
  const shown = useRef(true);
  useEffect(() => () => void (shown.current = false), []);
  async function run(/** @type {A} */ ...args) {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    try {
      const done = await act(...args);
      if (done) say(done);
      return true;
    } catch (error) {
      (shown.current ? failed : complain)(/** @type {Error} */ (error).message);
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  }
  return { run, busy };
}

/**
 * A button that runs an action. `doing` is what it says meanwhile.
 * @param {{act: () => Promise<string | void>, doing: string, kind?: string, disabled?: boolean, title?: string, children?: any}} props
 */
export function ActionButton({ act, doing, kind = "", disabled = false, title, children }) {
  const { run, busy } = useAction(act);
  return html`
    <button type="button" class=${kind} disabled=${disabled || busy} aria-busy=${busy} title=${title} onClick=${() => run()}>
      ${busy ? doing : children}
    </button>
  `;
}
