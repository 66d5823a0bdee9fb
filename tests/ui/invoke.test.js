// Calls from the portal: what is sent, and what is shown of what comes back.

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

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "portal-invoke-"));
process.once("exit", () => fs.rmSync(folder, { recursive: true, force: true }));

/** A function that goes on when the file is there. */
const until = (/** @type {string} */ file) => `while [ ! -e ${path.join(folder, file)} ]; do sleep 0.02; done`;
const goOn = (/** @type {string} */ file) => fs.writeFileSync(path.join(folder, file), "");
const sh = (/** @type {string} */ script) => ["sh", "-c", script];

const FUNCTIONS = {
  echo: { process: "cat" },
  env: { process: "env" },
  numbers: { process: sh(`echo '{"n":12345678901234567890,"list":[1,{"a":null}],"empty":{}}'`), content_type: "application/json" },
  steps: { process: sh(`echo first; ${until("second")}; echo second; ${until("third")}; echo third`), mode: "streaming" },
  endless: { process: sh("echo begun; sleep 100"), mode: "streaming" },
  failing: { process: sh("echo the drawer is stuck >&2; exit 3"), combine_output: false },
  bytes: { process: sh(String.raw`printf '\377\376\000\001'`), content_type: "application/octet-stream" },
  long: { process: sh("yes 'a line of many' | head -c 400000") },
  waker: { process: "cat", scale: { zero: true } },
};
const QUEUE = { retry: { attempts: 2, min_wait: "10ms", max_wait: "20ms" }, callbacks: { deny_private_networks: false } };

/** @typedef {import("playwright-core").Page} Page */

const open = (/** @type {import("./harness/portal.js").Fixture["visit"]} */ visit, /** @type {string} */ name, query = "") =>
  visit(`#/function/${name}.openfaas-fn/invoke${query}`);
const answer = (/** @type {Page} */ page) => page.getByRole("region", { name: "Answer" });
const body = (/** @type {Page} */ page) => answer(page).getByRole("region", { name: "Body" });
const call = (/** @type {Page} */ page) => page.getByRole("button", { name: "Call", exact: true }).click();

/** A header of the call. */
async function header(/** @type {Page} */ page, /** @type {string} */ name, /** @type {string} */ value) {
  const headers = page.getByRole("group", { name: "Headers" });
  await headers.getByRole("button", { name: "Add", exact: true }).click();
  await headers.getByLabel("Headers: Name").last().fill(name);
  await headers.getByLabel("Headers: Value").last().fill(value);
}

/** What a button puts on the clipboard. */
async function copied(/** @type {Page} */ page, /** @type {string} */ name) {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name }).click();
  await page.getByText("Copied").waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
}

