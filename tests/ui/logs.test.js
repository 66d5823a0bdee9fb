// The log of a function: what comes, what is searched for, and what happens when it breaks off.

import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";

import { axe } from "./harness/axe.js";
import { Demo } from "./harness/demo.js";
import { HELLO } from "./harness/gateway.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

const sh = (/** @type {string} */ script) => ["sh", "-c", script];

const FUNCTIONS = {
  // Writes into its log what it is told, and how often that was.
  parrot: { process: sh("cat >&2"), combine_output: false },
  quiet: { process: "cat" },
  counter: { process: sh("seq -f 'line %g of many' $(cat) >&2"), combine_output: false },
  crowd: { process: sh("seq -f 'line %g of many' $(cat) >&2"), combine_output: false },
  pair: { process: sh(`echo "replica at port $PORT"; exec ${HELLO}`), mode: "http", replicas: 2 },
  wide: { process: sh("head -c 3000 /dev/zero | tr '\\0' x >&2"), combine_output: false },
  colours: { process: sh(String.raw`printf '\033[31mred\033[0m alarm\n' >&2`), combine_output: false },
  elsewhere: { upstream: "http://127.0.0.1:9" },
};

/** @typedef {import("playwright-core").Page} Page */

const open = (/** @type {import("./harness/portal.js").Fixture["visit"]} */ visit, /** @type {string} */ name, query = "") =>
  visit(`#/function/${name}.openfaas-fn/logs${query}`);
const log = (/** @type {Page} */ page) => page.getByRole("log");
const line = (/** @type {Page} */ page, /** @type {string | RegExp} */ text) => log(page).getByText(text, typeof text === "string" ? { exact: true } : {});
const follows = (/** @type {Page} */ page) => log(page).waitFor();

/** Lines of the function's own, in the order in which they are shown. */
const lines = async (/** @type {Page} */ page, /** @type {RegExp} */ wanted) => (await log(page).innerText()).split("\n").filter((text) => wanted.test(text));

