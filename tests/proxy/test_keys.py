"""What a policy hashes is found in the request, in both modes."""

import pytest
from rawclient import get, ok
from stage import Stage, serve

from balance.config.model import HashKey
from balance.model import Mode


async def served_by(stage: Stage, *fields: str, target: str = "/") -> bytes:
    client = await stage.client()
    await client.send(get(target, *fields))
    body = (await client.reply()).body
    client.close()
    return bytes(body)


def named(stage: Stage, count: int) -> None:
    for number in range(count):
        stage.backend(serve(ok(b"%d" % number)))


@pytest.mark.parametrize("algorithm", ["maglev", "consistent-hash", "bounded-load"])
async def test_same_header_goes_to_the_same_backend_and_others_spread(stage: Stage, algorithm: str) -> None:
    named(stage, 4)
    await stage.open(algorithm=algorithm, hash_key=HashKey("header", "x-user"))
    seen = set()
    for user in range(24):
        first = await served_by(stage, f"X-User: {user}")
        assert await served_by(stage, f"X-User: {user}") == first
        seen.add(first)
    assert len(seen) > 1


async def test_path_is_hashed_as_the_client_sent_it(stage: Stage) -> None:
    named(stage, 4)
    await stage.open(algorithm="maglev", hash_key=HashKey("path"))
    for path in ("/a", "/b", "/c/d"):
        assert len({await served_by(stage, target=path) for _ in range(3)}) == 1


async def test_client_keeps_its_backend_in_tcp_mode(stage: Stage) -> None:
    named(stage, 4)
    await stage.open(mode=Mode.TCP, algorithm="source-ip")
    assert len({await served_by(stage) for _ in range(8)}) == 1
