"""How an answer of the side doors looks: JSON for people too. Decides no content."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from balance.admin.supervisor_orders import OrderResult


def reply(document: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON, indented, and never kept by a cache."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # Half a character, quoted from an order that was refused, becomes the escape that JSON has for it.
    return Response(
        text.encode(errors="backslashreplace"), status, {"Cache-Control": "no-store"} | (headers or {}), "application/json"
    )


def order_result_reply(verdict: OrderResult, **more: Any) -> Response:
    """What became of an order: 200 when it is done, 409 when it was refused and nothing changed."""
    return reply(order_result_document(verdict) | more, 200 if verdict.is_done else 409)


def order_result_document(verdict: OrderResult) -> dict[str, Any]:
    """All of a verdict."""
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
    """A time since the epoch, as ISO 8601 has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
