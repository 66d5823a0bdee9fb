import { html } from "../html.js";

export const Page = () => html`<h1>async</h1>`;
