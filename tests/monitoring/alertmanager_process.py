"""A real Alertmanager with deployments/monitoring/alertmanager.yml, in which an hour lasts a minute."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from instance_process import until
from monitoring_files import FOLDER
from prometheus_process import scaled
from server_processes import free_port, program


class Receiver(ThreadingHTTPServer):
    """Who gets the messages: `messages`, as Alertmanager's webhook sends them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.messages: list[dict[str, Any]] = []
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def told(self) -> list[dict[str, Any]]:
        """The alerts of all messages."""
        return [alert for message in [*self.messages] for alert in message["alerts"]]


class Taking(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Alertmanager:
    """The process, and the receiver of its messages."""

    def __init__(self, folder: Path) -> None:
        self.receiver = Receiver()
        self.address = f"127.0.0.1:{free_port()}"
        text = scaled((FOLDER / "alertmanager.yml").read_text())
        config = folder / "alertmanager.yml"
        config.write_text(text.replace("127.0.0.1:9095", f"127.0.0.1:{self.receiver.server_address[1]}"))
        command = [
            program("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        self._log_file = folder / "alertmanager.log"
        with self._log_file.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def ready(self) -> Alertmanager:
        until(lambda: self._get("/-/ready"), self._log_file.read_text)
        return self

    def inhibited(self) -> set[tuple[str, str]]:
        """(name, pool) of alerts that fire and of which nobody is told."""
        alerts = json.loads(self._get("/api/v2/alerts"))
        return {
            (each["labels"]["alertname"], each["labels"].get("pool", "")) for each in alerts if each["status"]["inhibitedBy"]
        }

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.receiver.shutdown()
        self.receiver.server_close()

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as reply:
            text: str = reply.read().decode()
            return text
