// Many lines of text in a box that scrolls: only those that are seen are in the page, however long they
// are. Who is at the end stays at the end; who is not stays with the line he reads.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";

/** Pixels that are kept ready above and below. */
const SPARE = 400;
/** So near to the end counts as being there. */
const NEAR = 24;

/**
 * @template {{key: number}} T
 * @typedef {object} Props
 * @property {string} label what the box is called
 * @property {T[]} items the same objects for as long as they are there
 * @property {(item: T) => any} row draws one
 * @property {(item: T) => string} text what is shown of it, to guess how high it is
 * @property {boolean} wrap
 * @property {number} columns characters that stand before the text
 * @property {(atEnd: boolean) => void} moved
 * @property {{current: {toEnd: () => void} | null}} control
 */

/**
 * @template {{key: number}} T
 * @param {Props<T>} props
 */
export function Lines({ label, items, row, text, wrap, columns, moved, control }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [view, setView] = useState({ top: 0, height: 600, width: 0 });
  const [measured, setMeasured] = useState(0);
  const heights = useRef(/** @type {WeakMap<T, number>} */ (new WeakMap()));
  const stays = useRef({ atEnd: true, item: /** @type {T | null} */ (null), inside: 0, top: 0 });
  const unit = useUnit(box);

  // How high a line is depends on these; what was measured before is of no use then.
  const shape = `${wrap} ${view.width} ${columns} ${unit.height} ${unit.width}`;
  const shapeBefore = useRef(shape);
  if (shapeBefore.current !== shape) {
    shapeBefore.current = shape;
    heights.current = new WeakMap();
  }

  const tops = useMemo(() => {
    const perRow = Math.max(8, Math.floor(view.width / unit.width) - columns - 2);
    const guess = (/** @type {T} */ item) => (wrap ? Math.max(1, Math.ceil(text(item).length / perRow)) : 1) * unit.height;
    const tops = new Float64Array(items.length + 1);
    items.forEach((item, at) => (tops[at + 1] = tops[at] + (heights.current.get(item) ?? guess(item))));
    return tops;
  }, [items, shape, measured]);

  const first = at(tops, view.top - SPARE);
  const last = Math.min(items.length, at(tops, view.top + view.height + SPARE) + 1);

  useEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    const resized = new ResizeObserver(() => look(element));
    resized.observe(element);
    return () => resized.disconnect();
  }, []);

  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    if (wrap && measure(element, items, heights.current)) setMeasured((n) => n + 1);
    hold(element);
  });

  const look = (/** @type {HTMLElement} */ element) => {
    const now = { top: element.scrollTop, height: element.clientHeight, width: element.clientWidth };
    setView((before) => (before.top === now.top && before.height === now.height && before.width === now.width ? before : now));
  };

  /** Keeps the end, or the line that is read, where it is. */
  function hold(/** @type {HTMLElement} */ element) {
    const { atEnd, item, inside } = stays.current;
    const place = item ? items.indexOf(item) : -1;
    const wanted = atEnd ? element.scrollHeight - element.clientHeight : place >= 0 ? tops[place] + inside : element.scrollTop;
    if (Math.abs(element.scrollTop - wanted) > 1) element.scrollTop = wanted;
    stays.current.top = element.scrollTop;
    look(element);
  }

  function scrolled() {
    const element = /** @type {HTMLElement} */ (box.current);
    const top = element.scrollTop;
    const left = element.scrollHeight - element.clientHeight - top;
    // The least move upwards leaves the end: else a flood of lines would pull back whoever tries.
    const atEnd = left <= 1 || (left < NEAR && top >= stays.current.top);
    const place = Math.min(at(tops, top), items.length - 1);
    if (atEnd !== stays.current.atEnd) moved(atEnd);
    stays.current = { atEnd, item: items[place] ?? null, inside: top - (tops[place] ?? 0), top };
    look(element);
  }

  control.current = {
    toEnd() {
      stays.current.atEnd = true;
      moved(true);
      hold(/** @type {HTMLElement} */ (box.current));
    },
  };

  return html`
    <div ref=${box} class="lines ${wrap ? "wrap" : ""}" role="log" aria-live="off" aria-label=${label} tabindex="0" onScroll=${scrolled}>
      <div style=${{ height: `${tops[first]}px` }}></div>
      ${items.slice(first, last).map((item, offset) => html`<div key=${item.key} class="line" data-line=${first + offset}>${row(item)}</div>`)}
      <div style=${{ height: `${tops[items.length] - tops[last]}px` }}></div>
    </div>
  `;
}

/** The last line that begins above of this height. */
function at(/** @type {Float64Array} */ tops, /** @type {number} */ height) {
  let [low, high] = [0, tops.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle] <= height) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Notes how high the lines are that are in the page; whether any is not as high as was thought. */
function measure(/** @type {HTMLElement} */ element, /** @type {any[]} */ items, /** @type {WeakMap<any, number>} */ heights) {
  let changed = false;
  for (const line of /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(".line"))) {
    const item = items[Number(line.dataset.line)];
    const height = line.getBoundingClientRect().height;
    if (!item || heights.get(item) === height) continue;
    heights.set(item, height);
    changed = true;
  }
  return changed;
}

/** The size of one character in the box. */
function useUnit(/** @type {{current: HTMLElement | null}} */ box) {
  const [unit, setUnit] = useState({ width: 8, height: 20 });
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    const probe = Object.assign(document.createElement("div"), { className: "line", textContent: "0".repeat(100) });
    probe.style.width = "max-content";
    element.append(probe);
    const { width, height } = probe.getBoundingClientRect();
    probe.remove();
    if (width > 0) setUnit({ width: width / 100, height });
  }, []);
  return unit;
}
