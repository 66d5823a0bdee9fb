// The page about the gateway itself.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after } from "node:test";

import { axe } from "./harness/axe.js";
import { providerThatIsDown } from "./harness/closed.js";
import { Demo } from "./harness/demo.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

/** @typedef {import("playwright-core").Page} Page */

/** Values that change without the file: the gateway reads them again when it is told to. */
const values = fs.mkdtempSync(path.join(os.tmpdir(), "values-"));
after(() => fs.rmSync(values, { recursive: true }));
const value = (/** @type {string} */ name) => path.join(values, name);
const write = (/** @type {string} */ name, /** @type {string} */ text) => fs.writeFileSync(value(name), text);

const CONFIG = {
  server: { metrics: "127.0.0.1:0" },
  queue: { workers: 7 },
  functions: {
    echo: { process: "cat", environment: { greeting: "hush-hush" } },
    report: { upstream: "${file:" + value("upstream") + "}", labels: { colour: "${file:" + value("colour") + "}" } },
  },
  routes: [
    { host: "api.example.org", path: "/v1/*", function: "report" },
    { path: "${file:" + value("path") + "}", function: "echo" },
    { path: "/gone", function: "gone" },
  ],
};

function good() {
  write("upstream", "http://127.0.0.1:9");
  write("colour", "green");
  write("path", "/say");
}

portal("System", () => (good(), withConfig(CONFIG)), (test) => {
  test("it says what the gateway is, who runs its functions, and how its queue stands", async ({ page, visit, gateway }) => {
    const { version, arch, provider } = await gateway.admin("GET", "/system/info");
    await visit("#/system");
    const about = sheet(page, "Gateway");
    for (const fact of [version.release, version.sha.slice(0, 10), arch, "/metrics"]) await about.getByText(fact, { exact: true }).first().waitFor();
    await about.getByText("Started").waitFor();
    const runs = sheet(page, "Provider");
    for (const fact of ["answers", "are processes of this machine", provider.orchestration]) await runs.getByText(fact, { exact: true }).first().waitFor();
    const queue = sheet(page, "Queue");
    for (const fact of ["takes calls", "in the gateway's state directory", "0 of 7 at once"]) await queue.getByText(fact, { exact: true }).waitFor();
    await axe(page);
  });

  test("its links lead to the calls, the API, and the OpenAPI document", async ({ page, visit }) => {
    await visit("#/system");
    const document = await page.request.get(new URL(await address(page, "OpenAPI document"), page.url()).href);
    assert.equal(document.status(), 200);
    await sheet(page, "Queue").getByRole("link").click();
    await page.getByRole("link", { name: "Async", exact: true, includeHidden: false }).and(page.locator("[aria-current=page]")).waitFor();
    await page.goBack();
    await page.getByRole("link", { name: "Read about it" }).click();
    await page.getByRole("heading", { name: "API", level: 1 }).waitFor();
  });

  test("the configuration in force can be unfolded and copied, its secrets masked", async ({ page, visit }) => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await visit("#/system");
    const config = sheet(page, "Configuration");
    await config.getByText("functions:").click();
    await config.getByText("echo:").click();
    await config.getByText("process: [cat]").waitFor();
    await config.getByText('environment: { greeting: "****" }').waitFor();
    await axe(page);
    await config.getByText("functions:").click();
    await config.getByText("process: [cat]").waitFor({ state: "hidden" });
    await config.getByRole("button", { name: "Copy as YAML" }).click();
    const yaml = await eventually("it is copied", () => page.evaluate(() => navigator.clipboard.readText()));
    assert.match(yaml, /^version: 1\nserver:\n/);
    assert.match(yaml, /^ {2}echo:\n/m);
    assert.doesNotMatch(yaml + (await page.content()), /hush-hush/);
  });

  test("a reload tells what has changed", async ({ page, visit }) => {
    await visit("#/system");
    const config = sheet(page, "Configuration");
    const reload = config.getByRole("button", { name: "Reload now" });
    await reload.click();
    await config.getByRole("status").filter({ hasText: "nothing has changed" }).waitFor();
    const before = await fact(page, "Generation");
    write("colour", "blue");
    await reload.click();
    await config.getByRole("status").filter({ hasText: "1 change" }).getByText(/^functions\.report\.labels\.colour: changed/).waitFor();
    await eventually("a new generation is shown", async () => Number(await fact(page, "Generation")) === Number(before) + 1);
    await axe(page);
  });

  test("a mistake is shown in full, and goes with its correction", async ({ page, visit, gateway, allow }) => {
    allow(/status of 422 .*\/system\/config\/reload/);
    await visit("#/system");
    const config = sheet(page, "Configuration");
    const reload = config.getByRole("button", { name: "Reload now" });
    write("upstream", "ftp://nowhere");
    write("path", "no-slash");
    await reload.click();
    const problem = config.getByRole("alert").filter({ hasText: "The file was not accepted" });
    await problem.getByText(/not accepted at \d\d:/).waitFor();
    const lines = (await problem.locator("pre").innerText()).split("\n");
    assert.equal(lines.length, 2, lines.join("\n"));
    assert.match(lines[0], /functions\.report\.upstream/);
    assert.match(lines[1], /routes\.1\.path/);
    await page.getByRole("alert").filter({ hasText: "The configuration file was not accepted" }).getByRole("link", { name: "See why" }).waitFor();
    await axe(page);
    good();
    await reload.click();
    await problem.waitFor({ state: "hidden" });
    // The same mistake again, which is not found by this button.
    write("upstream", "ftp://nowhere");
    write("path", "no-slash");
    await assert.rejects(gateway.admin("POST", "/system/config/reload"));
    await problem.getByText("The file was not accepted.", { exact: true }).waitFor();
    good();
    await gateway.admin("POST", "/system/config/reload");
    await problem.waitFor({ state: "hidden" });
  });

  test("what is worth knowing and what waits for a restart is said, without a reload", async ({ page, visit, gateway }) => {
    await visit("#/system");
    const config = sheet(page, "Configuration");
    await config.getByText(/no function `gone` is declared/).waitFor();
    const { file } = await gateway.admin("GET", "/system/config");
    const text = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(text), access_log: { format: "off", output: "stderr" } }));
    await config.getByText("from the next start on").waitFor();
    await config.getByText("access_log.output", { exact: true }).waitFor();
    await axe(page);
    fs.writeFileSync(file, text);
    await config.getByText("from the next start on").waitFor({ state: "hidden" });
  });

  test("routes are in a table, and say which one a URL matches", async ({ page, visit, allow }) => {
    allow(/status of 400 .*\/system\/routes\/match/);
    await visit("#/system");
    const routes = sheet(page, "Routes");
    await routes.getByRole("row", { name: /1 api\.example\.org \/v1\/\* report/ }).waitFor();
    await routes.getByRole("row", { name: /gone\S* is not there/ }).waitFor();
    const answer = routes.getByRole("status");
    const ask = async (/** @type {string} */ url) => {
      await routes.getByLabel("Which route matches this URL?").fill(url);
      await routes.getByRole("button", { name: "Look" }).click();
    };
    for (const [url, ...words] of [
      ["https://api.example.org/v1/users?page=2", "Own route: rule 1", "/v1/users?page=2"],
      ["/function/echo/a", "Function: calls function echo", "/a"],
      ["/async-function/echo", "Queue:"],
      ["/system/functions", "API:"],
      ["/", "Redirect:", "/ui/"],
      ["/nowhere", "Nothing: nothing"],
    ]) {
      await ask(url);
      for (const word of words) await answer.filter({ hasText: word }).waitFor();
    }
    await ask("not a url");
    await routes.getByRole("alert").filter({ hasText: "cannot be read" }).waitFor();
    await ask("http://api.example.org/v1");
    await answer.getByRole("link", { name: "report" }).waitFor();
    await axe(page);
    await answer.getByRole("link", { name: "report" }).click();
    await page.getByRole("heading", { name: "report" }).waitFor();
  });
});

