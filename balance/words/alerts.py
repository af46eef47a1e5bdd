"""What each alert of deployments/monitoring means and what to do first; the table in docs/OBSERVABILITY.md says the same."""

from __future__ import annotations

from typing import Final, NamedTuple


class AlertWord(NamedTuple):
    """`first` is what to do first."""

    severity: str
    meaning: str
    first: str


ALERTS: Final[dict[str, AlertWord]] = {
    "BalanceDown": AlertWord(
        "critical",
        "the admin port has not answered Prometheus for a minute",
        "on its machine `balance status`, then `systemctl status balance`",
    ),
    "BalanceTargetAbsent": AlertWord(
        "critical",
        "Prometheus has no target of the job `balance`, so nothing else can fire",
        "`promtool check config`, the page Targets of Prometheus",
    ),
    "BalanceAllBackendsDown": AlertWord(
        "critical",
        "no backend of a pool is ready with a closed breaker; requests are answered 503, or by those that fail",
        "`balance backends`: each with its reason",
    ),
    "BalanceHighErrorRate": AlertWord(
        "critical",
        "over 5 % of a pool's replies, or of all, are 5xx, and ten at least in five minutes; in TCP mode: "
        "connections to backends fail",
        "`balance backends`, then the words `why`; `balance explain WORD`",
    ),
    "BalanceBackendDown": AlertWord(
        "warning",
        "a backend is unhealthy or ejected for a minute; one that was drained or is in maintenance is none of these",
        "`balance backends`: the last check and its words",
    ),
    "BalanceHighLatency": AlertWord(
        "warning",
        "p99 is three times what was usual for the pool in the last day; more than a second where no hour of it is known",
        "`queue_ms`, `connect_ms`, `ttfb_ms` in the access log",
    ),
    "BalanceHighConnections": AlertWord(
        "warning",
        "four fifths of `max_clients`, or of what descriptors allow, are taken; or clients wait in the backlog",
        "`balance status`, `max_clients`, `ulimit -n`",
    ),
    "BalanceHighMemoryUsage": AlertWord(
        "warning",
        "four fifths of the cgroup's memory, or of the machine's",
        "`balance status --json`: the memory of each worker",
    ),
    "BalanceCircuitBreakerOpen": AlertWord(
        "warning",
        "a breaker stays open for two minutes though requests come, or opens three times in ten",
        "`balance backends --json`, `breaker`: why, and when it is tried again",
    ),
    "BalanceHighRetryRate": AlertWord(
        "warning",
        "a tenth of a pool's requests is sent again; the budget ends that at a fifth",
        "`balance backends`, then `tries` in the access log",
    ),
    "BalanceHighEventLoopLag": AlertWord(
        "warning",
        "a worker runs a tenth of a second late on average",
        "`balance status`, `top`, `workers`, the CPU quota",
    ),
    "BalanceCertificateExpiry": AlertWord(
        "warning",
        "a certificate ends within 14 days, a revocation list within 6 hours, or has ended",
        "its renewal; a new file is served without a reload",
    ),
    "BalanceConfigReloadFailed": AlertWord(
        "warning",
        "the file was refused when it was last read; the last good one is served",
        "`balance-validate FILE`, then `balance reload`",
    ),
    "BalanceDiscoveryStale": AlertWord(
        "warning",
        "a pool's source fails for five minutes, or says that there is nobody and is not believed; the last answer is served",
        "`balance status --json`, `pools[].discovery`: the last failure in words",
    ),
}
