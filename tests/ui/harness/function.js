// A function that takes its time, fails now and then, and says in its log what it did. As a program it
// is one in HTTP mode, told how to be by variables; the same answers come from a server in the harness.

import http from "node:http";
import process from "node:process";
import { pathToFileURL } from "node:url";

/**
 * @typedef {object} Manner how it is
 * @property {string} does what it says it did
 * @property {number} [delay] milliseconds that a call takes, about
 * @property {number} [fails] share of calls that it answers with 500
 */

/**
 * A server that is such a function.
 * @param {Manner} manner
 * @param {(line: string) => void} log
 */
export function serveFunction({ does, delay = 5, fails = 0 }, log = () => {}) {
  let calls = 0;
  return http.createServer((request, response) => {
    const number = ++calls;
    const takes = delay * (0.4 - Math.log(1 - Math.random()) * 0.6);
    request.resume();
    setTimeout(() => {
      const failed = Math.random() < fails;
      log(`${failed ? "ERROR" : "INFO"} ${does} #${number} ${failed ? "failed: the card was declined" : `took ${Math.round(takes)} ms`}`);
      response.writeHead(failed ? 500 : 200, { "Content-Type": "application/json" });
      response.end(`${JSON.stringify(failed ? { error: "declined" } : { does, number, milliseconds: Math.round(takes) })}\n`);
    }, takes);
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { PORT, DOES = "work", DELAY, FAILS } = process.env;
  const server = serveFunction({ does: DOES, delay: Number(DELAY ?? 5), fails: Number(FAILS ?? 0) }, console.log);
  server.listen(Number(PORT), "127.0.0.1", () => console.log(`INFO ${DOES} is ready`));
}
