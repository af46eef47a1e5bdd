"""The statuses that an endpoint answers with, and what each means there."""

from __future__ import annotations

from balance.admin.access.gate import Access
from balance.admin.endpoints import Endpoint

_NOTHING = "The request says nothing that could be done; `error` says what can be said."


def statuses(endpoint: Endpoint, path: str) -> dict[str, str]:
    """The meanings, by status."""
    found = {"200": "Done." if endpoint.access is Access.WRITE else "As asked."}
    if endpoint.access is not Access.OPEN:
        found["400"] = _NOTHING
        found["401"] = "It needs a token, or another one; `WWW-Authenticate` says which."
        found["403"] = "The token may read alone, a page of others asks, or there are no tokens and this is another machine."
        found["429"] = "Too many wrong tokens from there; `Retry-After` says how long."
    if endpoint.body is not None or endpoint.query:
        found["400"] = _NOTHING
    if endpoint.body is not None:
        found["408"] = "The body has not come in time."
        found["413"] = "The body is larger than any order."
        found["415"] = "The body is compressed or a form of several parts; it is taken as it is, whatever type it says else."
    if "{" in path or "generation" in endpoint.query:
        found["404"] = "There is no such one."
    if endpoint.can_be_refused:
        found["409"] = "Refused, nothing changed; `problems` in the body says why."
        found["503"] = "The supervisor does not answer."
    found["405"] = "Another method; `Allow` says which there are."
    return dict(sorted((found | endpoint.also).items()))
