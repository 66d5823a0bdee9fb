// The portal while the provider is down.

import { axe } from "./harness/axe.js";
import { providerThatIsDown } from "./harness/closed.js";
import { portal, withConfig } from "./harness/portal.js";

portal("A provider that is down", async () => withConfig({ provider: await providerThatIsDown() }), (test) => {
  test("the page says so", async ({ page, visit, allow }) => {
    allow(/status of 50[023] .*\/system\//);
    await visit();
    await page.getByRole("alert").filter({ hasText: "the provider does not answer" }).waitFor();
    await axe(page);
  });
});
