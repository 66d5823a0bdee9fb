// What differs between two texts, line by line: a sign in front and a colour, as in a version control.

import { html } from "../html.js";

/** @typedef {{sign: "+" | "-" | " ", line: string}} Change */

const WORDS = { "+": "added", "-": "removed", " ": "" };

/**
 * The shortest way from one text to the other. Texts are short here, so a table of all pairs will do.
 * @param {string[]} before
 * @param {string[]} after
 * @returns {Change[]}
 */
export function difference(before, after) {
  // common[i][j]: how many lines the rest of `before` from i and of `after` from j have in common.
  const common = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1)
    for (let j = after.length - 1; j >= 0; j -= 1)
      common[i][j] = before[i] === after[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  const changes = /** @type {Change[]} */ ([]);
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) changes.push({ sign: " ", line: before[(j += 1, i++)] });
    else if (j >= after.length || (i < before.length && common[i + 1][j] >= common[i][j + 1])) changes.push({ sign: "-", line: before[i++] });
    else changes.push({ sign: "+", line: after[j++] });
  }
  return changes;
}

/** @param {{changes: Change[], label: string}} props */
export const Difference = ({ changes, label }) => html`
  <div class="difference" role="region" aria-label=${label} tabindex="0">
    ${changes.map(({ sign, line }) => html`<p class=${WORDS[sign]}><span aria-hidden="true">${sign}</span><span class="unseen">${WORDS[sign]}</span>${line}</p>`)}
  </div>
`;
