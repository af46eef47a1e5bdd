"""The access log: a line for everything that was answered, in formats that others read, and never in the traffic's way."""

import asyncio
import json
import os
import re
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rawclient import Wire, get, ok, post
from scripts import says
from stage import Stage, serve, until

from balance.config.model import AccessLog as Config
from balance.config.model import Retry, Timeouts
from balance.log_lines.access_record import AccessRecord, RareFields, SentFields
from balance.model import Mode
from balance.proxy.access_log import MAX_WAITING, AccessLog
from balance.runtime import counters


def to_file(folder: Path, format: str = "json") -> Config:
    return Config(enabled=True, format=format, output=str(folder / "access.log"))


async def logged(stage: Stage, count: int) -> list[str]:
    path = stage.folder / "access.log"
    await until(lambda: path.read_text().count("\n") >= count)
    return path.read_text().splitlines()


async def logged_json(stage: Stage, count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in await logged(stage, count)]


def a_record(
    path: str = "/", host: str = "a", user_agent: str = "", user: str = "", referer: str = "", detail: str = "", **changes: Any
) -> AccessRecord:
    sent = SentFields(host, referer, user_agent)
    rare = RareFields(detail, user=user)
    record = AccessRecord(
        "192.0.2.1", "GET", path, "HTTP/1.1", sent, 200, "ok", 1, 2, "b", "p", 1, "id", 0, 1000, 2000, 3000, "", "", rare
    )
    return record._replace(**changes)


async def test_line_says_who_asked_what_where_it_went_and_how_long_it_took(stage: Stage) -> None:
    backend = stage.backend(serve(ok(b"12345")))
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    request = get("/path?q=1", "User-Agent: tester", "Referer: http://b/", "X-Request-Id: abc")
    for _ in range(2):
        await client.send(request)
        await client.reply()
    first, second = await logged_json(stage, 2)
    expected = {
        "client": "127.0.0.1", "method": "GET", "host": "a.example", "path": "/path?q=1", "version": "HTTP/1.1",
        "status": 200, "why": "ok", "bytes_in": len(request), "backend": "n1", "pool": "pool", "attempts": 1,
        "request_id": "abc", "referer": "http://b/", "user_agent": "tester",
    }  # fmt: skip
    assert expected.items() <= first.items()
    assert first["bytes_out"] > 5
    for line in (first, second):
        parts = line["queue_ms"], line["connect_ms"], line["ttfb_ms"]
        assert min(parts) >= 0
        assert sum(parts) <= line["total_ms"] + 0.002 < 1000
    assert second["connect_ms"] < 5  # the connection was there
    assert backend.wires