portal("Invoke", { functions: FUNCTIONS, queue: QUEUE }, (test) => {
  test("a call goes as it is written, without the portal's password", async ({ page, visit }) => {
    await open(visit, "env");
    await page.getByLabel("Method").selectOption("PUT");
    await page.getByLabel("Path and query").fill("/a b/c?x=1&y=#2");
    await header(page, "X-Colour", "blue");
    await page.getByLabel("Body as text").fill("five!");
    await call(page);
    await body(page).getByText("Http_Method=PUT").waitFor();
    const shown = await body(page).innerText();
    const sent = ["Http_Path=/a%20b/c", "Http_Query=x=1&y=%232", "Http_X_Colour=blue", "Http_Content_Length=5", "Http_Content_Type=text/plain"];
    for (const line of sent) assert.ok(shown.split("\n").includes(line), line);
    assert.doesNotMatch(shown, /Authorization|Cookie/);
    await answer(page).getByText("200 OK").waitFor();
    for (const fact of ["Answered after", "In all", "Size"]) await answer(page).getByText(fact).waitFor();
    await axe(page);
  });

  test("JSON is checked before it goes, and can be formatted", async ({ page, visit }) => {
    await open(visit, "echo");
    await page.getByRole("button", { name: "JSON" }).click();
    const text = page.getByLabel("Body as JSON");
    await text.fill('{"a":1,');
    await page.getByText("This is no JSON").waitFor();
    assert.ok(await page.getByRole("button", { name: "Call", exact: true }).isDisabled());
    await axe(page);
    await text.fill('{"n":10000000000000000001,"list":[]}');
    await page.getByRole("button", { name: "Format" }).click();
    assert.equal(await text.inputValue(), '{\n  "n": 10000000000000000001,\n  "list": []\n}');
    await call(page);
    await body(page).getByText('"list": []').waitFor();
    await answer(page).getByText(/^\d+ headers$/).click();
    await answer(page).getByText("application/json").waitFor();
  });

  test("a file is sent, and stays chosen", async ({ page, visit }) => {
    await open(visit, "echo");
    await page.getByRole("button", { name: "File", exact: true }).click();
    await page.getByLabel("File for the body").setInputFiles({ name: "note.csv", mimeType: "text/csv", buffer: Buffer.from("1;2\n") });
    await call(page);
    await body(page).getByText("1;2").waitFor();
    await page.getByRole("link", { name: "Logs" }).click();
    await page.getByRole("link", { name: "Invoke" }).click();
    await page.getByText("note.csv").waitFor();
    await call(page);
    await body(page).getByText("1;2").waitFor();
  });

  test("what comes is shown as it comes, also to who went elsewhere meanwhile", async ({ page, visit }) => {
    await open(visit, "steps");
    await page.getByLabel("Body as text").press("Control+Enter");
    await body(page).getByText("first").waitFor();
    await answer(page).getByText("Receiving…").waitFor();
    goOn("second");
    await body(page).getByText("second").waitFor();
    await page.getByRole("link", { name: "Logs" }).click();
    await page.getByLabel("Log of steps").waitFor();
    await page.getByRole("link", { name: "Invoke" }).click();
    await body(page).getByText("second").waitFor();
    goOn("third");
    await body(page).getByText("third").waitFor();
    await answer(page).getByText("Receiving…").waitFor({ state: "hidden" });
  });

  test("a call can be stopped", async ({ page, visit }) => {
    await open(visit, "endless");
    await call(page);
    await body(page).getByText("begun").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await answer(page).getByText("Stopped").waitFor();
    await page.getByRole("button", { name: "Call", exact: true }).waitFor();
  });

  test("JSON is pretty-printed without a change of its numbers", async ({ page, visit }) => {
    await open(visit, "numbers");
    await call(page);
    await body(page).getByText('"n": 12345678901234567890').waitFor();
    await answer(page).getByLabel("Pretty-printed").uncheck();
    assert.equal(await body(page).textContent(), '{"n":12345678901234567890,"list":[1,{"a":null}],"empty":{}}\n');
  });

  test("what is no text can be saved", async ({ page, visit }) => {
    await open(visit, "bytes");
    await call(page);
    await answer(page).getByText("4 B of application/octet-stream").waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), answer(page).getByRole("button", { name: "Save the body" }).click()]);
    assert.deepEqual([...fs.readFileSync(await download.path())], [255, 254, 0, 1]);
    assert.equal(download.suggestedFilename(), "bytes.openfaas-fn");
    await axe(page);
  });

  test("of a long text the beginning is shown, and all is saved", async ({ page, visit }) => {
    await open(visit, "long");
    await call(page);
    await answer(page).getByText("Only the first 256 KiB are shown").waitFor();
    assert.equal((await body(page).textContent())?.length, 256 * 1024);
    const [download] = await Promise.all([page.waitForEvent("download"), answer(page).getByRole("button", { name: "Save the body" }).click()]);
    assert.equal(fs.statSync(await download.path()).size, 400_000);
    assert.equal(download.suggestedFilename(), "long.openfaas-fn.txt");
  });

  test("a failure is explained, and leads to the log", async ({ page, visit, allow }) => {
    allow(/status of 500 .*\/function\/failing/);
    await open(visit, "failing");
    await call(page);
    await answer(page).getByText("500 Internal Server Error").waitFor();
    await answer(page).getByText("exit_status").first().waitFor();
    await answer(page).getByText("The process of the call ended with an error.").waitFor();
    await axe(page);
    const id = await answer(page).locator("code").innerText();
    await answer(page).getByRole("link", { name: "Its lines in the log" }).click();
    assert.equal(await page.getByLabel("Search the lines").inputValue(), id);
  });

  test("a cold start is told of", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/scale-function/waker", { serviceName: "waker", replicas: 0 });
    await open(visit, "waker");
    await call(page);
    await answer(page).getByText(/Cold start: the call waited .* for a replica/).waitFor();
  });

  test("a call for later is followed until it has ended", async ({ page, visit, gateway }) => {
    await open(visit, "echo", "?when=later");
    assert.ok(await page.getByLabel("Method").isDisabled(), "it is posted");
    const callback = page.getByLabel("Callback URL");
    await callback.fill("example.org");
    await page.getByText("It has to begin with http").waitFor();
    await callback.fill(`${gateway.url}/function/echo`);
    await page.getByLabel("Body as text").fill("take your time");
    await page.getByRole("button", { name: "Send to the queue" }).click();
    await answer(page).getByText("202 Accepted").waitFor();
    await answer(page).getByRole("status").getByText("succeeded").waitFor();
    await answer(page).getByText("Result delivered to its callback").waitFor();
    await body(page).getByText("take your time").waitFor();
    await axe(page);
    await answer(page).getByRole("link", { name: "Show it among the asynchronous calls" }).click();
    await page.getByRole("heading", { name: "What happened" }).waitFor();
  });

  test("earlier calls can be looked at, and made again", async ({ page, visit }) => {
    await open(visit, "echo");
    const text = page.getByLabel("Body as text");
    for (const word of ["one", "two"]) {
      await text.fill(word);
      await call(page);
      await body(page).getByText(word).waitFor();
    }
    await answer(page).getByRole("listitem").last().getByRole("button").click();
    await body(page).getByText("one").waitFor();
    await axe(page);
    await page.getByRole("button", { name: "Write it into the form again" }).click();
    assert.equal(await text.inputValue(), "one");
  });

  test("what cannot be sent is said before", async ({ page, visit }) => {
    await open(visit, "echo");
    await page.getByLabel("Path and query").fill("/../../system/info");
    await page.getByText("This path leads out of the function.").waitFor();
    await page.getByLabel("Path and query").fill("");
    await header(page, "Host", "elsewhere");
    await page.getByText("A page cannot set Host").waitFor();
    assert.ok(await page.getByRole("button", { name: "Call", exact: true }).isDisabled());
    await page.getByRole("button", { name: "Remove Host" }).click();
    await page.getByLabel("Method").selectOption("GET");
    await page.getByText("A GET has no body.").waitFor();
  });

  test("the copied command of curl makes the same call", async ({ page, visit }) => {
    await open(visit, "env");
    await page.getByLabel("Method").selectOption("PATCH");
    await page.getByLabel("Path and query").fill("/x{1,2}[a]?q='$HOME'");
    await header(page, "X-Say", `it's "$5" \\`);
    await page.getByLabel("Body as text").fill("@no file: it's\n`text`");
    const command = await copied(page, "Copy as curl");
    const { stdout } = await promisify(execFile)("sh", ["-c", command], { cwd: folder });
    await call(page);
    await body(page).getByText("Http_Method=PATCH").waitFor();
    const same = /^(Http_(Method|Path|Query|Content_Length|Content_Type|X_Say)=.*)$/gm;
    const sent = (await body(page).innerText()).match(same);
    assert.equal(sent?.length, 6);
    assert.deepEqual(stdout.match(same), sent);
  });

  test("the copied command of faas-cli says the same", async ({ page, visit, gateway }) => {
    // One that writes down how it was called.
    fs.writeFileSync(path.join(folder, "faas-cli"), '#!/bin/sh\nprintf "%s\\n" "$@"\nprintf "< "\ncat\n', { mode: 0o755 });
    const run = (/** @type {string} */ command) => promisify(execFile)("sh", ["-c", command], { env: { PATH: `${folder}:/usr/bin:/bin` } });
    await open(visit, "echo", "?when=later");
    await page.getByLabel("Callback URL").fill("https://example.org/a b");
    await page.getByLabel("Path and query").fill("?who=me %26 you");
    await page.getByLabel("Body as text").fill("it's 100%");
    const { stdout } = await run(await copied(page, "Copy as faas-cli"));
    assert.deepEqual(stdout.split("\n"), [
      "invoke", "echo", "--gateway", gateway.url, "--namespace", "openfaas-fn", "-a", "--content-type", "text/plain",
      "--header", "X-Callback-Url: https://example.org/a b", "--query", "who=me & you", "< it's 100%",
    ]);
    await page.getByLabel("Path and query").fill("/path");
    assert.ok(await page.getByRole("button", { name: "Copy as faas-cli" }).isDisabled(), "it has no way to name a path");
  });

  test("a gateway that cannot be reached is told of", async ({ page, visit, allow }) => {
    allow(/ERR_INTERNET_DISCONNECTED/);
    await open(visit, "echo");
    await page.getByLabel("Path and query").waitFor();
    await page.context().setOffline(true);
    await call(page);
    await answer(page).getByText("There was no answer").waitFor();
  });
});

