// Deploying: from the store, one's own, or a stack.yml.

import { html, useEffect } from "../../html.js";
import { Empty } from "../../parts/load.js";
import { to, usePlace } from "../../route.js";
import { Custom } from "./custom.js";
import { FromStack } from "./stack.js";
import { FromStore } from "./store.js";

const TABS = /** @type {Record<string, {title: string, Tab: any}>} */ ({
  store: { title: "Store", Tab: FromStore },
  custom: { title: "Custom", Tab: Custom },
  stack: { title: "stack.yml", Tab: FromStack },
});

export function Page() {
  const [, tab = "store"] = usePlace().path;
  useEffect(() => void (document.title = "Deploy · gateway"), []);
  return html`
    <div class="title"><h1>Deploy</h1></div>
    <nav class="tabs" aria-label="Ways to deploy">
      ${Object.entries(TABS).map(([key, { title }]) => html`<a href=${to(["deploy", key])} aria-current=${key === tab ? "page" : undefined}>${title}</a>`)}
    </nav>
    ${TABS[tab] ? html`<${TABS[tab].Tab} />` : html`<${Empty}>There is no such tab.<//>`}
  `;
}
