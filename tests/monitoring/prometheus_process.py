"""A real Prometheus that scrapes an instance, with the rules of deployments/monitoring, in which an hour lasts a minute."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

from instance_process import until
from monitoring_files import FOLDER
from server_processes import free_port, program

MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SCALE = 60
# Ranges, offsets and `for`, not the numbers that are compared.
DURATION = re.compile(r"(\[|offset |for: |group_wait: |group_interval: |repeat_interval: )(\d+)(s|m|h|d)\b")


def scaled(text: str) -> str:
    """The same with every duration a sixtieth as long, and as many requests in it enough for a percentile."""
    shorter = DURATION.sub(lambda found: f"{found[1]}{int(found[2]) * MS[found[3]] // SCALE}ms", text)
    return shorter.replace(">= 100\n", f">= {100 // SCALE}\n")


class Prometheus:
    """The process, its data in a folder of its own."""

    def __init__(self, folder: Path, target: str, alertmanager: str = "") -> None:
        self.address = f"127.0.0.1:{free_port()}"
        rules = [folder / file.name for file in (FOLDER / "rules").glob("*.yml")]
        for file in rules:
            file.write_text(scaled((FOLDER / "rules" / file.name).read_text()))
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"},
            "rule_files": [str(file) for file in rules],
            "scrape_configs": [{"job_name": "balance", "static_configs": [{"targets": [target]}]}],
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        self._config = config
        self._file = folder / "prometheus.json"
        self._file.write_text(json.dumps(config))
        self._log_file = folder / "prometheus.log"
        with self._log_file.open("w") as log:
            self.process = self._start(folder, log)

    def _start(self, folder: Path, log: IO[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.json'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--query.lookback-delta=5s",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready(self) -> Prometheus:
        until(lambda: self._get("/-/ready"), self.log)
        return self

    def log(self) -> str:
        """What it said."""
        return self._log_file.read_text()

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an instant query: {"metric": labels, "value": [time, text]}; an error is an AssertionError."""
        path = f"/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        try:
            answer = json.loads(self._get(path))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expr}: {error.read().decode()}") from None
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def values(self, expr: str) -> list[float]:
        """The values alone."""
        return [float(sample["value"][1]) for sample in self.query(expr)]

    def firing(self) -> dict[str, list[dict[str, Any]]]:
        """The alerts that fire now, by name: labels and annotations of each."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in json.loads(self._get("/api/v1/alerts"))["data"]["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    def unhealthy_rules(self) -> list[str]:
        """Rules whose last evaluation has failed, with the error."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        return [
            f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"] if rule["health"] == "err"
        ]

    def forget_target(self) -> None:
        """Read a configuration that has the job no more."""
        self._file.write_text(json.dumps(self._config | {"scrape_configs": []}))
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as reply:
            text: str = reply.read().decode()
            return text
