// The API as a page to read, made from its OpenAPI document. Only what this document uses is known
// here; it is not a viewer for any other.

import * as api from "./api.js";

/** The order in which one reads them. */
const METHODS = ["GET", "POST", "PUT", "DELETE"];

const $ = (id) => document.getElementById(id);

try {
  show(await api.openapi());
} catch (error) {
  $("operations").replaceChildren();
  $("problem").textContent = `The document cannot be read: ${error.message}`;
  $("problem").hidden = false;
}

function show(document_) {
  const all = operations(document_);
  const chapters = new Map(document_.tags.map(({ name }) => [name, all.filter(({ tag }) => tag === name)]));
  $("contents").replaceChildren(...[...chapters].map(([tag, list]) => contents(tag, list)));
  $("operations").replaceChildren(
    el("section", {}, el("h2", {}, "The API"), el("p", {}, ...prose(document_.info.description))),
    ...[...chapters].map(([tag, list]) => chapter(tag, list)),
    types(document_.components.schemas),
  );
  // The fragment's target has only just come to be.
  if (location.hash) $(location.hash.slice(1))?.scrollIntoView();
}

/** Every operation with its place, in the order of the document. */
function operations({ paths }) {
  const all = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ ...operation, path, method: method.toUpperCase(), tag: operation.tags[0] })),
  );
  return all.sort((a, b) => METHODS.indexOf(a.method) - METHODS.indexOf(b.method));
}

function contents(tag, list) {
  const entries = list.map(({ operationId, summary }) => el("li", {}, el("a", { href: `#${operationId}` }, summary)));
  return el("div", {}, el("h2", {}, tag), el("ul", {}, ...entries));
}

function chapter(tag, list) {
  return el("section", { "aria-label": tag }, el("h2", {}, tag), ...list.map(operation));
}

function operation(op) {
  const body = op.requestBody?.content["application/json"].schema;
  return el(
    "article",
    { id: op.operationId },
    el("h3", {}, el("code", { class: "method" }, op.method), " ", el("code", {}, op.path)),
    el("p", {}, `${op.summary}. `, ...prose(op.description ?? ""), op.security?.length === 0 ? " It asks for no password." : ""),
    op.parameters.length > 0 && table(["Parameter", "Type", "Meaning"], op.parameters.map(parameter)),
    body && el("p", {}, "Body: ", type(body)),
    table(["Status", "Body", "Meaning"], Object.entries(op.responses).map(response)),
    curl(op),
  );
}

function parameter({ name, in: place, schema, description, required }) {
  const where = place === "path" ? "in the path" : required ? "has to be given" : "";
  return [el("code", {}, name), type(schema), [description, where].filter(Boolean).join("; ")];
}

function response([status, { description, content }]) {
  const [kind, { schema } = {}] = Object.entries(content ?? {})[0] ?? [];
  const body = !kind ? "none" : kind === "application/json" ? type(schema) : el("span", {}, `${kind}: `, type(schema));
  return [el("code", {}, status), body, description];
}

/** A line for a shell, with a button that copies it. */
function curl({ method, path, parameters, requestBody, security }) {
  const query = parameters.filter((p) => p.required && p.in === "query").map((p) => `${p.name}=${p.name.toUpperCase()}`);
  const url = new URL(`..${path.replace(/[{}]/g, "")}${query.length ? `?${query}` : ""}`, location.origin + location.pathname);
  const words = ["curl", ...(security ? [] : ["-u", "admin:PASSWORD"]), ...(method === "GET" ? [] : ["-X", method]), ...(requestBody ? ["-d", "@body.json"] : []), `'${url}'`];
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(words.join(" "));
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return el("div", { class: "line" }, el("pre", {}, words.join(" ")), button);
}

function types(schemas) {
  return el("section", { "aria-label": "Types" }, el("h2", {}, "Types"), ...Object.entries(schemas).map(definition));
}

function definition([name, schema]) {
  const required = new Set(schema.required);
  const fields = Object.entries(schema.properties ?? {}).map(([field, inner]) => [
    el("code", {}, field),
    type(inner),
    el("span", {}, ...prose([inner.description, bounds(inner), required.has(field) && "has to be given"].filter(Boolean).join("; "))),
  ]);
  return el(
    "article",
    { id: `type-${name}` },
    el("h3", {}, el("code", {}, name)),
    schema.description && el("p", {}, ...prose(schema.description)),
    fields.length > 0 && table(["Field", "Type", "Meaning"], fields),
  );
}

/** Text in which what stands between backticks is code. */
function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

/** A type in words, linked where it is one of the document's own. */
function type(schema) {
  if (!schema || schema === true) return "anything";
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return el("a", { href: `#type-${name}` }, name);
  }
  if (schema.anyOf) return list(schema.anyOf);
  if (Array.isArray(schema.type)) return list(schema.type.map((one) => ({ ...schema, type: one })));
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return el("span", {}, "list of ", type(schema.items));
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return el("span", {}, "map of ", type(schema.additionalProperties));
  }
  return [schema.type ?? "anything", schema.format && !/^u?int|^double$/.test(schema.format) && `(${schema.format})`].filter(Boolean).join(" ");
}

/** Alternatives; that something may be null is not worth a word of its own. */
function list(schemas) {
  const told = schemas.filter((one) => one.type !== "null").flatMap((one, place) => (place ? [" or ", type(one)] : [type(one)]));
  return el("span", {}, ...told);
}

function bounds({ minLength, maxLength, minimum, maximum }) {
  const between = (low, high, unit) => (high === undefined ? "" : `${low ?? 0} to ${high}${unit}`);
  return between(minLength, maxLength, " characters") || between(minimum, maximum, "");
}

function table(head, rows) {
  const cells = (kind, list) => el("tr", {}, ...list.map((cell) => el(kind, kind === "th" ? { scope: "col" } : {}, cell)));
  return el("table", {}, el("thead", {}, cells("th", head)), el("tbody", {}, ...rows.map((row) => cells("td", row))));
}

function el(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== false && child !== undefined && child !== null));
  return element;
}
