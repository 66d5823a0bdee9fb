// The gateway itself: what it is, who runs its functions, how its queue stands, what it is configured with,
// and where a URL leads.

import * as api from "../api.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { useLive } from "../live.js";
import { ActionButton, useAction } from "../parts/action.js";
import { Facts } from "../parts/facts.js";
import { Copy, Field } from "../parts/fields.js";
import { Loading, Problem, useLoad } from "../parts/load.js";
import { Tree, yaml } from "../parts/tree.js";
import { to } from "../route.js";
import { ago, count, moment, plural } from "../words.js";
import { sum } from "./async/queue.js";

/**
 * @typedef {import("../api.js").ConfigShown} ConfigShown
 * @typedef {import("../live.js").Status} Status
 */

const EVERY_MS = 15_000;
const QUEUE_MS = 5_000;
/** So much of a hash tells two configurations apart. */
const SHORT = 8;
const COMMIT = 10;
const DIRTY = "-dirty";

/** The parts of the configuration in the order in which its file is explained. */
const ORDER = ["version", "server", "timeouts", "admin", "ui", "provider", "scale", "queue", "functions", "routes", "access_log"];

const PROVIDERS = /** @type {Record<string, string>} */ ({ process: "are processes of this machine", remote: "are run by a faas-provider" });
const QUEUES = /** @type {Record<string, string>} */ ({ embedded: "in the gateway's state directory", jetstream: "NATS JetStream" });

/** What takes a request. */
const KINDS = /** @type {Record<string, string>} */ ({
  route: "Own route",
  function: "Function",
  async_function: "Queue",
  api: "API",
  portal: "Portal",
  health: "Health check",
  root: "Redirect",
  redirect: "Redirect",
  nothing: "Nothing",
});

export function Page() {
  const { mode, status } = useLive();
  const config = useLoad(api.config, [], { every: mode === "live" ? 0 : EVERY_MS });
  const info = useLoad(api.info, [], { every: EVERY_MS });
  const shown = config.value;
  // Another configuration is in force, or was refused: by a file that was saved, or by somebody else.
  const { generation, last_error } = status?.config ?? {};
  useEffect(() => void (shown && mode === "live" && (generation !== shown.generation || last_error !== shown.last_error) && config.again()), [generation, last_error]);
  // A gateway that was restarted begins to count its generations anew.
  const program = status?.gateway?.started_at;
  const before = useRef(program);
  useEffect(() => {
    if (before.current && program && program !== before.current) config.again();
    before.current = program ?? before.current;
  }, [program]);
  useEffect(() => void (document.title = "System · gateway"), []);
  return html`
    <div class="title"><h1>System</h1></div>
    ${config.problem && html`<${Problem} text="The configuration could not be read: ${config.problem}" again=${config.again} />`}
    <div class="stack">
      <div class="columns narrow">
        <${About} info=${info.value} program=${status?.gateway} config=${shown} />
        <${Provider} info=${info} config=${shown} />
        <${Queue} config=${shown} />
      </div>
      ${shown ? html`<${Configuration} shown=${shown} again=${config.again} /><${Routes} config=${shown.config} />` : !config.problem && html`<${Loading} />`}
    </div>
  `;
}

// --- the gateway, its provider and its queue

/** A program that was built of more than its commit says so. */
const commit = (/** @type {string} */ sha) => html`<code title=${sha}>${sha.slice(0, COMMIT)}${sha.endsWith(DIRTY) && DIRTY}</code>`;

/** The stream tells of the program even while the provider, which `info` asks, is down. */
function About(/** @type {{info: any, program: Status["gateway"] | undefined, config: ConfigShown | null}} */ { info, program, config }) {
  const { release, sha } = program ?? info?.version ?? {};
  const { server, admin } = config?.config ?? {};
  const known = sha && sha !== "unknown";
  const later = (/** @type {string} */ key) => config?.pending_restart.includes(key) && " from the next start on";
  return html`
    <section class="sheet">
      <h2>Gateway</h2>
      <${Facts} facts=${[
        ["Version", release],
        ["Commit", known && commit(sha)],
        ["Architecture", program?.arch ?? info?.arch],
        ["Started", program && since(program.started_at)],
        ["Listens on", server && html`<code>${server.listen}</code>${later("server.listen")}`],
        ["API and portal", admin?.listen && html`<code>${admin.listen}</code>${later("admin.listen")}`],
        ["Metrics", server && html`<${Metrics} listen=${server.metrics} />${later("server.metrics")}`],
        ["API", html`<a href="docs.html">Read about it</a> · <a href="../system/openapi.json">OpenAPI document</a>`],
      ]} />
    </section>
  `;
}

/** They are served on an address of their own, which may not be reached from here. */
function Metrics(/** @type {{listen: string}} */ { listen }) {
  const at = listen.lastIndexOf(":");
  const [host, port] = [listen.slice(0, at), listen.slice(at + 1)];
  const all = host === "0.0.0.0" || host === "[::]";
  return html`<code>/metrics</code> on ${port === "0" ? "a free port" : html`port <code>${port}</code>`}${all ? "" : html` of <code>${host}</code> only`}, for Prometheus`;
}

