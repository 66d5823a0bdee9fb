// A reverse proxy in front of a gateway, as people have one: it makes the gateway appear below a path.
// It can also show the portal's files from a folder instead of those in the program, so that a change
// to them is seen without a build.

import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { pipeline } from "node:stream";

/** @type {Record<string, string>} */
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** A running proxy. `stop` ends it. */
export class Front {
  #server;
  #target;
  #prefix;
  #files;
  /** Where the gateway now is, without a slash at the end. */
  url = "";

  /**
   * @param {string} target the gateway's own address
   * @param {{ prefix?: string, files?: string }} options `prefix` begins and ends with a slash
   */
  static async start(target, { prefix = "/", files } = {}) {
    const front = new Front(target, prefix, files);
    front.#server.listen(0, "127.0.0.1");
    await once(front.#server, "listening");
    const { port } = /** @type {import("node:net").AddressInfo} */ (front.#server.address());
    front.url = `http://127.0.0.1:${port}${prefix.slice(0, -1)}`;
    return front;
  }

  /**
   * @param {string} target
   * @param {string} prefix
   * @param {string | undefined} files
   */
  constructor(target, prefix, files) {
    this.#target = target;
    this.#prefix = prefix;
    this.#files = files;
    this.#server = http.createServer((request, response) => this.#answer(request, response));
  }

  /** Ends it and what goes through it. */
  async stop() {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /**
   * @param {http.IncomingMessage} request
   * @param {http.ServerResponse} response
   */
  #answer(request, response) {
    const target = request.url ?? "/";
    if (!target.startsWith(this.#prefix)) return void response.writeHead(404).end("not below the prefix\n");
    const below = target.slice(this.#prefix.length - 1);
    const file = this.#file(below);
    // Whether the portal may be seen, and with what policy, is the gateway's to say.
    const asked = http.request(this.#target + (file ? "/ui/" : below), { method: request.method, headers: request.headers });
    asked.on("response", (answer) => {
      if (file && answer.statusCode === 200) {
        answer.resume();
        show(file, answer.headers, response);
      } else {
        response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
        // What breaks off there breaks off here.
        pipeline(answer, response, () => {});
      }
    });
    asked.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end("the gateway is gone\n")));
    response.on("close", () => asked.destroy());
    if (file) asked.removeHeader("If-None-Match");
    request.pipe(asked);
  }

  /**
   * The file that is shown instead of the program's own.
   * @param {string} target
   */
  #file(target) {
    const { pathname } = new URL(target, this.#target);
    if (!this.#files || !pathname.startsWith("/ui/")) return undefined;
    return path.join(this.#files, pathname.slice("/ui".length).replace(/\/$/, "/index.html"));
  }
}

/**
 * @param {string} file
 * @param {http.IncomingHttpHeaders} headers
 * @param {http.ServerResponse} response
 */
function show(file, headers, response) {
  const { etag, "content-length": _, "content-encoding": packed, ...kept } = headers;
  const type = TYPES[path.extname(file)] ?? "text/plain";
  fs.readFile(file, (error, bytes) => {
    if (error) response.writeHead(404).end(`${error.message}\n`);
    else response.writeHead(200, { ...kept, "content-type": `${type}; charset=utf-8`, "cache-control": "no-store" }).end(bytes);
  });
}
