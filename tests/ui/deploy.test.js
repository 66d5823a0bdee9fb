// Deploying: one's own function, one of the store, and a stack.yml.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { axe } from "./harness/axe.js";
import { providerThatIsDown } from "./harness/closed.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

const STACK = `version: 1.0
provider:
  name: openfaas
functions:
  upper:
    image: ghcr.io/example/upper:1
    fprocess: tr a-z A-Z
  lower:
    image: ghcr.io/example/lower:1
    fprocess: tr A-Z a-z
    secrets:
      - later
`;

async function served() {
  const served = await withConfig({ provider: { namespaces: ["openfaas-fn", "staging"] }, functions: { echo: { process: "cat" } } });
  await served.gateway.admin("POST", "/system/secrets", { name: "api-key", value: "not so secret" });
  return served;
}

portal("Deploying one's own function", served, (test) => {
  test("it is followed until it is ready, and opened", async ({ page, visit, gateway }) => {
    await visit("#/deploy/custom");
    await page.getByLabel("Name", { exact: true }).fill("shout");
    await page.getByLabel("Command", { exact: true }).fill("tr a-z A-Z");
    await page.getByRole("group", { name: "Environment" }).getByRole("button", { name: "Add" }).click();
    await page.getByLabel("Environment: Variable 1").fill("exec_timeout");
    await page.getByText("Longest time of a call").waitFor();
    await page.getByLabel("Environment: Value 1").fill("5s");
    await page.getByLabel("api-key").check();
    await page.getByText("Advanced").click();
    await page.getByRole("group", { name: "Labels" }).getByRole("button", { name: "Add" }).click();
    await page.getByLabel("Labels: Name 1").fill("com.openfaas.scale.max");
    await page.getByLabel("Labels: Value 1").fill("3");
    await page.getByLabel("Memory at most").fill("64Mi");
    await axe(page);
    await shot(page, "deploy");
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByText("Ready: 1 replica can be called").waitFor();
    await axe(page);
    await page.getByRole("link", { name: "Open shout" }).click();
    await page.getByRole("heading", { name: "shout.openfaas-fn" }).waitFor();
    assert.equal(await (await gateway.call("shout", { body: "hi" })).text(), "HI");
    const { image, envVars, secrets, labels, limits } = await gateway.admin("GET", "/system/function/shout");
    assert.deepEqual({ image, envVars, secrets, limits }, { image: "local/shout", envVars: { exec_timeout: "5s" }, secrets: ["api-key"], limits: { memory: "64Mi" } });
    assert.equal(labels["com.openfaas.scale.max"], "3");
  });

  test("what the gateway would refuse is said at the field", async ({ page, visit }) => {
    await visit("#/deploy/custom");
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByText("A function needs a name.").waitFor();
    await page.getByText("A command is needed, or an image that the configuration maps to one.").waitFor();
    await page.getByLabel("Name", { exact: true }).fill("not a name");
    await page.getByText("Only letters, digits, - and _ can be in a name.").waitFor();
    await axe(page);
  });

  test("what the gateway refuses is said at the form", async ({ page, visit, allow }) => {
    allow(/status of 400 .*\/system\/functions/);
    await visit("#/deploy/custom");
    await page.getByLabel("Name", { exact: true }).fill("unmapped");
    await page.getByLabel("Image (optional)").fill("ghcr.io/example/unmapped:1");
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByRole("alert").filter({ hasText: "nothing says which command image `ghcr.io/example/unmapped:1` stands for" }).waitFor();
  });

  test("a name that is taken leads to the function that has it", async ({ page, visit, allow }) => {
    allow(/status of 409 .*\/system\/functions/);
    await visit("#/deploy/custom");
    await page.getByLabel("Name", { exact: true }).fill("echo");
    await page.getByText("echo.openfaas-fn is there already.").waitFor();
    await page.getByLabel("Command", { exact: true }).fill("cat");
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByRole("alert").filter({ hasText: "declared in the configuration file" }).waitFor();
    await page.getByRole("link", { name: "Change it" }).click();
    await page.waitForURL(/echo.openfaas-fn\/configuration$/);
  });

  test("one that does not start says why", async ({ page, visit }) => {
    await visit("#/deploy/custom");
    await page.getByLabel("Name", { exact: true }).fill("hopeless");
    await page.getByLabel("Namespace").selectOption("staging");
    await page.getByLabel("Command", { exact: true }).fill("/no/such/program");
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByRole("status", { name: "Progress of hopeless" }).getByText("is not an executable file").waitFor();
    await page.getByRole("link", { name: "See its log" }).waitFor();
    await axe(page);
    await page.getByRole("button", { name: "Deploy another" }).click();
    assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "");
  });

  test("secrets are those of the namespace", async ({ page, visit }) => {
    await visit("#/deploy/custom");
    await page.getByLabel("api-key").waitFor();
    await page.getByLabel("Namespace").selectOption("staging");
    await page.getByText("There are none in this namespace.").waitFor();
  });
});

