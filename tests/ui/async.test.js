// Asynchronous calls: what waits, what became of each, and what can be done about it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import { axe } from "./harness/axe.js";
import { Demo } from "./harness/demo.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "portal-async-"));
process.once("exit", () => fs.rmSync(folder, { recursive: true, force: true }));
const file = (/** @type {string} */ name) => path.join(folder, name);
const sh = (/** @type {string} */ script) => ["sh", "-c", script];

const FUNCTIONS = {
  echo: { process: "cat" },
  silent: { process: "true" },
  busy: { process: "sleep 100" },
  halting: { process: sh(`while [ ! -e ${file("go")} ]; do sleep 0.05; done; echo done`) },
  // Works once somebody has repaired it.
  broken: { process: sh(`if [ -e ${file("repaired")} ]; then echo works again; else echo out of paper >&2; exit 1; fi`), combine_output: false },
  numbers: { process: sh(`echo '{"n":12345678901234567890}'`), content_type: "application/json" },
  bytes: { process: sh(String.raw`printf '\377\376\000\001'`), content_type: "application/octet-stream" },
  patient: { process: "false", retry: { attempts: 5, min_wait: "100s", max_wait: "200s" } },
};
const QUEUE = { retry: { attempts: 2, min_wait: "10ms", max_wait: "20ms" }, callbacks: { deny_private_networks: false } };

/**
 * @typedef {import("playwright-core").Page} Page
 * @typedef {import("./harness/portal.js").Fixture} Fixture
 * @typedef {import("./harness/gateway.js").Gateway} Gateway
 */

const tab = (/** @type {Fixture["visit"]} */ visit, /** @type {string} */ name, id = "") => visit(`#/function/${name}.openfaas-fn/async/${id}`);
const rows = (/** @type {Page} */ page) => page.getByRole("table").last().locator("tbody").getByRole("row");
const happened = (/** @type {Page} */ page) => page.getByRole("region", { name: "What happened" });
const result = (/** @type {Page} */ page) => page.getByRole("region", { name: "Result" });

/** Queues a call, and returns its id. */
async function submit(/** @type {Gateway} */ gateway, /** @type {string} */ name, body = "", /** @type {Record<string, string>} */ headers = {}) {
  const response = await gateway.call(name, { later: true, body, headers });
  assert.equal(response.status, 202);
  return /** @type {string} */ (response.headers.get("Location")?.split("/").pop());
}

/** Waits until a call is in a state. */
const becomes = (/** @type {Gateway} */ gateway, /** @type {string} */ id, /** @type {string} */ state) =>
  eventually(`the call is ${state}`, async () => (await gateway.admin("GET", `/system/async/${id}`)).state === state);

async function ended(/** @type {Gateway} */ gateway, /** @type {string} */ name, /** @type {string} */ state, body = "") {
  const id = await submit(gateway, name, body);
  await becomes(gateway, id, state);
  return id;
}