portal("Logs", { functions: FUNCTIONS }, (test) => {
  test("what was written is there, and what is written comes", async ({ page, visit, gateway }) => {
    await gateway.call("parrot", { body: "before" });
    await open(visit, "parrot");
    await line(page, "before").waitFor();
    await gateway.call("parrot", { body: "after" });
    await line(page, "after").waitFor();
    await axe(page);
  });

  test("a function that has written nothing says so", async ({ page, visit }) => {
    await open(visit, "quiet");
    await page.getByText("Nothing has been written yet.").waitFor();
    assert.ok(await page.getByRole("button", { name: "Save" }).isDisabled());
    await axe(page);
  });

  test("lines are searched, and what is found is marked", async ({ page, visit, gateway }) => {
    await gateway.call("parrot", { body: "a needle\nhay\nNeedles and a needle" });
    await open(visit, "parrot", "?search=needle");
    await log(page).locator("mark").first().waitFor();
    assert.deepEqual(await log(page).locator("mark").allInnerTexts(), ["needle", "Needle", "needle"]);
    assert.equal(await line(page, "hay").count(), 0);
    await page.getByRole("status").getByText(/2 of \d+ lines/).waitFor();
    await axe(page);
    await page.getByLabel("Only lines with it").uncheck();
    await line(page, "hay").waitFor();
    await page.getByLabel("Only lines with it").check();
    await page.getByLabel("Search the lines").fill("no such thing");
    await page.getByText("No line has no such thing in it.").waitFor();
    assert.match(page.url(), /search=no\+such\+thing/);
  });

  test("who searches for a call is told how its id gets into a line", async ({ page, visit, gateway }) => {
    const id = "0b5f5b0c-1111-4222-8333-444455556666";
    await gateway.call("parrot", { body: "nothing of the kind" });
    await open(visit, "parrot", `?search=${id}`);
    await page.getByText("only if the function writes it there").waitFor();
    await gateway.call("parrot", { body: `call ${id}` });
    await log(page).locator("mark", { hasText: id }).waitFor();
  });

  test("replicas can be told apart", async ({ page, visit }) => {
    await open(visit, "pair");
    await line(page, /replica at port/).nth(1).waitFor();
    const choice = page.getByLabel("Replica", { exact: true });
    const [, first, second] = await choice.getByRole("option").allInnerTexts();
    await log(page).getByText(first).first().waitFor();
    await log(page).getByText(second).first().waitFor();
    await choice.selectOption(first);
    await page.getByRole("status").getByText(/of \d+ lines/).waitFor();
    assert.equal(await line(page, /replica at port/).count(), 1);
  });

  test("a pause keeps what comes until it ends", async ({ page, visit, gateway }) => {
    await open(visit, "parrot");
    await follows(page);
    await page.getByRole("button", { name: "Pause" }).click();
    await gateway.call("parrot", { body: "meanwhile" });
    await page.getByText(/paused, \d+ lines? more by now/).waitFor();
    assert.equal(await line(page, "meanwhile").count(), 0);
    await axe(page);
    await page.getByRole("button", { name: "Resume" }).click();
    await line(page, "meanwhile").waitFor();
  });

  test("earlier lines are shown although it is paused, and lines that come are none of them", async ({ page, visit, gateway }) => {
    await gateway.call("crowd", { body: "150" });
    await open(visit, "crowd");
    await line(page, "line 150 of many").waitFor();
    // So that what comes now is not taken for what it begins with.
    await page.waitForTimeout(700);
    await gateway.call("crowd", { body: "100" });
    await page.getByRole("status").getByText(/^25\d lines$/).waitFor();
    assert.equal(await page.getByRole("button", { name: "Show earlier lines" }).count(), 0);
    await page.reload();
    await page.getByRole("status").getByText("200 lines", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Show earlier lines" }).click();
    await page.getByRole("status").getByText(/^25\d lines · paused$/).waitFor();
  });

  test("times and breaks of long lines can be had or not, and it can be cleared", async ({ page, visit, gateway }) => {
    await gateway.call("wide");
    await open(visit, "wide");
    await line(page, /^xxx/).waitFor();
    const overflows = () => log(page).evaluate((box) => box.scrollWidth > box.clientWidth + 1);
    assert.equal(await overflows(), false);
    await page.getByLabel("Wrap").uncheck();
    await eventually("the line goes on to the right", overflows);
    assert.match(await log(page).innerText(), /\d\d:\d\d:\d\d\.\d{3}/);
    await page.getByLabel("Times").uncheck();
    await log(page).locator("time").first().waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByText("Nothing has been written yet.").waitFor();
    await gateway.call("wide");
    await line(page, /^xxx/).waitFor();
  });

  test("colours of a terminal are left out", async ({ page, visit, gateway }) => {
    await gateway.call("colours");
    await open(visit, "colours");
    await line(page, "red alarm").waitFor();
  });

  test("what is shown can be saved", async ({ page, visit, gateway }) => {
    await gateway.call("parrot", { body: "keep this" });
    await open(visit, "parrot", "?search=keep");
    await log(page).locator("mark").waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save" }).click()]);
    assert.equal(download.suggestedFilename(), "parrot.openfaas-fn.log");
    assert.match(fs.readFileSync(await download.path(), "utf8"), /^\d{4}-\S+Z parrot-\S+ keep this\n$/);
  });

  test("of a flood the newest lines are kept, and only those in sight are in the page", async ({ page, visit, gateway }) => {
    await open(visit, "counter");
    await follows(page);
    // In portions that the gateway holds until they were read.
    for (let portion = 1; portion <= 11; portion++) {
      await gateway.call("counter", { body: String(500 + portion) });
      await line(page, `line ${500 + portion} of many`).waitFor();
    }
    await page.getByText("The newest 5,000 are kept here, older ones are gone.").waitFor();
    await page.getByRole("status").getByText("5,000 lines", { exact: true }).waitFor();
    assert.ok((await log(page).locator(".line").count()) < 200, "few lines are in the page");
  });

  test("who reads further up stays there, and gets back to the end", async ({ page, visit, gateway }) => {
    await gateway.call("counter", { body: "150" });
    await open(visit, "counter");
    await line(page, "line 150 of many").waitFor();
    await log(page).hover();
    await page.mouse.wheel(0, -1500);
    const jump = page.getByRole("button", { name: "Jump to the newest" });
    await jump.waitFor();
    const seen = () => log(page).evaluate((box) => {
      const { top } = box.getBoundingClientRect();
      return [...box.querySelectorAll(".line")].find((line) => line.getBoundingClientRect().top >= top)?.textContent;
    });
    let before = await seen();
    await eventually("the wheel has come to rest", async () => before === (before = await seen()));
    const counted = await page.getByRole("status").getByText(/lines/).innerText();
    await gateway.call("counter", { body: "20" });
    await eventually("more lines are counted", async () => (await page.getByRole("status").getByText(/lines/).innerText()) !== counted);
    assert.equal(await seen(), before);
    await axe(page);
    await jump.click();
    await line(page, "line 20 of many").waitFor();
    await jump.waitFor({ state: "hidden" });
    await gateway.call("counter", { body: "21" });
    await line(page, "line 21 of many").waitFor();
  });

  test("earlier lines can be asked for", async ({ page, visit, gateway }) => {
    await gateway.call("counter", { body: "300" });
    await open(visit, "counter");
    await page.getByRole("status").getByText("200 lines", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Show earlier lines" }).click();
    await eventually("there are more", async () => Number((await page.getByRole("status").getByText(/lines/).innerText()).replace(/\D/g, "")) > 200);
  });
});

/** What lies between the browser and the gateway, and can be cut. */
class Cable {
  /** @type {Set<net.Socket>} */
  #sockets = new Set();
  #server;
  whole = true;

  constructor(/** @type {string} */ target) {
    const { hostname, port } = new URL(target);
    this.#server = net.createServer((socket) => {
      if (!this.whole) return void socket.destroy();
      const far = net.connect(Number(port), hostname);
      for (const end of [socket, far]) {
        this.#sockets.add(end);
        end.on("error", () => {}).on("close", () => this.#sockets.delete(end));
      }
      socket.pipe(far).pipe(socket);
    });
  }

  async url() {
    await once(this.#server.listen(0, "127.0.0.1"), "listening");
    return `http://127.0.0.1:${/** @type {net.AddressInfo} */ (this.#server.address()).port}`;
  }

  cut() {
    this.whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  end() {
    this.cut();
    this.#server.close();
  }
}

/** @type {Cable} */
let cable;
/** Calls a function past the cable. */
let tell = async (/** @type {string} */ _name, /** @type {string} */ _body) => {};

async function cabled() {
  const { gateway } = await withConfig({ functions: FUNCTIONS });
  const direct = gateway.url;
  cable = new Cable(direct);
  gateway.url = await cable.url();
  tell = async (name, body) => void (await fetch(`${direct}/function/${name}`, { method: "POST", body }));
  const stop = async () => {
    cable.end();
    await gateway.stop();
  };
  return { gateway, stop };
}

portal("A log that breaks off", cabled, (test) => {
  const BROKEN = /net::ERR_/;

  test("it is taken up where it was", async ({ page, visit, allow }) => {
    allow(BROKEN);
    await tell("parrot", "number 1");
    await open(visit, "parrot", "?search=number");
    await log(page).getByText("number 1").waitFor();
    cable.cut();
    await page.getByText(/It is asked for again/).waitFor();
    await tell("parrot", "number 2");
    cable.whole = true;
    await log(page).getByText("number 2").waitFor();
    await tell("parrot", "number 3");
    await log(page).getByText("number 3").waitFor();
    const shown = await lines(page, /number/);
    assert.deepEqual(shown.map((text) => text.replace(/^\S+ /, "")), ["number 1", "number 2", "number 3"]);
  });

  test("it is said where lines may be missing", async ({ page, visit, allow }) => {
    allow(BROKEN);
    await tell("counter", "3");
    await open(visit, "counter");
    await line(page, "line 3 of many").waitFor();
    cable.cut();
    await page.getByText(/It is asked for again/).waitFor();
    await tell("counter", "1500");
    cable.whole = true;
    await line(page, "line 1500 of many").waitFor();
    await page.getByLabel("Search the lines").fill("missing");
    await line(page, /Lines may be missing here/).waitFor();
  });

  test("after many tries in vain it asks no more by itself", async ({ page, visit, allow }) => {
    allow(BROKEN);
    await page.clock.install();
    await open(visit, "parrot");
    await follows(page);
    cable.cut();
    const again = page.getByRole("button", { name: "Try again" });
    await eventually("it has given up", async () => {
      await page.clock.runFor(1000);
      return again.isVisible();
    });
    await axe(page);
    cable.whole = true;
    await again.click();
    await tell("parrot", "here again");
    await eventually("it follows", async () => {
      await page.clock.runFor(100);
      return line(page, "here again").isVisible();
    });
  });
});

/** A provider that knows one function, and has no logs. */
async function withoutLogs() {
  const answers = /** @type {Record<string, unknown>} */ ({
    "/system/functions": [{ name: "far", namespace: "openfaas-fn", image: "far", replicas: 1, availableReplicas: 1, labels: {}, annotations: {} }],
    "/system/function/far": { name: "far", namespace: "openfaas-fn", image: "far", replicas: 1, availableReplicas: 1 },
    "/system/info": { provider: { provider: "far", version: {} } },
    "/system/namespaces": ["openfaas-fn"],
  });
  const server = http.createServer((request, response) => {
    const known = answers[(request.url ?? "").split("?")[0]];
    response.writeHead(known ? 200 : 404, { "Content-Type": "application/json" }).end(known ? JSON.stringify(known) : "");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const { gateway } = await withConfig({
    provider: { kind: "remote", url: `http://127.0.0.1:${port}/`, namespace: "openfaas-fn" },
    functions: { fixed: { upstream: `http://127.0.0.1:${port}` } },
  });
  const stop = async () => {
    await gateway.stop();
    server.close();
    server.closeAllConnections();
  };
  return { gateway, stop };
}

portal("Logs that nobody has", withoutLogs, (test) => {
  test("a provider without logs is told of", async ({ page, visit, allow }) => {
    allow(/status of 501 .*\/system\/logs/);
    await open(visit, "far");
    await page.getByText("This provider has no logs to read").waitFor();
    await axe(page);
  });

  test("a function at an address of the file is told of", async ({ page, visit }) => {
    await open(visit, "fixed");
    await page.getByText("What it writes does not come through the gateway.").waitFor();
  });
});

portal("The log of a busy function", () => Demo.start(), (test) => {
  test("goes on and on", async ({ page, visit }) => {
    await open(visit, "checkout");
    await line(page, /took \d+ ms/).nth(25).waitFor();
    const counted = () => page.getByRole("status").getByText(/lines/).innerText();
    const before = await counted();
    await eventually("more lines are counted", async () => (await counted()) !== before);
    await shot(page, "logs");
  });
});
