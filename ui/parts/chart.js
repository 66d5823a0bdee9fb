// A chart over time, drawn by uPlot, which is loaded when the first chart is shown. Colours come from the
// style sheet. The figures of the newest step stand beside it as text: a canvas says nothing to a screen
// reader.

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

/**
 * @param {{title: string, times: number[], lines: Line[], say: (value: number | null) => string}} props
 *   `times` in seconds since 1970
 */
export function Chart({ title, times, lines, say }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const shape = JSON.stringify([title, lines.map(({ label, colour, fill, stepped }) => [label, colour, fill, stepped])]);
  const [theme, setTheme] = useState(0);
  const data = [times, ...lines.map(({ values }) => values)];
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
      plot.current = new UPlot(options(UPlot, place.current, lines, say), newest.current, place.current);
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

  return html`
    <figure class="chart">
      <figcaption>
        <span>${title}</span>
        ${lines.map(({ label, values, colour }) => html`
          <span class="legend" key=${label} style=${{ "--colour": `var(${colour})` }}>
            ${lines.length > 1 && html`<i></i>${label} `}<b>${say(values.at(-1) ?? null)}</b>
          </span>`)}
      </figcaption>
      <div ref=${place} class="plot" aria-hidden="true"></div>
    </figure>
  `;
}

function options(/** @type {any} */ UPlot, /** @type {HTMLElement} */ place, /** @type {Line[]} */ lines, /** @type {(value: number | null) => string} */ say) {
  const { fontFamily } = getComputedStyle(place);
  const colour = (/** @type {string} */ name) => resolved(place, name);
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `11px ${fontFamily}` };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: SYNC }, y: false, drag: { x: false, y: false } },
    scales: { y: { range: (/** @type {any} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, space: 80, values: (/** @type {any} */ _plot, /** @type {number[]} */ splits) => splits.map(clock) },
      { ...axis, size: 64, space: 36, values: (/** @type {any} */ _plot, /** @type {number[]} */ splits) => splits.map(say) },
    ],
    series: [
      {},
      ...lines.map(({ label, colour: name, fill, stepped }) => ({
        label,
        stroke: colour(name),
        width: 1.5,
        fill: fill ? `color-mix(in srgb, ${colour(name)} 18%, transparent)` : undefined,
        points: { show: false },
        paths: stepped ? UPlot.paths.stepped({ align: 1 }) : undefined,
      })),
    ],
  };
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

const clock = (/** @type {number} */ second) => new Date(second * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
