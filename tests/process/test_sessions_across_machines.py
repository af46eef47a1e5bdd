"""Two instances and a real Redis: a user has one backend everywhere, whatever happens to Redis."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import PATIENCE_S, Instance, Origin, until
from redis_drill import drill
from redis_server import RedisServer

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"
COOKIE = re.compile(r"(?:S|APP_SERVER)=([\w-]+);")
FILE = """\
listen: "127.0.0.1:0"
admin: {{listen: "127.0.0.1:0"}}
workers: {workers}
backends: [{backends}]
load_balancer: {{algorithm: random}}
session_affinity: {{enabled: true, mode: redis, cookie: {{name: S}}}}
redis: {{url: "{url}", timeout: {timeout}, on_failure: {on_failure}}}
http: {{keepalive: {{max_requests: 1}}}}
shutdown: {{delay: 0}}
"""


class Site:
    """Three origins, a Redis and the instances before them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.origins = [Origin(f"o{n}") for n in range(1, 4)]
        self.redis = RedisServer(is_saved=True)
        self.instances: list[Instance] = []

    def begin_example(self) -> Instance:
        """The shipped example, with our addresses."""
        text = (EXAMPLES / "sessions-redis.yaml").read_text()
        text = text.replace('":8080"', '"127.0.0.1:0"').replace("workers: auto", "workers: 2\nadmin: {listen: '127.0.0.1:0'}")
        text = text.replace("timeout: 50ms", "timeout: 1s").replace("${REDIS_URL:-redis://127.0.0.1:6379/0}", self.redis.url)
        for number, origin in enumerate(self.origins, 1):
            text = text.replace(f"10.0.0.{number}:8000", origin.address)
        instance = Instance(self.folder, text)
        self.instances.append(instance)
        return instance

    def begin(self, *, workers: int = 1, on_failure: str = "local", timeout: str = "100ms", prelude: str = "") -> Instance:
        text = FILE.format(
            workers=workers,
            backends=", ".join(f'{{name: {origin.name}, address: "{origin.address}"}}' for origin in self.origins),
            url=self.redis.url,
            timeout=timeout,
            on_failure=on_failure,
        )
        instance = Instance(self.folder, text, prelude)
        self.instances.append(instance)
        return instance

    def end(self) -> None:
        for instance in self.instances:
            instance.destroy()
        for origin in self.origins:
            origin.stop()
        self.redis.destroy()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


