// The configuration of a function: what it was deployed with, and how that is changed.

import assert from "node:assert/strict";

import { axe } from "./harness/axe.js";
import { closedPort } from "./harness/closed.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

const SHOUT = {
  service: "shout",
  image: "ghcr.io/example/shout:1",
  envProcess: "tr a-z A-Z",
  envVars: { exec_timeout: "10s", greeting: "hello\nworld" },
  secrets: ["api-key"],
  labels: { "com.openfaas.scale.max": "4", team: "text" },
  annotations: { topic: "orders" },
  limits: { memory: "128Mi" },
  requests: { cpu: "100m" },
  constraints: ["node.platform.os == linux"],
};

async function served() {
  const served = await withConfig({
    functions: {
      echo: { process: "cat", labels: { "com.example.team": "web" } },
      weather: { upstream: `http://127.0.0.1:${await closedPort()}` },
    },
  });
  await served.gateway.admin("POST", "/system/secrets", { name: "api-key", value: "not so secret" });
  for (const service of ["shout", "careful", "stubborn", "shared"]) await served.gateway.admin("POST", "/system/functions", { ...SHOUT, service });
  return served;
}

/** @param {import("playwright-core").Page} page */
async function showDifference(page) {
  await page.getByRole("button", { name: "Show what differs…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  return dialog;
}

portal("Configuration", served, (test) => {
  test("everything it was deployed with is shown", async ({ page, visit }) => {
    await visit("#/function/shout.openfaas-fn/configuration");
    for (const fact of [SHOUT.image, SHOUT.envProcess, "128Mi at most", "100m needed", SHOUT.constraints[0], "api-key"]) await page.getByText(fact, { exact: true }).waitFor();
    await page.getByRole("row", { name: "com.openfaas.scale.max 4" }).waitFor();
    await page.getByRole("row", { name: "topic orders" }).waitFor();
    await page.getByRole("row", { name: "exec_timeout 10s" }).waitFor();
    await axe(page);
    await shot(page, "configuration");
  });

  test("it is deployed again after a look at what differs", async ({ page, visit, gateway }) => {
    await visit("#/function/shout.openfaas-fn/configuration");
    await page.getByRole("button", { name: "Edit" }).click();
    await axe(page);
    await page.getByLabel("Command", { exact: true }).fill("tr a-z 0-9");
    await page.getByRole("textbox", { name: "Environment: Value 1" }).fill("20s");
    await page.getByRole("button", { name: "Remove topic" }).click();
    const dialog = await showDifference(page);
    const changed = dialog.getByLabel("What differs").locator(".added, .removed");
    assert.deepEqual(await changed.allTextContents(), [
      "-removedcommand: tr a-z A-Z",
      "+addedcommand: tr a-z 0-9",
      "-removed  exec_timeout: 10s",
      "+added  exec_timeout: 20s",
      "-removedannotations:",
      "-removed  topic: orders",
    ]);
    await axe(page);
    await dialog.getByRole("button", { name: "Deploy again" }).click();
    await page.getByText("Ready: 1 replica can be called").waitFor();
    await page.getByText("tr a-z 0-9", { exact: true }).waitFor();
    const status = await gateway.admin("GET", "/system/function/shout");
    const { image, secrets, limits, requests, constraints } = SHOUT;
    assert.deepEqual(
      { image: status.image, secrets: status.secrets, limits: status.limits, requests: status.requests, constraints: status.constraints },
      { image, secrets, limits, requests, constraints },
    );
    assert.deepEqual(status.envVars, { exec_timeout: "20s", greeting: "hello\nworld" });
    assert.deepEqual(status.annotations, {});
  });

  test("what cannot be deployed is refused in the dialog, and nothing is lost", async ({ page, visit, allow }) => {
    allow(/status of 400 .*\/system\/functions/);
    await visit("#/function/careful.openfaas-fn/configuration");
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Environment: Value 1" }).fill("soon");
    const dialog = await showDifference(page);
    await dialog.getByRole("button", { name: "Deploy again" }).click();
    await dialog.getByRole("alert").filter({ hasText: "`soon` is not a duration" }).waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    assert.equal(await page.getByRole("textbox", { name: "Environment: Value 1" }).inputValue(), "soon");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("row", { name: "exec_timeout 10s" }).waitFor();
  });

  test("what somebody else changes meanwhile is seen, and a draft outlives a moment without its function", async ({ page, visit, gateway }) => {
    const shared = { ...SHOUT, service: "shared" };
    await visit("#/function/shared.openfaas-fn/configuration");
    await page.getByText(SHOUT.envProcess, { exact: true }).waitFor();
    await gateway.admin("PUT", "/system/functions", { ...shared, labels: { ...SHOUT.labels, team: "words" } });
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Command", { exact: true }).fill("tr a-z 0-9");
    await gateway.admin("DELETE", "/system/functions", { functionName: "shared" });
    await page.getByText("There is no function shared.openfaas-fn.").waitFor();
    await gateway.admin("POST", "/system/functions", { ...shared, envVars: { greeting: "hi" }, labels: { ...SHOUT.labels, team: "words" } });
    await page.getByLabel("Command", { exact: true }).waitFor();
    assert.equal(await page.getByLabel("Command", { exact: true }).inputValue(), "tr a-z 0-9");
    const dialog = await showDifference(page);
    await dialog.getByText("Somebody else changed it meanwhile").waitFor();
    const changed = await dialog.getByLabel("What differs").locator(".added, .removed").allTextContents();
    assert.ok(changed.includes("+added  exec_timeout: 10s"), changed.join("\n"));
    assert.ok(!changed.some((line) => line.includes("team")), changed.join("\n"));
    await axe(page);
  });

  test("a new revision that does not start is told", async ({ page, visit }) => {
    await visit("#/function/stubborn.openfaas-fn/configuration");
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Command", { exact: true }).fill("/no/such/program");
    const dialog = await showDifference(page);
    await dialog.getByRole("button", { name: "Deploy again" }).click();
    const progress = page.getByRole("status", { name: "Progress of stubborn" });
    await progress.getByText("is not an executable file").waitFor();
    await progress.getByText("The old revision serves on.").waitFor();
    await axe(page);
  });

  test("without a change nothing is deployed", async ({ page, visit }) => {
    await visit("#/function/careful.openfaas-fn/configuration");
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("button", { name: "Show what differs…" }).click();
    await page.getByText("Nothing was changed").waitFor();
  });

  test("labels that the gateway reads say what they mean", async ({ page, visit }) => {
    await visit("#/function/careful.openfaas-fn/configuration");
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByText("Replicas at most; 20 if not set.").waitFor();
    await page.getByRole("textbox", { name: "Labels: Value 1" }).or(page.getByRole("combobox", { name: "Labels: Value 1" })).fill("many");
    await page.getByText("This counts as not set: it should be a whole number from 0 to 1000.").waitFor();
    await page.getByLabel("Memory at most").fill("lots");
    await page.getByText("Not an amount such as 64Mi.").waitFor();
    await page.getByRole("button", { name: "Show what differs…" }).click();
    await eventually("no dialog is open", async () => (await page.getByRole("dialog").count()) === 0);
  });

  test("what the file declares is changed there", async ({ page, visit }) => {
    for (const name of ["echo", "weather"]) {
      await visit(`#/function/${name}.openfaas-fn/configuration`);
      await page.getByText("It is declared in the configuration file: change it there.").waitFor();
      assert.ok(await page.getByRole("button", { name: "Edit" }).isDisabled());
    }
  });

  test("nothing overflows on a phone", async ({ page, visit }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await visit("#/function/careful.openfaas-fn/configuration");
    await page.getByText(SHOUT.image).waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Command", { exact: true }).waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
});
