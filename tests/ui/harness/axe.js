// Accessibility, judged by axe-core.

import axeCore from "axe-core";

/** What axe calls so is a fault of ours. */
const GRAVE = ["serious", "critical"];

/**
 * Fails where axe finds grave faults in the page as it is now, light and dark.
 * @param {import("playwright-core").Page} page
 */
export async function axe(page) {
  const faults = [];
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await settled(page);
    for (const violation of await violations(page)) faults.push(`${colorScheme}: ${told(violation)}`);
  }
  await page.emulateMedia({ colorScheme: null });
  if (faults.length > 0) throw new Error(`axe finds faults at ${page.url()}:\n${faults.join("\n")}`);
}

/**
 * Waits until what moves and fades has come to rest, and is drawn.
 * @param {import("playwright-core").Page} page
 */
export async function settled(page) {
  await page.evaluate(async () => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    await frame();
    const ends = document.getAnimations().filter(({ effect }) => effect?.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(ends.map(({ finished }) => finished));
    await frame();
  });
}

/**
 * @param {import("playwright-core").Page} page
 * @returns {Promise<import("axe-core").Result[]>}
 */
async function violations(page) {
  // The page's policy would refuse a script element; the debugger's own door is not asked.
  await page.evaluate(axeCore.source);
  const { violations } = await page.evaluate(() => {
    const { axe } = /** @type {any} */ (globalThis);
    return axe.run(document, { resultTypes: ["violations"] });
  });
  return violations.filter((/** @type {import("axe-core").Result} */ { impact }) => GRAVE.includes(impact ?? ""));
}

/** @param {import("axe-core").Result} violation */
function told({ id, impact, help, nodes }) {
  const places = nodes.map(({ target, html, failureSummary }) => {
    const why = (failureSummary ?? "").split("\n").slice(1).map((line) => line.trim()).join("; ");
    return `    ${target.join(" ")}: ${why}\n      ${html.slice(0, 200)}`;
  });
  return `${help} (${id}, ${impact})\n${places.join("\n")}`;
}
