// The rows of a long table: only those that are seen are in the page, with room above and below for the
// others. The window scrolls, so that Home, End, the space bar and a finger do what they always do.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../html.js";

/** Rows that are kept ready above and below. */
const SPARE = 12;

/**
 * A `<tbody>`. All rows have the same height, which the style sheet gives as `--row`.
 * @template T
 * @param {{items: T[], columns: number, row: (item: T, index: number) => any}} props
 */
export function Rows({ items, columns, row }) {
  const body = useRef(/** @type {HTMLElement | null} */ (null));
  const [seen, setSeen] = useState({ first: 0, count: 60, height: 44 });
  useEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      if (body.current) setSeen((before) => settled(before, visible(/** @type {HTMLElement} */ (body.current))));
    };
    const later = () => void (frame ||= requestAnimationFrame(look));
    look();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, []);
  // A shorter list may end above of what was seen.
  useLayoutEffect(() => {
    if (body.current) setSeen((before) => settled(before, visible(/** @type {HTMLElement} */ (body.current))));
  }, [items.length]);
  const first = Math.max(0, Math.min(seen.first - SPARE, items.length - seen.count));
  const last = Math.min(items.length, seen.first + seen.count + SPARE);
  return html`
    <tbody ref=${body}>
      <${Room} rows=${first} height=${seen.height} columns=${columns} />
      ${items.slice(first, last).map((item, offset) => row(item, first + offset))}
      <${Room} rows=${items.length - last} height=${seen.height} columns=${columns} />
    </tbody>
  `;
}

const Room = (/** @type {{rows: number, height: number, columns: number}} */ { rows, height, columns }) =>
  rows > 0 && html`<tr aria-hidden="true" class="room"><td colspan=${columns} style=${{ height: `${rows * height}px` }}></td></tr>`;

function visible(/** @type {HTMLElement} */ body) {
  const height = parseFloat(getComputedStyle(body).getPropertyValue("--row")) || 44;
  const above = Math.max(0, -body.getBoundingClientRect().top);
  return { first: Math.floor(above / height), count: Math.ceil(innerHeight / height) + 1, height };
}

/** The same object where nothing has changed, so that nothing is drawn again. */
function settled(/** @type {{first: number, count: number, height: number}} */ before, /** @type {typeof before} */ now) {
  return before.first === now.first && before.count === now.count && before.height === now.height ? before : now;
}
