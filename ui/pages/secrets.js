import { html } from "../html.js";

export const Page = () => html`<h1>secrets</h1>`;
