// The portal's first page: the functions, and a form that calls one of them. The selected function
// is the address' fragment, so that it can be bookmarked and the back button works.

import * as api from "./api.js";

const REFRESH_MS = 3500;
/** Longest text shown of a response, in characters; the whole of it can be saved. */
const SHOWN = 256 * 1024;

const $ = (id) => document.getElementById(id);
const rows = new Map(); // id -> table row, kept so that a refresh moves neither focus nor selection
let list = [];
let call = null; // the AbortController of the call that runs

const selected = () => decodeURIComponent(location.hash.slice(1));
const count = (n) => Math.round(n).toLocaleString();

// --- the list

async function refresh() {
  try {
    const [functions, config] = await Promise.all([api.functions(), api.config().catch(() => null)]);
    list = functions;
    complain(config?.last_error && `The configuration file was not accepted, the one before stays in force: ${text(config.last_error)}`);
    show();
  } catch (error) {
    complain(`The gateway cannot be asked: ${error.message}`);
  }
}

function show() {
  const filter = $("filter").value.trim().toLowerCase();
  const shown = list.filter((f) => f.id.toLowerCase().includes(filter));
  for (const id of rows.keys()) {
    if (!shown.some((f) => f.id === id)) {
      rows.get(id).remove();
      rows.delete(id);
    }
  }
  shown.forEach((f, place) => {
    const row = rows.get(f.id) ?? newRow(f);
    fill(row, f);
    if ($("rows").children[place] !== row) $("rows").insertBefore(row, $("rows").children[place] ?? null);
  });
  $("empty").textContent = list.length === 0 ? "No function yet: deploy one, or declare it in the configuration file." : "No function has such a name.";
  $("empty").hidden = shown.length > 0;
  detail();
}

function newRow({ id, name, namespace }) {
  const row = document.createElement("tr");
  const link = document.createElement("a");
  link.href = `#${encodeURIComponent(id)}`;
  link.append(name);
  if (namespace) {
    const suffix = Object.assign(document.createElement("span"), { textContent: `.${namespace}` });
    link.append(document.createElement("wbr"), suffix);
  }
  row.insertCell().append(link);
  row.insertCell().append(document.createElement("code"));
  row.insertCell().className = "number";
  row.insertCell().className = "number";
  rows.set(id, row);
  return row;
}

function fill(row, f) {
  const [name, runs, replicas, invocations] = row.cells;
  row.className = f.available > 0 ? "ready" : "";
  name.firstChild.title = f.problem ?? (f.available > 0 ? "ready" : "not ready");
  name.firstChild.toggleAttribute("aria-current", f.id === selected());
  runs.firstChild.textContent = f.runs;
  replicas.textContent = f.available === f.replicas ? count(f.replicas) : `${count(f.available)} of ${count(f.replicas)}`;
  invocations.textContent = count(f.invocations);
}

// --- one function

function detail() {
  const f = list.find((each) => each.id === selected());
  $("detail").hidden = !f;
  document.title = f ? `${f.id} · gateway` : "Functions · gateway";
  if (!f) return;
  if ($("name").textContent !== f.id) {
    call?.abort();
    $("name").textContent = f.id;
    $("reply").hidden = true;
  }
  const labels = Object.entries(f.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  facts({
    Address: api.address(f.id),
    Image: f.image,
    Command: f.envProcess,
    State: [f.available > 0 ? "ready" : "not ready", f.problem].filter(Boolean).join(": "),
    Labels: labels.join(", "),
  });
}

function facts(entries) {
  const items = Object.entries(entries).filter(([, value]) => value);
  const wanted = items.flat().join("\n");
  if ($("facts").dataset.shown === wanted) return; // leave a text selection alone
  $("facts").dataset.shown = wanted;
  $("facts").replaceChildren(
    ...items.flatMap(([term, value]) => {
      const dt = document.createElement("dt");
      const dd = document.createElement("dd");
      dt.textContent = term;
      dd.append(term === "State" || term === "Labels" ? value : Object.assign(document.createElement("code"), { textContent: value }));
      return [dt, dd];
    }),
  );
}

// --- a call

async function invoke(event) {
  event.preventDefault();
  if (call) return;
  const mine = (call = new AbortController());
  const began = performance.now();
  const elapsed = () => `${count(performance.now() - began)} ms`;
  busy(true);
  outcome("Waiting…");
  $("call-id").textContent = $("output").textContent = "";
  $("save").hidden = true;
  try {
    const response = await api.invoke($("name").textContent, $("body").value, $("type").value, mine.signal);
    const status = `${response.status} ${response.statusText}`.trim();
    $("call-id").textContent = callLine(response.headers);
    outcome(`${status} · ${elapsed()} · receiving`, !response.ok);
    const bytes = await receive(response);
    outcome(`${status} · ${elapsed()} · ${count(bytes)} bytes`, !response.ok);
  } catch (error) {
    outcome(mine.signal.aborted ? `Stopped after ${elapsed()}` : `Broken off after ${elapsed()}: ${error.message}`, true);
  } finally {
    call = null;
    busy(false);
  }
}

function callLine(headers) {
  const facts = [headers.get("Content-Type"), headers.get("X-Call-Id") && `X-Call-Id ${headers.get("X-Call-Id")}`, headers.get("X-Gateway-Error")];
  return facts.filter(Boolean).join(" · ");
}

/** Shows the body as it comes, and returns its length. */
async function receive(response) {
  const type = response.headers.get("Content-Type") ?? "text/plain";
  const readable = /^text\/|json|xml|javascript|urlencoded/.test(type);
  const decoder = new TextDecoder();
  const chunks = [];
  const reader = response.body.getReader();
  let bytes = 0;
  let room = readable ? SHOWN : 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    chunks.push(piece.value);
    bytes += piece.value.length;
    const shown = decoder.decode(piece.value, { stream: true }).slice(0, room);
    room -= shown.length;
    $("output").append(shown);
  }
  if (bytes > 0) offer(new Blob(chunks, { type }), room === 0);
  return bytes;
}

function offer(blob, cut) {
  URL.revokeObjectURL($("save").href);
  $("save").href = URL.createObjectURL(blob);
  $("save").download = $("name").textContent;
  $("save").textContent = cut ? "Save the response, which is not shown in full" : "Save the response";
  $("save").hidden = false;
}

function outcome(words, failed = false) {
  $("reply").hidden = false;
  $("outcome").textContent = words;
  $("outcome").classList.toggle("failed", failed);
}

function busy(yes) {
  $("invoke").disabled = yes;
  $("stop").hidden = !yes;
}

// --- the page

function complain(problem) {
  $("problem").hidden = !problem;
  if ($("problem").textContent !== (problem || "")) $("problem").textContent = problem || "";
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

async function about() {
  const { provider, version } = await api.info();
  $("about").textContent = [version?.release, provider?.provider && `provider ${provider.provider}`].filter(Boolean).join(" · ");
}

$("filter").addEventListener("input", show);
$("call").addEventListener("submit", invoke);
$("stop").addEventListener("click", () => call?.abort());
$("body").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("call").requestSubmit();
});
addEventListener("hashchange", show);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
setInterval(() => document.hidden || refresh(), REFRESH_MS);
about().catch(() => {}); // a provider without the route: the line stays empty
refresh();
