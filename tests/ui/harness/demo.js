// A gateway with a bit of everything in it, for people who look at the portal and for its pictures.

import { once } from "node:events";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { closedPort } from "./closed.js";
import { serveFunction } from "./function.js";
import { Gateway, HELLO } from "./gateway.js";
import { Load } from "./load.js";
import { eventually } from "./wait.js";

/** How a program of ours is started: by names that are the same on every machine, for the pictures. */
const PROGRAM = { dir: fileURLToPath(new URL(".", import.meta.url)), mode: "http" };
const COMMAND = "node function.js";

/** @param {import("./function.js").Manner} manner */
const program = ({ does, delay, fails }) => ({
  ...PROGRAM,
  process: COMMAND,
  environment: { DOES: does, DELAY: `${delay ?? 5}`, FAILS: `${fails ?? 0}` },
});

/** A gateway with demo functions, some of them called all the time. `stop` ends it. */
export class Demo {
  gateway;
  #servers;
  #load;

  /**
   * @param {object} options
   * @param {number} [options.many] so many static functions more
   * @param {string} [options.prefix] as of a gateway
   * @param {boolean} [options.load] whether functions are called
   * @param {number} [options.minutes] how long they have to have been called where pictures are taken
   */
  static async start({ many = 0, prefix, load = true, minutes = 0 } = {}) {
    const full = process.env.SCREENSHOTS ? performance.now() + minutes * 60_000 : 0;
    const servers = await Promise.all([catalog(30), catalog(60)]);
    const addresses = servers.map(({ url }) => url);
    const gateway = await Gateway.start(await config(addresses, many), { prefix });
    const demo = new Demo(gateway, servers.map(({ server }) => server));
    try {
      await deploy(gateway);
      if (load) demo.#load.start(calls(many));
      await eventually("there is enough to be seen", () => performance.now() > full, Infinity);
      return demo;
    } catch (error) {
      await demo.stop();
      throw error;
    }
  }

  /**
   * @param {Gateway} gateway
   * @param {import("node:http").Server[]} servers
   */
  constructor(gateway, servers) {
    this.gateway = gateway;
    this.#servers = servers;
    this.#load = new Load(gateway);
  }

  async stop() {
    await this.#load.stop();
    await this.gateway.stop();
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }
}

/** @param {number} delay */
async function catalog(delay) {
  const server = serveFunction({ does: "catalog", delay }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { server, url: `http://127.0.0.1:${port}` };
}

/**
 * What the file declares.
 * @param {string[]} addresses of the static function
 * @param {number} many
 */
async function config(addresses, many) {
  const items = Array.from({ length: many }, (_, number) => [item(number), { upstream: addresses[number % addresses.length] }]);
  return {
    provider: {
      namespaces: ["openfaas-fn", "staging"],
      images: { "ghcr.io/example/search:*": { ...PROGRAM, command: COMMAND } },
    },
    queue: { retry: { attempts: 2, min_wait: "1s", max_wait: "5s" }, callbacks: { deny_private_networks: false } },
    functions: {
      echo: { process: "cat", annotations: { about: "answers what it is told" } },
      env: { process: "env", environment: { greeting: "hello" }, cgi_headers: true },
      hello: { process: `./${path.basename(HELLO)}`, dir: path.dirname(HELLO), mode: "http", replicas: 2, labels: { "com.example.team": "web" } },
      checkout: {
        ...program({ does: "checkout", delay: 40, fails: 0.04 }),
        scale: { min: 2, max: 6, type: "rps", target: 10 },
        labels: { "com.example.team": "shop", "com.example.tier": "front" },
        annotations: { about: "takes the money", owner: "shop@example.com" },
      },
      thumbnail: { ...program({ does: "thumbnail", delay: 350 }), concurrency: 2, limits: { memory: "256Mi", cpu: "500m" } },
      countdown: { process: ["sh", "-c", "for i in 5 4 3 2 1; do echo $i; sleep 1; done; echo lift-off"], mode: "streaming" },
      invoice: { process: ["sh", "-c", "echo the printer is on fire >&2; exit 1"] },
      digest: { process: "sha256sum", scale: { zero: true, zero_duration: "15s" } },
      translate: { process: ["sh", "-c", "echo cannot find the dictionary >&2; exit 3"], mode: "http" },
      catalog: { upstream: addresses },
      weather: { upstream: `http://127.0.0.1:${await closedPort()}` },
      ...Object.fromEntries(items),
    },
    routes: [
      { host: "shop.example.org", path: "/checkout/*", function: "checkout" },
      { path: "/v1/catalog/*", function: "catalog" },
    ],
  };
}

/** @param {number} number */
const item = (number) => `item-${String(number + 1).padStart(4, "0")}`;

/**
 * What is deployed by the API, and what it needs.
 * @param {Gateway} gateway
 */
async function deploy(gateway) {
  await gateway.admin("POST", "/system/secrets", { name: "api-key", value: "not so secret" });
  await gateway.admin("POST", "/system/functions", {
    service: "whisper",
    image: "ghcr.io/example/whisper:1.2.0",
    envProcess: "tr A-Z a-z",
    labels: { "com.example.team": "text" },
    secrets: ["api-key"],
  });
  await gateway.admin("POST", "/system/functions", {
    service: "search",
    namespace: "staging",
    image: "ghcr.io/example/search:2024-11",
    envVars: { DOES: "search", DELAY: "15" },
    labels: { "com.openfaas.scale.min": "1", "com.openfaas.scale.max": "4" },
    annotations: { about: "finds what nobody looked for" },
  });
  await eventually("what was deployed is ready", async () => {
    const search = await gateway.admin("GET", "/system/function/search?namespace=staging");
    return search.availableReplicas > 0;
  });
}

/**
 * What is called all the time, and how often per second.
 * @param {number} many
 * @returns {import("./load.js").Calls[]}
 */
function calls(many) {
  return [
    { name: "echo", rate: 4, body: "hi" },
    { name: "hello", rate: 12, body: "portal" },
    { name: "checkout", rate: 8, body: "{}" },
    { name: "thumbnail", rate: 4, callers: 4, body: "a picture" },
    { name: "catalog", rate: 6 },
    { name: "weather", rate: 0.5 },
    { name: "countdown", rate: 0.2 },
    { name: "whisper", rate: 1, body: "SHOUT" },
    { name: "search.staging", rate: 3, path: "/?q=anything" },
    { name: "digest", rate: 0.03, body: "wake up" },
    { name: "echo", rate: 1, later: true, body: "later" },
    { name: "thumbnail", rate: 1, later: true, body: "an album" },
    { name: "invoice", rate: 0.1, later: true, body: "no. 17" },
    ...Array.from({ length: Math.min(many, 20) }, (_, number) => ({ name: item(number * 7), rate: 0.5 })),
  ];
}