function Provider(/** @type {{info: {value: any, problem: string, again: () => void}, config: ConfigShown | null}} */ { info, config }) {
  const { status } = useLive();
  const { provider, version, orchestration, ...other } = info.value?.provider ?? {};
  const { kind, url } = config?.config.provider ?? {};
  // Without an event stream, whether it tells of itself is what is known.
  const up = status ? status.provider.up : !info.problem;
  const more = Object.entries(other).filter(([, value]) => value !== null);
  return html`
    <section class="sheet">
      <h2>Provider</h2>
      ${!info.value && info.problem && html`<${Problem} text=${info.problem} again=${info.again} />`}
      <${Facts} facts=${[
        ["State", html`<span class="state ${up ? "ready" : "failed"}">${up ? "answers" : "cannot be reached"}</span>`],
        ["Functions", PROVIDERS[kind] ?? kind],
        ["Name", provider],
        ["Version", version?.release],
        ["Commit", version?.sha && commit(version.sha)],
        ["Orchestration", orchestration],
        ["Address", url && html`<code>${url}</code>`],
      ]} />
      ${more.length > 0 && html`<${Tree} value=${Object.fromEntries(more)} />`}
    </section>
  `;
}

function Queue(/** @type {{config: ConfigShown | null}} */ { config }) {
  const { value, problem, again } = useLoad(() => api.calls({ limit: "1" }), [], { every: QUEUE_MS });
  const queue = value?.queue;
  const { queued, retrying, running, callbacks } = sum(queue?.functions ?? []);
  const oldest = queue?.functions.map(({ oldest_at }) => oldest_at ?? "").filter(Boolean).sort()[0];
  const busy = queue?.functions.filter((one) => one.queued + one.retrying + one.running > 0).length ?? 0;
  const state = queue && (queue.problem ? html`<span class="state failed">takes no calls</span>` : html`<span class="state ready">takes calls</span>`);
  return html`
    <section class="sheet">
      <h2>Queue</h2>
      ${problem && html`<${Problem} text=${problem} again=${again} />`}
      ${queue?.problem && html`<${Problem} text=${queue.problem} />`}
      ${queue && html`<${Facts} facts=${[
        ["State", state],
        ["Keeps calls", QUEUES[queue.name] ?? queue.name],
        ["Waiting", `${count(queued)}${retrying > 0 ? `, and ${count(retrying)} to be tried again` : ""}`],
        ["Running", `${count(running)}${config ? ` of ${count(config.config.queue.workers)} at once` : ""}`],
        ["Callbacks", count(callbacks)],
        ["Oldest call", oldest && since(oldest)],
        ["Calls", html`<a href=${to(["async"])}>${busy > 0 ? `Of ${plural(busy, "function")}` : "All of them"}</a>`],
      ]} />`}
    </section>
  `;
}

const since = (/** @type {string} */ time) => html`<span title=${time}>${moment(time)} · ${ago(time)}</span>`;

// --- the configuration

function Configuration(/** @type {{shown: ConfigShown, again: () => void}} */ { shown, again }) {
  const [outcome, setOutcome] = useState(/** @type {{generation: number, changes: string[]} | null} */ (null));
  const [refused, setRefused] = useState({ at: "", error: "" });
  // Another mistake was found at another time, as was the same one after it was gone.
  useEffect(() => void (shown.last_error || setRefused({ at: "", error: "" })), [shown.last_error]);
  const refusedAt = refused.error === shown.last_error ? refused.at : "";
  const reload = async () => {
    setOutcome(null);
    try {
      setOutcome(await api.reload());
    } catch (error) {
      // A mistake in the file is part of what is shown below. Anything else, as that the gateway cannot
      // be reached, is not.
      if (!(error instanceof api.Refused && error.reason === "bad_config")) throw error;
      setRefused({ at: new Date().toISOString(), error: error.message });
    } finally {
      again();
    }
  };
  return html`
    <section class="sheet">
      <div class="title">
        <h2>Configuration</h2>
        <div class="actions end"><${ActionButton} act=${reload} doing="Reading…">Reload now<//></div>
      </div>
      ${outcome?.generation === shown.generation && !shown.last_error && html`<${Changes} changes=${outcome.changes} />`}
      ${shown.last_error && html`
        <div class="refused" role="alert">
          <p><b>The file was not accepted${refusedAt && ` at ${moment(refusedAt)}`}.</b> The configuration below stays in force.</p>
          <pre>${shown.last_error}</pre>
        </div>`}
      ${shown.pending_restart.length > 0 && html`<div class="note"><p>What is shown below holds from the next start on for</p><${Lines} lines=${shown.pending_restart} /></div>`}
      ${shown.warnings.length > 0 && html`<div class="note"><p>Worth knowing:</p><${Lines} lines=${shown.warnings} /></div>`}
      <${Facts} facts=${[
        ["File", shown.file ? html`<code>${shown.file}</code>` : "none: the defaults, and the environment"],
        ["Generation", count(shown.generation)],
        ["In force since", since(shown.loaded_at)],
        ["Hash", html`<code title=${shown.hash}>${shown.hash.slice(0, SHORT)}</code>`],
      ]} />
      <div class="title below">
        <h3>In force</h3>
        <span class="hint">Secrets are masked</span>
        <div class="actions end"><${Copy} text=${() => yaml(ordered(shown.config))}>Copy as YAML<//></div>
      </div>
      <${Tree} value=${ordered(shown.config)} />
    </section>
  `;
}

