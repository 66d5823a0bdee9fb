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
  // Requests by number: the last one made, the last one answered, and the last one while it is on its way.
  const asking = useRef({ last: 0, answered: 0, underWay: 0 });
  const again = useCallback(async () => {
    const mine = ++asking.current.last;
    asking.current.underWay = mine;
    const set = (/** @type {(state: any) => any} */ change) => {
      if (asking.current.underWay === mine) asking.current.underWay = 0;
      // One that was slow must not undo a newer one.
      if (mine < asking.current.answered) return;
      asking.current.answered = mine;
      setState(change);
    };
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
    // What is still on its way was asked for other keys.
    return () => void (asking.current = { last: asking.current.last, answered: asking.current.last + 1, underWay: 0 });
  }, keys);
  useEffect(() => {
    if (every === 0) return;
    const timer = setInterval(() => document.hidden || asking.current.underWay > 0 || again(), every);
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
