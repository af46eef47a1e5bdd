"""The pure parts of the wire benchmark: what it reads from /proc and wrk, what it sends, how it compares and prints."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from wire import load, order, procfs
from wire.findings import compare, report
from wire.findings.pictures import pictures
from wire.idle import Process, Weight
from wire.peers import session
from wire.peers.against import Against
from wire.peers.balance import Balance, config_text
from wire.peers.haproxy import Haproxy
from wire.peers.nginx import Nginx, stream_module
from wire.peers.peer import Mode, Site
from wire.rounds import Sample
from wire.running_peers import Remarks
from wire.scenarios import SCENARIOS, TCP_REQUEST_BYTES, Scenario, request_head

from balance.config import load_file
from balance.runtime.backend import Backend
from balance.runtime.sessions.tokens import Tokens

STAT = "71 (a) (b c) S 1 70 69 0 -1 4194560 100 0 0 0 250 750 3 4 20 0 1 0 12345 1000 200 0"
ROLLUP = """\
55d0-7ffe ---p 00000000 00:00 0                          [rollup]
Rss:               20480 kB
Pss:               10240 kB
Private_Clean:      1024 kB
Private_Dirty:      2048 kB
"""

ROWS = {name: row for name, row in SCENARIOS.items() if not row.http2}  # the others' bytes are h2load's


def sample(peer: str, cpu_us: float, number: int = 0, scenario: str = "http-keepalive", **changes: object) -> Sample:
    plain = Sample(
        scenario=scenario,
        peer=peer,
        round=number,
        requests=1000,
        requests_per_s=50_000.0,
        cpu_us=cpu_us,
        user_us=cpu_us / 2,
        cpu_us_per_mb=cpu_us / 10,
        busy=0.9,
        others_busy=0.0,
        p50_us=cpu_us,
        p99_us=cpu_us,
        mean_us=cpu_us,
        problems=(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_process_name_with_brackets_and_blanks_is_read_to_its_last_bracket() -> None:
    assert procfs.parse_stat(STAT) == procfs.Stat(71, "a) (b c", 1, 69, 250, 750)


def test_memory_is_read_in_bytes() -> None:
    assert procfs.parse_smaps_rollup(ROLLUP) == procfs.Memory(20480 * 1024, 10240 * 1024, 3072 * 1024)


def test_core_1_is_not_taken_for_core_10() -> None:
    text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu10 5 5 5 5 5 5 5 5 0 0\ncpu1 1 2 3 100 50 4 5 6 0 0\n"
    assert procfs.parse_core_ticks(text, 1) == (15, 6)


def test_a_tree_holds_grandchildren_and_orphans_of_the_session_and_nobody_else() -> None:
    def stat(pid: int, parent: int, session: int) -> procfs.Stat:
        return procfs.Stat(pid, "p", parent, session, 0, 0)

    family = [stat(10, 1, 10), stat(13, 12, 10), stat(12, 10, 10), stat(14, 1, 10), stat(15, 12, 15)]
    strangers = [stat(1, 0, 1), stat(20, 1, 20)]
    assert procfs.tree_of(10, family + strangers) == [10, 12, 13, 14, 15]


def test_cpu_time_sums_the_tree_counts_the_newborn_and_names_the_dead() -> None:
    before = {1: procfs.Clock(1_000_000_000, 60, 40), 2: procfs.Clock(5, 0, 0)}
    after = {1: procfs.Clock(2_000_000_000, 85, 115), 3: procfs.Clock(500_000_000, 25, 25)}
    cost = procfs.spent(before, after)
    assert cost.total_ns == 1_500_000_000
    assert cost.user_share == pytest.approx(50 / 150)
    assert cost.ended == (2,)


def test_a_thread_that_ended_is_still_paid_for() -> None:
    second = 1_000_000_000 // procfs.TICK_NS
    cost = procfs.spent({1: procfs.Clock(900, 0, 0)}, {1: procfs.Clock(1000, second, second)})
    assert cost.total_ns == 2_000_000_000


def test_wrk_figures_are_exact_and_every_kind_of_failure_is_named() -> None:
    line = "WIRE requests=500 us=2000000 bytes=900 connect=0 read=3 write=0 status=7 timeout=0 p50=12 p99=40 mean=13.50"
    found = load.parse(f"Running 2s test\n\n{line}\n")
    assert (found.requests, found.elapsed_s, found.read_bytes) == (500, 2.0, 900)
    assert found.failures == {"read": 3, "status": 7}
    assert (found.p50_us, found.p99_us, found.mean_us) == (12.0, 40.0, 13.5)


def test_a_load_without_figures_is_a_failure_that_quotes_wrk() -> None:
    with pytest.raises(load.LoadFailedError, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_request_is_one_complete_head_with_one_host(row: Scenario) -> None:
    head = request_head(row)
    assert head.startswith(f"{'POST' if row.sent_bytes else 'GET'} {row.path} HTTP/1.1\r\nHost: ")
    assert (f"\r\nContent-Length: {row.sent_bytes}\r\n" in head) is bool(row.sent_bytes)
    assert head.endswith("\r\n\r\n")
    assert head.count("\r\n\r\n") == head.count("\r\nHost: ") == 1
    assert ("Connection: close" in head) is row.close


def test_the_padded_request_has_exactly_its_size() -> None:
    assert len(request_head(SCENARIOS["tcp-1k"])) == TCP_REQUEST_BYTES


def test_a_minimal_request_has_its_host_alone() -> None:
    assert request_head(SCENARIOS["http-minimal"]) == "GET /1k HTTP/1.1\r\nHost: shop.example\r\n\r\n"


def test_a_script_posts_as_many_bytes_as_the_head_says() -> None:
    line = next(line for line in load.script(SCENARIOS["http-post-64k"]).splitlines() if line.startswith("local head"))
    assert "\\r\\nContent-Length: 65536\\r\\n" in line
    assert line.endswith('\\r\\n\\r\\n" .. string.rep("x", 65536)')


def test_a_route_with_stages_is_asked_of_all_proxies_alike(tmp_path: Path) -> None:
    site = Site(tmp_path, Mode.HTTP, 81, 82, 83, 1024, stages=True)
    for peer in (Nginx(), Haproxy("haproxy"), Balance()):
        text = Path(peer.command(site)[-3 if peer.name == "nginx" else -1]).read_text()
        for word in ("shop.example", "BadBot", "TRACK", "X-Team", "X-Frame-Options", "image/svg+xml"):
            assert word in text, (peer.name, word)
        for word in ("tester", "fault"):  # in nginx's and HAProxy's spellings of a field's name
            assert word in text.lower(), (peer.name, word)


def test_four_workers_are_asked_of_all_proxies_alike(tmp_path: Path) -> None:
    site = Site(tmp_path, Mode.HTTP, 1, 2, 3, 1000, workers=SCENARIOS["memory-4-workers"].workers)
    for peer, line in ((Nginx(), "worker_processes 4;"), (Haproxy("haproxy"), "nbthread 4"), (Balance(), "workers: 4")):
        path = next(Path(word) for word in peer.command(site) if word.endswith((".conf", ".cfg", ".yaml")))
        assert line in map(str.strip, path.read_text().splitlines())


def test_a_script_sends_a_fixed_head_or_one_with_three_counters_and_no_other_directive() -> None:
    assert "request = function" not in load.script(SCENARIOS["http-keepalive"])
    text = load.script(SCENARIOS["http-unique"])
    formatted = next(line for line in text.splitlines() if "string.format(" in line and "GET " in line)
    assert formatted.replace("%%", "").count("%") == 3
    assert "?n=%d HTTP/1.1" in formatted
    assert "X-Request-Trace: %016x%016x" in formatted


def test_a_lua_string_holds_its_text_on_one_line() -> None:
    assert load.lua_string('a"b\\c\r\n') == '"a\\"b\\\\c\\r\\n"'


@pytest.mark.parametrize(
    ("build", "line"),
    [
        ("configure arguments: --with-stream --with-threads", ""),
        ("--with-stream", ""),
        ("--with-stream=dynamic --modules-path=/usr/lib/nginx/modules", "/usr/lib/nginx/modules"),
        ("--with-stream_ssl_module --with-threads", None),
    ],
)
def test_nginx_says_whether_it_can_do_tcp(build: str, line: str | None) -> None:
    wanted = f"load_module {line}/ngx_stream_module.so;" if line else line
    assert stream_module(build) == wanted


def test_a_foreign_command_gets_its_ports_and_a_configuration(tmp_path: Path) -> None:
    site = Site(tmp_path, Mode.TCP, 81, 82, 83, 1024)
    command = Against("proxy --from :{port} --to :{origin} --mode {mode} --file {config}").command(site)
    assert command[:7] == ["proxy", "--from", ":81", "--to", ":83", "--mode", "tcp"]
    assert 'listen: "127.0.0.1:81"' in Path(command[8]).read_text()


def test_an_installed_balance_is_not_the_one_of_the_tree(tmp_path: Path) -> None:
    given = order.read(["--peers", "nginx,balance,balance-stages", "--installed", f"compiled={sys.executable}"])
    assert [peer.name for peer in given.peers] == ["nginx", "balance", "balance-stages", "compiled", "compiled-stages"]
    site = Site(tmp_path, Mode.HTTP, 1, 2, 3, 1024)
    tree, other = given.peers[1].command(site), given.peers[3].command(site)
    assert other[:5] == ["env", "-u", "PYTHONPATH", sys.executable, "-P"]
    assert tree[0] != "env"
    assert tree[-4:-1] == other[-4:-1] == ["balance", "serve", "--config"]
    assert "routes:" in Path(given.peers[4].command(site)[-1]).read_text()
    with pytest.raises(SystemExit):
        order.read(["--installed", "balance=python3"])


def test_with_everything_on_the_configuration_has_it_and_the_clients_have_a_session(tmp_path: Path) -> None:
    files = [Site(tmp_path, Mode.HTTP, 81, 82, 83, 1024, on).write(f"{on}.yaml", "") for on in (False, True)]
    for file, on in zip(files, (False, True), strict=True):
        file.write_text(config_text(Site(tmp_path, Mode.HTTP, 81, 82, 83, 1024, on)))
    (plain,), (pool,) = (load_file(file, {}).config.pools for file in files)
    assert (pool.health_check.enabled, plain.health_check.enabled) == (True, True)
    switches = [
        (each.health_check.passive.enabled, each.breaker.enabled, each.retry.enabled, each.affinity.enabled)
        for each in (plain, pool)
    ]
    assert switches == [(True, False, True, False), (True,) * 4]  # plain: as it is where nobody says otherwise
    assert [each.backends[0].max_connections for each in (plain, pool)] == [0, 1000]
    tokens = Tokens(pool.affinity.secret.encode(), pool.name, [Backend(pool.backends[0], 1)])
    assert session.balance_token().encode() in tokens.backends
    head = request_head(SCENARIOS["http-everything"])
    assert f"; {pool.affinity.cookie.name}={session.balance_token()}; " in head
    assert head.count("\r\nCookie: ") == 1


def test_a_ratio_is_taken_inside_each_round_before_the_median() -> None:
    ours = [sample("balance", cost, number) for number, cost in enumerate((10.0, 30.0, 22.0))]
    theirs = [sample("haproxy", cost, number) for number, cost in enumerate((10.0, 10.0, 20.0))]
    assert compare.ratio(compare.Findings((*ours, *theirs), ()), "http-keepalive", "balance", "haproxy") == 1.1


def test_one_failed_round_takes_the_row_out_of_every_comparison() -> None:
    ours = [sample("balance", 10.0), sample("balance", 10.0, 1, problems=("2 status errors",))]
    theirs = [sample("haproxy", 10.0), sample("haproxy", 10.0, 1)]
    findings = compare.Findings((*ours, *theirs), ())
    assert compare.ratio(findings, "http-keepalive", "balance", "haproxy") is None
    assert findings.invalid() == ["http-keepalive round 2 balance: 2 status errors"]
    text = report.page(findings, ["a machine"], Remarks())
    assert "**NOT A CLEAN RUN**" in text
    assert "| http-keepalive | balance | **INVALID**: 2 status errors |" in text


def test_the_page_says_which_targets_are_met_missed_or_not_measured() -> None:
    worker = Process(5, "worker", True, 9_000_000, 9_000_000, 20_000_000, 40_000_000, 30_000_000)
    rounds = [
        sample(peer, us, number, scenario)
        for scenario, costs in (
            ("http-keepalive", {"balance": (16.0, 12.0, 9.0), "haproxy": (10.0, 12.0, 30.0), "nginx": (20.0, 10.0, 9.0)}),
            ("http-close", {"balance": (13.0, 14.0), "haproxy": (10.0, 10.0), "nginx": (11.0, 11.0)}),
            ("tcp-1k", {"balance": (10.0,), "haproxy": (10.0,)}),
        )
        for peer, each in costs.items()
        for number, us in enumerate(each)
    ]
    weights = (
        Weight("memory", "balance", 5000, 1100.0, (worker,), ()),
        Weight("tcp-memory", "balance", 5000, 2960.0, (worker,), ()),
        Weight("memory-4-workers", "balance", 5000, 1100.0, (worker,) * 6, ()),
    )
    findings = compare.Findings(tuple(rounds), weights)
    lines = report.targets_table(findings).splitlines()
    better = "the better of nginx and HAProxy"
    assert f"| http-keepalive | balance | CPU at most 1.0 × {better} | 1.20 (1.00–1.60) × | **missed** |" in lines
    assert f"| http-close | balance | CPU at most 1.4 × {better} | 1.35 (1.30–1.40) × | met |" in lines
    assert f"| tcp-1k | balance | CPU at most 1.1 × {better} | – | not measured |" in lines
    assert "| memory | balance | an idle connection under 1.2 KB | 1.10 KB | met |" in lines
    assert "| memory | balance | a worker's PSS after load under 25 MB | 20.00 MB | met |" in lines
    assert "| tcp-memory | balance | an idle session, both its connections, under 3 KB | 2.96 KB | met |" in lines
    four = "PSS of supervisor, control and 4 workers after load under 100 MB"
    assert f"| memory-4-workers | balance | {four} | 120.00 MB | **missed** |" in lines


def test_losses_come_first_and_what_failed_has_no_ratio() -> None:
    costs = {
        "http-keepalive": {"nginx": (10.0, 20.0), "haproxy": (20.0, 10.0), "balance": (18.0, 22.0), "compiled": (9.0, 10.0)},
        "tcp-1k": {"nginx": (10.0,), "haproxy": (8.0,), "balance": (20.0,), "compiled": (16.0,)},
        "http-close": {"nginx": (10.0,), "balance": (20.0,), "compiled": (16.0,)},  # no HAProxy
    }
    samples = [
        sample(peer, us, number, row)
        for row, by_peer in costs.items()
        for peer, each in by_peer.items()
        for number, us in enumerate(each)
    ]
    failed = [sample(peer, 9.0, 0, "http-64k") for peer in ("nginx", "haproxy", "balance")]
    failed.append(sample("compiled", 9.0, 0, "http-64k", problems=("2 status errors",)))
    lines = report.losses_table(compare.Findings((*samples, *failed), ()), list(SCENARIOS)).splitlines()
    assert lines[0] == "| row | nginx | haproxy | balance | compiled | balance ÷ the better | compiled ÷ the better |"
    assert lines[2:] == [
        "| `tcp-1k` | 10.00 | 8.00 | 20.00 | 16.00 | 2.50 (2.50–2.50) | 2.00 (2.00–2.00) |",
        "| `http-64k` | 9.00 | 9.00 | 9.00 | 9.00 | 1.00 (1.00–1.00) | – |",
        "| `http-keepalive` | 15.00 | 15.00 | 20.00 | 9.50 | 2.00 (1.80–2.20) | 0.95 (0.90–1.00) |",
    ]


def test_what_failed_once_is_named_and_what_failed_twice_spoils_the_run() -> None:
    remarks = Remarks()
    remarks.repeated.append("http-close round 3 nginx: 1 connect errors")
    text = report.page(compare.Findings((sample("balance", 16.0),), ()), ["a machine"], remarks)
    assert "Taken once more, as these failed:\n\n- http-close round 3 nginx: 1 connect errors\n" in text
    assert "NOT A CLEAN RUN" not in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    failed = sample("haproxy", 1.0, problems=("no request was answered",))
    slow = [sample(peer, 50.0, scenario="http-latency") for peer in ("direct", "balance")]
    findings = compare.Findings((sample("balance", 16.0), failed, *slow), ())
    for text in (
        report.cpu_table(findings, ["http-keepalive"]),
        report.latency_table(findings, ["http-latency"]),
        report.targets_table(findings),
    ):
        assert len({line.count("|") for line in text.splitlines()}) == 1


def test_pictures_have_a_bar_for_each_proxy_and_the_greatest_loss_first() -> None:
    costs = {
        "http-keepalive": {"nginx": 10, "haproxy": 20, "balance": 15},
        "tcp-1k": {"nginx": 10, "haproxy": 8, "balance": 20},
    }
    samples = [sample(peer, us, 0, row) for row, by_peer in costs.items() for peer, us in by_peer.items()]
    drawn = pictures(compare.Findings((*samples, sample("balance", 30, 0, "http-64k")), ()))
    assert list(drawn) == ["cpu.svg"]  # nothing was measured for the others
    texts = [element.text for element in ElementTree.fromstring(drawn["cpu.svg"]).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[4:] == ["tcp-1k", "1.25", "1.00", "2.50", "http-keepalive", "1.00", "2.00", "1.50"]


def test_a_proxy_that_failed_is_in_no_picture() -> None:
    failed = sample("balance", 15, problems=("2 replies were not 2xx or 3xx",))
    drawn = pictures(compare.Findings((sample("nginx", 10), sample("haproxy", 20), failed), ()))
    assert ">balance<" not in drawn["cpu.svg"]


def test_a_new_section_replaces_the_old_one_and_nothing_else() -> None:
    first = report.placed("old\n", "# Results\n")
    assert report.placed("new\n", first + "\n## Micro\n") == first.replace("old", "new") + "\n## Micro\n"


def test_a_section_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="wire:end"):
        report.placed("new\n", "# Results\n<!-- wire:begin -->\nold\n")


@pytest.mark.parametrize(
    ("text", "seconds"), [("0.5", 0.5), ("5", 5.0), ("0", None), ("0.1", None), ("nan", None), ("x", None)]
)
def test_a_sample_takes_any_time_above_a_fifth_of_a_second(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(SystemExit):
            order.read(["--seconds", text])
    else:
        assert order.read(["--seconds", text]).seconds == seconds


def test_rows_over_http2_have_as_many_rounds_as_the_others_unless_told() -> None:
    assert order.read(["--rounds", "7"]).http2_rounds == 7
    assert order.read(["--rounds", "7", "--http2-rounds", "2"]).http2_rounds == 2


def test_a_load_is_stopped_at_its_time_and_what_it_then_says_is_kept(tmp_path: Path) -> None:
    """As wrk does it: told to end, it sums up."""
    script = "trap 'echo summed up; exit' INT; echo begun; while :; do sleep 0.01; done"
    assert load.output_of(["bash", "-c", script], 0.3, min(os.sched_getaffinity(0)), interrupt=True) == "begun\nsummed up\n"


def test_a_wrong_name_is_answered_with_the_allowed_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        order.read(["--peers", "nginx,envoy"])
    assert "'envoy' is not one of nginx, haproxy, haproxy-splice, balance" in capsys.readouterr().err
