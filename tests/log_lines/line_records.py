"""Records of requests for tests of lines."""

from typing import Any

from balance.log_lines.access_record import AccessRecord, RareFields, SentFields


def record(
    host: str = "a", referer: str = "", user_agent: str = "", rare: RareFields | None = None, **changes: Any
) -> AccessRecord:
    sent = SentFields(host, referer, user_agent)
    made = AccessRecord(
        "192.0.2.1", "GET", "/", "HTTP/1.1", sent, 200, "ok", 1, 2, "b", "p", 1, "id", 0, 1000, 2000, 3000, "", "r"
    )
    return made._replace(**changes) if rare is None else made._replace(rare=rare, **changes)
