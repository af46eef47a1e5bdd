"""nginx as a proxy: one worker, upstream keep-alive in HTTP mode, the stream module in TCP mode."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from wire.origin import nginx_user
from wire.peers.peer import Mode, Site

CONFIG = """\
{module}
daemon off;
worker_processes {workers};
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 16384; }}
{block}
"""

# proxy_max_temp_file_size 0: a 10 MB reply waits for the client instead of going through a file.
HTTP = """\
http {{
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream origin {{
    server 127.0.0.1:{origin}{server};
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
{maps}
  server {{
    listen 127.0.0.1:{port} backlog=4096{http2}{tls};{name}
    client_body_buffer_size 128k;
    location / {{{stages}
{passing}
    }}
  }}
}}"""

PROXY = """\
      proxy_pass http://{pool};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_max_temp_file_size 0;{everything}"""

GRPC = """\
      grpc_pass grpc://{pool};
      grpc_set_header Host $http_host;
      grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"""

# As Balance's five stages: what is denied, a fault on demand, a canary by a hash of the client, fields set, compression.
MAPS = """
  upstream other { server 127.0.0.1:9; }
  map $http_user_agent $is_bad { default 0; ~BadBot 1; }
  split_clients "${http_user_agent}canary" $share { 1% other; * origin; }
  map $http_x_tester $pool { default $share; yes other; }"""
NAME = """
    server_name shop.example;"""
STAGES = """
      if ($is_bad) { return 403; }
      if ($request_method = TRACK) { return 403; }
      if ($http_x_fault = yes) { return 503; }
      gzip on;
      gzip_types image/svg+xml;
      proxy_set_header X-Team a;
      proxy_hide_header X-Frame-Options;
      add_header X-Frame-Options DENY;"""

SERVER = " max_conns=1000 max_fails=5 fail_timeout=30s"
EVERYTHING = """
      proxy_next_upstream error timeout http_502 http_503 http_504;
      proxy_next_upstream_tries 3;
      proxy_next_upstream_timeout 10s;"""

# Without tickets nginx still gives out two of TLS 1.3 that it can't take back (sessions it has not kept): 4 % of a handshake.
TLS = """ ssl;
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    ssl_conf_command NumTickets 0"""

STREAM = """\
stream {{
  upstream origin {{ server 127.0.0.1:{origin}; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_pass origin;
    proxy_timeout 1h;
  }}
}}"""


@cache
def build_text() -> str:
    return subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr


def stream_module(build: str) -> str | None:
    """The load_module line that TCP mode needs ("" when it is built in), or None when nginx has no stream."""
    if re.search(r"--with-stream(\s|$)", build):
        return ""
    if "--with-stream=dynamic" not in build:
        return None
    found = re.search(r"--modules-path=(\S+)", build) or re.search(r"--prefix=(\S+)", build)
    return f"load_module {found[1]}/ngx_stream_module.so;" if found else None


class Nginx:
    name = "nginx"

    def missing(self, mode: Mode, *, http2: bool = False, grpc: bool = False) -> str | None:
        if shutil.which("nginx") is None:
            return "not installed"
        if http2 and "--with-http_v2_module" not in build_text():
            return "built without HTTP/2"
        if mode is Mode.HTTP:
            return None
        line = stream_module(build_text())
        if line is None:
            return "built without the stream module"
        path = line.removeprefix("load_module ").removesuffix(";")
        return None if not path or Path(path).exists() else f"{path} is not installed"

    def version(self) -> str:
        found = re.search(r"nginx/(\S+)", build_text())
        return found[1] if found else "unknown"

    def command(self, site: Site) -> list[str]:
        tcp = site.mode is Mode.TCP
        passing = (GRPC if site.grpc else PROXY).format(
            everything=EVERYTHING if site.everything else "", pool="$pool" if site.stages else "origin"
        )
        block = (STREAM if tcp else HTTP).format(
            folder=site.folder,
            port=site.port,
            origin=site.origin_port,
            server=SERVER if site.everything else "",
            http2=" http2" if site.http2 else "",
            passing=passing,
            maps=MAPS if site.stages else "",
            name=NAME if site.stages else "",
            stages=STAGES if site.stages else "",
            tls=TLS.format(pem=site.certificate) if site.certificate else "",
        )
        module = (stream_module(build_text()) or "") if tcp else ""
        text = CONFIG.format(
            module=module,
            folder=site.folder,
            user=nginx_user(),
            workers=site.workers,
            descriptors=site.descriptors,
            block=block,
        )
        return ["nginx", "-c", str(site.write("nginx.conf", text)), "-p", str(site.folder)]