portal("The store", {}, (test) => {
  test("it is searched", async ({ page, visit, gateway }) => {
    const { functions } = await gateway.admin("GET", "/system/store");
    await visit("#/deploy");
    await page.getByText(`${functions.length} functions · built in`).waitFor();
    assert.equal(await page.getByRole("listitem").getByRole("heading").count(), functions.length);
    await axe(page);
    await shot(page, "store");
    const [{ title, description }] = functions;
    const search = page.getByRole("searchbox", { name: "Search the store" });
    await search.fill(description);
    await page.getByText(`1 of ${functions.length} functions`).waitFor();
    await page.getByRole("heading", { name: title, exact: true }).waitFor();
    await search.fill("no such thing");
    await page.getByRole("link", { name: "Show all" }).click();
    await page.getByText(`${functions.length} functions · built in`).waitFor();
  });

  test("one of its functions is deployed as it is", async ({ page, visit, gateway }) => {
    const { functions } = await gateway.admin("GET", "/system/store");
    const { name, title } = functions.find((/** @type {any} */ entry) => entry.runs);
    await visit("#/deploy/store");
    await page.getByRole("button", { name: `Deploy ${title}`, exact: true }).click();
    await page.getByText("Ready: 1 replica can be called").waitFor();
    await page.getByRole("link", { name: `Open ${name}` }).click();
    await page.getByRole("heading", { name: `${name}.openfaas-fn` }).waitFor();
  });

  test("another one is changed first", async ({ page, visit, gateway }) => {
    const { functions } = await gateway.admin("GET", "/system/store");
    const { title, deployment } = functions.filter((/** @type {any} */ entry) => entry.runs)[1];
    await visit("#/deploy/store");
    await page.getByRole("link", { name: `Change first… ${title}` }).click();
    assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), deployment.service);
    await page.getByLabel("Name", { exact: true }).fill("mine");
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByText("Ready: 1 replica can be called").waitFor();
    const status = await gateway.admin("GET", "/system/function/mine");
    assert.equal(status.image, deployment.image);
  });
});

/** A gateway whose store is a file with these functions. */
async function withStore(/** @type {object[]} */ functions) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "store-"));
  const store = path.join(folder, "store.json");
  fs.writeFileSync(store, JSON.stringify({ version: "0.2.0", functions }));
  const { gateway, stop } = await withConfig({ ui: { store } });
  const both = async () => {
    await stop();
    fs.rmSync(folder, { recursive: true });
  };
  return { gateway, stop: both };
}

const OWN = [
  { name: "upper", title: "Upper case", description: "Shouts.", author: "somebody", image: "i/upper", fprocess: "tr a-z A-Z", repo_url: "https://example.com/upper" },
  { name: "model", title: "A model", description: "Knows everything.", image: "i/model" },
];

portal("A store of one's own", () => withStore(OWN), (test) => {
  test("a function that cannot run here says why, and is not offered", async ({ page, visit }) => {
    await visit("#/deploy/store");
    const card = page.getByRole("listitem").filter({ hasText: "A model" });
    await card.getByText("Cannot run here: ").waitFor();
    await card.getByText("i/model").waitFor();
    assert.equal(await card.getByRole("button").count(), 0);
    await axe(page);
  });

  test("author and source are named", async ({ page, visit }) => {
    await visit("#/deploy/store");
    await page.getByText("store.json").waitFor();
    await page.getByText("by somebody").waitFor();
    const source = page.getByRole("link", { name: "source ↗ of Upper case, in a new tab" });
    assert.deepEqual([await source.getAttribute("href"), await source.getAttribute("target"), await source.getAttribute("rel")], ["https://example.com/upper", "_blank", "noreferrer"]);
  });
});

portal("A store that cannot be read", { ui: { store: "/no/such/store.json" } }, (test) => {
  test("it says so, and shows what there is", async ({ page, visit }) => {
    await visit("#/deploy/store");
    await page.getByRole("alert").filter({ hasText: "ui.store cannot be read" }).waitFor();
    await page.getByText("from /no/such/store.json").waitFor();
    await page.getByRole("heading", { name: "Echo", exact: true }).waitFor();
  });
});

