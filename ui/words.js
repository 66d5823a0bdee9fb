// How numbers, times and sizes are written.

const whole = new Intl.NumberFormat("en");
const DASH = "–";

/** `1,234,567`. */
export const count = (/** @type {number | null | undefined} */ n) => (n == null ? DASH : whole.format(Math.round(n)));

/** A number with three significant digits: `0.25`, `12.3`, `1,234`. */
export function figure(/** @type {number | null | undefined} */ n) {
  if (n == null) return DASH;
  if (n >= 100 || Number.isInteger(n)) return whole.format(Math.round(n));
  return String(Number(n.toPrecision(3)));
}

/** Seconds as people say them: `340 µs`, `12 ms`, `1.5 s`, `2 min 5 s`. */
export function seconds(/** @type {number | null | undefined} */ s) {
  if (s == null) return DASH;
  if (s === 0) return "0 s";
  if (s < 0.001) return `${figure(s * 1e6)} µs`;
  if (s < 1) return `${figure(s * 1e3)} ms`;
  if (s < 60) return `${figure(s)} s`;
  const [large, small, unit, less] = s < 3600 ? [s / 60, s % 60, "min", "s"] : [s / 3600, (s % 3600) / 60, "h", "min"];
  const rest = Math.round(small);
  return `${Math.floor(large)} ${unit}${rest > 0 ? ` ${rest} ${less}` : ""}`;
}

/** `1.5 MiB`. */
export function bytes(/** @type {number | null | undefined} */ n) {
  if (n == null) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit += 1) n /= 1024;
  return `${figure(n)} ${units[unit]}`;
}

/** Thousandths of a processor: `0.25 CPU`. */
export const processors = (/** @type {number | null | undefined} */ thousandths) => (thousandths == null ? DASH : `${figure(thousandths / 1000)} CPU`);

/** How long ago: `now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`. */
export function ago(/** @type {string | null | undefined} */ time, now = Date.now()) {
  if (!time) return DASH;
  const s = Math.max(0, (now - Date.parse(time)) / 1000);
  if (s < 2) return "now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

/** How far ahead: `in 12 s`, `in 3 min`; `now` when it is due. */
export function ahead(/** @type {string | null | undefined} */ time, now = Date.now()) {
  if (!time) return DASH;
  const s = Math.round((Date.parse(time) - now) / 1000);
  if (s < 1) return "now";
  if (s < 100) return `in ${s} s`;
  if (s < 5400) return `in ${Math.round(s / 60)} min`;
  if (s < 129_600) return `in ${Math.round(s / 3600)} h`;
  return `in ${Math.round(s / 86_400)} d`;
}

/** Time of day, with the date where that is not today. */
export function moment(/** @type {string | null | undefined} */ time) {
  if (!time) return DASH;
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  const clock = date.toLocaleTimeString("en-GB");
  return today ? clock : `${date.toLocaleDateString("en-CA")} ${clock}`;
}

/** `1 replica`, `2 replicas`. */
export const plural = (/** @type {number} */ n, /** @type {string} */ word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

/** A word of a command line, quoted for a shell where that is needed. */
export const quoted = (/** @type {string} */ text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`);
