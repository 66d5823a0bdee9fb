// Tests of the portal's pages: each has a page of its own in a browser, logged in, and fails on any
// fault there beside what it asserts itself.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { launch } from "./browser.js";
import { Faults } from "./faults.js";
import { CREDENTIALS, Gateway } from "./gateway.js";
import { SIZE } from "./shot.js";
import { PATIENCE } from "./wait.js";

/**
 * @typedef {object} Fixture what a test is given
 * @property {Gateway} gateway
 * @property {import("playwright-core").Page} page
 * @property {(below?: string) => Promise<void>} visit opens a page below /ui/
 * @property {(pattern: RegExp) => void} allow lets faults happen that the test brings about itself
 * @property {import("playwright-core").Browser} browser
 */

/**
 * A running gateway, or more around one.
 * @typedef {{ gateway: Gateway, stop: () => Promise<void> }} Served
 */

/**
 * The tests of one page, which share a gateway and a browser.
 * @param {string} name
 * @param {Record<string, any> | (() => Promise<Served>)} served the gateway's configuration, or what starts it
 * @param {(test: (behaviour: string, body: (fixture: Fixture) => Promise<void>) => void) => void} define
 */
export function portal(name, served, define) {
  describe(name, () => {
    /** @type {Served} */
    let running;
    /** @type {import("playwright-core").Browser} */
    let browser;
    before(async () => {
      browser = await launch();
      running = await (typeof served === "function" ? served() : withConfig(served));
    });
    after(async () => {
      await browser?.close();
      await running?.stop();
    });
    define((behaviour, body) => {
      it(behaviour, { timeout: PATIENCE * 6 }, () => inPage(browser, running.gateway, body));
    });
  });
}

/**
 * A gateway alone, for `portal`.
 * @param {Record<string, any>} config
 * @param {{ prefix?: string }} options
 * @returns {Promise<Served>}
 */
export async function withConfig(config, options = {}) {
  const gateway = await Gateway.start(config, options);
  return { gateway, stop: () => gateway.stop() };
}

/**
 * Runs a test in a new page, and fails on the page's faults too.
 * @param {import("playwright-core").Browser} browser
 * @param {Gateway} gateway
 * @param {(fixture: Fixture) => Promise<void>} body
 */
export async function inPage(browser, gateway, body) {
  const context = await browser.newContext({ httpCredentials: CREDENTIALS, viewport: SIZE, locale: "en-US", timezoneId: "UTC" });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = new Faults(page, gateway.url);
  const visit = async (below = "") => {
    await page.goto(gateway.portal + below);
  };
  try {
    await body({ browser, gateway, page, visit, allow: (pattern) => faults.allow(pattern) });
    await page.evaluate(() => "what was reported before has arrived");
    assert.deepEqual(faults.found, [], "the page has no faults");
  } catch (error) {
    await explain(page, gateway, faults);
    throw error;
  } finally {
    await context.close();
  }
}

/**
 * Tells what was to be seen when a test failed.
 * @param {import("playwright-core").Page} page
 * @param {Gateway} gateway
 * @param {Faults} faults
 */
async function explain(page, gateway, faults) {
  const seen = await page.locator("body").ariaSnapshot({ timeout: 2_000 }).catch((error) => `nothing: ${error.message}`);
  console.error(`--- the page ${page.url()}
${seen}
--- its faults
${faults.found.join("\n")}
--- the gateway's last lines
${gateway.output.split("\n").slice(-30).join("\n")}`);
}
