// The tables about the instance itself: what each shows of the document.

import { ago, bytes, count, duration, percent } from "../words/format.js";
import { byKey, isoClock, name, newestFirst, number, words } from "./columns.js";

/** `clockNow()` is the time of the document. The key of each is the id of the element that holds it. */
export function instanceTables(clockNow) {
  const since = (at) => (at === undefined ? "never" : ago(clockNow() - at));
  return {
    "certificates-table": {
      caption: "Certificates",
      empty: "No certificate is configured.",
      rows: (document) => byKey(document.certificates).sort((a, b) => a.ends_at - b.ends_at),
      columns: [
        { title: "Of", isHead: true, text: (r) => r.owner, note: (r) => r.file },
        words("Names", (r) => r.names ?? r.subject),
        words("Ends", (r) => isoClock(r.ends_at)),
        words(
          "State",
          (r) =>
            ({ ok: `✓ ${count(r.days_left)} days left`, soon: `▲ ${count(r.days_left)} days left`, ended: "✕ has ended" })[
              r.state
            ] ?? r.state,
          {
            tone: (r) => ({ ok: "good", soon: "warn", ended: "bad" })[r.state] ?? "",
          },
        ),
      ],
    },
    "redis-table": {
      caption: "Redis",
      empty: "Nothing is shared through Redis.",
      rows: (document) => byKey(document.redis).map((row) => ({ ...row, name: row.key.replace("_", " ") })),
      columns: [
        name("Used for", (r) => r.url),
        words("State", (r) => r.state, { tone: (r) => (r.reason ? "bad" : ""), note: (r) => r.reason ?? "" }),
        words("When it fails", (r) => r.on_failure),
        number("Errors", (r) => r.errors_total),
      ],
    },
    "keys-table": {
      caption: "Keys of tokens",
      empty: "No keys of tokens are fetched.",
      rows: (document) => byKey(document.keys),
      columns: [
        name("From"),
        words("Fetched", (r) => since(r.fetched_at)),
        words("State", (r) => (r.failure ? "✕ failed" : "✓ good"), {
          tone: (r) => (r.failure ? "bad" : "good"),
          note: (r) => r.failure ?? "",
        }),
        number("Fetches", (r) => r.fetches_total),
        number("Failed", (r) => r.failures_total),
      ],
    },
    "workers-table": {
      caption: "Worker processes",
      empty: "No worker runs.",
      rows: (document) => byKey(document.workers),
      columns: [
        name("Worker", (r) => (r.pid ? `pid ${r.pid}` : "")),
        words("State", (r) => r.state, { tone: (r) => ({ alive: "good", leaving: "warn" })[r.state] ?? "bad" }),
        number("CPU", (r) => r.cpu_share, percent),
        number("Memory", (r) => r.memory_bytes, bytes),
        number("Loop lag", (r) => r.loop_lag_seconds, duration),
        number("Connections", (r) => r.connections),
        number("Requests", (r) => r.requests),
        number("Generation", (r) => r.generation),
      ],
    },
    "reloads-table": {
      caption: "Reloads, the newest first",
      empty: "Nothing was reloaded since the start.",
      rows: (document) => newestFirst(document.reloads),
      columns: [
        { title: "When", isHead: true, text: (r) => isoClock(r.at) },
        words(
          "Result",
          (r) => ({ success: "✓ done", failure: "✕ refused", unchanged: "○ nothing to change" })[r.result] ?? r.result,
          {
            tone: (r) => ({ success: "good", failure: "bad" })[r.result] ?? "",
            note: (r) => (r.current ? "this is served" : ""),
          },
        ),
        words("Asked by", (r) => r.origin),
        words("Generation", (r) => (r.generation === undefined ? "" : count(r.generation))),
        words("What changed, or what was wrong", (r) => r.problems || r.changes || r.summary || "", { isLines: true }),
      ],
    },
    "events-table": {
      caption: "Events, the newest first",
      empty: "Nothing has happened yet.",
      rows: (document) => newestFirst(document.events),
      columns: [
        { title: "When", isHead: true, text: (r) => isoClock(r.at) },
        words("Kind", (r) => r.kind),
        words("What", (r) => r.text),
      ],
    },
  };
}
