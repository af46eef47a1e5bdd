"""Every label of the metrics: what its values are, and what bounds them."""

from __future__ import annotations

from typing import Final

LABELS: Final[dict[str, str]] = {
    "action": "of limits `refused`, or `reported` with `report_only`; of autoscalers `up`, `down`, `hold`",
    "backend": "a backend's name in the configuration; empty: none was chosen, or all of the pool, in histograms per pool",
    "certificate": "the file of a certificate",
    "class": "of the status: `1xx` to `5xx`",
    "crl": "the file of revocation lists",
    "direction": "`in`: from clients; `out`: to them; of compression `in` before it, `out` after it",
    "kind": "of errors of autoscalers: `driver`, `store`, `fenced`, `internal`",
    "listener": "a listener's name; empty: our own certificate for backends; `admin`: the admin port",
    "method": "one of the common methods, or `other`: what clients make up makes no series",
    "outcome": "of questions to authorizers: `allowed`, `denied`, `failed`",
    "pool": "a pool's name; empty: none was asked",
    "python": "Python's version",
    "reason": "one word of a fixed list: why there was no retry ([`retry`](#retry)), why callers wait (`descriptors`, "
    "`max_clients`), why a connection was refused (`blocked`, `connections`, `rate`, `proxy_header`), "
    "why a request to the admin port was (`bad_request`, `no_token`, `wrong_token`, `too_many_guesses`, `read_only_token`, "
    "`forbidden`)",
    "result": "of handshakes `ok` or the `tls_` words without `tls_`; of reloads `success`, `failure`, `unchanged`; of "
    "fetches `ok`, `failure`; of discovery `changed`, `unchanged`, `empty` (nobody, and not believed yet), `failure`",
    "route": "a route's name in the configuration; empty: none",
    "state": "of breakers `closed`, `open`, `half-open`; of connections `active`, `idle`; of backends, under other balancers' "
    "names, `healthy`, `unhealthy`",
    "status": "the status that the client got; of gRPC calls its name",
    "url": "where keys of tokens come from, as in the configuration",
    "version": "Balance's version",
    "why": "one word of the [list](#why): as many as that has",
    "worker": "a worker's number, from 0",
}
