"""A typed client of a running instance's admin API, for scripts and programs.

    from balance.client import Client, ConflictError

    client = Client("127.0.0.1:9090", token_file="/etc/balance/ops.token")
    for backend in client.backends():
        print(backend.full_name, backend.state, backend.why)
    client.drain("app/app-1")

It needs no event loop and nothing but the standard library. `docs/CLIENT.md` has more.
"""

from balance.client.access import Access
from balance.client.client import Client
from balance.client.documents import (
    AccessLists,
    Backend,
    BackendChange,
    Blocked,
    Blocklist,
    Breaker,
    Check,
    Configuration,
    Counted,
    Event,
    Generation,
    Listener,
    OrderResult,
    Pool,
    PoolSessions,
    Probe,
    Route,
    Rule,
    Session,
    Sessions,
    Status,
    Version,
    Worker,
)
from balance.client.errors import (
    AccessError,
    BadReplyError,
    BrokenOffError,
    BusyError,
    ClientError,
    ConflictError,
    ContactError,
    ForbiddenError,
    InternalError,
    NotAuthorisedError,
    NotBalanceError,
    NotFoundError,
    RefusedError,
    TimeLimitError,
    UnreachableError,
)
from balance.client.events import EventStream

__all__ = [
    "Access",
    "AccessError",
    "AccessLists",
    "Backend",
    "BackendChange",
    "BadReplyError",
    "Blocked",
    "Blocklist",
    "Breaker",
    "BrokenOffError",
    "BusyError",
    "Check",
    "Client",
    "ClientError",
    "Configuration",
    "ConflictError",
    "ContactError",
    "Counted",
    "Event",
    "EventStream",
    "ForbiddenError",
    "Generation",
    "InternalError",
    "Listener",
    "NotAuthorisedError",
    "NotBalanceError",
    "NotFoundError",
    "OrderResult",
    "Pool",
    "PoolSessions",
    "Probe",
    "RefusedError",
    "Route",
    "Rule",
    "Session",
    "Sessions",
    "Status",
    "TimeLimitError",
    "UnreachableError",
    "Version",
    "Worker",
]
