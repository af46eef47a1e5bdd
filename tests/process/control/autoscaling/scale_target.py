"""Servers for drivers: a webhook that misbehaves by order, and the part of a Kubernetes API server that scales a Deployment.

The second is written from the API's documentation: a resourceVersion that each write changes, 409 where it is not the present
one, merge patches, the scale subresource, HorizontalPodAutoscalers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Target:
    """A server; `handle` gets (method, path, headers, document) and returns (status, document)."""

    def __init__(self, handle: Callable[[str, str, Any, Any], tuple[int, Any]]) -> None:
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                document = json.loads(self.rfile.read(length)) if length else None
                target.requests.append((self.command, self.path, dict(self.headers.items()), document))
                status, answer = handle(self.command, self.path, self.headers, document)
                if status < 0:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")  # cut
                    return
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_PATCH = do_GET

            def log_message(self, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that has given up is part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.port = self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Deployment:
    """`shop/web`, as an API server keeps it."""

    def __init__(self, replicas: int = 2) -> None:
        self.version = 100
        self.replicas = replicas
        self.annotations: dict[str, str] = {}
        self.hpas: list[Any] = []
        self.hpa_status = 200
        self.before: Callable[[str, str], object] = lambda method, path: None  # runs before each request is answered
        self.answer: tuple[int, Any] | None = None  # instead of everything
        self._lock = threading.Lock()

    def document(self) -> dict[str, Any]:
        metadata = {"name": "web", "namespace": "shop", "resourceVersion": str(self.version), "annotations": self.annotations}
        return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": self.replicas}, "status": {}}

    def touched(self) -> None:
        """Its status has changed, as it does with every pod that becomes ready."""
        self.version += 1

    def handle(self, method: str, path: str, headers: Any, document: Any) -> tuple[int, Any]:
        self.before(method, path)
        with self._lock:
            return self.answer or self._handle(method, path, headers, document)

    def _handle(self, method: str, path: str, headers: Any, document: Any) -> tuple[int, Any]:
        if path == "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers":
            return self.hpa_status, {"kind": "List", "items": self.hpas} if self.hpa_status == 200 else {"message": "forbidden"}
        base = "/apis/apps/v1/namespaces/shop/deployments/web"
        if path not in (base, f"{base}/scale"):
            return 404, {"kind": "Status", "message": "not found"}
        if method == "GET":
            return 200, self.document()
        wanted = document["metadata"].get("resourceVersion")
        if wanted is not None and wanted != str(self.version):
            return 409, {"kind": "Status", "message": "the object has been modified; please apply your changes to the latest"}
        if method == "PATCH" and headers["Content-Type"] == "application/merge-patch+json":
            self.annotations |= document["metadata"]["annotations"]
        elif method == "PUT" and path.endswith("/scale"):
            assert document["kind"] == "Scale"
            self.replicas = document["spec"]["replicas"]
        else:
            return 415, {"message": "unsupported"}
        self.version += 1
        return 200, self.document()
