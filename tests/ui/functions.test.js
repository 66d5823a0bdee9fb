// The list of functions: what it shows, what can be done in it, and that thousands do not slow it down.

import assert from "node:assert/strict";

import { axe } from "./harness/axe.js";
import { closedPort } from "./harness/closed.js";
import { Demo } from "./harness/demo.js";
import { HELLO } from "./harness/gateway.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

/** @typedef {import("playwright-core").Page} Page */

/** Bytes of the first visit until the list is shown, at most. */
const BUDGET = 150_000;
const MANY = 5000;
/** Rows that are in the page at once, at most. */
const ROWS = 120;
/** Milliseconds. A task that takes so long is seen and felt; the machine may be busy with other tests. */
const JANK = 200;
const AT_ONCE = 500;

const CONFIG = {
  provider: { namespaces: ["openfaas-fn", "staging"] },
  functions: {
    alpha: { process: "cat" },
    beta: { process: "cat" },
    failing: { process: "false" },
    hello: { process: HELLO, mode: "http" },
    stuck: { process: ["sh", "-c", "echo cannot find the dictionary >&2; exit 3"], mode: "http" },
    static: { upstream: "http://127.0.0.1:9" },
    "mailer.staging": { process: "cat" },
  },
};

portal("Functions", CONFIG, (test) => {
  test("every function is there, with its replicas and what is wrong with it", async ({ page, visit }) => {
    await visit();
    for (const name of ["alpha", "beta", "failing", "hello", "static", "mailer.staging"]) await row(page, name).waitFor();
    await cell(page, "hello", "Replicas").filter({ hasText: /^1$/ }).waitFor();
    await cell(page, "stuck", "Replicas").filter({ hasText: /^0 \/ 1$/ }).waitFor();
    await cell(page, "stuck", "Last error").filter({ hasText: "cannot find the dictionary" }).waitFor();
    await counted(page, "7").waitFor();
    await axe(page);
  });

  test("a name leads to the function", async ({ page, visit }) => {
    await visit();
    await page.getByRole("link", { name: "alpha" }).click();
    await page.getByRole("heading", { name: "alpha", level: 1 }).waitFor();
    await page.goBack();
    await row(page, "beta").waitFor();
  });

  test("a search is begun by a key, kept in the address, and says how many fit", async ({ page, visit }) => {
    await visit();
    await row(page, "alpha").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("HEL");
    await counted(page, "1 of 7").waitFor();
    assert.deepEqual(await names(page), ["hello.openfaas-fn"]);
    assert.match(page.url(), /search=HEL/);
    await page.keyboard.type("/x");
    await page.getByText("No function fits.").waitFor();
    assert.equal(await page.getByLabel("Search by name").inputValue(), "HEL/x", "within the field it is a letter");
    await page.getByRole("link", { name: "Show all" }).click();
    await row(page, "alpha").waitFor();
  });

  test("headers sort, and say so", async ({ page, visit, gateway }) => {
    for (let call = 0; call < 3; call++) await gateway.call("beta");
    await visit();
    const header = (/** @type {string} */ name) => page.getByRole("columnheader", { name });
    const sort = (/** @type {string} */ name) => header(name).getAttribute("aria-sort");
    await row(page, "alpha").waitFor();
    assert.equal(await sort("Name"), "ascending");
    const rising = await names(page);
    assert.deepEqual(rising, [...rising].sort());
    await header("Name").getByRole("button").click();
    assert.equal(await sort("Name"), "descending");
    assert.deepEqual(await names(page), [...rising].reverse());
    await header("Invocations").getByRole("button").click();
    assert.equal(await sort("Invocations"), "descending");
    assert.equal(await sort("Name"), null);
    await eventually("the one that was called is the first", async () => (await names(page))[0].startsWith("beta"));
    await page.reload();
    await row(page, "alpha").waitFor();
    assert.equal(await sort("Invocations"), "descending", "the address keeps it");
    await axe(page);
  });

  test("a namespace can be chosen", async ({ page, visit }) => {
    await visit();
    await page.getByLabel("Namespace").selectOption("staging");
    await counted(page, "1 of 7").waitFor();
    assert.deepEqual(await names(page), ["mailer.staging"]);
    await page.getByLabel("Namespace").selectOption("All namespaces");
    await counted(page, "7").waitFor();
  });

  test("calls are counted and drawn, and the last that failed is told", async ({ page, visit, gateway }) => {
    await visit();
    await row(page, "failing").waitFor();
    assert.equal(await row(page, "alpha").locator("polyline").count(), 0);
    for (let call = 0; call < 5; call++) await gateway.call("alpha", { body: "hi" });
    const response = await gateway.call("failing");
    assert.equal(response.status, 500);
    await cell(page, "alpha", "Invocations").filter({ hasText: /^5$/ }).waitFor();
    await row(page, "alpha").locator("polyline").waitFor({ state: "attached" });
    await cell(page, "failing", "Last error").filter({ hasText: "500" }).waitFor();
    await axe(page);
  });

  test("what is deployed, scaled and removed elsewhere is seen without a reload", async ({ page, visit, gateway }) => {
    await visit();
    await row(page, "alpha").waitFor();
    await page.evaluate(() => void (/** @type {any} */ (window).mark = "the same page"));
    await gateway.admin("POST", "/system/functions", { service: "newcomer", image: "none", envProcess: "cat" });
    await cell(page, "newcomer", "Replicas").filter({ hasText: /^1$/ }).waitFor();
    await gateway.admin("POST", "/system/scale-function/newcomer", { serviceName: "newcomer", replicas: 3 });
    await cell(page, "newcomer", "Replicas").filter({ hasText: /^3$/ }).waitFor();
    await gateway.admin("DELETE", "/system/functions", { functionName: "newcomer" });
    await row(page, "newcomer").waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => /** @type {any} */ (window).mark), "the same page");
  });

  test("a function is deleted after a question", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/functions", { service: "doomed", image: "none", envProcess: "cat" });
    await visit();
    await page.getByRole("button", { name: "Delete doomed" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete doomed" });
    await axe(page);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Delete doomed" }).click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("status").filter({ hasText: "is deleted" }).waitFor();
    await row(page, "doomed").waitFor({ state: "detached" });
    await assert.rejects(gateway.admin("GET", "/system/function/doomed"), /answered 404/);
  });

  test("that it could not be deleted is said in the question", async ({ page, visit, gateway, allow }) => {
    allow(/status of 507 .*\/system\/functions/);
    await page.route("**/system/functions?*", (route) =>
      route.request().method() === "DELETE" ? route.fulfill({ status: 507, json: { error: "no space left on the disk", reason: "storage_full" } }) : route.continue(),
    );
    await gateway.admin("POST", "/system/functions", { service: "stubborn", image: "none", envProcess: "cat" });
    await visit();
    await page.getByRole("button", { name: "Delete stubborn" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Delete" }).click();
    await dialog.getByRole("alert").filter({ hasText: "no space left on the disk" }).waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await row(page, "stubborn").waitFor();
    await gateway.admin("DELETE", "/system/functions", { functionName: "stubborn" });
    await row(page, "stubborn").waitFor({ state: "detached" });
  });

  test("what the configuration file declares is not deleted here, and says why", async ({ page, visit }) => {
    await visit();
    for (const name of ["alpha", "static"]) {
      const button = page.getByRole("button", { name: `Delete ${name}` });
      assert.ok(await button.isDisabled());
      assert.match((await button.getAttribute("title")) ?? "", /configuration file/);
    }
  });

  test("the first visit is small", async ({ page, visit }) => {
    const received = await transferred(page);
    await visit();
    await row(page, "alpha").waitFor();
    const all = [...received.values()];
    const sum = all.reduce((sum, { bytes }) => sum + bytes, 0);
    console.log(`first visit: ${sum} bytes in ${all.length} answers`);
    assert.ok(all.length > 5, "they were counted");
    assert.ok(sum < BUDGET, all.map(({ url, bytes }) => `${bytes} ${url}`).join("\n"));
  });
});

portal("A gateway without functions", {}, (test) => {
  test("the list says how to begin", async ({ page, visit }) => {
    await visit();
    await page.getByText("No function yet.").waitFor();
    await axe(page);
    await page.getByRole("link", { name: "Deploy one" }).click();
    await page.getByRole("heading", { name: /Deploy/ }).first().waitFor();
  });
});

portal(`${MANY} functions`, () => thousands(), (test) => {
  test("few of them are in the page at once, and scrolling is smooth", async ({ page, visit }) => {
    await visit();
    await row(page, item(1)).waitFor();
    await measure(page);
    const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
    await page.mouse.move(width / 2, height / 2);
    await eventually("the end is reached", async () => {
      await page.mouse.wheel(0, 1600);
      return page.evaluate(() => scrollY + innerHeight >= document.documentElement.scrollHeight - 1);
    }, 60_000);
    await row(page, item(MANY)).waitFor();
    const { frames, tasks, rows } = await measured(page);
    frames.sort((a, b) => a - b);
    const at = (/** @type {number} */ part) => Math.round(frames[Math.floor((frames.length - 1) * part)]);
    console.log(`${frames.length} frames: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(1)} ms; long tasks: ${tasks.map(Math.round).join(", ") || "none"}; rows: ${rows}`);
    assert.ok(frames.length > 50, "it was scrolled in many frames");
    assert.ok(rows > 10 && rows < ROWS, `${rows} rows`);
    assert.ok(Math.max(0, ...tasks) < JANK, `a task took ${Math.max(...tasks)} ms`);
    await page.keyboard.press("Home");
    await row(page, item(1)).waitFor();
  });

  test("a search among them is answered at once", async ({ page, visit }) => {
    await visit();
    await row(page, item(1)).waitFor();
    await page.getByLabel("Search by name").focus();
    await measure(page);
    // How long it takes from a key until what it asks for is drawn.
    const took = await page.evaluate(async () => {
      const field = /** @type {HTMLInputElement} */ (document.activeElement);
      const begun = performance.now();
      field.value = "item-4321";
      field.dispatchEvent(new Event("input", { bubbles: true }));
      const isDone = () => document.querySelector("h1")?.textContent?.includes("1 of ");
      while (!isDone()) await new Promise((resolve) => requestAnimationFrame(resolve));
      return performance.now() - begun;
    });
    console.log(`search: ${Math.round(took)} ms`);
    assert.deepEqual(await names(page), ["item-4321.openfaas-fn"]);
    assert.ok(took < AT_ONCE, `${took} ms`);
    await page.getByLabel("Search by name").fill("");
    await page.keyboard.type("item-12");
    await counted(page, `100 of ${MANY.toLocaleString("en")}`).waitFor();
    const { tasks } = await measured(page);
    assert.ok(Math.max(0, ...tasks) < JANK, `a task took ${Math.max(...tasks)} ms`);
  });

  test("they are sorted at once, and what happens to one is seen", async ({ page, visit, gateway, allow }) => {
    allow(/status of 502/);
    await visit();
    await row(page, item(1)).waitFor();
    await page.getByRole("columnheader", { name: "Invocations" }).getByRole("button").click();
    await gateway.call("item-3333");
    await eventually("the one that was called is the first", async () => (await names(page))[0] === "item-3333.openfaas-fn");
    await axe(page);
  });
});

portal("The functions of a busy gateway", () => Demo.start({ minutes: 5 }), (test) => {
  test("their picture", async ({ page, visit }) => {
    await visit();
    await row(page, "checkout").locator("polyline").waitFor({ state: "attached" });
    await axe(page);
    await shot(page, "functions");
  });
});

/** A function's row. */
const row = (/** @type {Page} */ page, /** @type {string} */ name) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: false }) });

