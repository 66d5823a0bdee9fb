// Which page the address asks for. Pages are fragments (`#/function/echo.openfaas-fn/logs`), so that the
// portal needs no rule in any proxy in front of it, can be bookmarked, and the back button works.

import { useEffect, useState } from "./html.js";

/**
 * @typedef {object} Place
 * @property {string[]} path the parts of the path, decoded
 * @property {URLSearchParams} query
 */

/** @returns {Place} */
export function here() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

/** A link to a page: `to(["function", id, "logs"])`. */
export function to(/** @type {string[]} */ path, /** @type {Record<string, string>} */ query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const tail = given.length > 0 ? `?${new URLSearchParams(given)}` : "";
  return `#/${path.map(encodeURIComponent).join("/")}${tail}`;
}

/** Goes to a page. `replace` leaves no trace in the history: for what is typed into a filter. */
export function go(/** @type {string} */ link, { replace = false } = {}) {
  if (!replace) {
    location.hash = link;
    return;
  }
  history.replaceState(history.state, "", link);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The current place; the component is shown again when it changes. */
export function usePlace() {
  const [place, set] = useState(here);
  useEffect(() => {
    const changed = () => set(here());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return place;
}

function decoded(/** @type {string} */ part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // A stray percent sign typed by hand leads nowhere, and breaks nothing.
  }
}
