// A chart over time, drawn by uPlot, which is loaded when the first chart is shown. Colours come from the
// style sheet. The figures of the newest step, or of the one that is pointed at, stand above it as text: a
// canvas says nothing to a screen reader.

import { html, useEffect, useRef, useState } from "../html.js";

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {(number | null)[]} values
 * @property {string} colour name of a variable of the style sheet
 * @property {boolean} [fill]
 * @property {boolean} [stepped] a number that holds until it changes, as replicas do
 */

const HEIGHT = 150;
/** Charts that show the same time show the same cursor. */
const SYNC = "time";

/** Distances between the lines of a grid: of what is counted, and of bytes. */
const GRIDS = {
  whole: Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat(),
  bytes: Array.from({ length: 44 }, (_, power) => 2 ** power),
};

/**
 * @param {{title: string, times: number[], lines: Line[], say: (value: number | null) => string, grid?: keyof typeof GRIDS, hint?: string}} props
 *   `times` in seconds since 1970; `grid`: where the lines of the grid may stand, if not at any decimal number
 */
export function Chart({ title, times, lines, say, grid, hint }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const shape = JSON.stringify([title, grid, lines.map(({ label, colour, fill, stepped }) => [label, colour, fill, stepped])]);
  const [theme, setTheme] = useState(0);
  const [pointed, setPointed] = useState(/** @type {number | null} */ (null));
  const data = /** @type {any} */ ([times, ...lines.map(({ values }) => values)]);
  const newest = useRef(data);
  newest.current = data;

  useEffect(() => {
    let gone = false;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => setTheme((n) => n + 1);
    dark.addEventListener("change", redraw);
    addEventListener("theme", redraw);
    const resized = new ResizeObserver(([entry]) => plot.current?.setSize({ width: entry.contentRect.width, height: HEIGHT }));
    import("../vendor/uplot.js").then(({ default: UPlot }) => {
      if (gone || !place.current) return;
      plot.current = new UPlot(options(UPlot, place.current, { lines, say, grid, point: setPointed }), newest.current, place.current);
      resized.observe(place.current);
    });
    return () => {
      gone = true;
      dark.removeEventListener("change", redraw);
      removeEventListener("theme", redraw);
      resized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, theme]);

  useEffect(() => plot.current?.setData(data), [times.at(-1), times.length, lines.map(({ values }) => values.at(-1)).join()]);

  const at = pointed ?? times.length - 1;
  return html`
    <figure class="chart">
      <figcaption>
        <span>${title}</span>
        ${pointed !== null && html`<time>${clock(times[at], true)}</time>`}
        <div class="legend">
          ${lines.map(({ label, values, colour }) => html`
            <span key=${label} style=${{ "--colour": `var(${colour})` }}>${lines.length > 1 && html`<i></i>${label} `}<b>${say(values[at] ?? null)}</b></span>`)}
        </div>
      </figcaption>
      <div ref=${place} class="plot" aria-hidden="true"></div>
      ${hint && html`<p class="hint">${hint}</p>`}
    </figure>
  `;
}

/**
 * @param {any} UPlot
 * @param {HTMLElement} place
 * @param {{lines: Line[], say: (value: number | null) => string, grid?: keyof typeof GRIDS, point: (index: number | null) => void}} chart
 * @returns {any}
 */
function options(UPlot, place, { lines, say, grid, point }) {
  const { fontFamily } = getComputedStyle(place);
  const colour = (/** @type {string} */ name) => resolved(place, name);
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `11px ${fontFamily}` };
  const words = (/** @type {number} */ value) => (value === 0 ? "0" : say(value));
  return {
    width: place.clientWidth,
    height: HEIGHT,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: SYNC }, y: false, drag: { x: false, y: false } },
    hooks: { setCursor: [(/** @type {any} */ { cursor }) => point(cursor.left >= 0 ? (cursor.idx ?? null) : null)] },
    scales: { y: { range: (/** @type {any} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 64, values: (/** @type {any} */ _plot, /** @type {number[]} */ splits) => splits.map((second) => clock(second)) },
      { ...axis, size: 62, space: 32, incrs: grid && GRIDS[grid], values: (/** @type {any} */ _plot, /** @type {number[]} */ splits) => splits.map(words) },
    ],
    series: [
      {},
      ...lines.map(({ label, colour: name, fill, stepped }) => ({
        label,
        stroke: colour(name),
        width: 1.5,
        fill: fill ? `color-mix(in srgb, ${colour(name)} 18%, transparent)` : undefined,
        points: { show: true, size: 3, width: 0, fill: colour(name), filter: alone },
        // A time is the end of its step.
        paths: stepped ? UPlot.paths.stepped({ align: -1 }) : undefined,
      })),
    ],
  };
}

/** Values with nothing on either side: no line leads to them, so they are drawn as points. */
function alone(/** @type {any} */ plot, /** @type {number} */ series) {
  const values = /** @type {(number | null)[]} */ (plot.data[series]);
  return values.flatMap((value, index) => (value !== null && values[index - 1] == null && values[index + 1] == null ? [index] : []));
}

/** A variable's colour in the theme that is shown: a canvas knows neither variables nor themes. */
function resolved(/** @type {HTMLElement} */ place, /** @type {string} */ name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const clock = (/** @type {number} */ second, exact = false) =>
  new Date(second * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: exact ? "2-digit" : undefined });
