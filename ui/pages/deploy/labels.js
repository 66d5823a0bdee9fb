// Labels by which a function tells the gateway how to scale it and how to repeat its calls: what they mean,
// and what they may say. What cannot be read counts as not set.

const OWN = "com.openfaas.";

/**
 * @typedef {object} Label
 * @property {string} says
 * @property {(text: string) => boolean} reads
 * @property {string} form what it may say
 */

const within = (/** @type {number} */ least, /** @type {number} */ most) => ({
  reads: (/** @type {string} */ text) => /^\+?\d+$/.test(text) && Number(text) >= least && Number(text) <= most,
  form: `a whole number from ${least} to ${most}`,
});
const DURATION = {
  reads: (/** @type {string} */ text) => /^(\d+|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$/.test(text),
  form: "a duration such as 90s or 5m",
};
const SWITCH = { reads: (/** @type {string} */ text) => text === "true" || text === "false", form: "true or false" };
const TYPES = ["rps", "capacity", "queue"];

/** @type {Record<string, Label>} */
const LABELS = {
  "scale.min": { says: "Replicas at least, while it is awake; 1 if not set.", ...within(0, 1000) },
  "scale.max": { says: "Replicas at most; 20 if not set.", ...within(0, 1000) },
  "scale.factor": { says: "One step of the classic rule, in hundredths of the most; 20 if not set.", ...within(0, 100) },
  "scale.type": {
    says: "What it is scaled by: calls per second (rps), calls at once (capacity) or calls in line (queue); the classic rule if not set.",
    reads: (text) => TYPES.includes(text),
    form: TYPES.join(", "),
  },
  "scale.target": { says: "Load that one replica takes; 50 if not set.", reads: (text) => Number(text) > 0 && Number.isFinite(Number(text)), form: "a number above 0" },
  "scale.target-proportion": { says: "The part of the target that is aimed at; 0.9 if not set.", reads: (text) => Number(text) > 0 && Number(text) <= 1, form: "a number above 0 and up to 1" },
  "scale.down.window": { says: "Fewer replicas only when none was needed for so long, at most 5m; 1m if not set.", ...DURATION },
  "scale.zero": { says: "Whether it sleeps when nobody calls it; false if not set.", ...SWITCH },
  "scale.zero-duration": { says: "It sleeps after so long without calls; 15m if not set.", ...DURATION },
  concurrency: { says: "Calls one replica has at once, more wait in line; no limit if not set.", ...within(1, 2 ** 32) },
  "retry.attempts": { says: "Tries of an asynchronous call in all; as the gateway is set up if not set.", ...within(1, 1000) },
  "retry.codes": {
    says: "Statuses after which an asynchronous call is tried again.",
    reads: (text) => text.split(",").every((code) => /^[45]\d\d$/.test(code.trim())),
    form: "statuses from 400 to 599 with commas between them",
  },
  "retry.min_wait": { says: "Wait before the second try of an asynchronous call.", ...DURATION },
  "retry.max_wait": { says: "Longest wait between two tries of an asynchronous call.", ...DURATION },
};

/** What each of them means, by its whole name. */
export const MEANINGS = Object.fromEntries(Object.entries(LABELS).map(([name, { says }]) => [`${OWN}${name}`, says]));

/** What is wrong with a label; empty where nothing is. */
export function wrongLabel(/** @type {string} */ name, /** @type {string} */ value) {
  if (!name.startsWith(OWN)) return "";
  const label = LABELS[name.slice(OWN.length)];
  if (!label) return /^com\.openfaas\.(scale|retry)\./.test(name) ? "The gateway knows no such label." : "";
  const text = value.trim();
  return text === "" || label.reads(text) ? "" : `This counts as not set: it should be ${label.form}.`;
}
