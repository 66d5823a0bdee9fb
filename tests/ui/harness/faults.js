// What must not happen in a page, whatever is tested there.

/** Collects the faults of a page from now on. */
export class Faults {
  /** @type {string[]} */
  #found = [];
  /** @type {RegExp[]} */
  #allowed = [];

  /**
   * @param {import("playwright-core").Page} page
   * @param {string} url where everything has to come from
   */
  constructor(page, url) {
    const { origin } = new URL(url);
    // Chromium reports here what the content security policy refuses, and answers that are errors.
    page.on("console", (message) => {
      if (message.type() === "error") this.#found.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.#found.push(`exception: ${error.stack ?? error}`));
    page.on("request", (request) => {
      const { protocol, origin: asked } = new URL(request.url());
      const inside = ["data:", "blob:"].includes(protocol);
      if (!inside && asked !== origin) this.#found.push(`request to another host: ${request.url()}`);
    });
  }

  /**
   * Lets happen what the test brings about itself, as an answer that is an error.
   * @param {RegExp} pattern found in the fault's text, which ends with the address
   */
  allow(pattern) {
    this.#allowed.push(pattern);
  }

  /** Those that nobody allowed. */
  get found() {
    return this.#found.filter((fault) => !this.#allowed.some((pattern) => pattern.test(fault)));
  }
}
