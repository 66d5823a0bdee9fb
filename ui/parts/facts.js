// Terms with what is known of them.

import { html } from "../html.js";

/** What is not known is left out, or is called `none`. */
export const Facts = (/** @type {{facts: [string, any][], none?: string}} */ { facts, none = "" }) => html`
  <dl class="facts">
    ${facts.filter(([, value]) => none || isKnown(value)).map(([term, value]) => html`<dt>${term}</dt><dd>${isKnown(value) ? value : html`<span class="faint">${none}</span>`}</dd>`)}
  </dl>
`;

const isKnown = (/** @type {any} */ value) => value != null && value !== false && value !== "";
