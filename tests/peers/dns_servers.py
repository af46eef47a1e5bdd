"""DNS servers for tests: real ones as processes, and one of our own that can be told to misbehave."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, SRV, A, DNSRecord
from server_processes import program

Reply = bytes | bytearray | DNSRecord | None


class DnsServer:
    """Over UDP and TCP at one port of 127.0.0.1. It says what `zone` has, or what `answer` makes of that where it is set.

    `zone[name, type]` is the data of the records; a word is an rcode: "SERVFAIL". A name with no entry at all is NXDOMAIN.
    """

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[str] | str] = {}
        self.ttl = 60
        self.questions: list[tuple[str, str, bool]] = []  # name, type, whether over TCP
        self.answer: Callable[[DNSRecord, DNSRecord, bool], Iterable[Reply]] | None = None
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket()
        while True:
            self._udp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                self._tcp.bind(self._udp.getsockname())
                break
            self._udp.close()
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp.listen()
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._udp.getsockname()[1]}"

    def stop(self) -> None:
        for sock in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes its thread
            sock.close()

    def stop_tcp(self) -> None:
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()

    def asked(self, name: str, kind: str) -> int:
        return sum((name, kind) == question[:2] for question in self.questions)

    def _replies(self, data: bytes, is_tcp: bool) -> Iterable[bytes]:
        question = DNSRecord.parse(data)
        name, kind = str(question.q.qname).rstrip("."), QTYPE[question.q.qtype]
        self.questions.append((name, kind, is_tcp))
        reply = self._from_zone(question, name, kind)
        replies = [reply] if self.answer is None else self.answer(question, reply, is_tcp)
        for each in replies:
            if each is not None:
                yield bytes(each.pack() if isinstance(each, DNSRecord) else each)

    def _from_zone(self, question: DNSRecord, name: str, kind: str) -> DNSRecord:
        reply = question.reply()
        reply.header.aa = 0
        for _ in range(20):  # CNAMEs
            entry = self.zone.get((name, kind))
            if isinstance(entry, str):
                reply.header.rcode = getattr(RCODE, entry)
                break
            for data in entry or ():
                reply.add_answer(RR(name, getattr(QTYPE, kind), rdata=self._rdata(kind, data), ttl=self.ttl))
            alias = self.zone.get((name, "CNAME"))
            if entry or not alias or isinstance(alias, str):
                if not any(name == known for known, _ in self.zone):
                    reply.header.rcode = RCODE.NXDOMAIN
                break
            reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(alias[0]), ttl=self.ttl))
            name = alias[0]
        return reply

    @staticmethod
    def _rdata(kind: str, data: str) -> A | AAAA | SRV:
        if kind == "SRV":
            priority, weight, port, target = data.split()
            return SRV(int(priority), int(weight), int(port), target)
        return {"A": A, "AAAA": AAAA}[kind](data)

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, client = self._udp.recvfrom(4096)
                if data and self.answer is None:
                    self._answer_datagram(data, client)
                elif data:  # a thread each: one that is late holds up no other
                    threading.Thread(target=self._answer_datagram, args=(data, client), daemon=True).start()

    def _answer_datagram(self, data: bytes, client: object) -> None:
        with contextlib.suppress(OSError):
            for reply in self._replies(data, False):
                self._udp.sendto(reply, client)  # type: ignore[arg-type]

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._tcp.accept()
                threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while len(size := connection.recv(2, socket.MSG_WAITALL)) == 2:
                data = connection.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL)
                for reply in self._replies(data, True):
                    connection.sendall(struct.pack("!H", len(reply)) + reply)


def dnsmasq_command(port: int, *options: str) -> list[str]:
    """A dnsmasq that knows the zone `test` from its options alone."""
    user = ["--user=root", "--group=root"] if os.geteuid() == 0 else []
    return [
        program("dnsmasq"),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--no-resolv",
        "--no-hosts",
        "--local=/test/",
        "--bind-interfaces",
        "--listen-address=127.0.0.1",
        f"--port={port}",
        *user,
        *options,
    ]


def unbound_command(folder: Path, port: int, records: Iterable[str]) -> list[str]:
    """An unbound with a static zone `test`."""
    data = "\n".join(f"  local-data: '{record}'" for record in records)
    file = folder / "unbound.conf"
    file.write_text(
        f"server:\n  interface: 127.0.0.1\n  port: {port}\n  do-daemonize: no\n  username: ''\n  chroot: ''\n"
        f"  directory: '{folder}'\n  pidfile: ''\n  use-syslog: no\n  do-not-query-localhost: no\n  num-threads: 1\n"
        f"  local-zone: '.' refuse\n  local-zone: 'test.' static\n{data}\nremote-control:\n  control-enable: no\n"
    )
    return [program("unbound"), "-d", "-c", str(file)]


def named_command(folder: Path, port: int, zone: str) -> list[str]:
    """A BIND with the zone `test`."""
    (folder / "test.zone").write_text(f"$TTL 60\n@ SOA ns root 1 60 60 60 5\n@ NS ns\nns A 127.0.0.1\n{zone}\n")
    file = folder / "named.conf"
    options = (
        f'directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none;',
        "session-keyfile none; recursion no; notify no; dnssec-validation no; minimal-responses yes;",
        "max-records-per-type 0; max-udp-size 1232;",
    )
    zone = f'zone "test" {{ type primary; file "{folder}/test.zone"; }};'
    file.write_text(f"options {{ {' '.join(options)} }};\ncontrols {{ }};\n{zone}\n")
    return [program("named"), "-g", "-n", "1", "-c", str(file)]
