// Pictures of the portal for the documentation.

import { fileURLToPath } from "node:url";

import { settled } from "./axe.js";

const IMAGES = fileURLToPath(new URL("../../../docs/images/", import.meta.url));

/** What a picture is as large as. */
export const SIZE = { width: 1280, height: 800 };

/**
 * Saves the page as it is now as docs/images/NAME-light.png and NAME-dark.png, where pictures are
 * asked for (`make screenshots`).
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
export async function shot(page, name) {
  if (!process.env.SCREENSHOTS) return;
  const before = page.viewportSize();
  await page.setViewportSize(SIZE);
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await settled(page);
    await page.screenshot({ path: `${IMAGES}${name}-${colorScheme}.png`, animations: "disabled", caret: "hide" });
  }
  await page.emulateMedia({ colorScheme: null });
  if (before) await page.setViewportSize(before);
}
