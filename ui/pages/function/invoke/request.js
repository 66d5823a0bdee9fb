// From what is written in the form to what is sent, and to commands that send the same.

import * as api from "../../../api.js";
import { jsonProblem } from "../../../parts/json.js";
import { quoted } from "../../../words.js";

/** @typedef {import("./calls.js").Draft} Draft */

export const METHODS = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const CALLBACK = "X-Callback-Url";

/** Headers that a browser sets by itself, whatever a page says. */
const BROWSERS = new Set(
  "accept-charset accept-encoding connection content-length cookie date dnt expect host keep-alive origin referer te trailer transfer-encoding upgrade user-agent via".split(" "),
);
const BROWSERS_KINDS = /^(access-control|proxy|sec)-/;

/** Headers that mean something to the gateway or to most functions. */
export const KNOWN = {
  Accept: "The types that are wanted of the answer.",
  Authorization: "For functions that ask who calls; the portal's own password is never sent to them.",
  "Content-Type": "The type of the body, where it is not the one that follows from its kind.",
  "Idempotency-Key": "Calls for later with the same key are one call.",
  "X-Call-Id": "Names the call, in place of a new id.",
};

const TYPES = { text: "text/plain", json: "application/json", file: "application/octet-stream" };

/** The method that is used: calls for later are posted. */
export const methodOf = (/** @type {Draft} */ { later, method }) => (later ? "POST" : method);

/** Whether a request of this method has a body, as a browser sees it. */
export const hasBody = (/** @type {Draft} */ draft) => !["GET", "HEAD"].includes(methodOf(draft));

/** The type of the body: a header that was written, or as the body is. */
export function typeOf(/** @type {Draft} */ draft) {
  const written = draft.headers.find(([name]) => name.trim().toLowerCase() === "content-type")?.[1].trim();
  return written || (draft.kind === "file" && draft.file?.type) || TYPES[draft.kind];
}

/** Where it is sent. */
export function urlOf(/** @type {string} */ id, /** @type {Draft} */ { rest, later }) {
  const text = rest.trim().replaceAll("#", "%23");
  return api.address(id, text === "" || /^[/?]/.test(text) ? text : `/${text}`, later);
}

/** What is wrong with it, by field; nothing where it can be sent. */
export function problems(/** @type {string} */ id, /** @type {Draft} */ draft) {
  /** @type {Partial<Record<"rest" | "headers" | "body" | "callback", string>>} */
  const found = {};
  const [base, url] = [api.address(id, "", draft.later), urlOf(id, draft)];
  if (!url.startsWith(base) || !/^([/?]|$)/.test(url.slice(base.length))) found.rest = "This path leads out of the function.";
  const bad = draft.headers.map(([name, value]) => headerProblem(name, value)).find(Boolean);
  if (bad) found.headers = bad;
  const body = hasBody(draft) ? bodyProblem(draft) : "";
  if (body) found.body = body;
  const callback = draft.later ? draft.callback.trim() : "";
  if (callback !== "" && !/^https?:\/\/[^/]/i.test(callback)) found.callback = "It has to begin with http:// or https://, and name a host.";
  return found;
}

function bodyProblem(/** @type {Draft} */ { kind, text, file }) {
  if (kind === "file") return file ? "" : "Choose a file.";
  const problem = kind === "json" && text.trim() !== "" ? jsonProblem(text) : "";
  return problem && `This is no JSON: ${problem}`;
}

/** What is wrong with a header; empty where nothing is. */
export function headerProblem(/** @type {string} */ name, /** @type {string} */ value) {
  const trimmed = name.trim();
  if (trimmed === "") return value.trim() === "" ? "" : "A header needs a name.";
  if (BROWSERS.has(trimmed.toLowerCase()) || BROWSERS_KINDS.test(trimmed.toLowerCase())) return `A page cannot set ${trimmed}: the browser does. Copy the call as a command instead.`;
  try {
    new Headers([[trimmed, value]]);
    return "";
  } catch {
    return `${trimmed} is no header, or has a value that none can have.`;
  }
}

/** What is sent. */
export function requestOf(/** @type {string} */ id, /** @type {Draft} */ draft) {
  const headers = new Headers(headersOf(draft));
  const body = !hasBody(draft) ? undefined : draft.kind === "file" ? draft.file : draft.text;
  if (body && !headers.has("Content-Type")) headers.set("Content-Type", typeOf(draft));
  return { url: urlOf(id, draft), init: /** @type {RequestInit} */ ({ method: methodOf(draft), headers, body: body || undefined, cache: "no-store" }) };
}

/** @returns {[string, string][]} the headers that were written, and the one for the callback */
function headersOf(/** @type {Draft} */ { headers, later, callback }) {
  const written = headers.map(([name, value]) => /** @type {[string, string]} */ ([name.trim(), value.trim()])).filter(([name]) => name !== "");
  return later && callback.trim() ? [...written, [CALLBACK, callback.trim()]] : written;
}

const isType = (/** @type {[string, string]} */ [name]) => name.toLowerCase() === "content-type";

/** The same call as a command of curl. */
export function curl(/** @type {string} */ id, /** @type {Draft} */ draft) {
  const [method, url] = [methodOf(draft), urlOf(id, draft)];
  const data = dataOf(draft);
  const headers = headersOf(draft);
  if (data && !headers.some(isType)) headers.push(["Content-Type", typeOf(draft)]);
  // curl posts what has data, and gets what has none.
  const usual = data ? "POST" : "GET";
  return [
    "curl -i",
    method === "HEAD" ? "-I" : method === usual ? "" : `-X ${method}`,
    ...headers.map(([name, value]) => `-H ${quoted(value === "" ? `${name};` : `${name}: ${value}`)}`),
    data === null ? "" : draft.kind === "file" ? `--data-binary ${quoted(`@${data}`)}` : `--data-raw ${quoted(data)}`,
    // Brackets and braces mean something to curl itself.
    /[[\]{}]/.test(url) ? "-g" : "",
    quoted(url),
  ].filter(Boolean).join(" ");
}

/** The same call as a command of faas-cli; null where that has no way to say it. */
export function faasCli(/** @type {string} */ id, /** @type {Draft} */ draft) {
  const url = new URL(urlOf(id, draft));
  const own = new URL(api.address(id, "", draft.later));
  if (url.pathname !== own.pathname) return null;
  const { name, namespace } = api.split(id);
  const data = dataOf(draft);
  const gateway = own.href.slice(0, own.href.lastIndexOf(draft.later ? "/async-function/" : "/function/"));
  const headers = headersOf(draft);
  const command = [
    `faas-cli invoke ${quoted(name)}`,
    `--gateway ${quoted(gateway)}`,
    namespace && `--namespace ${quoted(namespace)}`,
    draft.later ? "-a" : "",
    methodOf(draft) === "POST" ? "" : `--method ${methodOf(draft)}`,
    data ? `--content-type ${quoted(typeOf(draft))}` : "",
    ...headers.filter((header) => !isType(header)).map(([header, value]) => `--header ${quoted(`${header}: ${value}`)}`),
    ...[...url.searchParams].map(([key, value]) => `--query ${quoted(`${key}=${value}`)}`),
  ].filter(Boolean).join(" ");
  if (data === null) return `${command} < /dev/null`;
  return draft.kind === "file" ? `${command} < ${quoted(data)}` : `printf %s ${quoted(data)} | ${command}`;
}

/** The body's text, or its file's name; null where there is none. */
function dataOf(/** @type {Draft} */ draft) {
  if (!hasBody(draft)) return null;
  return (draft.kind === "file" ? draft.file?.name : draft.text) || null;
}