@pytest.mark.parametrize(
    ("sent", "status", "why", "path"),
    [
        (b"GARBAGE\r\n\r\n", 400, "bad_request", "GARBAGE"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request", "/x"),
        (b"PRI /x HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not_implemented", "/x"),
        (b"X" * 9000, 501, "not_implemented", ""),
        (b"GET /" + b"x" * 9000, 414, "uri_too_long", ""),
        (b"OPTIONS /o HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 204, "ok", "/o"),
    ],
)
async def test_what_never_reached_a_backend_is_logged_too(stage: Stage, sent: bytes, status: int, why: str, path: str) -> None:
    stage.backend(serve(ok()))
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    await client.send(sent)
    reply = await client.head()
    assert reply is not None and reply.status == status
    (line,) = await logged_json(stage, 1)
    assert (line["status"], line["why"], line["backend"], line["attempts"]) == (status, why, "", 0)
    assert line["path"].startswith(path)
    assert len(line["path"]) <= 4096


@pytest.mark.parametrize(("sent", "least_ms"), [(b"GET / HTTP/1.1\r\n", 150), (b"GARBAGE\r\n\r\n", 0)])
async def test_head_that_was_waited_for_says_how_long(stage: Stage, sent: bytes, least_ms: int) -> None:
    stage.backend(serve(ok()))
    await stage.open(timeouts=Timeouts(client_header_s=0.2), access=to_file(stage.folder))
    client = await stage.client()
    await client.send(sent)
    await client.head()
    (line,) = await logged_json(stage, 1)
    assert least_ms <= line["total_ms"] < 10_000


async def test_failures_say_why_and_how_often_it_was_tried(stage: Stage) -> None:
    await stage.open(stage.refusing(), stage.refusing(), access=to_file(stage.folder))
    client = await stage.client()
    await client.send(get())
    await client.reply()
    for backend in stage.backend_states:
        stage.listener_server.set_ready(backend.slot, False)
    await client.send(get())
    await client.reply()
    refused, unready = await logged_json(stage, 2)
    assert (refused["status"], refused["why"], refused["attempts"]) == (502, "connect_refused", 2)
    assert (refused["ttfb_ms"], refused["backend"]) == (-1.0, "n2")
    assert (unready["status"], unready["why"], unready["attempts"]) == (503, "no_healthy", 0)
    assert (unready["connect_ms"], unready["ttfb_ms"], unready["backend"]) == (-1.0, -1.0, "")
    assert [(failed["backend"], failed["why"]) for failed in refused["tries"]] == [("n1", "connect_refused")]
    assert (refused["detail"], unready["detail"]) == ("Connection refused", "no backend is ready")
    assert "tries" not in unready


async def test_retried_request_names_each_backend_and_has_the_times_of_its_last_try(stage: Stage) -> None:
    async def dies(wire: Wire) -> None:
        await wire.request()
        await asyncio.sleep(0.2)

    stage.backend(says(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
    stage.backend(dies)
    stage.backend(serve(ok()))
    retry = Retry(enabled=True, max_attempts=4, backoff_base_s=0.1, on=("connect", "reset", 503))
    await stage.open(stage.refusing(), access=to_file(stage.folder), retry=retry)
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).status == 200
    (line,) = await logged_json(stage, 1)
    assert (line["backend"], line["attempts"], line["retry"]) == ("n4", 4, "made")
    assert [(failed["backend"], failed["why"]) for failed in line["tries"]] == [
        ("n1", "connect_refused"), ("n2", "503"), ("n3", "reset_before_response")
    ]  # fmt: skip
    assert line["tries"][2]["ms"] >= 199  # libuv's timers count whole milliseconds
    assert line["connect_ms"] + line["ttfb_ms"] < 200 < line["total_ms"]


async def test_race_that_was_lost_is_named_too(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok())
        if not wire.number:
            await wire.some(1)
            wire.reset()

    stage.backend(script)
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    for _ in range(2):
        await client.send(get())
        assert (await client.reply()).status == 200
    first, second = await logged_json(stage, 2)
    assert "tries" not in first
    assert [(failed["backend"], failed["why"]) for failed in second["tries"]] == [("n1", "reset_on_reuse")]
    assert second["connect_ms"] + second["ttfb_ms"] <= second["total_ms"]


async def test_time_is_iso_8601_in_utc(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    await client.send(get())
    await client.reply()
    (line,) = await logged_json(stage, 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert abs(datetime.fromisoformat(line["time"]).timestamp() - time.time()) < 60


async def test_request_that_is_refused_says_which_rule_it_breaks(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(access=to_file(stage.folder))
    for sent in (
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ):
        client = await stage.client()
        await client.send(sent)
        await client.has_ended()
    first, second = await logged_json(stage, 2)
    assert (first["detail"], second["detail"]) == ("more than one Host", "'x' is not a chunk size")


async def test_answer_of_our_own_is_counted_like_a_backends(stage: Stage) -> None:
    await stage.open(stage.refusing(), access=to_file(stage.folder))
    client = await stage.client()
    await client.send(get())
    sent = await client.until(b"}\n")
    assert b"\r\nDate: " in sent
    (line,) = await logged_json(stage, 1)
    assert line["bytes_out"] == len(sent)


async def test_tcp_session_has_its_line(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.exactly(5)
        await wire.send(b"pong!!!")

    stage.backend(script)
    await stage.open(mode=Mode.TCP, access=to_file(stage.folder))
    client = await stage.client()
    await client.send(b"ping!")
    assert await client.exactly(7) == b"pong!!!"
    client.close()
    (line,) = await logged_json(stage, 1)
    assert (line["client"], line["method"], line["backend"], line["attempts"]) == ("127.0.0.1", "TCP", "n1", 1)
    assert (line["bytes_in"], line["bytes_out"], line["why"]) == (5, 7, "ok")
    assert 0 <= line["connect_ms"] <= line["total_ms"]
    assert len(line["request_id"]) == 24


async def test_tcp_session_that_found_no_backend_has_its_line_too(stage: Stage) -> None:
    await stage.open(stage.refusing(), mode=Mode.TCP, access=to_file(stage.folder))
    client = await stage.client()
    await client.has_ended()
    (line,) = await logged_json(stage, 1)
    assert (line["backend"], line["attempts"], line["why"]) == ("n1", 1, "connect_refused")
    assert "tries" not in line


async def test_tunnel_has_a_line_for_its_request_and_one_for_its_end(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        await wire.send(await wire.exactly(3))

    stage.backend(script)
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    await client.send(get("/t", "Connection: upgrade", "Upgrade: echo"))
    await client.head()
    await client.send(b"abc")
    assert await client.exactly(3) == b"abc"
    client.close()
    request, end = await logged_json(stage, 2)
    assert (request["method"], request["status"], request["why"]) == ("GET", 101, "ok")
    assert (end["method"], end["path"], end["status"], end["why"]) == ("TUNNEL", "/t", 101, "ok")
    assert (end["bytes_in"], end["bytes_out"]) == (3, 3)


async def test_client_that_left_is_logged_as_499(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.rest()

    backend = stage.backend(script)
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    await client.send(post(b"body"))
    await until(lambda: backend.wires and backend.wires[0].seen)
    client.reset()
    (line,) = await logged_json(stage, 1)
    assert (line["status"], line["why"]) == (499, "client_abort")


async def test_client_that_left_within_its_reply_has_got_its_status(stage: Stage) -> None:
    """As readers of event streams always do; a log that says 499 of each of them says nothing."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await wire.rest()

    stage.backend(script)
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    await client.send(get())
    await client.head()
    client.reset()
    (line,) = await logged_json(stage, 1)
    assert (line["status"], line["why"]) == (200, "client_abort")


async def test_timeout_is_logged_with_its_time(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.rest()

    stage.backend(script)
    await stage.open(access=to_file(stage.folder), timeouts=Timeouts(read_s=0.1))
    client = await stage.client()
    await client.send(get())
    await client.reply()
    (line,) = await logged_json(stage, 1)
    assert (line["status"], line["why"]) == (504, "response_header_timeout")
    assert line["total_ms"] >= 100


async def test_combined_is_what_log_readers_know(stage: Stage) -> None:
    stage.backend(serve(ok(b"12345")))
    await stage.open(access=to_file(stage.folder, "combined"))
    client = await stage.client()
    await client.send(get("/p", 'User-Agent: say "hi" \\ ?').replace(b"?", b"\x85"))
    await client.reply()
    (line,) = await logged(stage, 1)
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /p HTTP/1\.1" 200 \d+ "-" '
        r'"say \\"hi\\" \\\\ \\x85"',
        line,
    )


async def test_no_client_can_break_a_line(stage: Stage, tmp_path: Path) -> None:
    for format in ("json", "combined"):
        path = tmp_path / format
        log = AccessLog(Config(enabled=True, format=format, output=str(path)))
        log.record(a_record(path="/\n\r\0\x1b[31m\x85\u2028", user_agent='"\\\x7f', host="\n"))
        log.close()
        data = path.read_bytes()
        assert data.count(b"\n") == 1 and data.endswith(b"\n")
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f-\xff]", data)


@pytest.mark.parametrize(
    ("user", "column"),
    [
        ("", "-"),
        ("ada", "ada"),
        ("-", "\\x2d"),
        ("a b", "a\\x20b"),
        ('a] \n"x', 'a\\x5d\\x20\\n\\"x'),
        ("\xe9\u2028", "\\xe9\\u2028"),
    ],
    ids=range(6),
)
def test_a_users_name_is_one_column_whatever_it_is(tmp_path: Path, user: str, column: str) -> None:
    for format in ("combined", "json"):
        log = AccessLog(to_file(tmp_path, format))
        log.record(a_record(user=user))
        log.close()
    combined, line = (tmp_path / "access.log").read_text().splitlines()
    assert combined.startswith(f"192.0.2.1 - {column} [")
    assert json.loads(line).get("user", "") == user


def test_log_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    log = AccessLog(Config(enabled=True, output=str(path)))
    log.record(a_record())
    log.close()
    assert path.read_text().startswith("before\n{")


def test_log_that_can_not_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        AccessLog(Config(enabled=True, output=str(tmp_path / "no" / "such" / "folder")))


def test_pipe_that_nobody_reads_is_an_error_and_not_a_standstill(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError):
        AccessLog(Config(enabled=True, output=str(tmp_path / "pipe")))


def test_lines_that_nobody_takes_are_dropped_and_counted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(Config(enabled=True, output=str(tmp_path / "pipe")))
    count = 4 * MAX_WAITING // 4000
    for _ in range(count):
        log.record(a_record(path="/" + "x" * 3500))
    log.flush()
    assert count // 2 < log.lost < count
    received = bytearray()
    closing = threading.Thread(target=log.close, args=(10.0,))
    closing.start()
    os.set_blocking(reader, True)
    while data := os.read(reader, 1 << 16):
        received += data
    closing.join()
    os.close(reader)
    assert received.count(b"\n") + log.lost == count  # none is missing without being counted


def test_output_that_would_block_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal or pipe that somebody else has made non-blocking."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        log = AccessLog(Config(enabled=True))
        for _ in range(2000):
            log.record(a_record())
        log.flush()
        received = 0
        while received < 2000:
            received += os.read(reader, 1 << 16).count(b"\n")
        log.close()
    os.close(reader)
    assert log.lost == 0


def test_output_that_is_gone_is_counted(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    log = AccessLog(Config(enabled=True, output=f"/dev/fd/{writer}"))
    os.close(reader)
    log.record(a_record())
    log.close()
    os.close(writer)
    assert log.lost == 1


async def test_log_that_nobody_takes_stops_no_request(stage: Stage) -> None:
    os.mkfifo(stage.folder / "access.log")
    reader = os.open(stage.folder / "access.log", os.O_RDONLY | os.O_NONBLOCK)
    stage.backend(serve(ok()))
    await stage.open(access=to_file(stage.folder))
    client = await stage.client()
    count = MAX_WAITING // 4000 + 200
    request = get("/" + "x" * 4000)  # its line is cut to 4096 bytes
    assert stage.worker.access is not None
    for _ in range(count):
        stage.worker.access.record(a_record(path="/" + "x" * 3500))
    for _ in range(20):
        await client.send(request)
        assert (await client.reply()).status == 200
    await until(lambda: stage.cell(counters.LOG_LINES_LOST) > 0)
    os.close(reader)


async def test_normal_requests_are_sampled_and_the_rest_is_logged(stage: Stage) -> None:
    stage.backend(serve(lambda message: ok() if message.target == "/ok" else b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
    config = Config(enabled=True, output=str(stage.folder / "access.log"), sample=0.0)
    await stage.open(access=config)
    client = await stage.client()
    for target in ("/ok", "/bad", "/ok", "/bad"):
        await client.send(get(target))
        await client.reply()
    await client.send(b"GARBAGE\r\n\r\n")
    await client.has_ended()
    lines = await logged_json(stage, 3)
    assert [(line["path"], line["status"]) for line in lines] == [("/bad", 500), ("/bad", 500), ("GARBAGE", 400)]
    assert all("sample" not in line for line in lines)


def test_sample_is_in_the_line(tmp_path: Path) -> None:
    log = AccessLog(Config(enabled=True, output=str(tmp_path / "access.log"), sample=0.999999))
    log.record(a_record())
    log.close()
    assert json.loads((tmp_path / "access.log").read_text())["sample"] == 0.999999


async def test_only_slow_requests_are_logged(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if request.target == "/slow":
                await asyncio.sleep(0.1)
            await wire.send(ok())

    stage.backend(script)
    await stage.open(access=Config(enabled=True, output=str(stage.folder / "access.log"), slow_threshold_s=0.05))
    client = await stage.client()
    for target in ("/fast", "/slow", "/fast", "/slow"):
        await client.send(get(target))
        await client.reply()
    assert [line["path"] for line in await logged_json(stage, 2)] == ["/slow", "/slow"]


async def test_lines_are_as_the_template_says(stage: Stage) -> None:
    stage.backend(serve(ok()))
    template = '{client} "{method} {path}" {status} {why} {{{user_agent:json}}} {referer}'
    await stage.open(access=Config(enabled=True, format="template", template=template, output=str(stage.folder / "access.log")))
    client = await stage.client()
    await client.send(get("/p", 'User-Agent: a"b'))
    await client.reply()
    assert await logged(stage, 1) == ['127.0.0.1 "GET /p" 200 ok {"a\\"b"} -']
