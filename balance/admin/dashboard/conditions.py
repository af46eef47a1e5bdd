"""Orders that depend on what was seen before: `If-Match` with a version, and 409 for who comes second.

RFC 9110 section 13.1.1 leaves the status to the server; 409 says what it is, a conflict with somebody else's order.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_TAGS = 16


def check_version(request: Request, what: str, version: str, now: str) -> None:
    """HTTPException 409 when `If-Match` is given and does not name the version. `now` says how it is."""
    field = request.headers.get("if-match")
    if field is None:
        return
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in field.split(",", MAX_TAGS)]
    if version not in tags and "*" not in tags:
        text = f"somebody was faster: {what} has changed since you looked ({now}); nothing was done. Look again"
        raise HTTPException(409, text, {"ETag": f'"{version}"'})
