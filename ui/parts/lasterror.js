// The last error of a function in a line: what it was, why, and when.

import { html } from "../html.js";
import { ago, moment } from "../words.js";

export function LastError(/** @type {{error: NonNullable<import("../live.js").Row["last_error"]>}} */ { error }) {
  const why = error.reason?.replaceAll("_", " ") ?? "by the function";
  const title = [moment(error.at), error.call_id && `call ${error.call_id}`].filter(Boolean).join(", ");
  return html`<span title=${title}><b class="bad">${error.status}</b> ${why} · ${ago(error.at)}</span>`;
}
