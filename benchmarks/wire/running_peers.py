"""Running peers: started in front of the origin, checked with one request, always stopped."""

import contextlib
import http.client
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from wire.child import Child, ChildFailedError, connected, free_port
from wire.origin import Origin
from wire.peers.peer import Peer, Site
from wire.scenarios import Scenario, request_head

READY_S = 15.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What all peers share: the folder, the cores, the origin."""

    folder: Path
    proxy_core: int
    load_core: int
    descriptors: int
    origin: Origin
    certificate: Path  # for rows over TLS


@dataclass(frozen=True, slots=True)
class Remarks:
    """What the reader of the figures must know: a peer that is not here is skipped, one that fails spoils the run."""

    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunningPeer:
    """A way to the origin: through a peer, or straight (`child` is None)."""

    name: str
    port: int
    child: Child | None


def start(peer: Peer, row: Scenario, stage: Stage) -> RunningPeer:
    port, admin_port = free_port(), free_port()
    site = Site(stage.folder, row.mode, port, admin_port, stage.origin.port, stage.descriptors, row.everything)
    if row.stages:
        site = replace(site, stages=True)
    if row.tls:
        site = replace(site, certificate=stage.certificate)
    child = Child(peer.name, peer.command(site), stage.folder, stage.proxy_core)
    ready = b"GET /1k HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
    try:
        child.wait_until_answers(port, ready, READY_S, tls=row.tls)
        for pid in child.pids:
            if (cores := os.sched_getaffinity(pid)) != {stage.proxy_core}:
                raise ChildFailedError(f"{peer.name}: process {pid} moved itself to cores {sorted(cores)}")
    except BaseException:
        child.stop()
        raise
    return RunningPeer(peer.name, port, child)


@contextlib.contextmanager
def running_peers(
    peers: list[Peer], row: Scenario, stage: Stage, remarks: Remarks, *, direct: bool
) -> Iterator[list[RunningPeer]]:
    """The peers that started and answered correctly. `remarks` has the others, which are not measured."""
    with contextlib.ExitStack() as stack:
        ways = [RunningPeer("direct", stage.origin.port, None)] if direct else []
        for peer in peers:
            if reason := peer.missing(row.mode):
                remarks.skipped.append(f"{row.name}: {peer.name}: {reason}")
                continue
            try:
                way = start(peer, row, stage)
            except ChildFailedError as error:
                remarks.failed.append(f"{row.name}: {error}")
                continue
            assert way.child is not None
            stack.callback(way.child.stop)
            if wrong := wrong_reply(row, way.port):
                remarks.failed.append(f"{row.name}: {peer.name}: {wrong}")
                continue
            ways.append(way)
        yield ways


def wrong_reply(row: Scenario, port: int) -> str | None:
    """wrk counts a redirect, or a short body, as success: so one reply is read in full before any is counted."""
    try:
        with connected(port, 10, tls=row.tls) as client:
            client.sendall(request_head(row).encode() + b"x" * row.sent_bytes)
            reply = http.client.HTTPResponse(client, method=row.method)
            reply.begin()
            body = reply.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{row.method} {row.path}: {error!r}"
    if reply.status != 200 or len(body) != row.body_bytes:
        return f"{row.method} {row.path}: {reply.status} with {len(body)} bytes, not 200 with {row.body_bytes}"
    return None
