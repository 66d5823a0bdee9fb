// A question in a dialog of the browser's own: it keeps the focus inside, closes with Escape, and gives the
// focus back.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";
import { useAction } from "./action.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {any} text
 * @property {string} yes what the button says
 * @property {string} doing what it says while the action runs
 * @property {() => Promise<string | void>} act
 * @property {boolean} [danger]
 */

/** @type {(question: Question) => void} */
let open = () => {};

/** Asks before something is done that cannot be undone. */
export const ask = (/** @type {Question} */ question) => open(question);

/** Where questions are shown; there is one. */
export function Asking() {
  const [question, setQuestion] = useState(/** @type {Question | null} */ (null));
  useEffect(() => {
    open = setQuestion;
    return () => void (open = () => {});
  }, []);
  return question && html`<${Ask} ...${question} close=${() => setQuestion(null)} />`;
}

function Ask(/** @type {Question & {close: () => void}} */ { title, text, yes, doing, act, danger, close }) {
  const [problem, setProblem] = useState("");
  const { run, busy } = useAction(act, { failed: setProblem });
  const answer = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await run()) close();
  };
  return html`
    <${Dialog} title=${title} close=${close} busy=${busy}>
      <form onSubmit=${answer}>
        <p>${text}</p>
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
        <div class="actions end">
          <button type="button" disabled=${busy} onClick=${close}>Cancel</button>
          <button class=${danger ? "danger" : "primary"} disabled=${busy} aria-busy=${busy} autofocus>${busy ? doing : yes}</button>
        </div>
      </form>
    <//>
  `;
}

/** A dialog with a title; shown for as long as it is rendered. `busy`: Escape does not close it. */
export function Dialog(/** @type {{title: string, close: () => void, wide?: boolean, busy?: boolean, children?: any}} */ { title, close, wide = false, busy = false, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  // The focus is given back by closing it, which has to come before it is gone.
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  // Told of a moment later: by then another question may be shown in its place.
  const closed = () => dialog.current && close();
  const cancel = (/** @type {Event} */ event) => busy && event.preventDefault();
  return html`
    <dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onCancel=${cancel} onClose=${closed}>
      <h2 id="dialog-title">${title}</h2>
      ${children}
    </dialog>
  `;
}
