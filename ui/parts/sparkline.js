// A line the size of a word. The number beside it says the same to those who do not see it.

import { html } from "../html.js";

const WIDTH = 96;
const HEIGHT = 22;

/** @param {{values: (number | null)[] | undefined}} props */
export function Sparkline({ values }) {
  if (!values || values.length < 2) return html`<svg class="sparkline" width=${WIDTH} height=${HEIGHT} aria-hidden="true"></svg>`;
  const top = Math.max(...values.map((value) => value ?? 0)) || 1;
  const x = (/** @type {number} */ index) => ((index / (values.length - 1)) * WIDTH).toFixed(1);
  const y = (/** @type {number | null} */ value) => (HEIGHT - 1 - ((value ?? 0) / top) * (HEIGHT - 3)).toFixed(1);
  const line = values.map((value, index) => `${x(index)},${y(value)}`).join(" ");
  return html`
    <svg class="sparkline" width=${WIDTH} height=${HEIGHT} viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true">
      <polygon points="0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}" />
      <polyline points=${line} />
    </svg>
  `;
}
