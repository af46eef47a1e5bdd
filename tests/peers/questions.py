"""The HTTP servers of the battery, and what each is asked."""

from __future__ import annotations

from server_processes import start_apache, start_gunicorn, start_hypercorn, start_nginx, start_node, start_uvicorn
from talking import Ask

STARTS = {
    "gunicorn sync": lambda processes: start_gunicorn(processes, "sync"),
    "gunicorn gthread": lambda processes: start_gunicorn(processes, "gthread"),
    "uvicorn": start_uvicorn,
    "hypercorn": start_hypercorn,
    "node": start_node,
    "nginx": start_nginx,
    "apache": start_apache,
}
FILES = ("nginx", "apache")
DYNAMIC = tuple(name for name in STARTS if name not in FILES)
KEEPING = tuple(name for name in STARTS if name != "gunicorn sync")  # connections

PIECES = tuple(bytes([number]) * 3000 for number in range(40))
READ = {
    "text": Ask("/hello"),
    "head of it": Ask("/hello", "HEAD"),
    "5 MB": Ask("/big"),
    "a status without body": Ask("/status/204"),
    "not there": Ask("/status/404"),
    "a redirect": Ask("/away"),
}
OF_FILES = {
    "a range": Ask("/big", fields={"Range": "bytes=1000000-1999999"}),
    "two ranges": Ask("/hello", fields={"Range": "bytes=0-1,3-4"}),
    "a range that is not there": Ask("/hello", fields={"Range": "bytes=100-"}),
    "only if changed": Ask("/hello", fields={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    "a directory's listing": Ask("/"),
    "an upload to a file": Ask("/hello", "POST", body=b"x" * 500),
}
OF_PROGRAMS = {
    "only if changed": Ask("/hello", fields={"If-None-Match": '"v1"'}),
    "pieces": Ask("/pieces"),
    "head of pieces": Ask("/pieces", "HEAD"),
    "an error": Ask("/status/500"),
    "fields": Ask("/echo?a=%20b&c", fields={"X-Custom": '\xe4 ; "q"', "Accept": "*/*"}),
    "a post": Ask("/echo", "POST", body=b"x" * 100_000),
    "a post of nothing": Ask("/echo", "POST", body=b""),
    "2 MB put": Ask("/echo", "PUT", body=b"y" * 2_000_000),
    "a post in chunks": Ask("/echo", "POST", body=PIECES),
    "a delete": Ask("/echo", "DELETE"),
    "a patch": Ask("/echo", "PATCH", body=b"{}"),
}


def questions(name: str) -> dict[str, Ask]:
    """What that server can be asked, by what it shows."""
    asked = {**READ, **(OF_FILES if name in FILES else OF_PROGRAMS)}
    host = {"Host": "site.example"}  # else each would be told of another
    return {what: Ask(each.path, each.method, {**host, **each.fields}, each.body) for what, each in asked.items()}
