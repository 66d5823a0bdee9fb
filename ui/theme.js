// Light or dark: as the system has it, unless somebody chose otherwise on this machine.

import { html, useState } from "./html.js";

const KEY = "theme";
const NEXT = /** @type {Record<string, string>} */ ({ "": "dark", dark: "light", light: "" });
const SIGNS = /** @type {Record<string, string>} */ ({ "": "◐", dark: "☾", light: "☀" });
const NAMES = /** @type {Record<string, string>} */ ({ "": "as the system", dark: "dark", light: "light" });

export function applyTheme(theme = chosen()) {
  document.documentElement.dataset.theme = theme;
}

export function ThemeButton() {
  const [theme, setTheme] = useState(chosen);
  const turn = () => {
    const next = NEXT[theme];
    keep(next);
    setTheme(next);
    applyTheme(next);
    dispatchEvent(new Event("theme")); // Charts are drawn with the colours they were made with.
  };
  return html`<button type="button" class="quiet" title="Colours: ${NAMES[theme]}" aria-label="Colours: ${NAMES[theme]}" onClick=${turn}>${SIGNS[theme]}</button>`;
}

function chosen() {
  try {
    const theme = localStorage.getItem(KEY) ?? "";
    return theme in NEXT ? theme : "";
  } catch {
    return ""; // Storage may be forbidden.
  }
}

function keep(/** @type {string} */ theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It then holds until the page is left.
  }
}
