"""The source that asks DNS, against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pycares
import pytest
from dns_looks import PATIENCE_S, Looks, addresses, one_look, run, settings
from dns_servers import DnsServer, Reply
from dnslib import QTYPE, RR, A, DNSQuestion, DNSRecord

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.dns.search_list import ResolvConf, parse_resolv_conf
from balance.process.control.discovery.dns_source import DnsSource, read_resolv_conf


@pytest.fixture
def server() -> Iterator[DnsServer]:
    server = DnsServer()
    yield server
    server.stop()


def test_both_families_are_asked_and_the_smaller_ttl_counts(server: DnsServer) -> None:
    server.zone = {("app.test", "A"): ["10.0.0.1", "10.0.0.2"], ("app.test", "AAAA"): ["2001:db8::1"]}
    answer = one_look(server.address)
    assert addresses(answer) == ["10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"]
    assert isinstance(answer, Answer) and answer.valid_s == 60 and answer.partial == ()


ANSWERS: dict[str, tuple[dict[tuple[str, str], list[str] | str], list[str] | str]] = {
    "NXDOMAIN": ({("other.test", "A"): ["10.0.0.1"]}, []),
    "NODATA (envoy#20890: no records are nobody, kubernetes/dns#121)": ({("app.test", "TXT"): []}, []),
    "SERVFAIL": ({("app.test", "A"): "SERVFAIL", ("app.test", "AAAA"): "SERVFAIL"}, "SERVFAIL"),
    "REFUSED": ({("app.test", "A"): "REFUSED", ("app.test", "AAAA"): "REFUSED"}, "REFUSED"),
    "NOTIMP": ({("app.test", "A"): "NOTIMP", ("app.test", "AAAA"): "NOTIMP"}, "NOTIMP"),
    "FORMERR, with EDNS and without": ({("app.test", "A"): "FORMERR", ("app.test", "AAAA"): "FORMERR"}, "FORMERR"),
    "an rcode that nobody expects": (
        {("app.test", "A"): "YXDOMAIN", ("app.test", "AAAA"): "NOTAUTH"},
        "not about the question",
    ),
    "S6: AAAA fails": ({("app.test", "A"): ["10.0.0.1"], ("app.test", "AAAA"): "SERVFAIL"}, ["10.0.0.1:80"]),
    "S6: A fails": ({("app.test", "A"): "REFUSED", ("app.test", "AAAA"): ["2001:db8::1"]}, ["[2001:db8::1]:80"]),
    "one fails, one is empty": ({("app.test", "A"): [], ("app.test", "AAAA"): "SERVFAIL"}, "AAAA: SERVFAIL"),
    "CNAMEs": (
        {("app.test", "CNAME"): ["b.test"], ("b.test", "CNAME"): ["c.test"], ("c.test", "A"): ["10.0.0.1"]},
        ["10.0.0.1:80"],
    ),
    "a CNAME to a name that is not there": ({("app.test", "CNAME"): ["b.test"]}, []),
    "CNAMEs in a circle": ({("app.test", "CNAME"): ["b.test"], ("b.test", "CNAME"): ["app.test"]}, "circle"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_denial_is_an_answer_and_all_else_is_a_failure(server: DnsServer, case: str) -> None:
    """S1 (haproxy#345: refused and timed out questions put all servers into maintenance)."""
    zone, expected = ANSWERS[case]
    server.zone = zone
    answer = one_look(server.address)
    if isinstance(expected, str):
        assert isinstance(answer, SourceFailure) and expected in answer.words and "app.test" in answer.words
    else:
        assert addresses(answer) == expected


def _forged(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
    """Wrong ids and another's question, then the answer."""
    id = reply.header.id
    forged = question.reply()
    forged.add_answer(RR(question.q.qname, QTYPE.A, rdata=A("10.6.6.6")))
    forged.header.id = id ^ 1
    yield forged
    forged.header.id = id
    forged.questions = [DNSQuestion("bank.test", question.q.qtype)]
    yield forged
    yield reply


def _cut(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
    yield reply.pack()[:-3]


def _rubbish(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
    yield question.pack()[:2] + b"\xff" * 400


def _only_head(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
    yield question.pack()[:2] + b"\x81\x80\xff\xff\xff\xff\xff\xff\xff\xff"


def _no_edns(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
    if question.ar:  # an OPT record
        reply = question.reply()
        reply.header.rcode = 1
        reply.ar = []
    yield reply


MISBEHAVIOUR: dict[str, tuple[Callable[[DNSRecord, DNSRecord, bool], Iterable[Reply]], bool]] = {
    "forged answers before the right one": (_forged, True),
    "a server that knows no EDNS": (_no_edns, True),
    "a cut packet": (_cut, False),
    "rubbish": (_rubbish, False),
    "a head that promises a lot": (_only_head, False),
}


@pytest.mark.parametrize("case", MISBEHAVIOUR)
def test_resolver_that_misbehaves_is_either_understood_or_a_failure(server: DnsServer, case: str) -> None:
    server.zone = {("app.test", "A"): ["10.0.0.1"], ("app.test", "AAAA"): []}
    server.answer, is_understood = MISBEHAVIOUR[case]
    answer = one_look(server.address)
    if is_understood:
        assert addresses(answer) == ["10.0.0.1:80"]
    else:
        assert isinstance(answer, SourceFailure)


def _truncated(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
    if not is_tcp:
        reply = question.reply()
        reply.header.tc = 1
    yield reply


def test_cut_answer_is_asked_for_again_over_tcp(server: DnsServer) -> None:
    """S4 (haproxy#341, haproxy#1421): a thousand records, of which UDP carries none."""
    server.zone = {("app.test", "A"): [f"10.0.{i // 250}.{i % 250 + 1}" for i in range(1000)], ("app.test", "AAAA"): []}
    server.answer = _truncated
    assert len(addresses(one_look(server.address))) == 1000
    assert ("app.test", "A", True) in server.questions


def test_cut_answer_is_never_read_as_an_empty_one(server: DnsServer) -> None:
    """S4, with no TCP to be had."""
    server.zone = {("app.test", "A"): ["10.0.0.1"], ("app.test", "AAAA"): []}
    server.answer = _truncated
    server.stop_tcp()
    assert isinstance(one_look(server.address), SourceFailure)


def test_next_resolver_is_asked_where_one_fails(server: DnsServer) -> None:
    """caddy#5856: the resolvers that are named are those that are asked."""
    server.zone = {("app.test", "A"): ["10.0.0.1"]}
    broken = DnsServer()
    broken.zone = {("app.test", "A"): "SERVFAIL", ("app.test", "AAAA"): "REFUSED"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{nobody.getsockname()[1]}"
    answer = one_look(closed, broken.address, server.address)
    broken.stop()
    assert addresses(answer) == ["10.0.0.1:80"] and broken.questions


def test_no_resolver_at_all_is_a_failure() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{nobody.getsockname()[1]}"
    answer = one_look(closed)
    assert isinstance(answer, SourceFailure) and "does not answer" in answer.words


def test_every_look_asks_anew_whatever_the_ttl(server: DnsServer) -> None:
    """A cache in the library would hide each change for an hour here (traefik#5638, envoy#4543, haproxy#841)."""
    server.zone = {("app.test", "A"): ["10.0.0.1"]}
    server.ttl = 3600

    async def story() -> None:
        looks = Looks(DnsSource(settings(server.address), "pool"))
        assert addresses(await looks.next()) == ["10.0.0.1:80"]
        server.zone = {("app.test", "A"): ["10.0.0.3", "10.0.0.2"]}
        await looks.until(lambda: addresses(looks.reports[-1]) == ["10.0.0.3:80", "10.0.0.2:80"])
        server.zone = {}
        await looks.until(lambda: addresses(looks.reports[-1]) == [])
        server.zone = {("app.test", "A"): "SERVFAIL", ("app.test", "AAAA"): "SERVFAIL"}
        await looks.until(lambda: isinstance(looks.reports[-1], SourceFailure))
        server.zone = {("app.test", "A"): ["10.0.0.1"]}
        await looks.until(lambda: isinstance(looks.reports[-1], Answer))
        assert addresses(looks.reports[-1]) == ["10.0.0.1:80"]
        await looks.stop()

    run(story)


def test_family_that_fails_is_named_so_that_its_endpoints_stay(server: DnsServer) -> None:
    """S6 (envoy#42590)."""
    server.zone = {("app.test", "A"): ["10.0.0.2"], ("app.test", "AAAA"): "SERVFAIL"}
    answer = one_look(server.address)
    assert isinstance(answer, Answer)
    assert answer.unasked == {"AAAA"} and answer.partial[0].startswith("AAAA: SERVFAIL")
    server.zone |= {("app.test", "AAAA"): ["2001:db8::1"]}
    answer = one_look(server.address)
    assert isinstance(answer, Answer) and [each.part for each in answer.endpoints] == ["A", "AAAA"] and not answer.unasked


def test_family_that_is_silent_does_not_delay_the_other(server: DnsServer) -> None:
    """S6: its addresses are reported before the limit of the silent one and the source is stopped within it."""
    server.zone = {("app.test", "A"): ["10.0.0.1"]}
    server.answer = lambda question, reply, is_tcp: [None if question.q.qtype == QTYPE.AAAA else reply]
    answer = one_look(server.address)
    assert addresses(answer) == ["10.0.0.1:80"]
    assert isinstance(answer, Answer) and answer.unasked == {"AAAA"}


@pytest.mark.long
def test_family_that_fails_slowly_is_not_well_and_ill_by_turns(server: DnsServer) -> None:
    """Its words stay from one look to the next, while the other family is reported early: else each look would be two lines."""
    late = threading.Event()

    def answer(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
        if question.q.qtype == QTYPE.AAAA:
            late.wait(0.7)
            reply.header.rcode = 2
        yield reply

    server.zone = {("app.test", "A"): ["10.0.0.1"]}
    server.answer = answer

    async def story() -> None:
        looks = Looks(DnsSource(settings(server.address), "pool"))
        said = [await looks.next() for _ in range(4)]
        await looks.stop()
        assert all(isinstance(each, Answer) and each.unasked == {"AAAA"} for each in said)
        assert [bool(each.partial) for each in said if isinstance(each, Answer)] == [False, True, True, True]

    run(story)


@pytest.mark.long
def test_resolver_that_never_answers_is_a_failure_in_time(server: DnsServer) -> None:
    server.answer = lambda question, reply, is_tcp: []
    answer = one_look(server.address)
    assert isinstance(answer, SourceFailure) and "does not answer" in answer.words


@pytest.mark.long
def test_late_answer_counts(server: DnsServer) -> None:
    """envoy#42836: a resolver that needs two seconds."""
    late = threading.Event()

    def answer(question: DNSRecord, reply: DNSRecord, is_tcp: bool) -> Iterable[Reply]:
        late.wait(2.0)
        yield reply

    server.zone = {("app.test", "A"): ["10.0.0.1"], ("app.test", "AAAA"): []}
    server.answer = answer
    assert addresses(one_look(server.address)) == ["10.0.0.1:80"]


SRV_ZONE: dict[tuple[str, str], list[str] | str] = {
    ("_http._tcp.app.test", "SRV"): ["10 60 8001 a.test.", "10 20 8002 b.test.", "10 0 8003 a.test.", "20 1 9000 c.test."],
    ("a.test", "A"): ["10.0.0.1"],
    ("b.test", "CNAME"): ["b2.test"],
    ("b2.test", "A"): ["10.0.0.2"],
    ("c.test", "AAAA"): ["2001:db8::3"],
}


def test_srv_records_have_ports_weights_and_priorities(server: DnsServer) -> None:
    """S5."""
    server.zone = SRV_ZONE
    answer = one_look(server.address, name="_http._tcp.app.test", type="srv")
    assert isinstance(answer, Answer)
    assert [(each.address, each.weight, each.backup) for each in answer.endpoints] == [
        ("10.0.0.1:8001", 60, False),
        ("10.0.0.2:8002", 20, False),
        ("10.0.0.1:8003", 0, False),
        ("[2001:db8::3]:9000", 1, True),
    ]
    assert answer.endpoints[1].metadata == (("dns_target", "b.test"),)


def test_target_that_fails_is_named_so_that_its_endpoints_stay(server: DnsServer) -> None:
    server.zone = SRV_ZONE | {("a.test", "A"): "SERVFAIL", ("a.test", "AAAA"): "SERVFAIL", ("c.test", "A"): "REFUSED"}
    answer = one_look(server.address, name="_http._tcp.app.test", type="srv")
    assert addresses(answer) == ["10.0.0.2:8002", "[2001:db8::3]:9000"]
    assert isinstance(answer, Answer) and answer.unasked == {"a.test A", "a.test AAAA", "c.test A"}
    assert answer.partial[0].startswith("a.test: A: SERVFAIL")
    server.zone = SRV_ZONE | {("_http._tcp.app.test", "SRV"): ["0 0 0 ."]}
    assert addresses(one_look(server.address, name="_http._tcp.app.test", type="srv")) == []


def test_srv_whose_targets_all_fail_is_a_failure_and_without_any_is_nobody(server: DnsServer) -> None:
    server.zone = {("app.test", "SRV"): ["0 0 80 a.test."], ("a.test", "A"): "SERVFAIL", ("a.test", "AAAA"): "SERVFAIL"}
    answer = one_look(server.address, type="srv")
    assert isinstance(answer, SourceFailure) and answer.words.startswith("a.test: A: SERVFAIL")
    server.zone = {("app.test", "SRV"): ["0 0 80 a.test."], ("a.test", "TXT"): []}
    assert addresses(one_look(server.address, type="srv")) == []
    server.zone = {("app.test", "SRV"): "SERVFAIL"}
    assert isinstance(one_look(server.address, type="srv"), SourceFailure)


def test_three_hundred_targets_are_asked_for_within_one_look(server: DnsServer) -> None:
    server.zone = {("app.test", "SRV"): [f"0 1 80 t{i}.test." for i in range(300)]}
    server.zone |= {(f"t{i}.test", "A"): [f"10.1.{i // 250}.{i % 250 + 1}"] for i in range(300)}

    async def story() -> None:
        looks = Looks(DnsSource(settings(server.address, type="srv"), "pool"))
        await looks.until(lambda: looks.reports and len(addresses(looks.reports[-1])) == 300)
        await looks.stop()

    run(story)


def test_short_name_is_searched_for_where_resolv_conf_says(server: DnsServer) -> None:
    """As in a pod: `api` is api.default.svc.cluster.local, and a final dot asks for the name alone."""
    text = "search default.svc.test svc.test\noptions ndots:5\n"
    conf = replace(parse_resolv_conf(text), servers=(server.address,))
    server.zone = {("api.svc.test", "A"): ["10.0.0.1"], ("api", "A"): ["10.0.0.2"]}
    assert addresses(one_look(name="api", conf=conf)) == ["10.0.0.1:80"]
    assert [name for name, kind, _ in server.questions if kind == "A"] == ["api.default.svc.test", "api.svc.test"]
    assert addresses(one_look(name="api.", conf=conf)) == ["10.0.0.2:80"]
    assert addresses(one_look(server.address, name="api", conf=conf)) == ["10.0.0.2:80"]  # resolvers of one's own: no search
    assert addresses(one_look(name="other", conf=conf)) == []
    server.zone |= {("api.default.svc.test", "A"): "SERVFAIL", ("api.default.svc.test", "AAAA"): "SERVFAIL"}
    assert isinstance(one_look(name="api", conf=conf), SourceFailure)  # not what the next name has, which may be another's
    server.zone = {("_http._tcp.api.svc.test", "SRV"): ["0 0 80 a.test."], ("a.test", "A"): ["10.0.0.3"]}
    assert addresses(one_look(name="_http._tcp.api", type="srv", conf=conf)) == ["10.0.0.3:80"]


def test_resolv_conf_is_that_of_the_system_and_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    assert read_resolv_conf(file) == ResolvConf()
    file.write_bytes(b"nameserver 192.0.2.1\nsearch \xff a.test\n")
    assert read_resolv_conf(file).servers == ("192.0.2.1:53",)


def test_look_needs_no_inotify(server: DnsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of pools look at once, and a user has 128 instances of it."""
    channel = pycares.Channel

    def without_inotify(**options: Any) -> pycares.Channel:
        if "sock_state_cb" not in options:
            raise pycares.AresError("no inotify instance is left")
        return channel(**options)

    monkeypatch.setattr(pycares, "Channel", without_inotify)
    server.zone = {("app.test", "A"): ["10.0.0.1"], ("app.test", "AAAA"): []}
    assert addresses(one_look(server.address)) == ["10.0.0.1:80"] and not caplog.text


def _open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_stopped_source_leaves_neither_descriptors_nor_threads(server: DnsServer) -> None:
    server.zone = {("app.test", "A"): ["10.0.0.1"]}
    server.answer = lambda question, reply, is_tcp: [None if question.q.qtype == QTYPE.AAAA else reply]
    one_look(server.address)  # what is made once

    async def story() -> None:
        before = _open_fds(), len(os.listdir("/proc/self/task"))
        for _ in range(2):
            looks = [Looks(DnsSource(settings(server.address), "pool")) for _ in range(10)]
            for each in looks:
                await each.next()  # A's addresses; AAAA is still asked for
            for each in looks:
                await each.stop()
        async with asyncio.timeout(PATIENCE_S):  # the library closes its channels in a thread of its own
            while (_open_fds(), len(os.listdir("/proc/self/task"))) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    run(story)
