"""An admin port that serves whatever state document a test has, as a whole and as a stream, and takes orders for it."""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def backend(order: int, pool: str = "app", **more: Any) -> dict[str, Any]:
    """One of a state document."""
    return {
        "order": order, "pool": pool, "name": f"b{order}", "address": f"10.0.0.{order}:80", "weight": 1, "backup": False,
        "state": "healthy", "out": False, "due_share": 0.25, "share": 0.25, "active": order, "rate": 10.0 * order,
        "errors": 0, "errors_by_why": {}, "breaker": {"state": "closed", "opened_total": 0}, "p50_seconds": 0.0012,
        "p99_seconds": 0.25 / (order + 1), "version": f"v{order}",
    } | more  # fmt: skip


OUT = {
    "state": "unhealthy", "out": True, "share": 0.0, "due_share": 0.0, "active": 0, "rate": 0, "weight": 3,
    "reason": "Its health checks fail (connection refused); it is back after 2 good checks in a row.",
    "breaker": {"state": "open", "opened_total": 2}, "errors_by_why": {"connect_refused": 12, "reset": 3},
}  # fmt: skip


def state(*backends: dict[str, Any]) -> dict[str, Any]:
    """A document of these backends."""
    pools = {each["pool"]: 0 for each in backends}
    return {
        "schema": 1, "seq": 1, "at": time.time(), "interval_seconds": 1.0, "viewer": {"may_change": True},
        "instance": {"id": "i1", "control_id": "c1", "version": "0.1.0", "started_at": time.time() - 3723, "generation": 4,
                     "stage": "serving", "healthy": True, "ready": True},
        "totals": {"requests": 1234.5, "errors_4xx": 2, "errors_5xx": 0.3, "p50_seconds": 0.0012, "p99_seconds": 0.045,
                   "active_requests": 17, "active_connections": 345, "waiting": 0},
        "pools": {name: {"order": order, "algorithm": "round-robin",
                         "backends": sum(each["pool"] == name for each in backends),
                         "ready": sum(each["pool"] == name and not each["out"] for each in backends),
                         "active": 3, "waiting": 0, "rate": 12.0, "errors_5xx": 0}
                  for order, name in enumerate(pools)},
        "backends": {f"{each['pool']}/{each['name']}": each for each in backends},
    }  # fmt: skip


class StateServer:
    """Its `state` may be changed: a stream sends it anew."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.state = document
        self.orders: list[tuple[str, str, dict[str, Any], str | None]] = []
        self.refuses_streams = False
        self.preview = "3 of 4 backends of pool app stay and take its requests."
        self.changed = threading.Condition()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def change(self, **parts: Any) -> None:
        """Parts of the document anew; of backends those that are named."""
        with self.changed:
            newer = copy.deepcopy(self.state)
            newer["backends"].update(parts.pop("backends", {}))
            newer |= parts
            newer["seq"] += 1
            self.state = newer
            self.changed.notify_all()

    def start(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def reply(self, status: int, document: Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                if self.path == "/dashboard/state":
                    return self.reply(200, server.state)
                if self.path != "/dashboard/stream" or server.refuses_streams:
                    return self.reply(503, {"error": "too many look already"})
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                running, sent = server._server, -1
                with contextlib.suppress(OSError):
                    while running is not None and server._server is running:
                        with server.changed:
                            kind = "state" if sent < 0 else "delta"
                            whole = server.state
                            is_new, sent = whole["seq"] != sent, whole["seq"]
                        document = whole if is_new else {"seq": sent}
                        self.wfile.write(f"id: {sent}\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode())
                        with server.changed:
                            server.changed.wait(0.2)
                return None

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path, _, query = self.path.partition("?")
                server.orders.append((path, query, body, self.headers["If-Match"]))
                name = path.removeprefix("/backends/")
                pool, _, short = name.partition("/")
                answer = {"pool": pool, "name": short, "state": "draining", "warnings": []}
                if query:
                    return self.reply(200, answer | {"preview": server.preview})
                row = server.state["backends"][name]
                if self.headers["If-Match"] not in (None, f'"{row["version"]}"'):
                    return self.reply(409, {"error": "somebody was faster: it is drained"})
                server.change(backends={name: row | {"state": "draining", "out": True, "reason": "Somebody drained it."}})
                return self.reply(200, answer)

        Handler.protocol_version = "HTTP/1.0"
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        stopped, self._server = self._server, None
        with self.changed:
            self.changed.notify_all()
        stopped.shutdown()
        stopped.server_close()


@contextlib.contextmanager
def serving_state(document: dict[str, Any]) -> Iterator[StateServer]:
    """A server of it."""
    server = StateServer(document)
    server.start()
    try:
        yield server
    finally:
        if server._server is not None:
            server.stop()
