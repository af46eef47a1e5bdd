// The tables about traffic: what each shows of the document.

import { ago, count, duration, percent, rate } from "../words/format.js";
import { breakers, byKey, byOrder, isoClock, name, number, words } from "./columns.js";

/** `clockNow()` is the time of the document. The key of each is the id of the element that holds it. */
export function trafficTables(clockNow) {
  const since = (at) => (at === undefined ? "never" : ago(clockNow() - at));
  return {
    "why-table": {
      caption: "Why requests end otherwise than well",
      empty: "Every request since the start has ended well.",
      rows: (document) => byKey(document.whys).sort((a, b) => b.rate - a.rate || b.total - a.total),
      columns: [name("Why"), number("Now, per second", (r) => r.rate, rate), number("Since the start", (r) => r.total)],
    },
    "pools-table": {
      caption: "Pools",
      empty: "No pool is configured.",
      rows: (document) => byOrder(document.pools),
      columns: [
        name("Pool", (r) => r.algorithm),
        words("Ready", (r) => `${r.ready} of ${r.backends}`, {
          tone: (r) => (r.ready === 0 ? "bad" : r.ready < r.backends ? "warn" : "good"),
          note: (r) => [r.reason, r.panicking ? "panic: so few are healthy that all are used" : ""].filter(Boolean).join(" "),
        }),
        number("Req/s", (r) => r.rate, rate),
        number("5xx/s", (r) => r.errors_5xx, rate),
        number("p50", (r) => r.p50_seconds, duration),
        number("p99", (r) => r.p99_seconds, duration),
        number("Active", (r) => r.active),
        number("Queue", (r) => r.waiting, count, { note: (r) => (r.max_waiting ? `of ${count(r.max_waiting)}` : "") }),
        words("Health check", (r) => r.health_check ?? "none"),
        words("Discovery", (r) => (r.discovery ? `${r.discovery.kind}: ${r.discovery.state}` : "none"), {
          tone: (r) => ({ fresh: "good", stale: "warn", failing: "bad" })[r.discovery?.state] ?? "",
          note: (r) => r.discovery?.why ?? "",
        }),
        number("Requests", (r) => r.requests_total),
      ],
    },
    "routes-table": {
      caption: "Routes, in the order in which they are tried",
      empty: "No listener has routes: all requests go to its pool.",
      rows: (document) => byOrder(document.routes),
      columns: [
        name("Route", (r) => `listener ${r.listener}`),
        words("Matches", (r) => r.match),
        words("Action", (r) => r.action, { note: (r) => [r.policies, rulesText(r)].filter(Boolean).join("; ") }),
        number("Req/s", (r) => r.rate, rate),
        number("5xx/s", (r) => r.errors_5xx, rate),
        number("Hits", (r) => r.hits_total),
        words("Last hit", (r) => since(r.last_hit_at), { sort: (r) => r.last_hit_at }),
      ],
      hasSwitch: true,
    },
    "listeners-table": {
      caption: "Listeners",
      empty: "No listener is configured.",
      rows: (document) => byOrder(document.listeners).map((row) => ({ ...row, name: row.key })),
      columns: [
        name("Listener", (r) => r.listen),
        words("Mode", (r) => (r.tls ? `${r.mode} over TLS` : r.mode), {
          note: (r) => (r.tls_ends_at === undefined ? "" : `certificate until ${isoClock(r.tls_ends_at)}`),
        }),
        words("Leads to", (r) => (r.routes ? `${r.routes} route${r.routes === 1 ? "" : "s"}` : `pool ${r.pool ?? "?"}`)),
        number("Per second", (r) => r.rate, rate),
        number("Clients", (r) => r.clients, count, { note: (r) => (r.max_clients ? `of ${count(r.max_clients)}` : "") }),
        number("Refused/s", (r) => r.refused, rate, {
          tone: (r) => (r.refused ? "bad" : ""),
          note: (r) => (r.refused_total ? `${count(r.refused_total)} since the start` : ""),
        }),
      ],
    },
    "breakers-table": {
      caption: "Circuit breakers",
      empty: "No pool has circuit breakers.",
      rows: (document) => breakers(document).filter((b) => b.breaker.state !== "closed" || b.breaker.opened_total),
      keyOf: (backend) => `${backend.pool}/${backend.name}`,
      emptyWhen: (document) =>
        breakers(document).length ? `All ${count(breakers(document).length)} are closed, and none has ever opened.` : "",
      columns: [
        { title: "Backend", isHead: true, text: (b) => `${b.pool}/${b.name}` },
        words("Circuit", (b) => `[CB: ${b.breaker.state.replace("_", "-").toUpperCase()}]`, {
          tone: (b) => ({ closed: "good", open: "bad" })[b.breaker.state] ?? "warn",
          note: (b) => b.breaker.why ?? "",
        }),
        words("Since", (b) => since(b.breaker.since_at)),
        number("Opened", (b) => b.breaker.opened_total),
        number("Failures", (b) => b.breaker.failures_total),
      ],
    },
    "budgets-table": {
      caption: "Retry budgets",
      empty: "No pool has a retry budget.",
      rows: (document) => byOrder(document.pools).filter((pool) => pool.retry_budget),
      columns: [
        name("Pool"),
        number("Allowed", (r) => r.retry_budget.ratio, percent, {
          note: (r) =>
            r.retry_budget.min_per_second === undefined
              ? "of requests"
              : `of requests, ${rate(r.retry_budget.min_per_second)}/s in any case`,
        }),
        number("Left", (r) => r.retry_budget.left_share, percent, {
          tone: (r) => (r.retry_budget.left_share === 0 ? "bad" : ""),
        }),
      ],
    },
    "limits-table": {
      caption: "Rate limits",
      empty: "No route has a rate limit.",
      rows: (document) => byKey(document.rate_limits),
      columns: [
        name("Where", (r) => r.what),
        number("Refused/s", (r) => r.refused, rate, { tone: (r) => (r.refused ? "warn" : "") }),
        number("Refused", (r) => r.refused_total),
        number("Reported only", (r) => r.reported_total),
      ],
    },
    "sessions-table": {
      caption: "Sessions",
      empty: "No pool keeps sessions.",
      rows: (document) => byOrder(document.pools).filter((pool) => pool.sessions),
      columns: [
        name("Pool"),
        words("By", (r) => r.sessions.mode),
        number("Begun", (r) => r.sessions.began_total),
        number("Begun, per second", (r) => r.sessions.began, rate),
      ],
    },
  };
}

function rulesText(route) {
  const rules = Object.values(route.rules ?? {});
  return rules.length
    ? `${rules.length} rule${rules.length === 1 ? "" : "s"}, ${count(rules.reduce((sum, rule) => sum + rule.hits_total, 0))} hits`
    : "";
}
