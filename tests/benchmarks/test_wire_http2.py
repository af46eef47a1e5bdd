"""The pure parts of the wire benchmark's rows of HTTP/2: what is sent, what is read of h2load and nghttp, what is compared."""

import sys
from dataclasses import replace
from pathlib import Path

import hpack
import pytest
from test_wire import sample

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from wire.findings import compare, report
from wire.http2 import connection, generator, h2load, messages, reply
from wire.load import LoadFailedError
from wire.peers.balance import Balance
from wire.peers.balance_routes import VARIANTS
from wire.peers.haproxy import Haproxy
from wire.peers.nginx import Nginx
from wire.peers.peer import Mode, Site
from wire.scenarios import SCENARIOS, Question, Scenario

from balance.config import load_file

ROWS = {name: row for name, row in SCENARIOS.items() if row.http2}
PRINTED = """\
Application protocol: h2c

finished in 2.00s, 1.50 req/s, 1KB/s
requests: 3 total, 4 started, 3 done, 2 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 2 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 1.00KB (1024) total, 100B (100) headers (space savings 48.57%), 900B (900) data
"""
LOG = "1000\t200\t10\n3000\t200\t30\n2000\t503\t20\n"


def test_figures_of_h2load_are_exact_and_every_kind_of_failure_is_named() -> None:
    found = h2load.parse(PRINTED, LOG, "h2c", 1)
    assert (found.requests, found.read_bytes, found.failures) == (3, 1024, {"failed": 1, "status": 1})
    assert (found.elapsed_s, found.p50_us, found.p99_us, found.mean_us) == (0.00203, 20.0, 20.0, 20.0)


def test_requests_that_are_under_way_at_the_end_are_no_failure_and_more_of_them_are_lost() -> None:
    clean = PRINTED.replace("2 succeeded, 1 failed", "3 succeeded, 0 failed").replace("1 5xx", "0 5xx")
    assert h2load.parse(clean, LOG, "h2c", 1).failures == {}
    assert h2load.parse(clean.replace("4 started", "9 started"), LOG, "h2c", 1).failures == {"lost": 5}


def test_a_load_that_spoke_something_else_or_says_nothing_has_no_figures() -> None:
    with pytest.raises(LoadFailedError, match=r"spoke h2c, not http/1.1"):
        h2load.parse(PRINTED, LOG, "http/1.1", 1)
    with pytest.raises(LoadFailedError, match="unknown option"):
        h2load.parse("unknown option", "", "h2c", 1)


def test_a_load_without_an_answer_is_figures_of_nothing() -> None:
    nothing = PRINTED.replace(
        "3 total, 4 started, 3 done, 2 succeeded, 1 failed", "0 total, 0 started, 0 done, 0 succeeded, 0 failed"
    )
    found = h2load.parse(nothing, "", "h2c", 1)
    assert (found.requests, found.elapsed_s) == (0, 1.0)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_twin_of_a_row_is_a_plain_request_over_http_1_by_the_same_load(row: Scenario, tmp_path: Path) -> None:
    twin = row.twin
    assert (twin is None) is (row.question is not Question.CPU)
    if twin is None:
        return
    assert (twin.http2, twin.grpc, twin.method, twin.connections, twin.streams, twin.twin) == (False, False, "GET", 32, 1, None)
    assert twin.tls is row.tls
    for each, wanted in ((row, "h2" if row.tls else "h2c"), (twin, "http/1.1")):
        command = h2load.command(each, 81, 2, tmp_path)
        assert f"{'--npn-list' if row.tls else '--no-tls-proto'}={wanted}" in command
        assert (":authority: shop.example" in command) is each.http2  # over HTTP/1 there would be two hosts
        assert generator.missing(each) == h2load.missing()


def test_a_call_of_grpc_is_a_post_of_one_message(tmp_path: Path) -> None:
    command = h2load.command(SCENARIOS["grpc-unary"], 81, 2, tmp_path)
    assert {"TE: trailers", "Content-Type: application/grpc"} <= set(command)
    content = Path(command[command.index("-d") + 1]).read_bytes()
    assert (content[0], int.from_bytes(content[1:5], "big")) == (0, len(content) - 5)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_harness_s_own_request_says_what_h2load_says(row: Scenario) -> None:
    data = connection.request(row, 1)
    size = int.from_bytes(data[:3], "big")
    fields = hpack.Decoder().decode(data[9 : 9 + size], raw=True)
    assert fields == [(name.encode(), value.encode()) for name, value in messages.all_fields(row)]
    assert (data[3:9], len(data) > 9 + size) == (b"\x01" + bytes([4 if row.grpc else 5]) + b"\0\0\0\x01", row.grpc)


