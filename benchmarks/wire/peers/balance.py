"""Balance as a proxy: one worker, with its defaults (metrics, health checks, admin)."""

import shutil
import subprocess
import sys
from pathlib import Path

from scripted.route_lines import five_stages

from wire.peers.peer import Mode, Site
from wire.peers.session import BALANCE_SECRET

REPOSITORY = Path(__file__).parents[3]

CONFIG = """\
mode: {mode}
listen: "127.0.0.1:{port}"
workers: {workers}
backends:
  - name: a
    address: "127.0.0.1:{origin}"
{limit}
health_check:
  enabled: true
{probe}
  interval: 2s
  timeout: 1s
{everything}
{tls}
{grpc}
admin:
  listen: "127.0.0.1:{admin}"
shutdown:
  delay: 0s
logging:
  level: warning
"""

LIMIT = "    max_connections: 1000"
EVERYTHING = """\
  passive_checks:
    enabled: true
circuit_breaker:
  enabled: true
retry:
  enabled: true
  per_try_timeout: 2s
session_affinity:
  enabled: true
  secret: {secret}"""

STAGES = (
    five_stages("shop.example")
    + """\
    - {name: other, host: other.example, backends: [{name: b, address: "127.0.0.1:9"}], load_balancer: {algorithm: random}}
"""
)

# No tickets, here and for the others: every connection is a whole handshake, and nobody makes what nobody takes.
TLS = "tls: {{enabled: true, cert_file: {pem}, key_file: {pem}, session_tickets: false}}"

PROBES = {Mode.HTTP: "  type: http\n  path: /1k", Mode.TCP: "  type: tcp"}  # as HAProxy checks in the same mode


def interpreter() -> str:
    """The repository's own environment when there is one: the harness itself may run on a bare Python."""
    own = REPOSITORY / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def config_text(site: Site, routes: str = "") -> str:
    """`routes` are the lines of http.routes; those of the five stages, where the site has them."""
    text = CONFIG.format(
        mode=site.mode.value,
        workers=site.workers,
        port=site.port,
        origin=site.origin_port,
        admin=site.admin_port,
        probe=PROBES[Mode.TCP if site.grpc else site.mode],  # nghttpd has no health service of gRPC
        limit=LIMIT if site.everything else "",
        everything=EVERYTHING.format(secret=BALANCE_SECRET) if site.everything else "",
        tls=TLS.format(pem=site.certificate) if site.certificate else "",
        grpc="backend_protocol: h2c" if site.grpc else "",
    )
    routes = routes or (STAGES if site.stages else "")
    http = ("  h2c: true\n" if site.http2 and not site.certificate else "") + (f"  routes:\n{routes}" if routes else "")
    return f"{text}http:\n{http}" if http else text


class Balance:
    name = "balance"
    python = ""  # an interpreter for which Balance is installed, instead of this tree and its environment

    def missing(self, mode: Mode, *, http2: bool = False, grpc: bool = False) -> str | None:
        return None

    def version(self) -> str:
        """Balance's version with the commit, pure or compiled, the interpreter's and uvloop's."""
        ask = (
            "import importlib.metadata as m, balance, balance.interpreter as i; "
            "print(balance.__version__, f'({i.Interpreter.here()}, uvloop ' + m.version('uvloop') + ')')"
        )
        said = subprocess.run([*self._interpreter(), "-c", ask], capture_output=True, text=True, cwd=REPOSITORY, check=False)
        name = said.stdout.strip() or "cannot be imported"
        if self.python or shutil.which("git") is None:
            return name
        git = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(git, capture_output=True, text=True, cwd=REPOSITORY, check=False).stdout.strip()
        return f"{name} {commit}".strip()

    def text(self, site: Site) -> str:
        """The configuration file."""
        return config_text(site)

    def command(self, site: Site) -> list[str]:
        path = site.write(f"{self.name}.yaml", self.text(site))
        return [*self._interpreter(), "-m", "balance", "serve", "--config", str(path)]

    def _interpreter(self) -> list[str]:
        # -P and no PYTHONPATH: this tree, where the harness runs, would be imported before what is installed.
        return ["env", "-u", "PYTHONPATH", self.python, "-P"] if self.python else [interpreter()]
