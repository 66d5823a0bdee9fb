// One function: its head, and the tab that is asked for. Tabs are loaded when they are first asked for.

import { html, useEffect, useRef, useState } from "../../html.js";
import { live, useLive } from "../../live.js";
import { Copy } from "../../parts/fields.js";
import { Empty, Loading, Problem } from "../../parts/load.js";
import { go, to, usePlace } from "../../route.js";
import * as api from "../../api.js";
import { askDelete, reasonNotToChange, state } from "../functions.js";

/** The tabs; each module exports `Tab`, which gets `id` and `row`. */
const TABS = /** @type {Record<string, {title: string, load: () => Promise<any>}>} */ ({
  overview: { title: "Overview", load: () => import("./overview.js") },
  invoke: { title: "Invoke", load: () => import("./invoke.js") },
  logs: { title: "Logs", load: () => import("./logs.js") },
  async: { title: "Async", load: () => import("./async.js") },
  scaling: { title: "Scaling", load: () => import("./scaling.js") },
  configuration: { title: "Configuration", load: () => import("./configuration.js") },
});

export function Page() {
  const { path } = usePlace();
  const [, id = "", tab = "overview"] = path;
  const { functions, known } = useLive();
  const row = functions.get(id);
  const tabs = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => void (document.title = `${id} · gateway`), [id]);
  // On a phone not all of them fit.
  useEffect(() => tabs.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [tab, known]);
  if (!known) return html`<${Loading} />`;
  if (!row) return html`<${Empty}>There is no function ${id}. <a href="#/">To the functions</a><//>`;
  const { word, kind } = state(row);
  return html`
    <div class="title">
      <h1 class="name ${kind}" title=${word}>${row.name}<span>${row.namespace && `.${row.namespace}`}</span></h1>
      <span class="state ${kind}">${word}</span>
      <div class="actions end">
        <${Copy} text=${() => api.address(id)}>Copy address<//>
        <button type="button" class="danger" disabled=${reasonNotToChange(row) !== ""} title=${reasonNotToChange(row)} onClick=${() => askDelete(id, () => go(to([])))}>Delete</button>
      </div>
    </div>
    <nav ref=${tabs} class="tabs" aria-label="Function">
      ${Object.entries(TABS).map(([key, { title }]) => html`<a href=${to(["function", id, key])} aria-current=${key === tab ? "page" : undefined}>${title}</a>`)}
    </nav>
    <${Body} key=${id} id=${id} tab=${tab} />
  `;
}

function Body(/** @type {{id: string, tab: string}} */ { id, tab }) {
  const [loaded, setLoaded] = useState(/** @type {Record<string, any>} */ ({}));
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (loaded[tab] || !TABS[tab]) return;
    TABS[tab].load().then(({ Tab }) => setLoaded((others) => ({ ...others, [tab]: Tab })), () => setProblem("This tab could not be loaded. Reload the page."));
  }, [tab]);
  const row = live.functions.get(id);
  if (!TABS[tab]) return html`<${Empty}>There is no such tab.<//>`;
  if (loaded[tab]) return html`<${loaded[tab]} id=${id} row=${row} />`;
  return problem ? html`<${Problem} text=${problem} />` : html`<${Loading} />`;
}
