// What the portal asks of the gateway. All addresses are relative to /ui/, so that the page also
// works behind a path prefix.

/** Every function the gateway knows, by name. Fields that a provider leaves out count as empty. */
export async function functions() {
  const list = await json("../system/functions");
  return (list ?? [])
    .map((f) => ({
      ...f,
      id: f.namespace ? `${f.name}.${f.namespace}` : f.name,
      runs: f.envProcess || f.image || "",
      replicas: f.replicas ?? 0,
      available: f.availableReplicas ?? 0,
      invocations: f.invocationCount ?? 0,
    }))
    .sort((a, b) => a.id.localeCompare(b.id));
}

/** The provider's and the gateway's names and versions. */
export const info = () => json("../system/info");

/** The configuration in force, and what became of the last attempt to change it. */
export const config = () => json("../system/config");

/** The description of the API (OpenAPI 3.1). */
export const openapi = () => json("../system/openapi.json");

/** Where a function is called, as an absolute address. */
export const address = (id) => absolute(`../function/${encodeURIComponent(id)}`);

/**
 * Calls a function. The portal's credentials stay here: functions must not see them.
 */
export const invoke = (id, body, type, signal) =>
  fetch(address(id), { method: "POST", headers: { "Content-Type": type }, body, signal, credentials: "omit" });

/** Without the user and password the page itself may have been opened with: fetch refuses those. */
const absolute = (path) => new URL(path, location.origin + location.pathname).href;

async function json(path) {
  const response = await fetch(absolute(path), { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${path.slice(2)} answered ${response.status}: ${(await response.text()).slice(0, 300)}`);
  return response.json();
}
