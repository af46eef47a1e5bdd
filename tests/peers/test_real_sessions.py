"""Real servers and clients of other protocols in TCP mode: databases, and a client that ends its side first."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import Balance, Before
from databases import POSTGRES, start_postgres, start_redis, told
from server_processes import START_TIMEOUT_S, ServerProcesses, free_port, program

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

NAMES = ("postgres", "redis", "closing")
LAST_WORDS = 3_000_000  # bytes


class Sessions:
    """Each server's own port, and Balance's before it."""

    def __init__(self, own: dict[str, str], balance: Balance) -> None:
        self.balance = balance
        self.ports = {name: [each[name].rpartition(":")[2] for each in (own, balance.addresses)] for name in NAMES}


@pytest.fixture(scope="module")
def sessions(processes: ServerProcesses, before: Before) -> Iterator[Sessions]:
    own = {"postgres": start_postgres(processes), "redis": start_redis(processes), "closing": start_closing(processes)}
    processes.wait_for(own)
    yield Sessions(own, before(own, modes=dict.fromkeys(NAMES, "tcp")))


def start_closing(processes: ServerProcesses) -> str:
    """Answers only when its client has said its last, and much."""
    port = free_port()
    code = f"""
import hashlib, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        said = self.rfile.read()
        self.wfile.write(hashlib.sha256(said).hexdigest().encode() + b"." * {LAST_WORDS})
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("127.0.0.1", {port}), Handler).serve_forever()
"""
    processes.start("closing", [sys.executable, "-c", code])
    return f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    "words",
    {
        "a query": "select 6 * 7, version() like 'PostgreSQL%'",
        "5 MB of rows": "select repeat('x', 1000), n from generate_series(1, 5000) n",
        "an error": "select 1 / 0",
        "a pause": "select 'still here' from (select pg_sleep(0.3)) as slept",
    }.items(),
    ids=lambda words: words[0],
)
def test_psql_is_told_the_same(sessions: Sessions, words: tuple[str, str]) -> None:
    psql, status = program("psql"), int(words[0] == "an error")
    without, behind = (
        told([psql, "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-X", "-A", "-t", "-c", words[1]], status=status)
        for port in sessions.ports["postgres"]
    )
    assert without == behind


def test_psql_copies_in_and_out_and_cancels(sessions: Sessions) -> None:
    rows = b"".join(b"%d\tsome text\n" % number for number in range(50_000))
    script = b"create temp table t (n int, words text);\n\\copy t from pstdin\n" + rows + b"\\.\n"
    script += b"select count(*), sum(n) from t;\nset statement_timeout = 200;\nselect pg_sleep(20);\nselect 'alive';\n"
    psql = program("psql")
    without, behind = (
        told([psql, "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-X", "-A", "-t"], script)
        for port in sessions.ports["postgres"]
    )
    assert without == behind
    assert "50000|1249975000" in behind and "alive" in behind


def test_every_transaction_of_pgbench_is_done(sessions: Sessions) -> None:
    pgbench = program("pgbench", *POSTGRES)
    port = sessions.ports["postgres"][1]
    to = ["-h", "127.0.0.1", "-p", port, "-U", "postgres", "postgres"]
    told([pgbench, "--initialize", "--quiet", *to])
    for options in ([], ["--connect"]):
        output = told([pgbench, "--client", "4", "--transactions", "25", *options, *to])
        assert "number of transactions actually processed: 100/100" in output, output
        assert "number of failed transactions: 0" in output, output


def test_redis_cli_is_told_the_same(sessions: Sessions) -> None:
    big = b"x" * 2_000_000
    many = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\nkey:%d\r\n$1\r\n1\r\n" % (4 + len(str(n)), n) for n in range(10_000))
    found = []
    for port in sessions.ports["redis"]:
        redis = [program("redis-cli"), "-h", "127.0.0.1", "-p", port]
        found.append(
            [
                told([*redis, "flushall"]),
                told([*redis, "-x", "set", "big"], big),
                hashlib.sha256(told([*redis, "get", "big"]).encode()).hexdigest(),
                told([*redis, "--pipe"], many),
                told([*redis, "dbsize"]),
                told([*redis], b"multi\nincr a\nincr a\nexec\nnonsense\nget a\n"),
            ]
        )
    assert found[1] == found[0]
    assert "replies: 10000" in found[1][3]


def test_redis_publishes_to_a_client_that_only_listens(sessions: Sessions) -> None:
    redis = [program("redis-cli"), "-h", "127.0.0.1", "-p", sessions.ports["redis"][1]]
    with subprocess.Popen([*redis, "subscribe", "news"], stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdout is not None
        assert [listening.stdout.readline().strip() for _ in range(3)] == ["subscribe", "news", "1"]
        assert told([*redis, "publish", "news", "hello"]).strip() == "1"
        assert [listening.stdout.readline().strip() for _ in range(3)] == ["message", "news", "hello"]
        listening.terminate()


def test_a_client_that_has_said_its_last_gets_all_of_the_answer(sessions: Sessions) -> None:
    question = bytes(range(256)) * 4000
    without, behind = (told([program("nc.openbsd"), "-N", "127.0.0.1", port], question) for port in sessions.ports["closing"])
    assert without == behind
    assert behind[:64] == hashlib.sha256(question).hexdigest()
    assert len(behind) == 64 + LAST_WORDS


def test_a_server_that_refuses_is_seen_to_refuse(sessions: Sessions) -> None:
    """PostgreSQL says no and closes while the client still has things to say."""
    port = int(sessions.ports["postgres"][1])
    with socket.create_connection(("127.0.0.1", port), START_TIMEOUT_S) as talk:
        talk.sendall(b"\0\0\0\x08\0\0\0\0")  # a protocol of version 0.0
        said = b""
        while data := talk.recv(4096):
            said += data
    assert b"unsupported frontend protocol" in said


def test_no_session_of_all_these_broke(sessions: Sessions) -> None:
    """Last in its file: what every test above has left behind."""
    broken = {why: sessions.balance.ended(why) for why in ("reset_mid_response", "connect_refused", "idle_timeout")}
    assert sessions.balance.ended("ok") > 100
    assert not any(broken.values()), broken
