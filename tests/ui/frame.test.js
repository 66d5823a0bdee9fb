// What all pages share: the keyboard, themes, phones, a path prefix, and a gateway that comes and goes.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";

import { axe } from "./harness/axe.js";
import { closedPort, providerThatIsDown } from "./harness/closed.js";
import { CREDENTIALS, Gateway } from "./harness/gateway.js";
import { portal, withConfig } from "./harness/portal.js";
import { eventually } from "./harness/wait.js";

/** @typedef {import("playwright-core").Page} Page */

const LONG = `a-function-whose-name-is-as-long-as-a-name-may-be-${"x".repeat(13)}`;
const FUNCTIONS = { echo: { process: "cat" }, hello: { process: "cat" }, [LONG]: { process: "cat" } };

/** Every page, with what tells that it is there. */
const PAGES = /** @type {[string, string][]} */ ([
  ["", "Functions"],
  ["#/?search=nothing", "Functions"],
  ["#/function/echo.openfaas-fn", "echo"],
  ["#/function/echo.openfaas-fn/invoke", "echo"],
  ["#/function/echo.openfaas-fn/logs", "echo"],
  ["#/function/echo.openfaas-fn/async", "echo"],
  ["#/function/echo.openfaas-fn/scaling", "echo"],
  ["#/function/echo.openfaas-fn/configuration", "echo"],
  [`#/function/${LONG}.openfaas-fn`, LONG],
  ["#/deploy", "Deploy"],
  ["#/async", "Async"],
  ["#/secrets", "Secrets"],
  ["#/system", "System"],
  ["docs.html", "API"],
]);