def test_clients_that_are_counted_differ_in_cookie_and_token_alone() -> None:
    plain, first, second = (dict(messages.all_fields(SCENARIOS["h2-memory"], number)) for number in (0, 1, 4999))
    assert {name for name in plain if first[name] != second[name]} == {"cookie", "authorization"}
    assert all(len(first[name]) == len(plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("block", "is_200"),
    [
        (b"\x88\x41x", True),
        (b"\x20\x88", True),  # the table's size is 0
        (b"\x3f\xe1\x1f\x88", True),  # it is 4096, in an integer of three bytes
        (b"\x20\x3f\xe1\x1f\x88", True),
        (b"\x8d", False),  # 404
        (b"\x48\x03503", False),
        (b"\x3f\xe1", False),
        (b"", False),
    ],
)
def test_a_reply_is_200_by_its_first_field(block: bytes, is_200: bool) -> None:
    assert connection.is_200(block) is is_200


def test_a_reply_is_read_whole_before_any_is_counted() -> None:
    printed = """\
[  0.010] recv (stream_id=1) :status: 200
[  0.010] recv (stream_id=1) content-type: application/grpc
[  0.010] recv HEADERS frame <length=53, flags=0x04, stream_id=1>
[  0.011] recv DATA frame <length=100, flags=0x00, stream_id=1>
[  0.011] recv DATA frame <length=5, flags=0x00, stream_id=1>
[  0.011] recv (stream_id=1) grpc-status: 0
"""
    row = SCENARIOS["grpc-unary"]
    assert reply.wrong(row, printed) is None
    for part, with_what, said in (
        ("status: 200", "status: 503", "status 503"),
        ("grpc-status: 0", "grpc-status: 14", "grpc-status 14"),
        ("grpc-status: 0", "x: 0", "grpc-status None"),
        ("length=5,", "length=4,", "104 bytes, not 105"),
    ):
        assert said in (reply.wrong(row, printed.replace(part, with_what)) or "")
    assert "status None" in (reply.wrong(row, "") or "")


def text_of(peer: Nginx | Haproxy, site: Site) -> str:
    return Path(peer.command(site)[-3 if peer.name == "nginx" else -1]).read_text()


def test_others_speak_http_2_where_the_row_does_and_only_there(tmp_path: Path) -> None:
    site = Site(tmp_path, Mode.HTTP, 81, 82, 83, 1024)
    http2, grpc = replace(site, http2=True), replace(site, http2=True, grpc=True)
    secured = replace(http2, certificate=tmp_path / "both.pem")
    nginx = [text_of(Nginx(), each) for each in (site, http2, grpc, secured)]
    assert ["backlog=4096 http2" in each for each in nginx] == [False, True, True, True]
    assert ["grpc_pass grpc://origin;" in each for each in nginx] == [False, False, True, False]
    assert "backlog=4096 http2 ssl;" in nginx[3]
    haproxy = [text_of(Haproxy("haproxy"), each) for each in (site, http2, grpc, secured)]
    assert ["backlog 4096 proto h2" in each for each in haproxy] == [False, True, True, False]
    assert ["check inter 2s proto h2" in each for each in haproxy] == [False, False, True, False]
    assert " alpn h2 " in haproxy[3]


def test_balance_speaks_http_2_where_the_row_does_also_with_routes(tmp_path: Path) -> None:
    site = Site(tmp_path, Mode.HTTP, 81, 82, 83, 1024)
    for peer in (Balance(), VARIANTS[0]):
        for http2 in (False, True):
            (listener,) = load_file(Path(peer.command(replace(site, http2=http2))[-1]), {}).config.listeners
            assert listener.http.h2c is http2
    (pool,) = load_file(Path(Balance().command(replace(site, http2=True, grpc=True))[-1]), {}).config.pools
    assert [backend.protocol for backend in pool.backends] == ["h2c"]


def test_a_request_of_http_2_is_held_to_the_same_proxy_s_over_http_1_in_the_same_round() -> None:
    costs = {"compiled": (12.0, 30.0, 24.0), "compiled-http1": (10.0, 10.0, 20.0), "haproxy": (6.0, 6.0, 6.0)}
    samples = [sample(peer, us, n, "h2-keepalive") for peer, each in costs.items() for n, us in enumerate(each)]
    findings = compare.Findings(tuple(samples), ())
    line = next(line for line in report.targets_table(findings).splitlines() if line.startswith("| h2-keepalive |"))
    assert line == "| h2-keepalive | compiled | CPU at most 1.5 × its own HTTP/1 request | 1.20 (1.20–3.00) × | met |"
    rows = report.cpu_table(findings, ["h2-keepalive"]).splitlines()[2:]
    assert [row.split(" | ")[8] for row in rows] == ["1.20", "1.00", "–"]
    assert [row.split(" | ")[6] for row in rows] == ["4.00", "–", "1.00"]  # over HTTP/1 it is beside HAProxy's over HTTP/1
