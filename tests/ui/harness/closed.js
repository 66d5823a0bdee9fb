// An address where nobody listens.

import { once } from "node:events";
import net from "node:net";

/** A port of the loopback interface that was free a moment ago. */
export async function closedPort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/** The `provider:` section of a gateway whose remote provider is down. */
export async function providerThatIsDown() {
  return { kind: "remote", url: `http://127.0.0.1:${await closedPort()}/`, namespace: "openfaas-fn" };
}
