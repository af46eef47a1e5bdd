"""The backend of every proxy: nginx with one worker and replies of 1 KB, also in chunks, 64 KB and 10 MB.

What a body is posted to reads all of it before it replies, as an application would: nginx does so for a proxy, here its own.
"""

import os
from pathlib import Path

from wire.child import Child, free_port

SMALL_BYTES = 1024
MIDDLE_BYTES = 65_536
LARGE_BYTES = 10_000_000
MB = 1_000_000
READY_S = 5.0

CONFIG = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/origin.pid;
error_log stderr warn;
{user}
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/origin-body;
  proxy_temp_path {folder}/origin-proxy;
  fastcgi_temp_path {folder}/origin-fastcgi;
  uwsgi_temp_path {folder}/origin-uwsgi;
  scgi_temp_path {folder}/origin-scgi;
  default_type application/octet-stream;
  upstream itself {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 1000000000; keepalive_timeout 1h; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /1k {{ return 200 "{small}"; }}
    location = /unique {{ add_header X-Request-Trace $request_id; return 200 "{small}"; }}
    location = /chunked {{ root {folder}; ssi on; ssi_types *; }}
    location = /post {{
      client_body_buffer_size 128k;
      proxy_pass http://itself/1k;
      proxy_method GET;
      proxy_http_version 1.1;
      proxy_pass_request_body off;
      proxy_pass_request_headers off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
    }}
    location = /64k {{ root {folder}; }}
    location = /10m {{ root {folder}; }}
  }}
}}
"""


def nginx_user() -> str:
    """Started as root, nginx's workers would be `nobody` and could not read the temporary folder."""
    return "user root;" if os.geteuid() == 0 else ""


class Origin:
    def __init__(self, folder: Path, core: int, descriptors: int) -> None:
        self.port = free_port()
        (folder / "chunked").write_text("x" * SMALL_BYTES)  # its length is not known to who looks for includes in it
        (folder / "64k").write_bytes(os.urandom(MIDDLE_BYTES))
        (folder / "10m").write_bytes(os.urandom(MB) * (LARGE_BYTES // MB))
        text = CONFIG.format(folder=folder, port=self.port, small="x" * SMALL_BYTES, user=nginx_user(), descriptors=descriptors)
        path = folder / "origin.conf"
        path.write_text(text)
        self.child = Child("origin", ["nginx", "-c", str(path), "-p", str(folder)], folder, core)

    def wait(self) -> None:
        ready = b"GET /1k HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n"
        self.child.wait_until_answers(self.port, ready, READY_S)
