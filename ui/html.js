// What a page is made of, in one import: markup as `html` templates, components and hooks.

import { h, render } from "./vendor/preact.js";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

/** Markup: html`<p class="note">${text}</p>`; components are named as <${Name} key=value />. */
export const html = htm.bind(h);

export { render };
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState };
