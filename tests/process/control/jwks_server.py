"""A server of keys in a process of its own, that does what a test says: `python jwks_server.py PORT_FILE [CERT KEY]`.

GET /set/NAME has later requests to /jwks answered so; GET /count says how many there were.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    text = b""
    mode = ""
    count = 0

    def do_GET(self) -> None:
        if self.path.startswith("/set?"):
            given = urllib.parse.parse_qs(self.path[5:], keep_blank_values=True)
            Handler.mode, Handler.text = given["mode"][0], given["text"][0].encode()
            self._say(200, b"set")
        elif self.path == "/count":
            self._say(200, str(Handler.count).encode())
        else:
            Handler.count += 1
            self._keys(Handler.mode)

    def _keys(self, mode: str) -> None:
        if mode == "status":
            self._say(500, Handler.text)
        elif mode.startswith("redirect ") and self.path.startswith("/jwks"):
            self._say(302, b"", f"Location: {mode[9:]}")
        elif mode == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + Handler.text)
            self.close_connection = True
        elif mode == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                self.wfile.write(b"x")
                time.sleep(0.02)
        elif mode == "drip body":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
            while True:
                self.wfile.write(b" ")
                time.sleep(0.02)
        elif mode == "silent":
            time.sleep(60)
        elif mode == "huge":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                self.wfile.write(b" " * 65536)
        elif mode == "no http":
            self.wfile.write(b"SSH-2.0-x\r\n")
            self.close_connection = True
        elif mode == "gzip":
            self._say(200, Handler.text, "Content-Encoding: gzip")
        elif mode == "chunked":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for byte in Handler.text:
                self.wfile.write(b"1\r\n%c\r\n" % byte)
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._say(200, Handler.text, mode if ": " in mode else "")

    def _say(self, status: int, body: bytes, *fields: str) -> None:
        self.send_response(status)
        for field in fields:
            if field:
                self.send_header(*field.split(": ", 1))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class JwksServer:
    """The process, as its test sees it."""

    def __init__(self, folder: Path, *tls: str, port: int = 0) -> None:
        file = folder / f"port-{time.monotonic_ns()}"
        self._tls = tls
        self._process = subprocess.Popen([sys.executable, __file__, str(file), str(port), *tls])
        deadline = time.monotonic() + 20
        while not file.exists() or not file.read_text().endswith("\n"):
            assert time.monotonic() < deadline and self._process.poll() is None
            time.sleep(0.01)
        self.port = int(file.read_text())

    def url(self, host: str = "127.0.0.1", path: str = "/jwks") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def answer(self, text: str, mode: str = "") -> None:
        """From now on /jwks is answered so."""
        self._get("/set?" + urllib.parse.urlencode({"mode": mode, "text": text}))

    @property
    def count(self) -> int:
        """How often it was asked."""
        return int(self._get("/count"))

    def _get(self, path: str) -> str:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
        )
        with opener.open(self.url(path=path), timeout=20) as response:
            return str(response.read().decode())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    server.daemon_threads = True
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    partial = Path(sys.argv[1] + ".new")
    partial.write_text(f"{server.server_address[1]}\n")
    partial.rename(sys.argv[1])
    server.serve_forever()
