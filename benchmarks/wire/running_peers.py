"""Running peers: started in front of the origin, checked with one request, always stopped."""

import contextlib
import http.client
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from wire.child import Child, ChildFailedError, connected, free_port
from wire.http2.connection import ask_once
from wire.http2.grpc_origin import grpc_origin
from wire.http2.reply import wrong_answer
from wire.origin import Origin
from wire.peers.peer import Peer, Site
from wire.scenarios import Scenario, request_head

READY_S = 15.0
TWIN = "-http1"  # behind a peer's name: it as it is asked over HTTP/1, in a row of HTTP/2


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
    repeated: list[str] = field(default_factory=list)  # what failed once, and then not
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunningPeer:
    """A way to the origin: through a peer, or straight (`child` is None)."""

    name: str
    port: int
    child: Child | None
    row: Scenario  # what it is asked: its row, or that row's twin


def start(peer: Peer, row: Scenario, stage: Stage, origin_port: int) -> RunningPeer:
    port, admin_port = free_port(), free_port()
    site = Site(stage.folder, row.mode, port, admin_port, origin_port, stage.descriptors, row.everything)
    site = replace(site, stages=row.stages, workers=row.workers, certificate=stage.certificate if row.tls else None)
    if row.http2:
        site = replace(site, http2=True, grpc=row.grpc)
    child = Child(peer.name, peer.command(site), stage.folder, stage.proxy_core)
    ready = b"GET /1k HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
    try:
        if row.http2:
            child.wait_until_right(partial(ask_once, row, port), READY_S)
        else:
            child.wait_until_answers(port, ready, READY_S, tls=row.tls)
        for pid in child.pids:
            if (cores := os.sched_getaffinity(pid)) != {stage.proxy_core}:
                raise ChildFailedError(f"{peer.name}: process {pid} moved itself to cores {sorted(cores)}")
    except BaseException:
        child.stop()
        raise
    return RunningPeer(peer.name, port, child, row)


@contextlib.contextmanager
def running_peers(
    peers: list[Peer], row: Scenario, stage: Stage, remarks: Remarks, *, direct: bool
) -> Iterator[list[RunningPeer]]:
    """The peers that started and answered correctly. `remarks` has the others, which are not measured."""
    with contextlib.ExitStack() as stack:
        ways = [RunningPeer("direct", stage.origin.port, None, row)] if direct else []
        origin_port = stage.origin.port
        if row.grpc:
            origin_port = stack.enter_context(grpc_origin(row, stage.folder, stage.load_core))
        for peer in peers:
            if reason := peer.missing(row.mode, http2=row.http2, grpc=row.grpc):
                remarks.skipped.append(f"{row.name}: {peer.name}: {reason}")
                continue
            if way := _checked(peer, row, stage, origin_port, remarks, stack):
                ways.append(way)
            if row.twin:
                folder = stage.folder / TWIN
                folder.mkdir(exist_ok=True)
                way = _checked(peer, row.twin, replace(stage, folder=folder), stage.origin.port, remarks, stack)
                ways += [replace(way, name=f"{peer.name}{TWIN}")] if way else []
        yield ways


def _checked(
    peer: Peer, row: Scenario, stage: Stage, origin_port: int, remarks: Remarks, stack: contextlib.ExitStack
) -> RunningPeer | None:
    try:
        way = start(peer, row, stage, origin_port)
    except ChildFailedError as error:
        remarks.failed.append(f"{row.name}: {error}")
        return None
    assert way.child is not None
    stack.callback(way.child.stop)
    if wrong := wrong_answer(row, way.port, stage.folder) if row.http2 else wrong_reply(row, way.port):
        remarks.failed.append(f"{row.name}: {peer.name}: {wrong}")
        return None
    return way


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