/** How many functions are shown, as the heading says it. */
const counted = (/** @type {Page} */ page, /** @type {string} */ words) => page.getByRole("status").filter({ hasText: new RegExp(`^${words}$`) });

/** What stands under a heading in a function's row. */
const cell = (/** @type {Page} */ page, /** @type {string} */ name, /** @type {string} */ heading) =>
  row(page, name).getByRole("cell").nth(["Replicas", "Calls / s", "Invocations", "Last error"].indexOf(heading));

/** The functions that are shown, in order. */
const names = (/** @type {Page} */ page) =>
  page.locator("tbody th a").evaluateAll((links) => links.map((link) => decodeURIComponent(/** @type {HTMLAnchorElement} */ (link).hash.split("/")[2])));

const item = (/** @type {number} */ number) => `item-${String(number).padStart(4, "0")}`;

async function thousands() {
  const upstream = `http://127.0.0.1:${await closedPort()}`;
  const functions = Array.from({ length: MANY }, (_, index) => [item(index + 1), { upstream }]);
  return withConfig({ functions: Object.fromEntries(functions) });
}

/** Bytes that come over the wire from now on, heads of answers too. */
async function transferred(/** @type {Page} */ page) {
  const network = await page.context().newCDPSession(page);
  const received = /** @type {Map<string, {url: string, bytes: number}>} */ (new Map());
  network.on("Network.responseReceived", ({ requestId, response }) => received.set(requestId, { url: response.url, bytes: response.encodedDataLength }));
  network.on("Network.dataReceived", ({ requestId, encodedDataLength }) => {
    const answer = received.get(requestId);
    if (answer) answer.bytes += encodedDataLength;
  });
  network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    const answer = received.get(requestId);
    if (answer) answer.bytes = encodedDataLength;
  });
  await network.send("Network.enable");
  return received;
}

/** Begins to note how long frames and tasks take, and how many rows there are. */
const measure = (/** @type {Page} */ page) =>
  page.evaluate(() => {
    const noted = { frames: /** @type {number[]} */ ([]), tasks: /** @type {number[]} */ ([]), rows: 0 };
    const observer = new PerformanceObserver((list) => noted.tasks.push(...list.getEntries().map(({ duration }) => duration)));
    observer.observe({ type: "longtask" });
    let last = performance.now();
    const frame = (/** @type {number} */ now) => {
      noted.frames.push(now - last);
      last = now;
      noted.rows = Math.max(noted.rows, document.querySelectorAll("tbody tr:not(.room)").length);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    /** @type {any} */ (window).noted = noted;
  });

/** @returns {Promise<{frames: number[], tasks: number[], rows: number}>} */
const measured = (/** @type {Page} */ page) => page.evaluate(() => /** @type {any} */ (window).noted);