portal("A stack.yml", served, (test) => {
  test("what cannot be read is shown beside its line", async ({ page, visit, allow }) => {
    allow(/status of 400 .*\/system\/stack/);
    await visit("#/deploy/stack");
    const text = page.getByLabel("Text of the stack.yml");
    await text.fill(STACK.replace("  upper:", "\tupper:"));
    await page.getByRole("alert").filter({ hasText: "line 5" }).waitFor();
    await axe(page);
    await page.getByRole("button", { name: "Go to line 5" }).click();
    const marked = await text.evaluate((/** @type {HTMLTextAreaElement} */ area) => area.value.slice(area.selectionStart, area.selectionEnd));
    assert.equal(marked, "\tupper:");
    await text.fill(STACK);
    await page.getByRole("checkbox", { name: "upper" }).waitFor();
  });

  test("its functions are deployed, and what failed is tried again", async ({ page, visit, gateway, allow }) => {
    allow(/status of 400 .*\/system\/functions/);
    await visit("#/deploy/stack");
    await page.getByLabel("A stack.yml of this machine").setInputFiles({ name: "stack.yml", mimeType: "text/yaml", buffer: Buffer.from(STACK) });
    const functions = page.getByRole("listitem");
    const [upper, lower] = [functions.filter({ hasText: "upper.openfaas-fn" }), functions.filter({ hasText: "lower.openfaas-fn" })];
    await upper.getByText("new", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Deploy 2 functions" }).click();
    await upper.getByText("ready", { exact: true }).waitFor();
    await lower.getByRole("alert").filter({ hasText: "secret `later` does not exist" }).waitFor();
    await axe(page);
    await gateway.admin("POST", "/system/secrets", { name: "later", value: "now" });
    await lower.getByRole("button", { name: "Try again" }).click();
    await lower.getByText("ready", { exact: true }).waitFor();
    await shot(page, "stack");
    assert.equal(await (await gateway.call("upper", { body: "hi" })).text(), "HI");
  });

  test("it goes on where the page is left, and says what failed", async ({ page, visit, allow }) => {
    allow(/status of 400 .*\/system\/functions/);
    /** @type {(value: any) => void} */
    let go = () => {};
    const gate = new Promise((resolve) => void (go = resolve));
    await page.route("**/system/functions", async (route) => {
      if (route.request().method() === "POST") await gate;
      await route.continue();
    });
    await visit("#/deploy/stack");
    const text = page.getByLabel("Text of the stack.yml");
    await text.fill(STACK.replaceAll("upper", "first").replaceAll("lower", "second").replace("later", "never"));
    await page.getByRole("button", { name: "Deploy 2 functions" }).click();
    await page.getByText("deploying", { exact: true }).waitFor();
    assert.ok(!(await text.isEditable()));
    await page.getByRole("link", { name: "Functions", exact: true }).click();
    await page.getByRole("heading", { name: "Functions", level: 1 }).waitFor();
    go(null);
    await page.getByRole("alert").getByText("second is not deployed").waitFor();
    await page.goBack();
    const functions = page.getByRole("listitem");
    await functions.filter({ hasText: "first.openfaas-fn" }).getByText("ready", { exact: true }).waitFor();
    await functions.filter({ hasText: "second.openfaas-fn" }).getByRole("alert").waitFor();
    assert.ok(await text.isEditable());
  });

  test("those that are there are updated after a question", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/functions", { service: "upper", namespace: "staging", image: "i", envProcess: "cat" });
    await visit("#/deploy/stack");
    await page.getByLabel("Text of the stack.yml").fill(STACK);
    await page.getByRole("checkbox", { name: "lower" }).uncheck();
    await page.getByLabel("Namespace").selectOption("staging");
    const upper = page.getByRole("listitem").filter({ hasText: "upper.staging" });
    await upper.getByText("will be updated").waitFor();
    await page.getByRole("button", { name: "Deploy 1 function" }).click();
    const dialog = page.getByRole("dialog", { name: "Update upper?" });
    await axe(page);
    await dialog.getByRole("button", { name: "Update" }).click();
    await upper.getByText("ready", { exact: true }).waitFor();
    await eventually("it is what the file says", async () => (await (await gateway.call("upper.staging", { body: "hi" })).text()) === "HI");
  });

  test("nothing overflows on a phone", async ({ page, visit }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    for (const tab of ["store", "custom", "stack"]) {
      await visit(`#/deploy/${tab}`);
      await page.getByRole("link", { name: { store: "Store", custom: "Custom", stack: "stack.yml" }[tab] }).waitFor();
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), tab);
    }
  });
});

portal("Deploying while a remote provider is down", async () => withConfig({ provider: await providerThatIsDown() }), (test) => {
  test("nothing can be deployed, and the fields are those of a provider of images", async ({ page, visit, allow }) => {
    allow(/status of 50\d .*\/system\//);
    await visit("#/deploy/custom");
    await page.getByText("The provider cannot be reached.", { exact: true }).waitFor();
    assert.ok(await page.getByRole("button", { name: "Deploy" }).isDisabled());
    await page.getByLabel("Image", { exact: true }).waitFor();
    await page.getByLabel("Command (optional)").waitFor();
    await axe(page);
  });
});
