// The portal: its frame, and which page is shown in it. Pages are loaded when they are first asked for.
//
//   address -> route.js -> a page -> parts/
//   gateway -> live.js (event stream) and api.js (what is asked for) -> a page

import { html, render, useEffect, useState } from "./html.js";
import { follow, useLive } from "./live.js";
import { Functions } from "./pages/functions.js";
import { Asking } from "./parts/dialog.js";
import { Empty, Loading, Problem } from "./parts/load.js";
import { keepPlaces } from "./parts/scroll.js";
import { Toasts } from "./parts/toast.js";
import { applyTheme, ThemeButton } from "./theme.js";
import { to, usePlace } from "./route.js";
import { ago, moment } from "./words.js";

/** The pages that are loaded when they are first asked for; each exports `Page`. */
const PAGES = {
  function: () => import("./pages/function/page.js"),
  deploy: () => import("./pages/deploy/page.js"),
  async: () => import("./pages/async.js"),
  secrets: () => import("./pages/secrets.js"),
  system: () => import("./pages/system.js"),
};

/** What the frame links to, with the pages that belong under it. */
const LINKS = /** @type {[string, string[], string[]][]} */ ([
  ["Functions", [], ["", "function", "deploy"]],
  ["Async", ["async"], ["async"]],
  ["Secrets", ["secrets"], ["secrets"]],
  ["System", ["system"], ["system"]],
]);

function App() {
  const { path } = usePlace();
  const page = path[0] ?? "";
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header>
      <a class="brand" href="#/"><img src="icon.svg" alt="" width="26" height="26" />gateway</a>
      <nav aria-label="Portal">
        ${LINKS.map(([name, link, pages]) => html`<a href=${to(link)} aria-current=${pages.includes(page) ? "page" : undefined}>${name}</a>`)}
        <a href="docs.html">API</a>
      </nav>
      <div class="corner"><${Pulse} /><${ThemeButton} /></div>
    </header>
    <${Banners} />
    <main id="main" tabindex="-1"><${Page} name=${page} /></main>
    <${Toasts} />
    <${Asking} />
  `;
}

function Page(/** @type {{name: string}} */ { name }) {
  const [loaded, setLoaded] = useState(/** @type {Record<string, any>} */ ({}));
  const [problem, setProblem] = useState("");
  const load = /** @type {Record<string, () => Promise<any>>} */ (PAGES)[name];
  useEffect(() => {
    if (!load || loaded[name]) return;
    const failed = () => setProblem("This page of the portal could not be loaded: the gateway cannot be reached, or it has another version by now. Reload the page.");
    load().then(({ Page }) => setLoaded((others) => ({ ...others, [name]: Page })), failed);
  }, [name]);
  if (name === "") return html`<${Functions} />`;
  if (!load) return html`<${Empty}>There is no such page. <a href="#/">To the functions</a><//>`;
  if (loaded[name]) return html`<${loaded[name]} />`;
  return problem ? html`<${Problem} text=${problem} />` : html`<${Loading} />`;
}

/** How the portal hears from the gateway. */
function Pulse() {
  const { mode, heard } = useLive();
  const words = {
    connecting: ["Connecting", "The gateway is being asked"],
    live: ["Live", "Changes are shown as they happen"],
    polling: ["Polling", "The event stream does not get through; the gateway is asked every few seconds"],
    lost: ["Offline", heard ? `Last heard from ${ago(new Date(heard).toISOString())}` : "Not heard from yet"],
  };
  const [name, title] = words[mode];
  return html`<span class="pulse ${mode}" title=${title}><i></i>${name}</span>`;
}

/** What everybody should know who looks at any page. */
function Banners() {
  const { mode, problem, heard, status } = useLive();
  return html`
    <div class="banners" role="alert">
      ${mode === "lost" && html`<p class="problem">The gateway does not answer: ${problem}. ${heard > 0 && `What is shown is of ${moment(new Date(heard).toISOString())}.`} It is asked again.</p>`}
      ${status?.draining && html`<p class="problem">This gateway is ending: it finishes the calls it has.</p>`}
      ${status && !status.provider.up && html`<p class="problem">The provider cannot be reached. Functions are shown as they were last seen, and nothing can be changed until it is back.</p>`}
      ${status?.queue.problem && html`<p class="problem">The queue takes no calls: ${status.queue.problem}</p>`}
      ${status?.config.last_error && html`<p class="problem">The configuration file was not accepted, the one before stays in force. <a href=${to(["system"])}>See why</a></p>`}
    </div>
  `;
}

/** A link would change the address, which says what page is shown. */
function skip(/** @type {Event} */ event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

applyTheme();
follow();
keepPlaces();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
