// The harness itself: a check that cannot fail checks nothing.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, it } from "node:test";

import { axe } from "./harness/axe.js";
import { launch } from "./harness/browser.js";
import { Faults } from "./harness/faults.js";
import { eventually } from "./harness/wait.js";

const POLICY = "default-src 'self'";
const GOOD = `<!doctype html><html lang="en"><title>Good</title><main><h1>Good</h1></main>`;

describe("The harness", () => {
  /** @type {import("playwright-core").Browser} */
  let browser;
  /** @type {http.Server} */
  let server;
  let url = "";
  let html = "";
  before(async () => {
    browser = await launch();
    server = http.createServer((request, response) => {
      const found = ["/", "/favicon.ico"].includes(request.url ?? "");
      response.writeHead(found ? 200 : 404, { "Content-Type": "text/html", "Content-Security-Policy": POLICY });
      response.end(request.url === "/" ? html : "");
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    url = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
  });
  after(async () => {
    await browser?.close();
    server.close();
    server.closeAllConnections();
  });

  /**
   * @param {string} content
   * @param {(page: import("playwright-core").Page, faults: Faults) => Promise<void>} body
   */
  async function shown(content, body) {
    html = content;
    const page = await browser.newPage();
    const faults = new Faults(page, url);
    await page.goto(url);
    await body(page, faults);
    await page.close();
  }

  it("finds nothing in a good page", () =>
    shown(GOOD, async (page, faults) => {
      await axe(page);
      assert.deepEqual(faults.found, []);
    }));

  for (const [what, brought, words] of /** @type {[string, () => void, RegExp][]} */ ([
    ["an exception", () => void setTimeout(() => { throw new Error("torn"); }), /exception: .*torn/],
    ["a promise that nobody waits for", () => void Promise.reject(new Error("lost")), /exception: .*lost/],
    ["an error in the console", () => console.error("odd"), /console: odd/],
    ["an answer that is an error", () => void fetch("/missing"), /console: .*404.*\/missing/],
    ["a script in the page", () => document.body.append(Object.assign(document.createElement("script"), { text: "1" })), /console: .*[Cc]ontent [Ss]ecurity [Pp]olicy/],
    ["a style in an attribute", () => document.body.setAttribute("style", "color: red"), /console: .*[Cc]ontent [Ss]ecurity [Pp]olicy/],
    ["a picture from elsewhere", () => void (new Image().src = "http://elsewhere.example/p.png"), /[Cc]ontent [Ss]ecurity [Pp]olicy|another host/],
    ["a way to elsewhere", () => void window.open("http://elsewhere.example/", "_self"), /another host: http:\/\/elsewhere/],
  ])) {
    it(`finds ${what}`, () =>
      shown(GOOD, async (page, faults) => {
        await page.evaluate(brought);
        const found = await eventually("a fault is found", () => faults.found[0]);
        assert.match(found, words);
        faults.allow(words);
        assert.ok(!faults.found.includes(found), "it can be allowed");
      }));
  }

  it("finds what some people cannot use", () =>
    shown(`${GOOD}<button></button>`, async (page) => {
      await assert.rejects(axe(page), /light: .*button-name, critical[^]*dark: .*button-name, critical/);
    }));

  it("finds what some people cannot read", () =>
    shown(`${GOOD}<p><font color="#bbb">pale</font>`, async (page) => {
      await assert.rejects(axe(page), /color-contrast, serious/);
    }));
});
