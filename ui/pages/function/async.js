import { html } from "../../html.js";

export const Tab = (/** @type {{id: string, row: import("../../live.js").Row}} */ { id }) => html`<p>${id}</p>`;
