// The slash key leads to the search, as in many places.

import { useEffect, useRef } from "../html.js";

/** A reference for the field that it leads to; while something is typed elsewhere it is a slash. */
export function useSlash() {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    const slash = (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || /** @type {Element} */ (event.target).closest("input, textarea, select, dialog")) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", slash);
    return () => removeEventListener("keydown", slash);
  }, []);
  return field;
}