portal("The frame", { functions: FUNCTIONS }, (test) => {
  test("everything can be reached by the keyboard", async ({ page, visit }) => {
    await visit();
    await link(page, "echo").waitFor();
    await page.keyboard.press("Tab");
    const skip = page.getByRole("link", { name: "Skip to the content" });
    assert.equal(await focused(page), "Skip to the content");
    assert.ok(((await skip.boundingBox())?.y ?? -1) >= 0, "it is seen while it has the focus");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement?.closest("main")), "the next stop is in the content");

    await page.reload();
    await link(page, "echo").waitFor();
    const stops = [];
    for (let stop = 0; stop < 8; stop++) {
      await page.keyboard.press("Tab");
      stops.push(await focused(page));
    }
    assert.deepEqual(stops.slice(0, 7), ["Skip to the content", "gateway", "Functions", "Async", "Secrets", "System", "API"]);
    assert.match(stops[7], /^Colours/);
    await page.keyboard.press("Enter");
    assert.equal(await theme(page), "dark");
    for (let stop = 0; stop < 3; stop++) await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Secrets", level: 1 }).waitFor();
  });

  test("a question keeps the focus, and gives it back", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/functions", { service: "asked-about", image: "none", envProcess: "cat" });
    await visit();
    const button = page.getByRole("button", { name: "Delete asked-about" });
    await button.focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    for (let stop = 0; stop < 6; stop++) {
      await page.keyboard.press("Tab");
      const inside = await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest("dialog") !== null);
      assert.ok(inside, "the page below is out of reach");
    }
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await focused(page), await button.getAttribute("aria-label"));
    await page.keyboard.press("Enter");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(await focused(page), await button.getAttribute("aria-label"));
  });

  test("a question stays until it is done, and what failed is not lost", async ({ page, visit, gateway, allow }) => {
    allow(/status of 500 .*\/system\/functions/);
    await gateway.admin("POST", "/system/functions", { service: "kept", image: "none", envProcess: "cat" });
    await visit();
    let fail = () => {};
    const asked = new Promise((resolve) => {
      page.route("**/system/functions?**", async (route) => {
        if (route.request().method() !== "DELETE") return route.continue();
        fail = () => void route.fulfill({ status: 500, body: "it will not go" });
        resolve(null);
      });
    });
    await page.getByRole("button", { name: "Delete kept" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Delete" }).click();
    await asked;
    assert.ok(await dialog.getByRole("button", { name: "Cancel" }).isDisabled());
    await page.keyboard.press("Escape");
    assert.ok(await dialog.isVisible());
    // The browser closes it when Escape is pressed once more, whatever the page says.
    await page.evaluate(() => document.querySelector("dialog")?.close());
    // Closed, it has no role any more; the portal hears of it a moment later.
    await page.locator("dialog").waitFor({ state: "detached" });
    fail();
    await page.getByRole("alert").getByText("it will not go").waitFor();
    for (let more = 0; more < 5; more++) await page.evaluate(async () => (await import(new URL("parts/toast.js", location.href).href)).say("done"));
    assert.ok(await page.getByRole("alert").getByText("it will not go").isVisible());
  });

  test("back leads to where a page was left, and a link to the top of another", async ({ page, visit }) => {
    await page.setViewportSize({ width: 900, height: 220 });
    await visit();
    await link(page, "hello").waitFor();
    const left = await page.evaluate(() => (scrollTo(0, 90), scrollY));
    assert.equal(left, 90);
    // As it is: a click of the mouse would scroll to it first.
    await link(page, "hello").evaluate((/** @type {HTMLElement} */ element) => element.click());
    await page.getByRole("heading", { name: "hello", level: 1 }).waitFor();
    assert.equal(await page.evaluate(() => scrollY), 0);
    await page.goBack();
    await link(page, "hello").waitFor();
    await eventually("it is where it was", () => page.evaluate(() => scrollY === 90));
  });

  test("the theme is the system's until another is chosen, which is kept", async ({ page, visit }) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const turn = page.getByRole("button", { name: /^Colours/ });
    await page.emulateMedia({ colorScheme: "light" });
    await visit();
    await link(page, "echo").waitFor();
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    assert.notEqual(light, dark);
    await turn.click();
    await page.emulateMedia({ colorScheme: "light" });
    assert.equal(await ground(), dark, "dark was chosen");
    await page.reload();
    await page.getByRole("button", { name: "Colours: dark" }).waitFor();
    assert.equal(await ground(), dark, "it is kept");
    await turn.click();
    await page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await ground(), light, "light was chosen");
    await turn.click();
    await page.getByRole("button", { name: "Colours: as the system" }).waitFor();
    assert.equal(await ground(), dark, "the system's again");
  });

  test("each page has a title, is marked in the head, and is without grave faults", async ({ page, visit }) => {
    for (const [address, heading] of PAGES) {
      await open(page, visit, address, heading);
      assert.match(await page.title(), / · gateway$/, address);
      const marked = page.getByRole("navigation", { name: "Portal" }).locator("[aria-current=page]");
      assert.equal(await marked.count(), 1, address);
      await axe(page);
    }
  });

  test("no page is wider than a phone", async ({ page, visit }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    for (const [address, heading] of [...PAGES, /** @type {const} */ (["#/nowhere", ""])]) {
      await open(page, visit, address, heading);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 360, `${address} is ${width} wide: ${await wide(page)}`);
    }
  });

  test("an unknown page and an unknown function lead back", async ({ page, visit }) => {
    for (const [address, words] of [["#/nowhere", "There is no such page."], ["#/function/nobody.openfaas-fn", "There is no function nobody.openfaas-fn."]]) {
      await visit(address);
      await page.getByText(words).waitFor();
      await axe(page);
      await page.getByRole("link", { name: "To the functions" }).click();
      await link(page, "echo").waitFor();
    }
  });

  test("two tabs see what is done in either", async ({ page, visit, gateway }) => {
    const other = await page.context().newPage();
    await visit();
    await other.goto(gateway.portal);
    for (const tab of [page, other]) await pulse(tab, "Live");
    await gateway.admin("POST", "/system/functions", { service: "shared", image: "none", envProcess: "cat" });
    for (const tab of [page, other]) await link(tab, "shared").waitFor();
    await other.getByRole("button", { name: "Delete shared" }).click();
    await other.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    for (const tab of [page, other]) await link(tab, "shared").waitFor({ state: "detached" });
  });

  test("a slow answer is taken, and not asked for again meanwhile", async ({ page, visit }) => {
    let asked = 0;
    /** @type {(value: any) => void} */
    let go = () => {};
    const gate = new Promise((resolve) => void (go = resolve));
    await page.route("**/system/history", async (route) => {
      asked += 1;
      await gate;
      await route.fulfill({ json: { step_seconds: 60, until: new Date().toISOString(), functions: [{ id: "echo.openfaas-fn", calls_per_second: [0, 5, 1] }] } });
    });
    await page.clock.install();
    await visit();
    await link(page, "echo").waitFor();
    await eventually("it is asked for", () => asked > 0);
    for (let tick = 0; tick < 3; tick++) await page.clock.fastForward(5_000);
    assert.equal(asked, 1);
    go(null);
    await page.locator("svg.sparkline polyline").first().waitFor();
  });

  test("a tab that is not seen keeps no stream", async ({ page, visit }) => {
    const streams = { begun: 0, ended: 0 };
    const isStream = (/** @type {import("playwright-core").Request} */ request) => request.url().endsWith("/system/events");
    page.on("request", (request) => void (streams.begun += Number(isStream(request))));
    page.on("requestfailed", (request) => void (streams.ended += Number(isStream(request))));
    await visit();
    await pulse(page, "Live");
    const hide = (/** @type {boolean} */ hidden) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await hide(true);
    await eventually("the stream has ended", () => streams.ended === 1);
    assert.equal(streams.begun, 1);
    await hide(false);
    await eventually("another one has begun", () => streams.begun === 2);
    await pulse(page, "Live");
  });
});

