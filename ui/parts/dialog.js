// A question in a dialog of the browser's own: it keeps the focus inside, closes with Escape, and gives the
// focus back.

import { html, useEffect, useRef, useState } from "../html.js";
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
    <${Dialog} title=${title} close=${close}>
      <form onSubmit=${answer}>
        <p>${text}</p>
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
        <div class="actions end">
          <button type="button" onClick=${close}>Cancel</button>
          <button class=${danger ? "danger" : "primary"} disabled=${busy} aria-busy=${busy} autofocus>${busy ? doing : yes}</button>
        </div>
      </form>
    <//>
  `;
}

/** A dialog with a title; shown for as long as it is rendered. */
export function Dialog(/** @type {{title: string, close: () => void, wide?: boolean, children?: any}} */ { title, close, wide = false, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return html`
    <dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onClose=${close}>
      <h2 id="dialog-title">${title}</h2>
      ${children}
    </dialog>
  `;
}
