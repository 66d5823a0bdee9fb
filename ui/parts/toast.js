// What an action has led to, said in a corner. Good news goes by itself, bad news stays until it is
// closed; both are read out.

import { html, useEffect, useState } from "../html.js";

const SHOWN_MS = 5000;
/** Messages at once; the oldest good news goes, and never a failure. */
const MOST = 4;

/** @typedef {{key: number, text: string, bad: boolean}} Message */

/** @type {Message[]} */
let messages = [];
let next = 0;
/** @type {(messages: Message[]) => void} */
let show = () => {};

/** Says that something was done. */
export const say = (/** @type {string} */ text) => add(text, false);

/** Says that something went wrong. */
export const complain = (/** @type {string} */ text) => add(text, true);

function add(/** @type {string} */ text, /** @type {boolean} */ bad) {
  const message = { key: next++, text, bad };
  const all = [...messages, message];
  const failures = all.filter(({ bad }) => bad);
  const news = all.filter(({ bad }) => !bad).slice(-Math.max(1, MOST - failures.length));
  set([...failures, ...news]);
  if (!bad) setTimeout(() => close(message.key), SHOWN_MS);
}

const close = (/** @type {number} */ key) => set(messages.filter((message) => message.key !== key));

function set(/** @type {Message[]} */ changed) {
  messages = changed;
  show(messages);
}

/** Where messages are shown; there is one. */
export function Toasts() {
  const [shown, setShown] = useState(messages);
  useEffect(() => {
    show = setShown;
    return () => void (show = () => {});
  }, []);
  const item = (/** @type {Message} */ { key, text, bad }) => html`
    <p key=${key} class=${bad ? "toast bad" : "toast"}>
      <span>${text}</span>
      <button class="quiet" aria-label="Close the message" onClick=${() => close(key)}>✕</button>
    </p>
  `;
  return html`
    <div class="toasts" role="status" aria-live="polite">${shown.filter((m) => !m.bad).map(item)}</div>
    <div class="toasts" role="alert">${shown.filter((m) => m.bad).map(item)}</div>
  `;
}
