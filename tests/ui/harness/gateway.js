// The gateway under test: the built program in a folder and an environment of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { Front } from "./front.js";
import { eventually } from "./wait.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PROGRAM = path.resolve(process.env.GATEWAY_BIN ?? path.join(ROOT, "target/debug/gateway"));

/** The example of an HTTP function, built beside the gateway. */
export const HELLO = path.join(path.dirname(PROGRAM), "examples/hello");

/** Who may use the portal of every gateway here. */
export const CREDENTIALS = { username: "admin", password: "only-for-tests" };

/** A running gateway. `stop` ends it. */
export class Gateway {
  /** @type {import("node:child_process").ChildProcess} */
  #child;
  #folder;
  #output = "";
  /** @type {Front | undefined} */
  #front;
  /** Where functions, API and portal are, without a slash at the end. */
  url = "";

  /**
   * Starts one and waits until it serves. What every test wants is added where `config` does not say
   * otherwise: free ports on the loopback interface, the state in the test's folder, no access log.
   * @param {Record<string, any>} config as in conf/gateway.yaml
   * @param {{ prefix?: string }} options the path it is to be found at, by a proxy in front of it
   */
  static async start(config = {}, { prefix } = {}) {
    const gateway = new Gateway(config);
    try {
      gateway.url = await gateway.#address();
      const files = process.env.UI_DIR && path.resolve(process.env.UI_DIR);
      if (prefix || files) {
        gateway.#front = await Front.start(gateway.url, { prefix, files });
        gateway.url = gateway.#front.url;
      }
      return gateway;
    } catch (error) {
      await gateway.stop();
      throw error;
    }
  }

  /** @param {Record<string, any>} config */
  constructor(config) {
    this.#folder = fs.mkdtempSync(path.join(os.tmpdir(), "portal-"));
    const file = path.join(this.#folder, "gateway.yaml");
    // JSON is YAML.
    fs.writeFileSync(file, JSON.stringify(complete(config, this.#folder), null, 2));
    // It ends with us, however we end.
    this.#child = spawn("setpriv", ["--pdeathsig", "TERM", PROGRAM, "--config", file], {
      cwd: this.#folder,
      env: { PATH: `${path.dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text) => (this.#output += text));
    }
    this.#child.once("error", (error) => (this.#output += `${error.message}\n`));
  }

  /** Everything it wrote so far. */
  get output() {
    return this.#output;
  }

  /** The address of the portal's first page. */
  get portal() {
    return `${this.url}/ui/`;
  }

  /**
   * Asks the management API, and expects a success.
   * @param {string} method
   * @param {string} target below the gateway's address
   * @param {unknown} [body] goes as JSON
   * @returns {Promise<any>} the JSON of the answer; its text where it is none
   */
  async admin(method, target, body) {
    const { username, password } = CREDENTIALS;
    const headers = { Authorization: `Basic ${btoa(`${username}:${password}`)}` };
    const response = await fetch(this.url + target, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${target} answered ${response.status}: ${text}`);
    return response.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : text;
  }

  /**
   * Calls a function.
   * @param {string} name
   * @param {RequestInit & { path?: string, later?: boolean }} options `later`: asynchronously
   */
  call(name, { path: below = "", later = false, ...request } = {}) {
    return fetch(`${this.url}/${later ? "async-function" : "function"}/${name}${below}`, { method: "POST", ...request });
  }

  /** Whether it has ended. */
  get hasEnded() {
    return this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Kills it, as a crash does; its functions end with it. */
  async kill() {
    await this.#end("SIGKILL");
  }

  /** Ends it and what it leaves behind. */
  async stop() {
    await this.#front?.stop();
    await this.#end("SIGTERM");
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }

  /** @param {NodeJS.Signals} signal */
  async #end(signal) {
    if (this.hasEnded) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    const overdue = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(overdue);
  }

  /** Its address, once it serves. */
  async #address() {
    try {
      return await eventually("the gateway serves", () => {
        if (this.hasEnded) throw new Error("it ended at once");
        // The line about its configuration is the last of those that say where everything is.
        return /^ {2}config /m.test(this.#output) && this.#output.match(/^ *API +(http:\/\/[^\s/]+)/m)?.[1];
      });
    } catch (error) {
      throw new Error(`${PROGRAM} does not serve: ${error instanceof Error ? error.message : error}\n${this.#output}`);
    }
  }
}

/**
 * @param {Record<string, any>} config
 * @param {string} folder
 */
function complete(config, folder) {
  const files = { user_file: path.join(folder, "user"), password_file: path.join(folder, "password") };
  fs.writeFileSync(files.user_file, CREDENTIALS.username);
  fs.writeFileSync(files.password_file, CREDENTIALS.password);
  return {
    version: 1,
    admin: { basic_auth: { enabled: true, ...files } },
    access_log: { format: "off" },
    ...config,
    server: { listen: "127.0.0.1:0", metrics: "127.0.0.1:0", drain: { timeout: "1s" }, ...config.server },
    provider: { state_dir: path.join(folder, "state"), ...config.provider },
  };
}
