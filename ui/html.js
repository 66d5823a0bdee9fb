// What a page is made of, in one import: markup as `html` templates, components and hooks.

import { Component, Fragment, createContext, h, render } from "./vendor/preact.js";
import { useCallback, useContext, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

/** Markup: html`<p class="note">${text}</p>`; components are named as <${Name} key=value />. */
export const html = htm.bind(h);

export { Component, Fragment, createContext, render };
export { useCallback, useContext, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState };
