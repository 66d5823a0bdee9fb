// What is shown where no call has been made yet: how to make the first one.

import { address } from "../../api.js";
import { html } from "../../html.js";
import { Copy } from "../../parts/fields.js";
import { Empty } from "../../parts/load.js";
import { to } from "../../route.js";
import { quoted } from "../../words.js";

export function First(/** @type {{id: string}} */ { id }) {
  const command = `curl -i -d hello ${quoted(address(id || "NAME", "", true))}`;
  return html`
    <${Empty}>
      <p>No call yet. A call for later is answered at once, kept, and made until the function answers:</p>
      <p class="example"><code>${command}</code> <${Copy} text=${command} label="Copy the command" /></p>
      ${id && html`<p>Or <a href=${to(["function", id, "invoke"], { when: "later" })}>make one here</a>.</p>`}
    <//>
  `;
}
