// Orders to the admin API, and what became of them in words.

import { authorization } from "./session.js";

const ROOT = new URL("../../../", import.meta.url); // the admin port's /
const LIMIT_MS = 60000; // a reload may check files and names

/** Changes of one backend: {"state": "drain"}, {"weight": 3}. */
export function backendOrder(backend, body) {
  return {
    method: "PATCH",
    path: `backends/${encodeURIComponent(backend.pool)}/${encodeURIComponent(backend.name)}`,
    body,
    version: backend.version,
  };
}

export function switchOrder(route, side) {
  return {
    method: "POST",
    path: `policy/${encodeURIComponent(route.name)}/switch`,
    body: { to: side, listener: route.listener },
    version: route.switch.version,
  };
}

export function reloadOrder(instance, body = {}) {
  return { method: "POST", path: "reload", body, version: instance.generation };
}

/** {isDone, needsSignIn, text, problems, warnings, changes}. Never throws. */
export async function send(order, { isDryRun = false } = {}) {
  const url = new URL(order.path, ROOT);
  if (isDryRun) url.searchParams.set("dry_run", "true");
  const headers = { "Content-Type": "application/json", ...authorization() };
  if (order.version !== undefined) headers["If-Match"] = `"${order.version}"`;
  let response;
  let body;
  try {
    response = await fetch(url, {
      method: order.method,
      headers,
      body: JSON.stringify(order.body),
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    body = await response.json();
  } catch (error) {
    const text =
      error.name === "TimeoutError"
        ? "The instance has not answered within a minute. Whether it was done is not known."
        : "The instance does not answer. Whether it was done is not known.";
    return { isDone: false, text: isDryRun ? "The instance does not answer." : text, problems: [], warnings: [], changes: [] };
  }
  const lists = { problems: body.problems ?? [], warnings: body.warnings ?? [], changes: body.changes ?? [] };
  if (response.ok) return { isDone: true, text: body.preview ?? body.summary ?? "", ...lists };
  const problems = lists.problems.filter((problem) => problem !== body.error);
  return {
    isDone: false,
    needsSignIn: response.status === 401,
    text: refusal(response.status, body.error),
    ...lists,
    problems,
  };
}

function refusal(status, error = `status ${status}`) {
  switch (status) {
    case 401:
      return `You are not signed in any more: ${error}`;
    case 403:
      return `Not allowed: ${error}`;
    case 409:
      return `Refused, nothing has changed: ${error}`;
    default:
      return `Not done: ${error}`;
  }
}
