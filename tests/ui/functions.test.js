// The list of functions, and a call from the portal.

import assert from "node:assert/strict";

import { axe } from "./harness/axe.js";
import { Demo } from "./harness/demo.js";
import { HELLO } from "./harness/gateway.js";
import { portal, withConfig } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

const FUNCTIONS = {
  echo: { process: "cat" },
  failing: { process: "false" },
  hello: { process: HELLO, mode: "http" },
};

portal("Functions", { functions: FUNCTIONS }, (test) => {
  test("every function is in the list", async ({ page, visit }) => {
    await visit();
    for (const name of Object.keys(FUNCTIONS)) await page.getByRole("link", { name }).waitFor();
    await axe(page);
  });

  test("a function can be called", async ({ page, visit }) => {
    await visit();
    await page.getByRole("link", { name: "hello" }).click();
    await page.getByLabel("Request body").fill("portal");
    await page.getByRole("button", { name: "Invoke" }).click();
    await page.getByText("Hello, portal!").waitFor();
    await axe(page);
  });

  test("a call that fails is shown as such", async ({ page, visit, allow }) => {
    allow(/status of 500 .*\/function\/failing/);
    await visit();
    await page.getByRole("link", { name: "failing" }).click();
    await page.getByRole("button", { name: "Invoke" }).click();
    await page.getByText("500 Internal Server Error").waitFor();
  });

  test("who has no password sees nothing", async ({ browser, gateway }) => {
    const page = await browser.newPage();
    await assert.rejects(page.goto(gateway.portal), /ERR_INVALID_AUTH_CREDENTIALS/);
    await page.context().close();
  });
});

portal("Functions behind a path prefix", () => withConfig({ functions: FUNCTIONS }, { prefix: "/gw/" }), (test) => {
  test("a function can be called", async ({ page, visit, gateway }) => {
    assert.match(gateway.portal, /\/gw\/ui\/$/);
    await visit();
    await page.getByRole("link", { name: "echo" }).click();
    await page.getByLabel("Request body").fill("there and back");
    await page.getByRole("button", { name: "Invoke" }).click();
    await page.locator("pre", { hasText: "there and back" }).waitFor();
  });
});

portal("The functions of a busy gateway", () => Demo.start({ minutes: 0.2 }), (test) => {
  test("the list follows what happens", async ({ page, visit }) => {
    await visit();
    const calls = page.getByRole("row", { name: "checkout" }).getByRole("cell").last();
    const before = Number(await calls.textContent());
    await eventually("more calls are shown", async () => Number(await calls.textContent()) > before);
    await axe(page);
    await shot(page, "functions");
  });
});
