// Scaling: the rule, the number, and what was decided.

import assert from "node:assert/strict";

import { axe } from "./harness/axe.js";
import { closedPort } from "./harness/closed.js";
import { Demo } from "./harness/demo.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";

const served = async () =>
  withConfig({
    functions: {
      echo: { process: "cat", scale: { min: 1, max: 3, type: "rps", target: 10, down_window: "5m" } },
      classic: { process: "cat" },
      sleeper: { process: "cat", scale: { max: 2 } },
      broken: { process: "/no/such/program", mode: "http" },
      weather: { upstream: `http://127.0.0.1:${await closedPort()}` },
    },
  });

portal("Scaling", served, (test) => {
  test("the rule is told in words and numbers", async ({ page, visit }) => {
    await visit("#/function/echo.openfaas-fn/scaling");
    await page.getByText("One replica for each 9 calls per second (10 times 0.9)").waitFor();
    for (const fact of ["calls per second (rps)", "1 to 3 replicas", "10 for each replica, of which 90 % is aimed at", "never"]) await page.getByText(fact, { exact: true }).waitFor();
    await page.getByText("Nothing was decided since the gateway was started.").waitFor();
    await axe(page);
    await visit("#/function/classic.openfaas-fn/scaling");
    await page.getByText("20 % of the most", { exact: true }).waitFor();
  });

  test("a number within the bounds is asked for at once, and the way there is shown", async ({ page, visit }) => {
    await visit("#/function/echo.openfaas-fn/scaling");
    await page.getByLabel("Scale to").fill("2");
    await page.getByRole("button", { name: "Scale", exact: true }).click();
    await page.getByText("echo.openfaas-fn is on the way to 2 replicas").waitFor();
    await page.getByText("2 of 2 available").waitFor();
    const decision = page.getByRole("row", { name: "Somebody asked for it" });
    await decision.getByText("1 → 2").waitFor();
    await decision.getByText("1 of 1 available").waitFor();
    await axe(page);
  });

  test("more than the rule allows is asked about first", async ({ page, visit }) => {
    await visit("#/function/sleeper.openfaas-fn/scaling");
    await page.getByLabel("Scale to").fill("5");
    await page.getByText("That is more than the 2 its rule allows.").waitFor();
    await page.getByRole("button", { name: "Scale", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "5 replicas of sleeper.openfaas-fn?" });
    await axe(page);
    await dialog.getByRole("button", { name: "Scale" }).click();
    await page.getByText("5 of 5 available").waitFor();
  });

  test("it is put to sleep after a question, and a call wakes it", async ({ page, visit, gateway }) => {
    await visit("#/function/classic.openfaas-fn/scaling");
    await page.getByLabel("Scale to").fill("0");
    await page.getByRole("button", { name: "Scale", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "0 replicas of classic.openfaas-fn?" });
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.getByText("1 of 1 available").waitFor();
    await page.getByRole("button", { name: "Scale", exact: true }).click();
    await dialog.getByRole("button", { name: "Scale" }).click();
    await page.getByText("0 of 0 available").waitFor();
    await page.getByText("asleep, woken by a call", { exact: true }).first().waitFor();
    await gateway.call("classic", { body: "good morning" });
    await page.getByText("1 of 1 available").waitFor();
    await page.getByText("It was called while it had no replica").waitFor();
  });

  test("what is no number of replicas is not asked for", async ({ page, visit }) => {
    await visit("#/function/echo.openfaas-fn/scaling");
    for (const wrong of ["1001", "-1", ""]) {
      await page.getByLabel("Scale to").fill(wrong);
      await page.getByText("A whole number from 0 to 1,000.").waitFor();
      assert.ok(await page.getByRole("button", { name: "Scale", exact: true }).isDisabled());
    }
  });

  test("replicas that do not come say why", async ({ page, visit }) => {
    await visit("#/function/broken.openfaas-fn/scaling");
    const way = page.getByRole("status").filter({ hasText: "0 of 1 available" });
    await way.getByText("1 more to come").waitFor();
    await way.getByText("is not an executable file").waitFor();
  });

  test("what runs elsewhere is not scaled", async ({ page, visit }) => {
    await visit("#/function/weather.openfaas-fn/scaling");
    await page.getByText("It runs at addresses that somebody else looks after.").waitFor();
    await page.getByText("Nobody here scales it").waitFor();
    assert.ok(await page.getByLabel("Scale to").isDisabled());
    assert.ok(await page.getByRole("button", { name: "Scale", exact: true }).isDisabled());
    await axe(page);
  });

  test("nothing overflows on a phone", async ({ page, visit }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await visit("#/function/echo.openfaas-fn/scaling");
    await page.getByText("1 to 3 replicas").waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
});

portal("The scaling of a busy function", () => Demo.start({ minutes: 5 }), (test) => {
  test("load and replicas are drawn", async ({ page, visit, gateway }) => {
    await gateway.admin("POST", "/system/scale-function/checkout", { serviceName: "checkout", replicas: 3 });
    await visit("#/function/checkout.openfaas-fn/scaling?minutes=5");
    await page.locator("figure", { hasText: "Replicas" }).locator("canvas").waitFor();
    await page.locator("figure", { hasText: "Calls per second" }).getByText("what the available ones shall take").waitFor();
    await page.getByText("Somebody asked for it").first().waitFor();
    await axe(page);
    await shot(page, "scaling");
  });
});
