// The overview of a function: facts, numbers, charts.

import assert from "node:assert/strict";

import { axe } from "./harness/axe.js";
import { closedPort } from "./harness/closed.js";
import { Demo } from "./harness/demo.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";

const WHISPER = { service: "whisper", image: "ghcr.io/example/whisper:1.2.0", envProcess: "tr A-Z a-z" };

async function served() {
  const served = await withConfig({
    functions: {
      echo: { process: "cat" },
      broken: { process: "/no/such/program", mode: "http" },
      weather: { upstream: `http://127.0.0.1:${await closedPort()}` },
    },
  });
  await served.gateway.admin("POST", "/system/functions", WHISPER);
  return served;
}

portal("Overview", served, (test) => {
  test("it says what a function is and where it is called", async ({ page, visit, gateway }) => {
    await visit("#/function/whisper.openfaas-fn");
    for (const fact of [WHISPER.image, WHISPER.envProcess, `${gateway.url}/function/whisper.openfaas-fn`]) await page.getByText(fact, { exact: true }).waitFor();
    await page.getByText("none seen").waitFor();
    await axe(page);
  });

  test("its numbers follow what happens", async ({ page, visit, gateway }) => {
    await visit("#/function/echo.openfaas-fn");
    const now = page.getByLabel("Now", { exact: true });
    await now.getByText("1 of 1").waitFor();
    for (let call = 0; call < 3; call += 1) await gateway.call("echo", { body: "hi" });
    await now.locator("div", { hasText: "Invocations" }).getByText("3", { exact: true }).waitFor();
  });

  test("a function that cannot start says why", async ({ page, visit }) => {
    await visit("#/function/broken.openfaas-fn");
    await page.getByRole("definition").filter({ hasText: "is not an executable file" }).waitFor();
  });

  test("the last error leads to the log of its call", async ({ page, visit, gateway }) => {
    const answer = await gateway.call("weather");
    assert.equal(answer.status, 502);
    const call = answer.headers.get("X-Call-Id") ?? "";
    await visit("#/function/weather.openfaas-fn");
    await page.getByText("connect failed").waitFor();
    await page.getByText(call).waitFor();
    await page.getByRole("link", { name: "among asynchronous calls" }).waitFor();
    await page.getByRole("link", { name: "in the log" }).click();
    await page.waitForURL((url) => url.hash === `#/function/weather.openfaas-fn/logs?search=${call}`);
  });

  test("the charts show as much as is chosen, and ask for what is new only", async ({ page, visit, gateway }) => {
    await gateway.call("echo", { body: "hi" });
    const whole = page.waitForRequest(/history\/echo\?.*seconds=3600$/);
    await visit("#/function/echo.openfaas-fn");
    await whole;
    await page.locator("figure canvas").first().waitFor();
    assert.equal(await page.getByRole("figure").count(), 6);
    const choice = page.getByRole("group", { name: "Time that is shown" });
    await choice.getByRole("button", { name: "5 min", exact: true }).click();
    await choice.getByRole("button", { name: "5 min", exact: true, pressed: true }).waitFor();
    await page.waitForURL(/minutes=5$/);
    await page.waitForRequest(/history\/echo\?.*seconds=\d\d$/);
    await axe(page);
  });

  test("what runs elsewhere has no charts of what it uses", async ({ page, visit }) => {
    await visit("#/function/weather.openfaas-fn");
    await page.getByText("the gateway does not see what it uses").first().waitFor();
    await page.getByText("in the configuration file, with its addresses").waitFor();
  });

  test("nothing overflows on a phone", async ({ page, visit }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await visit("#/function/whisper.openfaas-fn");
    await page.getByText(WHISPER.image).waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
});

portal("The overview of a busy function", () => Demo.start({ minutes: 5 }), (test) => {
  test("all its charts are drawn", async ({ page, visit }) => {
    await visit("#/function/checkout.openfaas-fn?minutes=5");
    await page.locator("figure", { hasText: "Calls per second" }).locator("canvas").waitFor();
    await page.locator("figure", { hasText: "Memory" }).getByText("MiB").waitFor();
    await axe(page);
    await shot(page, "overview");
  });
});
