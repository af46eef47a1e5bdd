"""The proxies of docs/MIGRATION.md as processes, with a configuration of that page, ports and files of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from document_blocks import ROOT
from instance_process import until
from server_processes import ServerProcesses, free_port, program

CERTIFICATES = ROOT / "deployments" / "examples" / "certificates"
DEAD_PORT = 9009  # nobody listens there
HEADER_PORT = 9007  # answers with the PROXY header that it got
NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/share/nginx/modules")

NGINX = """\
load_module {modules}/ngx_stream_module.so;
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
"""
NGINX_HTTP = """\
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{frame}
{text}
}}
"""
CADDY = """\
{{
\tadmin off
\tauto_https disable_certs
\thttp_port {http}
\thttps_port {https}
}}
{text}"""


class Backends:
    """`balance backend --catch-all` for 9001 to 9006, called web-1 to web-6; for 9007 one that says which header came."""

    def __init__(self, processes: ServerProcesses) -> None:
        self._processes = processes
        self._ports: dict[int, int] = {}

    def port(self, shown: int) -> int:
        """The port that stands for one of the page."""
        if shown not in self._ports:
            self._ports[shown] = free_port()
            if shown == HEADER_PORT:
                threading.Thread(target=answer_with_header, args=(self._ports[shown],), daemon=True).start()
            elif shown != DEAD_PORT:
                words = ["--port", str(self._ports[shown]), "--name", f"web-{shown - 9000}", "--catch-all", "--websocket"]
                self._processes.start(f"web-{shown}", [sys.executable, "-m", "balance", "backend", *words])
        if shown != DEAD_PORT:
            self._processes.wait_for({f"web-{shown}": f"127.0.0.1:{self._ports[shown]}"})
        return self._ports[shown]


def answer_with_header(port: int) -> None:
    """An HTTP reply whose body is the first line that came, without ports.

    Who asks whether a proxy listens leaves at once: the proxy then sends its header and resets.
    """
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as lines:
                words = lines.readline().split()
                if not words:
                    continue
                while lines.readline().strip():
                    pass
                body = b" ".join(words[:4]) + b"\n"
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


class Proxy:
    """One proxy with one configuration; `run` is a shell in which its ports and programs are those of the page."""

    def __init__(self, name: str, text: str, frame: str, folder: Path, backends: Backends, processes: ServerProcesses) -> None:
        self.name = name
        self.folder = folder
        self.ports: dict[str, int] = {"80": free_port(), "443": free_port(), "5432": free_port(), "admin": free_port()}
        self._backends = backends
        folder.mkdir()
        folder.chmod(0o755)
        prepare_certificates(folder)
        start: Mapping[str, Callable[[str, str], list[str]]] = {
            "nginx": self._nginx,
            "haproxy": self._haproxy,
            "caddy": self._caddy,
            "balance": self._balance,
        }
        processes.start(name + folder.name, start[name](self._local(text), self._local(frame)))
        self._log = processes.folder / f"{name}{folder.name}.log"
        until(lambda: any(self._listens(port) for port in self._in_use(text)), self._said)

    def _said(self) -> str:
        logs = (self._log, self.folder / "nginx.log")
        return f"{self.name} does not listen: {[log.read_text() for log in logs if log.exists()]}"

    def _in_use(self, text: str) -> list[int]:
        return [port for shown, port in self.ports.items() if re.search(rf"\b{shown}\b", text)] or [self.ports["443"]]

    def _listens(self, port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True

    def _local(self, text: str) -> str:
        """The page's text with backends, files and ports to listen on of this machine."""
        text = re.sub(r"127\.0\.0\.1:(90\d\d)\b", lambda match: f"127.0.0.1:{self._backends.port(int(match[1]))}", text)
        text = text.replace("/etc/ssl/example", str(self.folder)).replace("/run/haproxy", str(self.folder))
        text = text.replace("/etc/nginx", str(self.folder)).replace("nc 127.0.0.1 80", f"nc 127.0.0.1 {self.ports['80']}")
        for shown in ("80", "443", "5432"):
            here = f"127.0.0.1:{self.ports[shown]}"
            text = re.sub(rf"(?m)^(\s*listen ){shown}\b", rf"\g<1>{here}", text)  # nginx
            text = re.sub(rf"(?m)^(\s*bind ):{shown}\b", rf"\g<1>{here}", text)  # HAProxy
            text = text.replace(f'listen: ":{shown}"', f'listen: "{here}"')
            text = re.sub(rf"(?m)^:{shown} ", f":{self.ports[shown]} ", text)  # Caddy
        return text

    def _nginx(self, text: str, frame: str) -> list[str]:
        modules = next(folder for folder in NGINX_MODULES if Path(folder, "ngx_stream_module.so").exists())
        user = "user root;" if os.geteuid() == 0 else ""
        whole = NGINX.format(modules=modules, folder=self.folder, user=user)
        whole += text if text.startswith("stream") else NGINX_HTTP.format(folder=self.folder, frame=frame, text=text)
        self.config = self.folder / "nginx.conf"
        self.config.write_text(whole)
        return [program("nginx"), *self._nginx_options()]

    def _nginx_options(self) -> list[str]:
        return ["-p", str(self.folder), "-e", str(self.folder / "nginx.log"), "-c", str(self.config)]

    def _haproxy(self, text: str, frame: str) -> list[str]:
        self.config = self.folder / "haproxy.cfg"
        self.config.write_text(f"{frame}\n{text}")
        return [program("haproxy"), "-db", "-f", str(self.config)]

    def _caddy(self, text: str, frame: str) -> list[str]:
        self.config = self.folder / "Caddyfile"
        self.config.write_text(CADDY.format(http=self.ports["80"], https=self.ports["443"], text=text))
        caddy = program("caddy", str(Path(sys.executable).parent))
        return ["env", f"HOME={self.folder}", caddy, "run", "--config", str(self.config), "--adapter", "caddyfile"]

    def _balance(self, text: str, frame: str) -> list[str]:
        self.config = self.folder / "balance.yaml"
        admin = f"admin: {{listen: '127.0.0.1:{self.ports['admin']}'}}\nshutdown: {{delay: 0s}}\n"
        self.config.write_text(f"{text}\n{admin}")
        return [sys.executable, "-m", "balance", "serve", "--config", str(self.config)]

    def run(self, command: str) -> str:
        """What a command of the page prints, with the names and ports of the page."""
        towards = " ".join(f"--connect-to :{shown}:127.0.0.1:{self.ports[shown]}" for shown in ("80", "443", "5432"))
        functions = [
            f'curl() {{ command curl --cacert {CERTIFICATES}/example.crt {towards} "$@"; }}',
            f'balance() {{ {sys.executable} -m balance "$@" --admin 127.0.0.1:{self.ports["admin"]}; }}',
        ]
        if self.name == "nginx":
            functions.append(f'nginx() {{ command {program("nginx")} {" ".join(self._nginx_options())} "$@"; }}')
        script = "\n".join([*functions, self._local(command)])
        environ = os.environ | {"LC_ALL": "C", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=self.folder, env=environ, check=False
        )
        said = re.sub(rf":(?:{self.ports['80']}|{self.ports['443']})/", "/", done.stdout)  # where redirects lead to
        return said or done.stderr


def prepare_certificates(folder: Path) -> None:
    """A certificate for www.example.com under the names that the page has."""
    certificate, key = CERTIFICATES / "example.crt", CERTIFICATES / "example.key"
    shutil.copy(certificate, folder / "fullchain.pem")
    shutil.copy(key, folder / "privkey.pem")
    (folder / "both.pem").write_text(certificate.read_text() + key.read_text())