portal("The portal behind a path prefix", () => withConfig({ functions: FUNCTIONS }, { prefix: "/gw/" }), (test) => {
  test("all pages work, and ask for nothing above it", async ({ page, visit, gateway }) => {
    assert.match(gateway.portal, /\/gw\/ui\/$/);
    const above = /** @type {string[]} */ ([]);
    page.on("request", (request) => void (new URL(request.url()).pathname.startsWith("/gw/") || above.push(request.url())));
    for (const [address, heading] of PAGES) await open(page, visit, address, heading);
    await visit();
    await pulse(page, "Live");
    await link(page, "echo").waitFor();
    assert.deepEqual(above, []);
  });

  test("a function can be called and deleted", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/functions", { service: "far", image: "none", envProcess: "cat" });
    await visit("#/function/far.openfaas-fn/invoke");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await page.getByText(/^200/).first().waitFor();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("far.openfaas-fn is deleted").waitFor();
    await link(page, "echo").waitFor();
    await link(page, "far").waitFor({ state: "detached" });
  });
});

portal("Without the event stream", { functions: FUNCTIONS }, (test) => {
  for (const [what, answer, fault] of /** @type {[string, (route: import("playwright-core").Route) => Promise<void>, RegExp][]} */ ([
    ["is refused", (route) => route.fulfill({ status: 503, body: "too many listen" }), /status of 503 .*\/system\/events/],
    ["does not get through", (route) => route.abort("connectionfailed"), /ERR_CONNECTION_FAILED.*\/system\/events/],
  ])) {
    test(`the list is asked for where it ${what}`, async ({ page, visit, gateway, allow }) => {
      allow(fault);
      await page.route("**/system/events", answer);
      await visit();
      await pulse(page, "Polling");
      await link(page, "echo").waitFor();
      await gateway.admin("POST", "/system/functions", { service: "late", namespace: "openfaas-fn", image: "none", envProcess: "cat" });
      await link(page, "late").waitFor();
      await gateway.admin("DELETE", "/system/functions", { functionName: "late" });
      await link(page, "late").waitFor({ state: "detached" });
      await axe(page);
    });
  }

  test("the list is asked for where it opens and says nothing, and the configuration for the rest", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/functions", { service: "own", image: "none", envProcess: "cat" });
    await page.route("**/system/events", () => {});
    await visit();
    await pulse(page, "Polling");
    assert.ok(await page.getByRole("button", { name: "Delete echo" }).isDisabled(), "it is declared");
    assert.ok(await page.getByRole("button", { name: "Delete own" }).isEnabled());
    await page.getByRole("link", { name: "Deploy", exact: true }).click();
    await page.getByRole("link", { name: "Custom" }).click();
    await page.getByLabel("Command", { exact: true }).waitFor();
    await page.unrouteAll({ behavior: "ignoreErrors" });
  });

  test("the stream is taken up again by itself", async ({ page, visit, allow }) => {
    allow(/ERR_CONNECTION_FAILED.*\/system\/events/);
    await page.route("**/system/events", (route) => route.abort("connectionfailed"));
    await visit();
    await pulse(page, "Polling");
    await page.unroute("**/system/events");
    await pulse(page, "Live");
  });
});

const listen = `127.0.0.1:${await closedPort()}`;

portal("A gateway that ends and comes back", () => withConfig({ server: { listen }, functions: FUNCTIONS }), (test) => {
  test("it is seen to be offline, and to be back, without a reload", async ({ page, visit, gateway, allow }) => {
    allow(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|status of 502/);
    await visit();
    await pulse(page, "Live");
    await link(page, "echo").waitFor();
    await page.evaluate(() => void (/** @type {any} */ (window).mark = "the same page"));
    await gateway.kill();
    await pulse(page, "Offline");
    const banner = page.getByRole("alert").filter({ hasText: "The gateway does not answer" });
    await banner.getByText(/What is shown is of \d\d:\d\d:\d\d\./).waitFor();
    assert.match((await page.getByText("Offline", { exact: true }).getAttribute("title")) ?? "", /^Last heard from/);
    await link(page, "echo").waitFor();
    await axe(page);
    const again = await Gateway.start({ server: { listen }, functions: { ...FUNCTIONS, newer: { process: "cat" } } });
    try {
      await link(page, "newer").waitFor();
      await banner.waitFor({ state: "hidden" });
      await page.getByText(/^(Live|Polling)$/).waitFor();
      assert.equal(await page.evaluate(() => /** @type {any} */ (window).mark), "the same page");
    } finally {
      await again.stop();
    }
  });
});

