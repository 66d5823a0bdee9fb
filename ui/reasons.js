// What the gateway's words for failures mean (header X-Gateway-Error), and what helps.

const REASONS = /** @type {Record<string, string>} */ ({
  bad_request: "The gateway cannot accept the request as it is; its answer says what is wrong.",
  not_found: "There is no such function, or nothing at this path.",
  method_not_allowed: "Calls for later can only be posted.",
  read_timeout: "The request did not arrive in time. Large bodies need a longer timeouts.read.",
  write_timeout: "The caller took nothing of the answer for too long.",
  upstream_timeout: "The function was silent for too long. Work that takes longer needs a longer timeouts.upstream, or a call for later.",
  idle_timeout: "The stream was silent for too long; timeouts.idle says how long that may be.",
  connect_timeout: "The function took no connection in time: it has more to do than it can, or cannot be reached.",
  connect_failed: "Nobody listens where the function should be. Its log may say why it ended.",
  upstream_failed: "The function broke off, or what it answered is not HTTP. Its log may say why.",
  not_ready: "The function cannot be called now; its overview says why.",
  asleep: "The function is asleep, and a request of this kind does not wake it.",
  wait_timeout: "The function was not ready in time. Its log may say what it waits for; scale.wait.timeout says how long calls wait.",
  line_full: "As many calls as may wait for the function wait already. More replicas help, or a call for later.",
  queue_full: "As many calls as may wait in the queue wait already.",
  storage_full: "The disk of the gateway is almost full.",
  queue_unavailable: "The queue cannot be used now; the log of the gateway says why.",
  idempotency_key_reused: "This Idempotency-Key belongs to a call with another path, query or body.",
  too_large: "The body is longer than is allowed.",
  client_gone: "The caller went away before there was an answer.",
  internal: "The gateway failed; its own log says why.",
  exit_status: "The process of the call ended with an error. What it wrote to standard error is in the log.",
  exec_timeout: "The process of the call ran longer than its exec timeout, and was killed.",
  max_inflight: "As many calls as the function's max_inflight allows run already.",
  cannot_start: "The process of the call could not be started; the log says why.",
});

/** A sentence on a reason; empty where it is not known. */
export const reasonWords = (/** @type {string | null | undefined} */ reason) => REASONS[reason ?? ""] ?? "";
