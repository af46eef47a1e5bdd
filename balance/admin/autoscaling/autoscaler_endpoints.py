"""GET /autoscaler: every pool's; /autoscaler/POOL: one, for KEDA; /autoscaler/POOL/external-metric: for an HPA."""

from __future__ import annotations

import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from balance.admin.autoscaling.documents import VALUES, external_metrics, pool_document
from balance.admin.autoscaling.state import AutoscalerView
from balance.admin.json_reply import reply
from balance.admin.state_view import StateView


class AutoscalerEndpoints:
    """Handlers over one StateView."""

    def __init__(self, view: StateView) -> None:
        self._view = view

    async def all(self, request: Request) -> Response:
        """Every pool that has one."""
        return reply({"pools": [pool_document(each) for each in self._view.autoscalers()]})

    async def one(self, request: Request) -> Response:
        """One pool's; 503 while its metric is not known, so that no scaler takes that for 0."""
        found = self._find(request)
        document = pool_document(found)
        if found.decision is None or found.decision.value is None or found.problem:
            return reply({"error": document["why"]} | document, 503)
        return reply(document)

    async def external_metric(self, request: Request) -> Response:
        """One number of a pool as an HPA reads it."""
        found = self._find(request)
        metric = request.query_params.get("metric", "value")
        if metric not in VALUES:
            raise HTTPException(400, f"metric {metric[:40]!r} is not known; there are {', '.join(VALUES)}")
        document = external_metrics(found, metric, time.time())
        if document is None:
            raise HTTPException(503, f"the {metric} of pool {found.pool} is not known now")
        return reply(document)

    def _find(self, request: Request) -> AutoscalerView:
        wanted = request.path_params["pool"]
        known = list(self._view.autoscalers())
        for each in known:
            if each.pool == wanted:
                return each
        names = ", ".join(each.pool for each in known) or "none"
        raise HTTPException(404, f"pool {wanted[:100]!r} has no autoscaler; pools that have one: {names}")