portal("A gateway that cannot be reached any more", { functions: FUNCTIONS }, (test) => {
  test("a stream that has fallen silent is found out", async ({ browser, gateway }) => {
    const line = await Line.to(gateway.url);
    const context = await browser.newContext({ httpCredentials: CREDENTIALS });
    try {
      const page = await context.newPage();
      await page.clock.install();
      await page.goto(`${line.url}/ui/`);
      await pulse(page, "Live");
      line.cut();
      await eventually("it is offline", async () => {
        await page.clock.fastForward(20_000);
        return page.getByText("Offline", { exact: true }).isVisible();
      });
      await line.mend();
      await eventually("it is live", async () => {
        await page.clock.fastForward(5_000);
        return page.getByText("Live", { exact: true }).isVisible();
      });
    } finally {
      await context.close();
      await line.end();
    }
  });
});

portal("A provider that is down", async () => withConfig({ provider: await providerThatIsDown(), functions: { report: { upstream: "http://127.0.0.1:9" } } }), (test) => {
  test("every page says so, and offers nothing that needs it", async ({ page, visit, allow }) => {
    allow(/status of 50[24] .*\/system\//);
    const banner = page.getByRole("alert").filter({ hasText: "The provider cannot be reached" });
    await visit();
    await banner.waitFor();
    await axe(page);
    assert.equal(await page.getByRole("link", { name: "Deploy", exact: true }).getAttribute("aria-disabled"), "true");
    assert.ok(await page.getByRole("button", { name: "Delete report" }).isDisabled());
    await link(page, "report").click();
    await page.getByRole("heading", { name: "report", level: 1 }).waitFor();
    await banner.waitFor();
    assert.ok(await page.getByRole("button", { name: "Delete", exact: true }).isDisabled());
    for (const address of ["#/secrets", "#/system", "#/deploy"]) {
      await visit(address);
      await banner.waitFor();
      await axe(page);
    }
  });
});

/** A way to the gateway that can be cut: those on it hear nothing any more, and nobody else gets on it. */
class Line {
  #server;
  /** @type {Set<net.Socket>} */
  #ends = new Set();
  url = "";

  static async to(/** @type {string} */ target) {
    const line = new Line(target);
    await line.mend();
    return line;
  }

  constructor(/** @type {string} */ target) {
    const { hostname, port } = new URL(target);
    this.#server = net.createServer((near) => {
      const far = net.connect(Number(port), hostname);
      for (const [from, into] of [[near, far], [far, near]]) {
        this.#ends.add(from);
        from.pipe(into);
        from.on("error", () => into.destroy());
        from.on("close", () => this.#ends.delete(from));
      }
    });
  }

  cut() {
    this.#server.close();
    for (const end of this.#ends) end.unpipe().pause();
  }

  async mend() {
    for (const end of this.#ends) end.destroy();
    const { port = "0" } = this.url ? new URL(this.url) : {};
    await once(this.#server.listen(Number(port), "127.0.0.1"), "listening");
    this.url = `http://127.0.0.1:${/** @type {net.AddressInfo} */ (this.#server.address()).port}`;
  }

  async end() {
    for (const end of this.#ends) end.destroy();
    if (this.#server.listening) await once(this.#server.close(), "close");
  }
}

const link = (/** @type {Page} */ page, /** @type {string} */ name) => page.getByRole("rowheader").getByRole("link", { name, exact: true });

/** Waits until the head says how the portal hears from the gateway. */
const pulse = (/** @type {Page} */ page, /** @type {string} */ word) => page.getByRole("banner").getByText(word, { exact: true }).waitFor();

const theme = (/** @type {Page} */ page) => page.evaluate(() => document.documentElement.dataset.theme);

/** What has the focus is called. */
const focused = (/** @type {Page} */ page) =>
  page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent?.trim() ?? "");

/**
 * Opens a page, and waits until it shows what it has.
 * @param {Page} page
 * @param {(below?: string) => Promise<void>} visit
 * @param {string} address
 * @param {string} heading
 */
async function open(page, visit, address, heading) {
  await visit(address);
  if (heading) await page.getByRole("heading", { level: 1 }).filter({ hasText: heading }).waitFor();
  await page.getByText("Loading…").first().waitFor({ state: "detached" });
}

/** Elements that reach beyond the right edge. */
const wide = (/** @type {Page} */ page) =>
  page.evaluate(() => {
    const all = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > innerWidth + 1);
    return all.slice(0, 5).map((element) => `<${element.tagName.toLowerCase()} class="${element.className}">`).join(" ");
  });
