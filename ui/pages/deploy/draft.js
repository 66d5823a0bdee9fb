// A deployment as a form holds it, on its way from and to what the API takes.

import { fromPairs, toPairs } from "../../parts/fields.js";

/**
 * @typedef {import("../../api.js").Deployment} Deployment
 * @typedef {import("../../api.js").FunctionStatus} FunctionStatus
 * @typedef {import("../../api.js").Resources} Resources
 * @typedef {import("../../parts/fields.js").Pairs} Pairs
 *
 * @typedef {object} Draft
 * @property {string} name
 * @property {string} namespace empty: the default one
 * @property {string} image
 * @property {string} command
 * @property {Pairs} environment
 * @property {string[]} secrets
 * @property {Pairs} labels
 * @property {Pairs} annotations
 * @property {Resources} limits
 * @property {Resources} requests
 * @property {string} constraints one in each line
 * @property {boolean} readOnly
 * @property {Record<string, any>} rest what the form does not know, and keeps
 *
 * @typedef {Partial<Record<"name" | "image" | "command" | "environment" | "labels" | "limits.memory" | "limits.cpu" | "requests.memory" | "requests.cpu", string>>} Mistakes
 */

const LONGEST_NAME = 63;

/** @returns {Draft} */
export function toDraft(/** @type {Deployment} */ deployment) {
  const { service, namespace, image, envProcess, envVars, secrets, labels, annotations, limits, requests, constraints, readOnlyRootFilesystem, ...rest } = deployment;
  return {
    name: service,
    namespace: namespace ?? "",
    image: image ?? "",
    command: envProcess ?? "",
    environment: toPairs(envVars),
    secrets: secrets ?? [],
    labels: toPairs(labels),
    annotations: toPairs(annotations),
    limits: limits ?? {},
    requests: requests ?? {},
    constraints: (constraints ?? []).join("\n"),
    readOnly: readOnlyRootFilesystem ?? false,
    rest,
  };
}

export const emptyDraft = () => toDraft({ service: "" });

/** What is sent: nothing that is empty. */
export function toDeployment(/** @type {Draft} */ draft) {
  const constraints = draft.constraints.split("\n").map((line) => line.trim()).filter(Boolean);
  const deployment = {
    service: draft.name.trim(),
    namespace: draft.namespace,
    image: draft.image.trim(),
    envProcess: draft.command.trim(),
    envVars: fromPairs(draft.environment),
    secrets: draft.secrets,
    labels: fromPairs(draft.labels),
    annotations: fromPairs(draft.annotations),
    limits: given(draft.limits),
    requests: given(draft.requests),
    constraints,
    readOnlyRootFilesystem: draft.readOnly,
    ...draft.rest,
  };
  return /** @type {Deployment} */ (given(deployment));
}

/** What would be deployed if a function were deployed again just as it is. */
export function deploymentOf(/** @type {FunctionStatus} */ status) {
  const { name, namespace, image, envProcess, envVars, secrets, annotations, limits, requests, constraints, readOnlyRootFilesystem } = status;
  // Added by the provider: it comes back by itself.
  const { faas_function: _, ...labels } = status.labels ?? {};
  const known = { service: name, namespace, image, envProcess, envVars, secrets, labels, annotations, limits, requests, constraints, readOnlyRootFilesystem };
  return /** @type {Deployment} */ (given(known));
}

/** A deployment as lines to read and to compare. */
export function toLines(/** @type {Deployment} */ deployment) {
  const { service: _, namespace: __, ...shown } = deployment;
  return Object.entries(shown).flatMap(([name, value]) => lines(TITLES[name] ?? name, value));
}

const TITLES = /** @type {Record<string, string>} */ ({ envProcess: "command", envVars: "environment", readOnlyRootFilesystem: "read-only root" });

/** @returns {string[]} */
function lines(/** @type {string} */ name, /** @type {any} */ value) {
  if (Array.isArray(value)) return [`${name}:`, ...value.map((item) => `  - ${plain(item)}`)];
  if (typeof value !== "object" || value === null) return [`${name}: ${plain(value)}`];
  const inner = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return [`${name}:`, ...inner.map(([key, item]) => `  ${key}: ${plain(item)}`)];
}

const plain = (/** @type {any} */ value) => (typeof value === "string" && value !== "" && value === value.trim() && !value.includes("\n") ? value : JSON.stringify(value));

/**
 * What the gateway or its provider would refuse. `whole`: what is missing counts, too.
 * @returns {Mistakes}
 */
export function mistakes(/** @type {Draft} */ draft, /** @type {{kind: string, whole: boolean}} */ { kind, whole }) {
  const found = {
    name: wrongName(draft.name.trim(), whole),
    ...(whole && draft.image.trim() === "" ? withoutImage(draft, kind) : {}),
    environment: wrongPairs(draft.environment, (name) => (name.includes("=") ? `${name} cannot be the name of a variable.` : "")),
    labels: wrongPairs(draft.labels, () => ""),
    "limits.memory": wrongMemory(draft.limits.memory),
    "limits.cpu": wrongProcessors(draft.limits.cpu),
    "requests.memory": wrongMemory(draft.requests.memory),
    "requests.cpu": wrongProcessors(draft.requests.cpu),
  };
  return Object.fromEntries(Object.entries(found).filter(([, problem]) => problem !== ""));
}

function wrongName(/** @type {string} */ name, /** @type {boolean} */ whole) {
  if (name === "") return whole ? "A function needs a name." : "";
  if (/[^-\w]/.test(name)) return "Only letters, digits, - and _ can be in a name.";
  return name.length > LONGEST_NAME ? `A name has ${LONGEST_NAME} characters at most.` : "";
}

/** What each kind of provider needs; the gateway says it where the kind is not known. */
function withoutImage(/** @type {Draft} */ draft, /** @type {string} */ kind) {
  if (kind === "") return {};
  if (kind !== "process") return { image: "This provider runs images, so one is needed." };
  return { command: draft.command.trim() === "" ? "A command is needed, or an image that the configuration maps to one." : "" };
}

function wrongPairs(/** @type {Pairs} */ pairs, /** @type {(name: string) => string} */ wrong) {
  const names = pairs.map(([name]) => name.trim());
  const twice = names.find((name, index) => name !== "" && names.indexOf(name) !== index);
  const nameless = pairs.some(([name, value]) => name.trim() === "" && value !== "");
  return names.map(wrong).find(Boolean) ?? (twice ? `${twice} stands here twice.` : nameless ? "A value has no name." : "");
}

const wrongMemory = (/** @type {string | undefined} */ text = "") => (text.trim() === "" || /^(\d+\.?\d*|\.\d+)([KMGT]i|[kKMGTm])?$/.test(text.trim()) ? "" : "Not an amount such as 64Mi.");

const wrongProcessors = (/** @type {string | undefined} */ text = "") => (text.trim() === "" || /^(\d+\.?\d*|\.\d+)m?$/.test(text.trim()) ? "" : "Not an amount such as 500m or 2.");

/** Without what says nothing. */
function given(/** @type {Record<string, any>} */ map) {
  const says = (/** @type {any} */ value) => value != null && value !== "" && value !== false && !(typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(map).filter(([, value]) => says(value)));
}
