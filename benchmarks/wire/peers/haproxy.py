"""HAProxy as a proxy: one thread, connections to the backend shared by all clients, health checks on."""

import re
import shutil
import subprocess

from wire.peers.peer import Mode, Site
from wire.peers.session import BACKEND, HAPROXY_COOKIE

CONFIG = """\
global
  nbthread {threads}
  maxconn {connections}
  tune.ssl.cachesize 0

defaults
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  timeout http-request 10s

listen wire
  bind 127.0.0.1:{port} backlog 4096{tls}{proto}
{mode}
{splice}
{everything}
{stages}
  server a 127.0.0.1:{origin} check inter 2s{server}{back}
{other}
"""

HTTP = """\
  mode http
  option http-keep-alive
  option forwardfor
  option httpchk GET /1k
  http-reuse always"""
# Without a host nghttpd takes a check for malformed.
GRPC = """
  http-check send meth GET uri /1k hdr Host shop.example"""

EVERYTHING = """\
  retries 2
  option redispatch 1
  retry-on conn-failure empty-response response-timeout 502 503 504
  timeout queue 5s
  cookie {cookie} insert indirect nocache"""

SERVER = " maxconn 1000 observe layer7 error-limit 5 on-error mark-down cookie {name}"

# As Balance's five stages: what is denied, a fault on demand, a canary by a hash of the client, fields set, compression.
STAGES = """\
  acl here hdr(host) -i shop.example
  http-request deny if here { hdr_sub(user-agent) BadBot }
  http-request deny if here { method TRACK }
  http-request return status 503 if here { hdr(x-fault) yes }
  http-request set-header X-Team a if here
  http-response set-header X-Frame-Options DENY
  compression algo gzip
  compression type image/svg+xml
  use_backend other if here { hdr(x-tester) yes }
  use_backend other if here { req.hdr(user-agent),crc32,mod(100) lt 1 }"""
OTHER = """
backend other
  mode http
  server b 127.0.0.1:9"""

# Without tickets it still gives out two of TLS 1.3, as nginx does, and has no setting of its own against it.
TLS = " ssl crt {pem} alpn {alpn} no-tls-tickets"
OPENSSL = """\
openssl_conf = all
[all]
ssl_conf = contexts
[contexts]
system_default = server
[server]
NumTickets = 0
"""

TCP = """\
  mode tcp"""


class Haproxy:
    def __init__(self, name: str, *, splice: bool = False) -> None:
        self.name = name
        self.splice = splice

    def missing(self, mode: Mode, *, http2: bool = False, grpc: bool = False) -> str | None:
        return None if shutil.which("haproxy") else "not installed"

    def version(self) -> str:
        said = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"version (\S+)", said)
        return found[1] if found else "unknown"

    def command(self, site: Site) -> list[str]:
        text = CONFIG.format(
            connections=min(6000, site.descriptors // 3),  # two descriptors each, and the pipes of splicing
            threads=site.workers,
            port=site.port,
            origin=site.origin_port,
            mode=TCP if site.mode is Mode.TCP else HTTP + (GRPC if site.grpc else ""),
            splice="  option splice-auto" if self.splice else "",
            everything=EVERYTHING.format(cookie=HAPROXY_COOKIE) if site.everything else "",
            tls=TLS.format(pem=site.certificate, alpn="h2" if site.http2 else "http/1.1") if site.certificate else "",
            proto=" proto h2" if site.http2 and not site.certificate else "",
            back=" proto h2" if site.grpc else "",
            server=SERVER.format(name=BACKEND) if site.everything else "",
            stages=STAGES if site.stages else "",
            other=OTHER if site.stages else "",
        )
        command = ["haproxy", "-db", "-f", str(site.write(f"{self.name}.cfg", text))]
        return ["env", f"OPENSSL_CONF={site.write('openssl.cnf', OPENSSL)}", *command] if site.certificate else command
