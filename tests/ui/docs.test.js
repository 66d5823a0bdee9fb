// The page about the API.

import assert from "node:assert/strict";

import { axe } from "./harness/axe.js";
import { portal } from "./harness/portal.js";
import { shot } from "./harness/shot.js";
import { eventually } from "./harness/wait.js";

/** @typedef {import("playwright-core").Page} Page */

portal("The page about the API", {}, (test) => {
  test("every operation of the document is there", async ({ page, visit, gateway }) => {
    const { paths, components } = await gateway.admin("GET", "/system/openapi.json");
    await visit("docs.html");
    await page.getByRole("heading", { name: "API", level: 1 }).waitFor();
    for (const item of Object.values(paths)) {
      for (const { operationId, summary } of Object.values(item)) {
        assert.equal(await page.locator(`article#${operationId}`).count(), 1, operationId);
        assert.equal(await contents(page).getByRole("link", { name: summary, exact: true }).count(), 1, summary);
      }
    }
    for (const name of Object.keys(components.schemas)) assert.equal(await page.locator(`article#type-${name}`).count(), 1, name);
    await axe(page);
    await shot(page, "api");
  });

  test("bodies of every type are told, and sent by the command", async ({ page, visit, gateway }) => {
    const { paths } = await gateway.admin("GET", "/system/openapi.json");
    await visit("docs.html");
    const all = /** @type {any[]} */ (Object.values(paths).flatMap((item) => Object.values(item)));
    const withBody = all.filter(({ requestBody }) => requestBody);
    assert.ok(withBody.length > 5);
    for (const { operationId, requestBody } of withBody) {
      const [kind] = Object.keys(requestBody.content);
      const article = page.locator(`article#${operationId}`);
      await article.getByText(/^Body:/).waitFor();
      const command = await article.locator("pre").innerText();
      assert.match(command, kind === "application/json" ? /-d @body\.json/ : new RegExp(`Content-Type: ${kind}' --data-binary`), operationId);
    }
  });

  test("a search leaves what fits, and is found by a key", async ({ page, visit }) => {
    await visit("docs.html");
    await page.getByRole("heading", { name: "Secrets", exact: true }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("secret post");
    await page.getByRole("status").filter({ hasText: "1 operation" }).waitFor();
    assert.deepEqual(await page.locator("article").evaluateAll((all) => all.map(({ id }) => id)), ["createSecret"]);
    await axe(page);
    await page.getByLabel("Search operations").fill("no such thing");
    await page.getByText("Nothing fits.").waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await page.locator("article#listFunctions").waitFor();
  });

  test("links lead to operations and types, also to those the search hides", async ({ page, visit }) => {
    await visit("docs.html#createSecret");
    await inSight(page, "createSecret");
    await page.locator("article#createSecret").getByRole("link", { name: "Secret", exact: true }).click();
    await inSight(page, "type-Secret");
    await page.getByLabel("Search operations").fill("create a secret");
    await page.locator("article#listFunctions").waitFor({ state: "detached" });
    await page.locator("article#createSecret").getByRole("link", { name: "Secret", exact: true }).click();
    await inSight(page, "type-Secret");
    await page.goBack();
    await inSight(page, "createSecret");
  });

  test("a command can be copied, and works", async ({ page, visit, gateway }) => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await visit("docs.html");
    await page.locator("article#listFunctions").getByRole("button", { name: "Copy the command" }).click();
    const command = await eventually("it is copied", () => page.evaluate(() => navigator.clipboard.readText()));
    const [, url] = command.match(/^curl -u admin:PASSWORD '(.*)'$/) ?? assert.fail(command);
    assert.equal(url, `${gateway.url}/system/functions`);
    assert.deepEqual(await gateway.admin("GET", new URL(url).pathname), []);
  });

  test("it is a page of the portal: its head leads to the others, and keeps the theme", async ({ page, visit }) => {
    await visit("#/secrets");
    await page.getByRole("button", { name: /^Colours/ }).click();
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), "dark");
    await page.getByRole("link", { name: "API", exact: true }).click();
    await page.getByRole("heading", { name: "API", level: 1 }).waitFor();
    assert.equal(await theme(), "dark");
    const links = await page.getByRole("navigation", { name: "Portal" }).getByRole("link").allInnerTexts();
    await page.getByRole("link", { name: "Secrets", exact: true }).first().click();
    await page.getByRole("heading", { name: "Secrets", level: 1 }).waitFor();
    assert.deepEqual(await page.getByRole("navigation", { name: "Portal" }).getByRole("link").allInnerTexts(), links);
  });

  test("it fits a phone", async ({ page, visit }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await visit("docs.html");
    await page.locator("article#createSecret").waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    await page.getByText("Contents", { exact: true }).click();
    await contents(page).getByRole("link", { name: "Create a secret" }).click();
    await inSight(page, "createSecret");
    await axe(page);
  });

  test("that the document cannot be read is said, and can be tried again", async ({ page, visit, allow }) => {
    allow(/status of 503 .*openapi/);
    let refuse = true;
    await page.route("**/system/openapi.json", (route) => (refuse ? route.fulfill({ status: 503, body: "too many requests at once" }) : route.continue()));
    await visit("docs.html");
    await page.getByRole("alert").filter({ hasText: "too many requests at once" }).waitFor();
    refuse = false;
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("article#listFunctions").waitFor();
  });
});

const contents = (/** @type {Page} */ page) => page.getByRole("navigation", { name: "Operations" });

/** Waits until an operation or a type is where one reads. */
const inSight = (/** @type {Page} */ page, /** @type {string} */ id) =>
  eventually(`${id} is in sight`, () =>
    page.evaluate((id) => {
      const { top } = document.getElementById(id)?.getBoundingClientRect() ?? { top: -1 };
      return top >= 0 && top < innerHeight;
    }, id),
  );
