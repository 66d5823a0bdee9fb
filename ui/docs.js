// The API as a page to read, made from its OpenAPI document. Only what this document uses is known here: it
// is not a viewer for any other.

import * as api from "./api.js";
import { html, render, useEffect, useLayoutEffect, useMemo, useState } from "./html.js";
import { Copy } from "./parts/fields.js";
import { Empty, Problem } from "./parts/load.js";
import { useSlash } from "./parts/slash.js";
import { Toasts } from "./parts/toast.js";
import { applyTheme, ThemeButton } from "./theme.js";
import { plural } from "./words.js";

/**
 * @typedef {Record<string, any>} Schema
 * @typedef {Record<string, {schema: Schema}>} Content by type of media
 * @typedef {{name: string, in: string, schema: Schema, description?: string, required?: boolean}} Parameter
 *
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string} method
 * @property {string} path
 * @property {string} tag
 * @property {string} summary
 * @property {string} [description]
 * @property {Parameter[]} parameters
 * @property {{content: Content}} [requestBody]
 * @property {Record<string, {description: string, content?: Content}>} responses
 * @property {any[]} [security] empty where no password is asked for
 */

/** The order in which one reads them. */
const METHODS = ["GET", "POST", "PUT", "DELETE"];
const JSON_TYPE = "application/json";
/** Responses that go on for as long as somebody listens. */
const STREAMS = ["text/event-stream", "application/x-ndjson"];
/** Contents stand beside the text where there is room. */
const WIDE = "(min-width: 60rem)";

const main = /** @type {HTMLElement} */ (document.getElementById("main"));

async function show() {
  let shown;
  try {
    shown = html`<${Docs} openapi=${await api.openapi()} />`;
  } catch (error) {
    shown = html`<div><h1>API</h1><${Problem} text="The document cannot be read: ${/** @type {Error} */ (error).message}" again=${show} /></div>`;
  }
  main.replaceChildren();
  render(shown, main);
}