def ask(instance: Instance, cookie: str = "") -> tuple[int, str, str]:
    """(status, who answered, the cookie that is to be sent next)."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/", headers={"Cookie": f"S={cookie}; APP_SERVER={cookie}"} if cookie else {})
        response = connection.getresponse()
        given = COOKIE.match(response.getheader("Set-Cookie") or "")
        return response.status, response.read().decode(), given[1] if given else cookie
    finally:
        connection.close()


def state(instance: Instance) -> str:
    shared: dict[str, Any] = instance.ask("/status")[1]["redis"]
    return str(shared["state"])


def in_state(instance: Instance, wanted: str) -> None:
    until(lambda: state(instance) == wanted, lambda: f"{wanted}, not {state(instance)}")


def test_a_user_has_one_backend_on_every_machine_and_it_is_asked_for_once(site: Site) -> None:
    one, other = site.begin_example(), site.begin_example()
    one.ready(), other.ready()
    in_state(one, "up"), in_state(other, "up")
    client = site.redis.client()
    until(lambda: client.pubsub_numsub("balance:moved")[0][1] == 4, "every worker hears of moves")
    subscribed = int(time.monotonic())
    until(lambda: int(time.monotonic()) > subscribed, "what is learned in that second is not believed yet")
    users = []
    for _ in range(12):
        status, origin, cookie = ask(one)
        assert (status, len(cookie)) == (200, 22)
        users.append((origin, cookie))
    until(lambda: len(client.keys("balance:session:*")) == len(users), "all are kept")
    assert {client.hget(f"balance:session:{cookie}", "default") for _, cookie in users} <= {"app-1", "app-2", "app-3"}
    assert all(0 < client.pttl(f"balance:session:{cookie}") <= 8 * 3600_000 for _, cookie in users)
    for _ in range(4):
        for origin, cookie in users:
            assert ask(other, cookie) == ask(one, cookie) == (200, origin, cookie)
    assert other.metric("balance_redis_lookups_total") == len(users), "by both workers together"
    shown = other.ask(f"/sessions?id={users[0][1]}")
    assert shown[0] == 200
    assert shown[1]["session"]["pools"] == {"default": users[0][0].replace("o", "app-")}


@pytest.mark.long
def test_a_restart_of_all_of_them_forgets_nothing(site: Site) -> None:
    before = site.begin().ready()
    users = [ask(before) for _ in range(8)]
    until(lambda: len(site.redis.client().keys()) == 8, "all are kept")
    before.destroy()
    site.redis.stop()
    site.redis.start()
    after = site.begin().ready()
    in_state(after, "up")
    assert [ask(after, cookie) for _, _, cookie in users] == users


@pytest.mark.long
def test_a_session_whose_backend_died_moves_and_stays_moved_everywhere(site: Site) -> None:
    one, other = site.begin(), site.begin()
    one.ready(), other.ready()
    in_state(one, "up"), in_state(other, "up")
    users = [ask(one) for _ in range(12)]
    assert [ask(other, cookie) for _, _, cookie in users] == users
    dead = site.origins[0]
    dead.stop()
    moved = {cookie: ask(one, cookie) for _, _, cookie in users}
    assert {status for status, _, _ in moved.values()} == {200}
    assert dead.name not in {origin for _, origin, _ in moved.values()}
    client = site.redis.client()
    until(
        lambda: all(client.hget(f"balance:session:{cookie}", "default") == moved[cookie][1] for _, _, cookie in users),
        "all are written",
    )
    site.origins[0] = Origin(dead.name, int(dead.address.rpartition(":")[2]))  # it is back: nobody returns to it
    until(lambda: [ask(other, cookie) for cookie in moved] == list(moved.values()), "the other follows")
    assert [ask(one, cookie) for cookie in moved] == list(moved.values())


Trouble = Callable[[RedisServer], None]


def full(server: RedisServer) -> None:
    server.client().config_set("maxmemory", 1)


def roomy(server: RedisServer) -> None:
    server.client().config_set("maxmemory", 0)


TROUBLES: list[tuple[str, Trouble, Trouble, str]] = [
    ("gone", RedisServer.stop, RedisServer.start, "down"),
    ("frozen", RedisServer.freeze, RedisServer.thaw, "down"),
    ("full", full, roomy, "read_only"),
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "spoil", "heal", "shown"), TROUBLES, ids=[trouble[0] for trouble in TROUBLES])
def test_in_trouble_nobody_fails_or_waits_and_it_is_over_by_itself(
    site: Site, name: str, spoil: Trouble, heal: Trouble, shown: str
) -> None:
    instance = site.begin(workers=2).ready()
    in_state(instance, "up")
    users = [ask(instance) for _ in range(5)]
    spoil(site.redis)
    begun = time.monotonic()
    newcomers = [ask(instance) for _ in range(5)]
    stranger = ask(instance, "x" * 22)
    assert [ask(instance, cookie) for _, _, cookie in users] == users
    assert {status for status, _, _ in [*newcomers, stranger]} == {200}
    assert time.monotonic() - begun < 5, "16 requests, of which each worker's first may wait 0.1 s"
    in_state(instance, shown)
    assert [ask(instance, cookie) for _, _, cookie in newcomers] == newcomers
    heal(site.redis)
    in_state(instance, "up")
    client = site.redis.client()
    until(lambda: all(client.exists(f"balance:session:{cookie}") for _, _, cookie in newcomers), "they are known now")
    said = [line for line in instance.lines if "Redis" in line]
    assert len(said) == 2, said


@pytest.mark.long
def test_under_load_no_request_fails_and_no_user_loses_his_backend() -> None:
    found = drill(1.5)
    assert (found.failed, found.moved) == ([], [])
    assert found.requests > 200
    said = [
        re.sub(r".*: (Redis (?:can't be used|is back|takes no writes|takes writes again)).*", r"\1", line)
        for line in found.lines
    ]
    assert said.count("Redis can't be used") == said.count("Redis is back"), "one line for each transition"
    assert said.count("Redis takes no writes") == said.count("Redis takes writes again") == 2, "one of each instance"


@pytest.mark.long
def test_deny_says_why_until_it_is_over(site: Site) -> None:
    instance = site.begin(on_failure="deny").ready()
    in_state(instance, "up")
    assert ask(instance)[0] == 200
    site.redis.stop()
    in_state(instance, "down")
    assert ask(instance)[0] == 503
    assert ask(instance, "x" * 22)[0] == 503
    instance.counts('balance_requests_ended_total{why="session_store"}', 2)
    assert instance.metric("balance_redis_up") == 0
    site.redis.start()
    in_state(instance, "up")
    assert ask(instance)[0] == 200


@pytest.mark.long
def test_a_reload_changes_the_store_and_a_worker_without_one_imports_none(site: Site, tmp_path: Path) -> None:
    prelude = (
        "import balance.process.worker.worker as worker, sys, signal\n"
        "begun = worker.Worker._begin_drain\n"
        "def told(self, data):\n"
        "    print('redis imported:', 'redis' in sys.modules, file=sys.stderr, flush=True)\n"
        "    begun(self, data)\n"
        "worker.Worker._begin_drain = told\n"
    )
    instance = site.begin(prelude=prelude).ready()
    _, origin, cookie = ask(instance)
    until(lambda: site.redis.client().keys(), "it is kept")
    text = instance.config.read_text()
    instance.config.write_text(re.sub(r"(?m)^redis: .*\n", "", text))
    assert instance.command("reload")[0] == 0
    assert instance.ask("/status")[1]["redis"] is None
    assert ask(instance, cookie) == (200, origin, cookie), "the table knows it"
    instance.destroy()

    text = re.sub(r"(?m)^(redis|session_affinity): .*\n", "", text)
    plain = Instance(tmp_path, text, prelude)
    site.instances.append(plain)
    plain.ready()
    assert ask(plain)[2] == ""
    plain.process.terminate()
    plain.saying("redis imported: False")