function Changes(/** @type {{changes: string[]}} */ { changes }) {
  if (changes.length === 0) return html`<div class="note calm" role="status">It was read again: nothing has changed.</div>`;
  return html`<div class="note calm" role="status"><p>It was read again, and is in force: ${plural(changes.length, "change")}.</p><${Lines} lines=${changes} /></div>`;
}

const Lines = (/** @type {{lines: string[]}} */ { lines }) => html`<ul class="said">${lines.map((line) => html`<li>${line}</li>`)}</ul>`;

function ordered(/** @type {Record<string, any>} */ config) {
  const place = (/** @type {string} */ key) => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);
  return Object.fromEntries(Object.entries(config).sort(([a], [b]) => place(a) - place(b)));
}

// --- where a URL leads

function Routes(/** @type {{config: any}} */ { config }) {
  const [found, setFound] = useState(/** @type {api.Match | null} */ (null));
  const routes = /** @type {{host: string | null, path: string, function: string}[]} */ (config.routes);
  return html`
    <section class="sheet">
      <h2>Routes</h2>
      <${Tester} found=${found} setFound=${setFound} />
      ${routes.length === 0
        ? html`<p class="hint below">There are no routes of your own. Functions are called at <code>/function/NAME</code>; <code>routes</code> in the configuration file puts them at hosts and paths that you choose.</p>`
        : html`
          <table class="routes">
            <caption class="hint">The first that fits counts. A route without a host never hides the gateway's own paths.</caption>
            <thead><tr><th scope="col" class="number">No.</th><th scope="col">Host</th><th scope="col">Path</th><th scope="col">Function</th></tr></thead>
            <tbody>
              ${routes.map((route, index) => html`
                <tr class=${found?.route?.number === index + 1 ? "matched" : ""}>
                  <td class="number">${index + 1}</td>
                  <td>${route.host ? html`<code>${route.host}</code>` : html`<span class="faint">any</span>`}</td>
                  <td><code>${route.path}</code></td>
                  <td><${FunctionLink} id=${idOf(route.function, config)} /></td>
                </tr>`)}
            </tbody>
          </table>`}
    </section>
  `;
}

function Tester(/** @type {{found: api.Match | null, setFound: (found: api.Match | null) => void}} */ { found, setFound }) {
  const [url, setUrl] = useState("");
  const [problem, setProblem] = useState("");
  const { run, busy } = useAction(async () => {
    setProblem("");
    setFound(null);
    setFound(await api.match(url.trim()));
  }, { failed: setProblem });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    run();
  };
  return html`
    <form class="tester" onSubmit=${submit}>
      <${Field} label="Which route matches this URL?" problem=${problem} field=${(/** @type {string} */ id) => html`
        <div class="asked">
          <input id=${id} class="mono" value=${url} required placeholder="https://api.example.org/v1/users" autocomplete="off" autocapitalize="off" spellcheck=${false}
            onInput=${(/** @type {any} */ event) => setUrl(event.target.value)} />
          <button disabled=${busy || url.trim() === ""} aria-busy=${busy}>${busy ? "Looking…" : "Look"}</button>
        </div>`} />
      <div role="status">${found && html`<${Found} found=${found} />`}</div>
    </form>
  `;
}

function Found(/** @type {{found: api.Match}} */ { found }) {
  const { kind, says, route, path, location } = found;
  return html`
    <div class="note calm">
      <p><b>${KINDS[kind] ?? kind}:</b> ${says}</p>
      <${Facts} facts=${[
        ["Route", route && html`No. ${route.number}: <code>${route.host ?? ""}${route.path}</code>`],
        ["Function", found.function && html`<${FunctionLink} id=${found.function} />`],
        ["It sees", path && html`<code>${path}</code>`],
        ["Leads to", location && html`<code>${location}</code>`],
      ]} />
    </div>
  `;
}

/** A function that is there has a page. */
function FunctionLink(/** @type {{id: string}} */ { id }) {
  const { functions, known } = useLive();
  if (functions.has(id)) return html`<a href=${to(["function", id])}>${id}</a>`;
  return html`${id}${known && html` <span class="bad">is not there</span>`}`;
}

/** The configuration leaves the default namespace out. */
function idOf(/** @type {string} */ key, /** @type {any} */ { provider }) {
  const namespace = provider.namespaces?.[0] ?? provider.namespace;
  return key.includes(".") || !namespace ? key : `${key}.${namespace}`;
}