function Docs(/** @type {{openapi: any}} */ { openapi }) {
  const [search, setSearch] = useState("");
  const all = useMemo(() => operations(openapi), [openapi]);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (/** @type {string} */ text) => words.every((word) => text.toLowerCase().includes(word));
  const found = all.filter((op) => fits(`${op.method} ${op.path} ${op.summary} ${op.operationId} ${op.tag} ${op.description ?? ""}`));
  const types = Object.entries(openapi.components.schemas).filter(([name, { description = "" }]) => fits(`${name} ${description}`));
  const tags = /** @type {string[]} */ (openapi.tags.map((/** @type {{name: string}} */ { name }) => name));
  const chapters = tags.map((tag) => ({ tag, list: found.filter((op) => op.tag === tag) })).filter(({ list }) => list.length > 0);
  useAnchors(search, () => setSearch(""));
  return html`
    <aside>
      <${Search} search=${search} setSearch=${setSearch} />
      <p class="hint" role="status">${search && `${plural(found.length, "operation")}, ${plural(types.length, "type")}`}</p>
      <${Contents} chapters=${chapters} types=${types.length > 0} />
    </aside>
    <div class="operations">
      <h1>API <small>${openapi.info.version}</small></h1>
      ${!search && html`<p><${Prose} text=${openapi.info.description} /> All of it is in <a href="../system/openapi.json">an OpenAPI document</a>, too.</p>`}
      ${chapters.map(({ tag, list }) => html`
        <section key=${tag} aria-labelledby=${slug(tag)}>
          <h2 id=${slug(tag)}>${tag}</h2>
          ${list.map((op) => html`<${OperationText} key=${op.operationId} op=${op} />`)}
        </section>`)}
      ${types.length > 0 && html`
        <section aria-labelledby="types">
          <h2 id="types">Types</h2>
          ${types.map(([name, schema]) => html`<${TypeText} key=${name} name=${name} schema=${schema} />`)}
        </section>`}
      ${found.length + types.length === 0 && html`<${Empty}>Nothing fits. <button type="button" onClick=${() => setSearch("")}>Show all</button><//>`}
    </div>
  `;
}

// --- finding something

function Search(/** @type {{search: string, setSearch: (search: string) => void}} */ { search, setSearch }) {
  const field = useSlash();
  return html`
    <input ref=${field} type="search" placeholder="Search  /" aria-label="Search operations" autocomplete="off" spellcheck=${false}
      value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />
  `;
}

/** Links lead to what has only just come to be, or is hidden by the search. */
function useAnchors(/** @type {string} */ search, /** @type {() => void} */ showAll) {
  useLayoutEffect(() => aimed()?.scrollIntoView(), [search === ""]);
  useEffect(() => {
    const changed = () => location.hash && !aimed() && showAll();
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
}

const aimed = () => (location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null);

function Contents(/** @type {{chapters: {tag: string, list: Operation[]}[], types: boolean}} */ { chapters, types }) {
  const [open] = useState(() => matchMedia(WIDE).matches);
  return html`
    <details open=${open}>
      <summary>Contents</summary>
      <nav aria-label="Operations">
        ${chapters.map(({ tag, list }) => html`
          <p key=${tag}><a href="#${slug(tag)}">${tag}</a></p>
          <ul>${list.map(({ operationId, summary }) => html`<li key=${operationId}><a href="#${operationId}">${summary}</a></li>`)}</ul>`)}
        ${types && html`<p><a href="#types">Types</a></p>`}
      </nav>
    </details>
  `;
}

const slug = (/** @type {string} */ tag) => `chapter-${tag.toLowerCase().replaceAll(" ", "-")}`;

// --- operations

/** Every operation with its place, in the order of the document. */
function operations(/** @type {any} */ { paths }) {
  const all = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => /** @type {Operation} */ ({ ...operation, path, method: method.toUpperCase(), tag: operation.tags[0] })),
  );
  return all.sort((a, b) => METHODS.indexOf(a.method) - METHODS.indexOf(b.method));
}

function OperationText(/** @type {{op: Operation}} */ { op }) {
  const responses = Object.entries(op.responses);
  const good = responses.filter(([status]) => Number(status) < 400);
  const bad = responses.filter(([status]) => Number(status) >= 400);
  const head = ["Status", "Body", "Meaning"];
  return html`
    <article id=${op.operationId}>
      <div class="head">
        <h3><span class="method ${op.method.toLowerCase()}">${op.method}</span> <code>${op.path}</code></h3>
        <${Anchor} id=${op.operationId} name=${op.summary} />
      </div>
      <p><b>${op.summary}.</b> <${Prose} text=${op.description ?? ""} />${op.security?.length === 0 && " It asks for no password."}</p>
      ${op.parameters.length > 0 && html`<${Table} head=${["Parameter", "Type", "Meaning"]} rows=${op.parameters.map(parameter)} />`}
      ${op.requestBody && html`<p>Body: <${ContentText} content=${op.requestBody.content} /></p>`}
      <${Table} head=${head} rows=${good.map(response)} />
      ${bad.length > 0 && html`
        <details>
          <summary>Refusals: ${bad.map(([status]) => status).join(", ")}</summary>
          <${Table} head=${head} rows=${bad.map(response)} />
        </details>`}
      <${Curl} op=${op} />
    </article>
  `;
}

const Anchor = (/** @type {{id: string, name: string}} */ { id, name }) => html`<a class="anchor" href="#${id}" aria-label="Link to: ${name}">#</a>`;

function parameter(/** @type {Parameter} */ { name, in: place, schema, description, required }) {
  const where = place === "path" ? "in the path" : required ? "has to be given" : "";
  return [html`<code>${name}</code>`, html`<${Type} schema=${schema} />`, [description, where].filter(Boolean).join("; ")];
}

function response(/** @type {[string, {description: string, content?: Content}]} */ [status, { description, content }]) {
  return [html`<code>${status}</code>`, html`<${ContentText} content=${content ?? {}} />`, description];
}

/** What a body is; JSON goes without saying. */
function ContentText(/** @type {{content: Content}} */ { content }) {
  const kinds = Object.entries(content);
  if (kinds.length === 0) return "none";
  return kinds.map(([kind, { schema }], at) => html`${at > 0 && " or "}${kind !== JSON_TYPE && html`<code>${kind}</code>: `}<${Type} schema=${schema} />`);
}

/** A line for a shell. */
function Curl(/** @type {{op: Operation}} */ { op }) {
  const { method, path, parameters, requestBody, responses, security } = op;
  const asked = parameters.filter((one) => one.required && one.in === "query").map(({ name }) => `${name}=${name.toUpperCase()}`);
  const url = new URL(`..${path.replace(/[{}]/g, "")}${asked.length > 0 ? `?${asked.join("&")}` : ""}`, location.origin + location.pathname);
  const streams = Object.values(responses).some(({ content }) => Object.keys(content ?? {}).some((kind) => STREAMS.includes(kind)));
  const words = ["curl", streams && "-N", !security && "-u admin:PASSWORD", method !== "GET" && `-X ${method}`, body(requestBody), `'${url}'`];
  const line = words.filter(Boolean).join(" ");
  return html`<div class="curl"><pre>${line}</pre><${Copy} text=${line} label="Copy the command" /></div>`;
}

function body(/** @type {Operation["requestBody"]} */ asked) {
  const [kind] = Object.keys(asked?.content ?? {});
  if (!kind) return "";
  if (kind === JSON_TYPE) return "-d @body.json";
  return `-H 'Content-Type: ${kind}' --data-binary @${kind.includes("yaml") ? "body.yml" : "body.txt"}`;
}

// --- types

function TypeText(/** @type {{name: string, schema: Schema}} */ { name, schema }) {
  const required = new Set(schema.required);
  const field = (/** @type {[string, Schema]} */ [key, inner]) => [
    html`<code>${key}</code>`,
    html`<${Type} schema=${inner} />`,
    html`<${Prose} text=${[inner.description?.replace(/\.$/, ""), bounds(inner), required.has(key) && "has to be given"].filter(Boolean).join("; ")} />`,
  ];
  const fields = Object.entries(schema.properties ?? {}).map(field);
  const values = (schema.oneOf ?? []).map((/** @type {Schema} */ one) => [html`<code>${JSON.stringify(one.const)}</code>`, html`<${Prose} text=${one.description ?? ""} />`]);
  return html`
    <article id="type-${name}">
      <div class="head"><h3><code>${name}</code></h3><${Anchor} id="type-${name}" name=${name} /></div>
      ${schema.description && html`<p><${Prose} text=${schema.description} /></p>`}
      ${fields.length > 0 && html`<${Table} head=${["Field", "Type", "Meaning"]} rows=${fields} />`}
      ${values.length > 0 && html`<${Table} head=${["Value", "Meaning"]} rows=${values} />`}
    </article>
  `;
}

/**
 * A type in words, linked where it is one of the document's own.
 * @returns {any}
 */
function Type(/** @type {{schema: Schema | true | undefined}} */ { schema }) {
  if (!schema || schema === true) return "anything";
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return html`<a href="#type-${name}">${name}</a>`;
  }
  if (schema.anyOf) return html`<${Alternatives} schemas=${schema.anyOf} />`;
  if (Array.isArray(schema.type)) return html`<${Alternatives} schemas=${schema.type.map((one) => ({ ...schema, type: one }))} />`;
  if (schema.enum) return schema.enum.map((/** @type {any} */ value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return html`list of <${Type} schema=${schema.items} />`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return html`map of <${Type} schema=${schema.additionalProperties} />`;
  return [schema.type ?? "anything", schema.format && !/^u?int|^double$/.test(schema.format) && `(${schema.format})`].filter(Boolean).join(" ");
}

/** That something may be null is not worth a word of its own. */
function Alternatives(/** @type {{schemas: Schema[]}} */ { schemas }) {
  return schemas.filter((one) => one.type !== "null").map((one, at) => html`${at > 0 && " or "}<${Type} schema=${one} />`);
}

function bounds(/** @type {Schema} */ { minLength, maxLength, minimum, maximum }) {
  const between = (/** @type {number} */ low, /** @type {number} */ high, /** @type {string} */ unit) => (high === undefined ? "" : `${low ?? 0} to ${high}${unit}`);
  return between(minLength, maxLength, " characters") || between(minimum, maximum, "");
}

// --- how it looks

/** Text in which what stands between backticks is code. */
const Prose = (/** @type {{text: string}} */ { text }) => text.split("`").map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));

const Table = (/** @type {{head: string[], rows: any[][]}} */ { head, rows }) => html`
  <table>
    <thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody>
  </table>
`;

applyTheme();
render(html`<${ThemeButton} /><${Toasts} />`, /** @type {HTMLElement} */ (document.getElementById("corner")));
await show();
