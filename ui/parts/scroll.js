// How far each page of the history was scrolled: back and forward lead to where it was left. The browser would
// scroll before the rows are there.

import { here } from "../route.js";

/** For so long a page may take to get as long as it was. */
const PATIENCE_MS = 3000;
/** What people scroll with: from then on it is theirs. */
const BY_HAND = ["wheel", "touchstart", "pointerdown", "keydown"];

/** @type {Map<string, number>} by the key that an entry of the history has in its state */
const heights = new Map();
let entry = "";
let page = "";
/** Where the page is still to be scrolled to. */
let wanted = -1;

/** Begins to keep them. */
export function keepPlaces() {
  history.scrollRestoration = "manual";
  entry = history.state?.key ?? mark();
  page = pageOf();
  addEventListener("scroll", note, { passive: true });
  for (const type of BY_HAND) addEventListener(type, () => void (wanted = -1), { passive: true, capture: true });
  addEventListener("hashchange", moved);
}

function note() {
  if (wanted < 0) heights.set(entry, scrollY);
}

function moved() {
  if (history.state?.key === entry) return;
  note(); // The page that is left is still there.
  const left = page;
  page = pageOf();
  if (!history.state?.key) {
    entry = mark();
    wanted = -1;
    // Another tab of the same page is looked at from where one is.
    if (page !== left) scrollTo(0, 0);
    return;
  }
  entry = history.state.key;
  restore(heights.get(entry) ?? 0);
}

function restore(/** @type {number} */ height) {
  const [mine, until] = [entry, performance.now() + PATIENCE_MS];
  wanted = height;
  const look = () => {
    if (entry !== mine || wanted < 0) return;
    scrollTo(0, height);
    if (Math.abs(scrollY - height) > 1 && performance.now() < until) requestAnimationFrame(look);
    else wanted = -1;
  };
  // By then the page is drawn.
  requestAnimationFrame(look);
}

/** What is shown: a page, or one function. */
const pageOf = () => here().path.slice(0, 2).join("/");

/** Gives the entry a key. */
function mark() {
  const key = `${Date.now()}-${Math.random()}`;
  history.replaceState({ key }, "");
  return key;
}
