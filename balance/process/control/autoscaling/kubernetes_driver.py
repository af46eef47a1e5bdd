"""Driver `kubernetes`: sets the scale of a Deployment, so that a leader that was frozen and wakes up can change nothing.

Whoever leads first writes its fencing token into an annotation of the Deployment. A change reads the Deployment, refuses where
a greater token stands there, and writes the scale with the resourceVersion that it has read. So the write of an earlier leader
fails, wherever it was frozen: before it read, by the annotation; after it, by the resourceVersion, which the new leader's
annotation has changed. A 409 is read again: most are of the Deployment's own status.

Where a HorizontalPodAutoscaler has the same target it refuses: two of them would fight (kubernetes#101648). A scale of 0 is
somebody's who wants none: it is left alone, as an HPA does.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from balance.autoscaling.settings import AutoscalerConfig
from balance.process.control.autoscaling.driver import Change, Driver, DriverError
from balance.process.control.http_client.client import ClientError, HttpClient, Reply
from balance.process.control.http_client.kubernetes_access import KubernetesAccess

log = logging.getLogger("balance.autoscaler")

ANNOTATION: Final = "balance/fencing-token"
TRIES: Final = 5
MAX_REPLY: Final = 4 * 1024 * 1024
MAX_NAME: Final = 253


class KubernetesDriver(Driver):
    """See the module."""

    def __init__(self, config: AutoscalerConfig, pool: str, access: KubernetesAccess | None = None) -> None:
        self._config = config
        self._pool = pool
        self._access = access or KubernetesAccess(config.kubeconfig)
        self._hpa_unknown_said = False

    async def current(self, token: int) -> int | None:
        """Its replicas. For a leader: fence, and refuse beside an HPA."""
        deployment = await self._deployment()
        if token:
            await self._check_no_hpa()
            if _written(deployment) != token:  # a new lead, or somebody has replaced the Deployment
                await self._fence(token)
        replicas = _field(deployment, "spec").get("replicas", 1)
        if not isinstance(replicas, int) or isinstance(replicas, bool):
            raise DriverError("the Deployment has no number of replicas")
        if replicas == 0:
            raise DriverError("the Deployment is scaled to 0 by somebody, which is left alone")
        return replicas

    async def scale(self, change: Change) -> None:
        for _ in range(TRIES):
            deployment = await self._deployment()
            self._check_token(deployment, change.token)
            metadata = _field(deployment, "metadata")
            if _field(deployment, "spec").get("replicas") == change.desired:
                return
            body = {
                "apiVersion": "autoscaling/v1",
                "kind": "Scale",
                "metadata": {
                    "name": metadata.get("name"),
                    "namespace": metadata.get("namespace"),
                    "resourceVersion": metadata.get("resourceVersion"),
                },
                "spec": {"replicas": change.desired},
            }
            reply = await self._ask("PUT", await self._path("/scale"), body, "application/json")
            if reply.status == 409:
                continue
            _check(reply, "setting its scale")
            return
        raise DriverError(f"the Deployment was changed by others {TRIES} times while its scale was being set")

    async def _fence(self, token: int) -> None:
        """From now on no smaller token changes it."""
        for _ in range(TRIES):
            deployment = await self._deployment()
            self._check_token(deployment, token)
            metadata = _field(deployment, "metadata")
            patch = {"metadata": {"resourceVersion": metadata.get("resourceVersion"), "annotations": {ANNOTATION: str(token)}}}
            reply = await self._ask("PATCH", await self._path(), patch, "application/merge-patch+json")
            if reply.status == 409:
                continue
            _check(reply, "writing its annotation")
            return
        raise DriverError(f"the Deployment was changed by others {TRIES} times while it was being annotated")

    def _check_token(self, deployment: dict[str, Any], token: int) -> None:
        written = _written(deployment)
        if written > token:
            raise DriverError(f"another balancer leads since: the Deployment has its token {written}, ours is {token}")

    async def _deployment(self) -> dict[str, Any]:
        reply = await self._ask("GET", await self._path())
        if reply.status == 404:
            raise DriverError(f"there is no Deployment {self._config.deployment!r}")
        return _document(_check(reply, "reading the Deployment"))

    async def _check_no_hpa(self) -> None:
        namespace, name = await self._names()
        reply = await self._ask("GET", f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers")
        if reply.status in (403, 404):
            if not self._hpa_unknown_said:
                self._hpa_unknown_said = True
                log.warning(
                    "pool %s: whether a HorizontalPodAutoscaler has the Deployment %s as its target can't be seen (%d); "
                    "there must be none",
                    self._pool, self._config.deployment, reply.status,
                )  # fmt: skip
            return
        items = _document(_check(reply, "looking for HorizontalPodAutoscalers")).get("items")
        for item in items if isinstance(items, list) else []:
            target = _field(_field(item, "spec"), "scaleTargetRef")
            if target.get("kind") == "Deployment" and target.get("name") == name:
                hpa = str(_field(item, "metadata").get("name"))[:MAX_NAME]
                raise DriverError(f"the HorizontalPodAutoscaler {hpa!r} scales the same Deployment; one of the two has to go")

    async def _names(self) -> tuple[str, str]:
        """Namespace and name."""
        namespace, slash, name = self._config.deployment.rpartition("/")
        if slash:
            return namespace, name
        try:
            return (await self._access.current()).namespace or "default", name
        except ClientError as error:
            raise DriverError(str(error)) from None

    async def _path(self, of: str = "") -> str:
        namespace, name = await self._names()
        return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}{of}"

    async def _ask(self, method: str, target: str, document: dict[str, Any] | None = None, kind: str = "") -> Reply:
        body = b"" if document is None else json.dumps(document).encode()
        try:
            for is_last in (False, True):
                access = await self._access.current()
                fields = [*access.fields, *((("Content-Type", kind),) if kind else ())]
                reply = await HttpClient(access.server).request(
                    method, target, fields, body, within_s=self._config.timeout_s, max_bytes=MAX_REPLY
                )
                if reply.status != 401 or is_last:
                    break
                self._access.forget()  # the token was renewed
        except ClientError as error:
            raise DriverError(f"the API server: {error}") from None
        return reply


def _written(deployment: dict[str, Any]) -> int:
    """The token in its annotation; 0 without one that can be read."""
    annotations = _field(deployment, "metadata").get("annotations")
    written = annotations.get(ANNOTATION) if isinstance(annotations, dict) else None
    return int(written[:20]) if isinstance(written, str) and written.isascii() and written.isdigit() else 0


def _check(reply: Reply, what: str) -> Reply:
    if 200 <= reply.status < 300:
        return reply
    try:
        message = str(json.loads(reply.body).get("message", ""))[:200]
    except (ValueError, AttributeError):
        message = ""
    message = "".join(letter if letter.isprintable() else "?" for letter in message)
    raise DriverError(f"{what} failed: the API server answers {reply.status}" + (f": {message}" if message else ""))


def _document(reply: Reply) -> dict[str, Any]:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise DriverError("the API server answers something that is no JSON object")
    return document


def _field(document: object, name: str) -> dict[str, Any]:
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}
