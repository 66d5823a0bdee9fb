// The page of secrets.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import http from "node:http";

import { axe } from "./harness/axe.js";
import { providerThatIsDown } from "./harness/closed.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

/** @typedef {import("./harness/gateway.js").Gateway} Gateway */
/** @typedef {import("playwright-core").Page} Page */

const CONFIG = {
  provider: { namespaces: ["openfaas-fn", "staging", "empty"] },
  functions: { reader: { process: "cat", secrets: ["api-key"] } },
};

portal("Secrets", () => served(), (test) => {
  test("names are listed with the functions that use them, and no value", async ({ page, visit }) => {
    await visit("#/secrets");
    const row = page.getByRole("row", { name: "api-key" });
    for (const name of ["reader", "whisper"]) await row.getByRole("link", { name }).waitFor();
    await page.getByRole("row", { name: "unused" }).getByText("No function").waitFor();
    assert.doesNotMatch(await page.content(), /hush-hush/);
    await axe(page);
    await shot(page, "secrets");
    await row.getByRole("link", { name: "whisper" }).click();
    await page.getByRole("heading", { name: "whisper" }).waitFor();
  });

  test("a function reads what was typed, with its spaces and line breaks", async ({ page, visit, gateway }) => {
    await visit("#/secrets");
    await page.getByRole("button", { name: "New secret" }).click();
    const dialog = page.getByRole("dialog", { name: "New secret" });
    const create = dialog.getByRole("button", { name: "Create" });
    assert.ok(await create.isDisabled(), "it needs a name and a value");
    await dialog.getByLabel("Name", { exact: true }).fill("typed.txt");
    await dialog.getByText("/var/openfaas/secrets/typed.txt").waitFor();
    await dialog.getByLabel("Value", { exact: true }).fill(" grüße\n");
    await dialog.getByText("a line break at the end").waitFor();
    await axe(page);
    await create.click();
    await page.getByText("typed.txt is created").waitFor();
    await page.getByRole("row", { name: "typed.txt" }).waitFor();
    assert.equal((await valueOf(gateway, "typed.txt")).toString(), " grüße\n");
  });

  test("a file is taken byte by byte", async ({ page, visit, gateway }) => {
    const bytes = Buffer.from([0, 255, 13, 10, 128, 0]);
    await visit("#/secrets");
    await page.getByRole("button", { name: "New secret" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill("key.bin");
    await dialog.getByRole("button", { name: "File" }).click();
    await dialog.getByLabel("File", { exact: true }).setInputFiles({ name: "any", mimeType: "application/octet-stream", buffer: bytes });
    await dialog.getByText("6 B, taken byte by byte").waitFor();
    await axe(page);
    await dialog.getByRole("button", { name: "Create" }).click();
    await page.getByRole("row", { name: "key.bin" }).waitFor();
    assert.deepEqual(await valueOf(gateway, "key.bin"), bytes);
  });

  test("a file that is too large is not sent", async ({ page, visit }) => {
    await visit("#/secrets");
    await page.getByRole("button", { name: "New secret" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill("large");
    await dialog.getByRole("button", { name: "File" }).click();
    const chosen = dialog.getByLabel("File", { exact: true });
    const create = dialog.getByRole("button", { name: "Create" });
    await chosen.setInputFiles({ name: "large", mimeType: "text/plain", buffer: Buffer.alloc(751 * 1024, "a") });
    await dialog.getByRole("alert").filter({ hasText: "750 KiB" }).waitFor();
    assert.ok(await create.isDisabled());
    await chosen.setInputFiles({ name: "fits", mimeType: "text/plain", buffer: Buffer.alloc(750 * 1024, "a") });
    await create.click();
    await page.getByRole("row", { name: "large" }).waitFor();
  });

  test("what the gateway would refuse as a name is said at once", async ({ page, visit, gateway, allow }) => {
    allow(/status of 400 .*\/system\/secrets/);
    await visit("#/secrets");
    await page.getByRole("row", { name: "api-key" }).waitFor();
    await page.getByRole("button", { name: "New secret" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Value", { exact: true }).fill("x");
    for (const [name, words] of /** @type {const} */ ([
      ["a b", "Only letters"],
      ["a/b", "Only letters"],
      [".hidden", "begin with a dot"],
      ["n".repeat(254), "253 characters"],
      ["api-key", "replace its value"],
    ])) {
      await dialog.getByLabel("Name", { exact: true }).fill(name);
      await dialog.getByRole("alert").filter({ hasText: words }).waitFor();
      assert.ok(await dialog.getByRole("button", { name: "Create" }).isDisabled(), name);
      await assert.rejects(gateway.admin("POST", "/system/secrets", { name, value: "x" }), /answered 4(00|09)/, `the gateway refuses ${name} too`);
    }
    await dialog.getByLabel("Name", { exact: true }).fill(`-_.${"n".repeat(250)}`);
    assert.ok(await dialog.getByRole("button", { name: "Create" }).isEnabled());
  });

  test("what the gateway refuses is said where it was asked for", async ({ page, visit, gateway, allow }) => {
    allow(/status of 409 .*\/system\/secrets/);
    await visit("#/secrets");
    await page.getByRole("button", { name: "New secret" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill("contested");
    await dialog.getByLabel("Value", { exact: true }).fill("mine");
    await gateway.admin("POST", "/system/secrets", { name: "contested", value: "theirs" });
    await dialog.getByRole("button", { name: "Create" }).click();
    await dialog.getByRole("alert").filter({ hasText: "exists already" }).waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
  });

  test("a new value is explained to the owners of functions", async ({ page, visit, gateway }) => {
    await visit("#/secrets");
    await page.getByRole("button", { name: "Replace the value of api-key" }).click();
    const dialog = page.getByRole("dialog", { name: "A new value for api-key" });
    await dialog.getByLabel("Value", { exact: true }).fill("changed");
    await dialog.getByRole("button", { name: "Replace" }).click();
    const note = page.getByRole("status").filter({ hasText: "api-key has a new value, and is used by" });
    await note.getByText("keep the old value until the function is updated").waitFor();
    await note.getByRole("link", { name: "whisper" }).waitFor();
    await axe(page);
    await note.getByRole("button", { name: "Close the message" }).click();
    await note.waitFor({ state: "hidden" });
    assert.equal((await valueOf(gateway, "api-key")).toString(), "changed");
  });

  test("a secret is deleted after a question that names its users", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/secrets", { name: "old", value: "x" });
    await gateway.admin("POST", "/system/functions", { service: "nostalgic", image: "none", envProcess: "cat", secrets: ["old"] });
    await visit("#/secrets");
    const row = page.getByRole("row", { name: "old" });
    await row.getByRole("button", { name: "Delete old" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete the secret old?" });
    await dialog.getByText("Used by nostalgic.").waitFor();
    await axe(page);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await row.waitFor();
    await row.getByRole("button", { name: "Delete old" }).click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await page.getByText("old is deleted, and is used by nostalgic").waitFor();
    await row.waitFor({ state: "detached" });
    const left = await gateway.admin("GET", "/system/secrets");
    assert.ok(!left.some((/** @type {{name: string}} */ { name }) => name === "old"));
  });

  test("a function that came since is named, and where none can be listed it is said so", async ({ page, visit, gateway, allow }) => {
    allow(/status of 502 .*\/system\/functions/);
    await gateway.admin("POST", "/system/secrets", { name: "late", value: "x" });
    await visit("#/secrets");
    const row = page.getByRole("row", { name: "late" });
    await row.getByText("No function").waitFor();
    await gateway.admin("POST", "/system/functions", { service: "latecomer", image: "none", envProcess: "cat", secrets: ["late"] });
    await row.getByRole("button", { name: "Delete late" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete the secret late?" });
    await dialog.getByText("Used by latecomer.").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.route("**/system/functions?*", (route) => route.fulfill({ status: 502, body: "no" }));
    await page.reload();
    await row.getByText("not known").waitFor();
    await row.getByRole("button", { name: "Delete late" }).click();
    await dialog.getByText("Which functions use it is not known").waitFor();
    await axe(page);
    await dialog.getByRole("button", { name: "Delete" }).click();
    await page.getByText("late is deleted. Which functions use it is not known.").waitFor();
    await gateway.admin("DELETE", "/system/functions", { functionName: "latecomer" });
  });

  test("each namespace has its own, and the address keeps which is shown", async ({ page, visit, gateway }) => {
    await visit("#/secrets");
    await page.getByLabel("Namespace").selectOption("staging");
    await page.getByRole("row", { name: "their-key" }).waitFor();
    assert.equal(await page.getByRole("row", { name: "api-key" }).count(), 0);
    await page.getByRole("button", { name: "New secret" }).click();
    const dialog = page.getByRole("dialog");
    assert.equal(await dialog.getByLabel("Namespace").inputValue(), "staging");
    await dialog.getByLabel("Name", { exact: true }).fill("api-key");
    await dialog.getByLabel("Value", { exact: true }).fill("another one");
    await dialog.getByRole("button", { name: "Create" }).click();
    // The function of the other namespace with a secret of this name does not use this one.
    await page.getByRole("row", { name: "api-key" }).getByText("No function").waitFor();
    await page.reload();
    await page.getByRole("row", { name: "their-key" }).getByRole("link", { name: "mailer" }).waitFor();
    const names = await gateway.admin("GET", "/system/secrets?namespace=staging");
    assert.deepEqual(names.map((/** @type {{name: string}} */ { name }) => name).sort(), ["api-key", "their-key"]);
  });

  test("where there is none, the page says what they are for", async ({ page, visit }) => {
    await visit("#/secrets?namespace=empty");
    await page.getByText("No secret in empty yet.").waitFor();
    await axe(page);
  });
});

portal("Secrets of a provider that is down", async () => withConfig({ provider: await providerThatIsDown() }), (test) => {
  test("nothing can be changed, and the page says why", async ({ page, visit, allow }) => {
    allow(/status of 502 .*\/system\//);
    await visit("#/secrets");
    await page.getByRole("alert").filter({ hasText: "could not be listed: the provider does not answer" }).waitFor();
    await page.getByRole("button", { name: "Try again" }).waitFor();
    const create = page.getByRole("button", { name: "New secret" });
    assert.ok(await create.isDisabled());
    await eventually("the button says why", async () => (await create.getAttribute("title")) === "The provider cannot be reached");
    await axe(page);
  });
});

portal("Secrets of a provider without them", () => withoutSecrets(), (test) => {
  test("the page says that there are none, in the provider's words", async ({ page, visit, allow }) => {
    allow(/status of (404|501) .*\/system\//);
    await visit("#/secrets");
    await page.getByText("The provider keeps no secrets. It said: secrets are kept elsewhere").waitFor();
    assert.ok(await page.getByRole("button", { name: "New secret" }).isDisabled());
    await axe(page);
  });
});

async function served() {
  const running = await withConfig(CONFIG);
  const { gateway } = running;
  for (const [name, namespace] of [["api-key", ""], ["unused", ""], ["their-key", "staging"]]) {
    await gateway.admin("POST", "/system/secrets", { name, namespace, value: "hush-hush" });
  }
  await gateway.admin("POST", "/system/functions", { service: "whisper", image: "none", envProcess: "cat", secrets: ["api-key"] });
  await gateway.admin("POST", "/system/functions", { service: "mailer", namespace: "staging", image: "none", envProcess: "cat", secrets: ["their-key"] });
  return running;
}

/**
 * What a function that is started now finds in a secret.
 * @param {Gateway} gateway
 * @param {string} name
 */
async function valueOf(gateway, name) {
  const service = `tells-${name.replaceAll(".", "-")}`;
  await gateway.admin("POST", "/system/functions", { service, image: "none", envProcess: `cat /var/openfaas/secrets/${name}`, secrets: [name] });
  const response = await gateway.call(service);
  assert.equal(response.status, 200);
  const value = Buffer.from(await response.arrayBuffer());
  await gateway.admin("DELETE", "/system/functions", { functionName: service });
  return value;
}

/** A gateway in front of a provider that knows functions only. */
async function withoutSecrets() {
  const provider = http.createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://provider");
    const answers = /** @type {Record<string, [number, string]>} */ ({
      "/system/functions": [200, "[]"],
      "/system/info": [200, '{"provider":"plain","orchestration":"none","version":{"release":"1","sha":"0"}}'],
      "/system/secrets": [501, "secrets are kept elsewhere"],
    });
    const [status, text] = answers[pathname] ?? [404, "nothing here"];
    response.writeHead(status).end(text);
  });
  await once(provider.listen(0, "127.0.0.1"), "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (provider.address());
  const running = await withConfig({ provider: { kind: "remote", url: `http://127.0.0.1:${port}/` } });
  const stop = async () => {
    await running.stop();
    provider.close();
    provider.closeAllConnections();
  };
  return { ...running, stop };
}