portal("Asynchronous calls", { functions: FUNCTIONS, queue: QUEUE }, (test) => {
  test("who has made none is shown how, and it works", async ({ page, visit }) => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await tab(visit, "silent");
    await page.getByText("No call yet.").waitFor();
    await axe(page);
    await page.getByRole("button", { name: "Copy the command" }).click();
    await page.getByText("Copied").waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    const { stdout } = await promisify(execFile)("sh", ["-c", command]);
    assert.match(stdout, /202 Accepted/);
    await rows(page).getByText("succeeded").waitFor();
  });

  test("the list of all functions shows what became of calls, and can be narrowed", async ({ page, visit, gateway }) => {
    const good = await ended(gateway, "echo", "succeeded", "one");
    const dead = await ended(gateway, "broken", "dead");
    await visit("#/async");
    await rows(page).filter({ hasText: good }).getByText("succeeded").waitFor();
    await rows(page).filter({ hasText: dead }).getByText("dead letter").waitFor();
    await rows(page).filter({ hasText: dead }).getByText("500").waitFor();
    await axe(page);
    await page.getByLabel("State").selectOption("dead letter");
    await rows(page).filter({ hasText: good }).waitFor({ state: "detached" });
    await rows(page).filter({ hasText: dead }).waitFor();
    assert.match(page.url(), /state=dead/);
    await page.getByLabel("Function").fill("echo.openfaas-fn");
    await page.getByLabel("Function").press("Enter");
    await page.getByText("No call fits.").waitFor();
    await page.getByRole("link", { name: "Show all" }).click();
    await page.getByLabel("Search by id").fill(good.slice(-12));
    await rows(page).filter({ hasText: dead }).waitFor({ state: "detached" });
    await rows(page).filter({ hasText: good }).waitFor();
  });

  test("what waits and runs is counted by function", async ({ page, visit, gateway }) => {
    const id = await submit(gateway, "busy");
    const patient = await submit(gateway, "patient");
    await becomes(gateway, patient, "retrying");
    await visit("#/async");
    const waiting = page.getByRole("table", { name: "What waits and runs, by function" });
    await waiting.getByRole("row", { name: /busy.openfaas-fn 0 0 1/ }).waitFor();
    await waiting.getByRole("row", { name: /patient.openfaas-fn 0 1 0/ }).waitFor();
    await axe(page);
    await waiting.getByRole("link", { name: "busy.openfaas-fn" }).click();
    await rows(page).filter({ hasText: id }).getByText("running").waitFor();
    for (const call of [id, patient]) await gateway.admin("DELETE", `/system/async/${call}`);
  });

  test("a call tells its story, and shows its result", async ({ page, visit, gateway }) => {
    const id = await ended(gateway, "numbers", "succeeded");
    await tab(visit, "numbers");
    await page.getByRole("link", { name: id }).click();
    assert.match(page.url(), new RegExp(`#/function/numbers.openfaas-fn/async/${id}$`));
    for (const part of ["Submitted", "Called: 200", "Succeeded", "Forgotten"]) await happened(page).getByText(part).waitFor();
    await result(page).getByText('"n": 12345678901234567890').waitFor();
    await result(page).getByText(/^\d+ headers?$/).click();
    await result(page).getByText("content-type").waitFor();
    assert.ok(await page.getByRole("button", { name: "Replay" }).isDisabled(), "only dead letters are kept with their bodies");
    await axe(page);
    await page.getByRole("link", { name: "All calls" }).click();
    await rows(page).filter({ hasText: id }).waitFor();
  });

  test("a call is followed while it runs", async ({ page, visit, gateway }) => {
    const id = await submit(gateway, "halting");
    await visit(`#/async/${id}`);
    await happened(page).getByText("The function is being called").waitFor();
    await result(page).getByText("The function has not given its answer yet.").waitFor();
    fs.writeFileSync(file("go"), "");
    await happened(page).getByText("Succeeded").waitFor();
    await result(page).getByText("done").waitFor();
  });

  test("a result that is no text can be saved", async ({ page, visit, gateway }) => {
    const id = await ended(gateway, "bytes", "succeeded");
    await visit(`#/async/${id}`);
    await result(page).getByText("4 B of application/octet-stream").waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save the body" }).click()]);
    assert.deepEqual([...fs.readFileSync(await download.path())], [255, 254, 0, 1]);
  });

  test("a dead letter is replayed when what was broken is repaired", async ({ page, visit, gateway }) => {
    const id = await ended(gateway, "broken", "dead");
    await tab(visit, "broken", id);
    await happened(page).getByText("Dead letter").waitFor();
    await result(page).getByText("The process of the call ended with an error.").waitFor();
    await axe(page);
    fs.writeFileSync(file("repaired"), "");
    await page.getByRole("button", { name: "Replay" }).click();
    await page.getByRole("status").getByText("The call is queued again").waitFor();
    await happened(page).getByText("Replayed once").waitFor();
    await happened(page).getByText("Succeeded").waitFor();
    await result(page).getByText("works again").waitFor();
    fs.rmSync(file("repaired"));
  });

  test("a dead letter is thrown away, if that is meant", async ({ page, visit, gateway }) => {
    const id = await ended(gateway, "broken", "dead");
    await visit(`#/async/${id}`);
    await page.getByRole("button", { name: "Throw away" }).click();
    const question = page.getByRole("dialog");
    await axe(page);
    await question.getByRole("button", { name: "Cancel" }).click();
    await question.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Throw away" }).click();
    await question.getByRole("button", { name: "Throw away" }).click();
    await happened(page).getByText("Somebody cancelled it").waitFor();
    await page.getByRole("button", { name: "Throw away" }).waitFor({ state: "detached" });
  });

  test("a call that runs is cancelled", async ({ page, visit, gateway }) => {
    const id = await submit(gateway, "busy");
    await becomes(gateway, id, "running");
    await visit(`#/async/${id}`);
    await page.getByRole("button", { name: "Cancel call" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel the call" }).click();
    await page.getByRole("status").getByText("The call is cancelled").waitFor();
    await happened(page).getByText("Cancelled", { exact: true }).waitFor();
    await result(page).getByText("A cancelled call has no result.").waitFor();
  });

  test("the next try is told of", async ({ page, visit, gateway }) => {
    const id = await submit(gateway, "patient");
    await becomes(gateway, id, "retrying");
    await visit(`#/async/${id}`);
    await happened(page).getByText("Called: 500").waitFor();
    await happened(page).getByText(/Next try in \d+ (s|min)/).waitFor();
    await gateway.admin("DELETE", `/system/async/${id}`);
  });

  test("a callback and its tries are told of", async ({ page, visit, gateway }) => {
    const fine = await submit(gateway, "echo", "hi", { "X-Callback-Url": `${gateway.url}/function/echo` });
    await visit(`#/async/${fine}`);
    await happened(page).getByText("Result delivered to its callback").waitFor();
    const lost = await submit(gateway, "echo", "hi", { "X-Callback-Url": `${gateway.url}/function/nobody` });
    await visit(`#/async/${lost}`);
    await happened(page).getByText("Result not delivered").waitFor();
    await happened(page).getByText("404").waitFor();
  });

  test("a call that nobody knows is told of", async ({ page, visit, allow }) => {
    allow(/status of 404 .*\/system\/async\//);
    await visit("#/async/never-was");
    await page.getByText("there is no such call, or it ended too long ago").waitFor();
    await axe(page);
  });
});

portal("Many asynchronous calls", () => withConfig({ functions: FUNCTIONS, queue: QUEUE }), (test) => {
  test("more are shown to who wants more", async ({ page, visit, gateway }) => {
    const oldest = await submit(gateway, "silent");
    for (let number = 0; number < 100; number++) await submit(gateway, "silent");
    await tab(visit, "silent");
    await page.getByText("The newest 100").waitFor();
    await page.getByRole("button", { name: "Show more" }).click();
    await page.getByText("101 calls").waitFor();
    await page.keyboard.press("End");
    await rows(page).filter({ hasText: oldest }).waitFor();
  });
});

portal("Asynchronous calls of a busy gateway", () => Demo.start(), (test) => {
  test("are listed, and one that failed tells why", async ({ page, visit, gateway }) => {
    const id = await ended(gateway, "invoice", "dead", "no. 17");
    await visit("#/async");
    await rows(page).getByText("dead letter").first().waitFor();
    await rows(page).getByText("succeeded").nth(5).waitFor();
    await shot(page, "async");
    await visit(`#/async/${id}`);
    await happened(page).getByText("Dead letter").waitFor();
    await shot(page, "call");
  });
});