portal("Invoke behind a path prefix", () => withConfig({ functions: FUNCTIONS, queue: QUEUE }, { prefix: "/gw/" }), (test) => {
  test("functions are called now and later", async ({ page, visit, gateway }) => {
    await open(visit, "echo");
    await page.getByText(`${gateway.url}/function/echo.openfaas-fn`).waitFor();
    await page.getByLabel("Body as text").fill("there and back");
    await call(page);
    await body(page).getByText("there and back").waitFor();
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByRole("button", { name: "Send to the queue" }).click();
    await answer(page).getByRole("status").getByText("succeeded").waitFor();
  });
});

portal("Invoke on a busy gateway", () => Demo.start(), (test) => {
  test("a call now and one for later", async ({ page, visit }) => {
    await open(visit, "hello");
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByLabel("Body as text").fill("whoever reads this");
    await page.getByRole("button", { name: "Send to the queue" }).click();
    await answer(page).getByRole("status").getByText("succeeded").waitFor();
    await page.evaluate(() => scrollTo(0, 0));
    await shot(page, "invoke-later");
    await visit("#/function/search.staging/invoke");
    await page.getByLabel("Path and query").fill("/?q=anything");
    await page.getByRole("button", { name: "JSON" }).click();
    await page.getByLabel("Body as JSON").fill('{"q":["night","train"],"limit":20}');
    await page.getByRole("button", { name: "Format" }).click();
    await call(page);
    await body(page).getByText('"does": "search"').waitFor();
    await shot(page, "invoke");
  });
});
