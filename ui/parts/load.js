// What is asked for once or again and again while a component is shown, and how waiting, failing and having
// nothing look.

import { html, useCallback, useEffect, useRef, useState } from "../html.js";

/**
 * Asks for something when a component is shown, when `keys` change, every `every` milliseconds where that
 * is given (not while the tab is hidden), and when `again` is called. What was known stays while it is asked.
 * @template T
 * @param {() => Promise<T>} asked
 * @param {any[]} keys
 * @param {{every?: number}} [options]
 */
export function useLoad(asked, keys, { every = 0 } = {}) {
  const [state, setState] = useState(/** @type {{value: T | null, problem: string, loading: boolean}} */ ({ value: null, problem: "", loading: true }));
  const turn = useRef(0);
  const again = useCallback(async () => {
    const mine = ++turn.current;
    // Only the newest answer counts: one that was slow must not undo it.
    const set = (/** @type {(state: any) => any} */ change) => turn.current === mine && setState(change);
    try {
      const value = await asked();
      set(() => ({ value, problem: "", loading: false }));
    } catch (error) {
      set((state) => ({ ...state, problem: /** @type {Error} */ (error).message, loading: false }));
    }
  }, keys);
  useEffect(() => {
    setState({ value: null, problem: "", loading: true });
    again();
    return () => void (turn.current += 1);
  }, keys);
  useEffect(() => {
    if (every === 0) return;
    const timer = setInterval(() => document.hidden || again(), every);
    return () => clearInterval(timer);
  }, [...keys, every]);
  return { ...state, again };
}

/** What is shown in place of something that is not there. */
export const Empty = (/** @type {{children?: any}} */ { children }) => html`<div class="empty">${children}</div>`;

/** Says what went wrong, and offers to try again. */
export const Problem = (/** @type {{text: string, again?: () => void}} */ { text, again }) => html`
  <p class="problem" role="alert">
    <span>${text}</span>
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </p>
`;

export const Loading = () => html`<p class="empty" role="status">Loading…</p>`;