portal("System of a gateway whose provider is down", async () => withConfig({ provider: await providerThatIsDown() }), (test) => {
  test("it says so, and shows the rest", async ({ page, visit, allow }) => {
    allow(/status of 502 .*\/system\//);
    await visit("#/system");
    await sheet(page, "Provider").getByText("cannot be reached", { exact: true }).waitFor();
    await sheet(page, "Provider").getByText("are run by a faas-provider").waitFor();
    await sheet(page, "Queue").getByText("takes calls").waitFor();
    await sheet(page, "Routes").getByText("There are no routes of your own.").waitFor();
    await axe(page);
  });
});

portal("System of a busy gateway", () => Demo.start(), (test) => {
  test("its picture", async ({ page, visit }) => {
    // Names that are the same on every machine.
    await page.route("**/system/config", async (route) => {
      const response = await route.fetch();
      const shown = await response.json();
      Object.assign(shown.config.server, { listen: "0.0.0.0:8080", metrics: "0.0.0.0:8082" });
      await route.fulfill({ response, json: { ...shown, file: "/etc/gateway/gateway.yaml" } });
    });
    await visit("#/system");
    await sheet(page, "Configuration").getByText("functions:").waitFor();
    await sheet(page, "Queue").getByText("takes calls").waitFor();
    await shot(page, "system");
  });
});

const sheet = (/** @type {Page} */ page, /** @type {string} */ name) => page.locator("section", { has: page.getByRole("heading", { name, exact: true, level: 2 }) });

const fact = (/** @type {Page} */ page, /** @type {string} */ term) => page.locator(`dt:text-is("${term}") + dd`).innerText();

const address = async (/** @type {Page} */ page, /** @type {string} */ name) => (await page.getByRole("link", { name }).getAttribute("href")) ?? "";
