"""JSON responses of the admin API, indented for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from balance.admin.supervisor_orders import OrderResult


def reply(document: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response that is never cached."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # A lone surrogate, quoted from a refused order, is written as a JSON escape.
    return Response(
        text.encode(errors="backslashreplace"), status, {"Cache-Control": "no-store"} | (headers or {}), "application/json"
    )


def order_result_reply(verdict: OrderResult, **more: Any) -> Response:
    """The response to an order: 200 when it was done, 409 when it was refused and nothing changed."""
    return reply(order_result_document(verdict) | more, 200 if verdict.is_done else 409)


def order_result_document(verdict: OrderResult) -> dict[str, Any]:
    """The JSON of an order result."""
    document: dict[str, Any] = {
        "done": verdict.is_done,
        "generation": verdict.generation,
        "summary": verdict.summary,
        "changes": list(verdict.lines),
        "dropped": list(verdict.dropped),
        "problems": list(verdict.problems),
    }
    if not verdict.is_done:
        document["error"] = verdict.problems[0] if verdict.problems else verdict.summary or "refused"
    return document


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
