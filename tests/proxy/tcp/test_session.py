"""TCP mode: what goes in comes out, ends and resets included; a backend that can't be reached costs nothing but a moment."""

import asyncio
import hashlib
import json
import os
import random
import socket

import pytest
from rawclient import Wire
from stage import Stage, until

from balance.config.model import AccessLog, Retry, Timeouts
from balance.model import Address, Mode, Why
from balance.proxy.net.sockets import KEEP_ALIVE_AFTER_S, was_reset
from balance.proxy.tcp.session import Downstream
from balance.retry.decision import RetryOutcome
from balance.runtime import counters


async def echo(wire: Wire) -> None:
    while data := await wire.some(1 << 18):
        await wire.send(data)


async def test_bytes_pass_both_ways(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    await client.send(b"ping")
    assert await client.exactly(4) == b"ping"
    client.half_close()
    assert await client.ending() == "eof"
    await stage.settled()
    assert stage.whys == {Why.OK: 1}


async def test_64_megabytes_come_back_unchanged(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    block = os.urandom(1 << 20)
    sent, received = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        for number in range(64):
            part = block[number:] + block[:number]
            sent.update(part)
            await client.send(part)
        client.half_close()

    async def receive() -> None:
        while data := await client.some(1 << 18):
            received.update(data)

    await asyncio.gather(send(), receive())
    assert client.seen == 64 << 20
    assert received.digest() == sent.digest()
    await stage.settled()
    assert stage.cell(counters.BYTES_IN) == stage.cell(counters.BYTES_OUT) == 64 << 20


@pytest.mark.parametrize("seed", range(8))
async def test_any_interleaving_keeps_both_streams(stage: Stage, seed: int) -> None:
    """Both sides send pieces of random sizes, pause at random and end in random order."""
    rand = random.Random(seed)
    there, back = rand.randbytes(rand.randint(1, 900_000)), rand.randbytes(rand.randint(1, 900_000))
    got = {}

    async def talk(wire: Wire, data: bytes, name: str) -> None:
        async def say() -> None:
            position = 0
            while position < len(data):
                step = rand.choice((1, 7, 1000, 65_536, 300_000))
                await wire.send(data[position : position + step])
                position += step
                for _ in range(rand.randint(0, 2)):
                    await asyncio.sleep(0)
            wire.half_close()

        _, got[name] = await asyncio.gather(say(), wire.rest())

    backend = stage.backend(lambda wire: talk(wire, back, "backend"))
    await stage.open(mode=Mode.TCP)
    await talk(await stage.client(), there, "client")
    await until(lambda: "backend" in got)
    assert got == {"client": back, "backend": there}
    assert len(backend.wires) == 1


async def test_client_that_ended_still_receives(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        question = await wire.rest()
        await wire.send(question.upper() * 100_000)

    stage.backend(script)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    await client.send(b"question")
    client.half_close()
    assert await client.rest() == b"QUESTION" * 100_000


async def test_server_that_ended_still_receives(stage: Stage) -> None:
    received = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.send(b"bye")
        wire.half_close()
        assert await wire.rest() == b"thanks" * 100_000
        received.set()

    stage.backend(script)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    assert await client.rest() == b"bye"
    await client.send(b"thanks" * 100_000)
    client.half_close()
    await received.wait()
    await stage.settled()
    assert stage.whys == {Why.OK: 1}


async def test_server_may_speak_first(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.send(b"220 ready\r\n")
        assert await wire.until(b"\r\n") == b"EHLO\r\n"
        await wire.send(b"250 ok\r\n")

    stage.backend(script)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    assert await client.until(b"\r\n") == b"220 ready\r\n"
    await client.send(b"EHLO\r\n")
    assert await client.rest() == b"250 ok\r\n"


async def test_all_that_came_before_the_backend_was_there_is_passed_on(stage: Stage) -> None:
    received = []

    async def script(wire: Wire) -> None:
        received.append(await wire.rest())

    stage.backend(script)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    client.send_now(b"x" * 200_000)
    client.half_close()
    await until(lambda: received)
    assert received == [b"x" * 200_000]


async def test_clients_reset_reaches_the_backend(stage: Stage) -> None:
    ends = []

    async def script(wire: Wire) -> None:
        assert await wire.exactly(1) == b"x"
        ends.append(await wire.ending())

    backend = stage.backend(script)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    await client.send(b"x")
    await until(lambda: backend.wires and backend.wires[0].seen)
    client.reset()
    await until(lambda: ends)
    assert ends == ["reset"]
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert stage.count(backend, counters.FAILURES) == 0


async def test_backends_reset_reaches_the_client(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.exactly(1)
        wire.reset()

    backend = stage.backend(script)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    await client.send(b"x")
    assert await client.ending() == "reset"
    await stage.settled()
    assert stage.whys == {Why.RESET_MID_RESPONSE: 1}
    assert stage.count(backend, counters.FAILURES) == 1


async def test_refused_connection_goes_to_the_next_backend(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(stage.refusing(), mode=Mode.TCP)
    for _ in range(4):
        client = await stage.client()
        await client.send(b"hello")
        assert await client.exactly(5) == b"hello"


async def test_hanging_connection_goes_to_the_next_backend_after_the_connect_timeout(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(stage.hanging(), mode=Mode.TCP, timeouts=Timeouts(connect_s=0.1))
    client = await stage.client()
    await client.send(b"hello")
    assert await client.exactly(5) == b"hello"


async def test_client_is_reset_when_every_backend_refuses(stage: Stage) -> None:
    await stage.open(stage.refusing(), stage.refusing(), mode=Mode.TCP)
    client = await stage.client()
    assert await client.ending() == "reset"
    assert stage.whys == {Why.CONNECT_REFUSED: 1}
    first, second = stage.backend_states
    failures = [stage.cell(known.block + counters.CONNECT_FAILURES) for known in (first, second)]
    assert failures == [1, 1]
    retries = [stage.cell(known.block + counters.RETRIES) for known in (first, second)]
    assert retries == [1, 0]  # nobody was left to move on to from the second


@pytest.mark.parametrize(("retry", "tries"), [(None, 3), (Retry(), 5), (Retry(max_attempts=1), 5), (Retry(on=("reset",)), 3)])
async def test_so_many_backends_are_tried(stage: Stage, retry: Retry | None, tries: int) -> None:
    await stage.open(*(stage.refusing() for _ in range(6)), mode=Mode.TCP, retry=retry)
    assert await (await stage.client()).ending() == "reset"
    assert sum(stage.cell(known.block + counters.CONNECTS) for known in stage.backend_states) == tries
    assert stage.skipped == {RetryOutcome.ATTEMPTS: 1}


async def test_access_line_says_what_became_of_the_backend_that_refused(stage: Stage) -> None:
    stage.backend(echo)
    log = AccessLog(enabled=True, output=str(stage.folder / "access.log"))
    await stage.open(stage.refusing(), mode=Mode.TCP, access=log)
    client = await stage.client()
    await client.send(b"hello")
    await client.exactly(5)
    client.half_close()
    await client.has_ended()
    stage.listener_server.set_ready(stage.of(stage.backends[0]).slot, False)
    await (await stage.client()).has_ended()
    path = stage.folder / "access.log"
    await until(lambda: path.read_text().count("\n") == 2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["why"], line["attempts"], line["retry"]) for line in lines] == [
        ("ok", 2, "made"),
        ("connect_refused", 1, "nobody"),
    ]
    tries = [[(failed["backend"], failed["why"]) for failed in line.get("tries", ())] for line in lines]
    assert tries == [[("n1", "connect_refused")], []]
    assert [line["backend"] for line in lines] == ["n2", "n1"]
    assert lines[1]["detail"] == "Connection refused"


async def test_client_that_reset_while_it_waited_costs_no_backend_a_connection(stage: Stage) -> None:
    backend = stage.backend(echo)
    await stage.open(mode=Mode.TCP, limits=[1])
    queue = stage.pool.queue
    assert queue is not None
    first = await stage.client()
    await first.send(b"a")
    await first.exactly(1)
    second = await stage.client()
    await second.send(b"hello")
    await until(lambda: queue.waiters)
    (waiting,) = [each for each in stage.worker.connections if isinstance(each, Downstream) and each.relay is None]
    await until(lambda: not waiting.transport.is_reading())  # it has said enough, and its end is not looked for
    second.reset()
    await until(lambda: was_reset(waiting.transport))
    first.close()
    await stage.settled()
    assert len(backend.wires) == 1
    assert stage.whys[Why.CLIENT_ABORT] == 1


async def test_an_ipv4_client_of_a_socket_for_both_is_logged_as_one(stage: Stage) -> None:
    stage.backend(echo)
    path = stage.folder / "access.log"
    await stage.open(mode=Mode.TCP, listen="::", access=AccessLog(enabled=True, output=str(path)))
    stage.address = Address("127.0.0.1", stage.address.port)
    client = await stage.client()
    client.half_close()
    await client.has_ended()
    await until(lambda: path.read_text().count("\n") == 1)
    assert json.loads(path.read_text())["client"] == "127.0.0.1"


async def test_client_is_reset_when_no_backend_is_ready(stage: Stage) -> None:
    backend = stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    client = await stage.client()
    assert await client.ending() == "reset"
    assert stage.whys == {Why.NO_HEALTHY: 1}


async def test_client_that_leaves_during_the_dial_blames_nobody(stage: Stage) -> None:
    await stage.open(stage.hanging(), mode=Mode.TCP, timeouts=Timeouts(connect_s=5.0))
    client = await stage.client()
    await until(lambda: stage.active == 1)
    client.reset()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    (backend,) = stage.backend_states
    assert stage.cell(backend.block + counters.FAILURES) == 0


async def test_lease_lasts_as_long_as_the_session(stage: Stage) -> None:
    backend = stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    await client.send(b"x")
    await client.exactly(1)
    assert stage.of(backend).load.active == 1
    assert stage.of(backend).open_count == 1
    client.close()
    await until(lambda: stage.active == 0)
    assert stage.of(backend).open_count == 0


async def test_silent_session_is_cut_at_the_idle_timeout(stage: Stage) -> None:
    stage.backend(echo)
    await stage.open(mode=Mode.TCP, timeouts=Timeouts(idle_s=0.2))
    client = await stage.client()
    await client.send(b"x")
    await client.exactly(1)
    assert await client.ending() == "reset"
    await stage.settled()
    assert stage.whys == {Why.IDLE_TIMEOUT: 1}


async def test_session_with_one_active_direction_is_never_cut(stage: Stage) -> None:
    """Three idle timeouts long, only the backend speaks."""

    async def script(wire: Wire) -> None:
        for _ in range(12):
            await wire.send(b".")
            await asyncio.sleep(0.05)

    stage.backend(script)
    await stage.open(mode=Mode.TCP, timeouts=Timeouts(idle_s=0.2))
    client = await stage.client()
    assert await client.rest() == b"." * 12


async def test_slow_reader_is_not_silent(stage: Stage) -> None:
    """Nobody has sent for long; the client still takes what waits for it, a little at a time."""
    sent = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.send(b"x" * 600_000)
        sent.set()
        await wire.rest()

    stage.backend(script)
    await stage.open(mode=Mode.TCP, timeouts=Timeouts(idle_s=0.2), send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await sent.wait()
    left = 600_000
    loop = asyncio.get_running_loop()
    began = loop.time()
    while left:
        left -= len(await client.some(50_000))
        await asyncio.sleep(0.005)
    assert loop.time() - began > 0.4  # twice the timeout


async def test_half_closed_session_that_says_nothing_is_cut_where_that_has_a_time(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.rest()
        await asyncio.Event().wait()

    stage.backend(script)
    await stage.open(mode=Mode.TCP, timeouts=Timeouts(idle_s=0.0, half_closed_s=0.2))
    client = await stage.client()
    client.half_close()
    assert await client.ending() == "reset"
    await stage.settled()
    assert stage.whys == {Why.IDLE_TIMEOUT: 1}


@pytest.mark.parametrize("ends_first", ["client", "backend"])
async def test_half_closed_session_goes_on_while_the_other_side_streams(stage: Stage, ends_first: str) -> None:
    """For many times what either timeout allows."""

    async def stream(wire: Wire) -> None:
        for _ in range(12):
            await wire.send(b".")
            await asyncio.sleep(0.05)

    async def script(wire: Wire) -> None:
        if ends_first == "backend":
            wire.half_close()
            assert await wire.rest() == b"." * 12
        else:
            assert await wire.rest() == b""
            await stream(wire)

    stage.backend(script)
    await stage.open(mode=Mode.TCP, timeouts=Timeouts(idle_s=0.2, half_closed_s=0.15))
    client = await stage.client()
    if ends_first == "backend":
        await stream(client)
        client.half_close()
    else:
        client.half_close()
        assert await client.rest() == b"." * 12
    await stage.settled()
    assert stage.whys == {Why.OK: 1}


async def test_half_closed_session_is_left_to_end_in_a_drain(stage: Stage) -> None:
    draining = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.rest()
        await draining.wait()
        await wire.send(b"the answer")

    backend = stage.backend(script)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    client.half_close()
    await until(lambda: backend.wires)
    drain = asyncio.ensure_future(stage.listener_server.drain(5.0))
    await asyncio.sleep(0)
    draining.set()
    assert await client.rest() == b"the answer"
    assert await drain == 0


async def test_client_that_never_reads_the_end_is_cut_too(stage: Stage) -> None:
    """Both sides have said their last; what waits for the client is taken by nobody."""

    async def script(wire: Wire) -> None:
        await wire.send(b"x" * 60_000)  # below the mark at which reading stops, so that the end is seen

    backend = stage.backend(script)
    await stage.open(mode=Mode.TCP, timeouts=Timeouts(idle_s=0.2), send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    client.half_close()
    await until(lambda: backend.wires and backend.wires[0].sock.fileno() < 0)
    await until(lambda: not stage.worker.connections)
    assert stage.active == 0


async def test_drain_cuts_a_session_that_only_waits_for_its_client_to_read(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.send(b"x" * 60_000)

    backend = stage.backend(script)
    await stage.open(mode=Mode.TCP, send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    client.half_close()
    await until(lambda: backend.wires and backend.wires[0].sock.fileno() < 0)
    assert await stage.listener_server.drain(0.0) == 1
    await stage.settled()


async def test_what_the_backend_said_arrives_though_it_takes_no_more(stage: Stage) -> None:
    """It answers and closes while the client still sends: what waits for the client is not lost with the reset that follows."""
    answer = b"x" * 60_000

    async def script(wire: Wire) -> None:
        await wire.exactly(1000)
        await wire.send(answer)

    stage.backend(script)
    await stage.open(mode=Mode.TCP, send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await client.send(b"x" * 1000)
    (connection,) = stage.worker.connections
    await until(lambda: connection.other and connection.other.saw_eof)  # type: ignore[attr-defined]
    for count in (1, 2):  # the first is answered by a reset, the second meets it
        await client.send(b"y")
        await until(lambda count=count: connection.bytes_received == 1000 + count)  # type: ignore[attr-defined, misc]
    assert await client.exactly(len(answer)) == answer


async def test_unix_sockets_on_both_sides(stage: Stage) -> None:
    stage.backend(echo, host=str(stage.folder / "b"))
    await stage.open(mode=Mode.TCP, listen=str(stage.folder / "l"))
    client = await stage.client()
    await client.send(b"over paths")
    client.half_close()
    assert await client.rest() == b"over paths"


async def test_missing_unix_socket_is_a_refused_connection(stage: Stage) -> None:
    backend = stage.backend(echo, host=str(stage.folder / "b"))
    os.unlink(stage.folder / "b")
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    assert await client.ending() == "reset"
    assert stage.whys == {Why.CONNECT_REFUSED: 1}
    assert stage.count(backend, counters.CONNECT_FAILURES) == 1


async def test_ipv6_on_both_sides(stage: Stage) -> None:
    stage.backend(echo, host="::1")
    await stage.open(mode=Mode.TCP, listen="::1")
    client = await stage.client()
    await client.send(b"over six")
    client.half_close()
    assert await client.rest() == b"over six"


async def test_both_connections_are_watched_by_the_kernel_and_send_at_once(stage: Stage) -> None:
    """A peer that vanishes without a word is found by TCP keep-alive; small packets don't wait for others."""
    stage.backend(echo)
    await stage.open(mode=Mode.TCP, timeouts=Timeouts(idle_s=0.0))
    client = await stage.client()
    for _ in range(2):  # what Nagle's algorithm may hold back is a second packet
        await client.send(b"x")
        await client.exactly(1)
    (connection,) = stage.worker.connections
    both = [transport.get_extra_info("socket") for transport in (connection.transport, connection.peer)]  # type: ignore[attr-defined]
    assert all(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in both)
    # The backend's is watched once the session lasts: the first probe is sent after a minute of silence.
    await until(lambda: all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for sock in both))
    assert all(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEP_ALIVE_AFTER_S for sock in both)


async def test_sessions_are_balanced(stage: Stage) -> None:
    first, second = stage.backend(echo), stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    for _ in range(6):
        client = await stage.client()
        await client.send(b"x")
        await client.exactly(1)
    assert (len(first.wires), len(second.wires)) == (3, 3)
