// How the page says how a backend stands. Each state has a sign and a word: none is told by colour alone.

import { ago, count, duration, percent, rate } from "./format.js";

const SIGNS = {
  healthy: "●",
  unchecked: "●",
  returning: "◐",
  unknown: "○",
  draining: "▼",
  maintenance: "■",
  ejected: "▲",
  unhealthy: "✕",
};
const TONES = {
  healthy: "good",
  unchecked: "good",
  returning: "warn",
  unknown: "warn",
  draining: "warn",
  maintenance: "warn",
  ejected: "bad",
  unhealthy: "bad",
};

export const stateText = (backend) => `${SIGNS[backend.state] ?? "?"} ${backend.state}`;
export const stateTone = (backend) => TONES[backend.state] ?? "";

/** Why it is out and when it may be back, with a countdown where a timer decides. */
export function stateNote(backend, now) {
  const parts = [];
  if (backend.reason) parts.push(backend.reason);
  else if (backend.why && backend.state !== "healthy") parts.push(backend.why);
  const left = backend.back_at === undefined ? 0 : Math.ceil(backend.back_at - now);
  if (left > 0) parts.push(`(in ${duration(left)})`);
  if (backend.drained) parts.push("Nothing is under way there any more.");
  return parts.join(" ");
}

/** As operators write it: [CB: CLOSED]. */
export function circuitText(backend) {
  return backend.breaker ? `[CB: ${backend.breaker.state.replace("_", "-").toUpperCase()}]` : "no breaker";
}

export function circuitTone(backend) {
  return { closed: "good", open: "bad", half_open: "warn" }[backend.breaker?.state] ?? "";
}

export function circuitNote(backend, now) {
  const breaker = backend.breaker;
  if (!breaker || breaker.state === "closed") return breaker?.opened_total ? `opened ${count(breaker.opened_total)}×` : "";
  const left = breaker.back_at === undefined ? 0 : Math.ceil(breaker.back_at - now);
  return [breaker.why, left > 0 ? `tried again in ${duration(left)}` : ""].filter(Boolean).join("; ");
}

export const shareText = (backend) => percent(backend.share);
export const shareNote = (backend) => (backend.due_share === undefined ? "" : `due ${percent(backend.due_share)}`);

export function activeNote(backend) {
  const parts = [];
  if (backend.max_connections) parts.push(`of ${count(backend.max_connections)}`);
  if (backend.waiting) parts.push(`queue ${count(backend.waiting)}`);
  return parts.join(", ");
}

export const errorsText = (backend) => (backend.errors ? `${rate(backend.errors)}/s` : "0");

/** The words of its failures, the most frequent first. */
export function errorsNote(backend) {
  const words = Object.entries(backend.errors_by_why ?? {}).sort((a, b) => b[1] - a[1]);
  const shown = words.slice(0, 3).map(([word, total]) => `${word} ${count(total)}`);
  if (words.length > 3) shown.push(`${words.length - 3} more`);
  return shown.join(", ");
}

export function checkText(backend) {
  const check = backend.check;
  if (!check) return "no check";
  return check.ok ? `✓ ${duration(check.seconds)}` : "✕ failed";
}

export const checkTone = (backend) => (backend.check ? (backend.check.ok ? "good" : "bad") : "");

export function checkNote(backend, now) {
  const check = backend.check;
  if (!check) return "";
  return [check.ok ? "" : check.text, check.at === undefined ? "" : ago(now - check.at)].filter(Boolean).join(", ");
}

export const lastHitText = (backend, now) => (backend.last_hit_at === undefined ? "never" : ago(now - backend.last_hit_at));

/** What a search looks through. */
export function searchText(backend) {
  return [
    backend.pool,
    backend.name,
    backend.address,
    backend.state,
    backend.region,
    backend.breaker?.state,
    backend.out ? "out" : "in",
    backend.backup ? "backup" : "",
  ]
    .join(" ")
    .toLowerCase();
}
