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


def order_result_reply(order_result: OrderResult, **more: Any) -> Response:
    """The response to an order: 200 when it was done, 409 when it was refused and nothing changed."""
    return reply(order_result_document(order_result) | more, 200 if order_result.is_done else 409)


def order_result_document(order_result: OrderResult) -> dict[str, Any]:
    """The JSON of an order result."""
    document: dict[str, Any] = {
        "done": order_result.is_done,
        "generation": order_result.generation,
        "summary": order_result.summary,
        "changes": list(order_result.lines),
        "dropped": list(order_result.dropped),
        "problems": list(order_result.problems),
    }
    if not order_result.is_done:
        document["error"] = order_result.problems[0] if order_result.problems else order_result.summary or "refused"
    return document


def iso_time(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
