"""Who gets in by token, and what backends are told."""

from __future__ import annotations

import json

import jwt as pyjwt
import pytest
from contexts import request_context
from joserfc.jwk import ECKey
from tokens import GOOD, NOW, SECRET, by_hand, key_for, private_pem, public_pem

from balance.config.common_model import RateLimit
from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.security.key_set import JwksSource, KeySets, KeyState
from balance.security.settings import Jwt, RouteSecurity
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.security.jwt_stage import MAX_REMEMBERED, JwtStage, jwt_stage
from balance.stages.stage import Reply, Wait

ENVIRONMENT = StageEnvironment("main", HttpConfig(), (), lambda: 0.0)


class At(RequestContext):
    __slots__ = ("asked", "epoch_s")

    def epoch(self) -> float:
        self.asked += 1
        return self.epoch_s


def stage_of(**keys: object) -> JwtStage:
    settings = Jwt(**({"enabled": True, "algorithms": ("HS256",), "secret": SECRET} | keys))  # type: ignore[arg-type]
    stage = jwt_stage(RouteConfig("r", security=RouteSecurity(jwt=settings)), ENVIRONMENT)
    assert stage is not None
    return stage


def context(*lines: bytes, now: float = 100.0, epoch_s: float = NOW) -> At:
    usual = request_context(forward=b"".join(line + b"\r\n" for line in (b"Host: a", *lines)))
    made = At()
    made.fields, made.forward, made.now, made.epoch_s, made.asked = usual.fields, usual.forward, now, epoch_s, 0
    return made


def bearer(claims: object = GOOD, **header: object) -> bytes:
    return b"Authorization: Bearer " + by_hand(claims, **header)  # type: ignore[arg-type]


def test_a_route_without_it_has_no_stage() -> None:
    assert jwt_stage(RouteConfig("r"), ENVIRONMENT) is None
    assert stage_of().on_request(context(bearer())) is None


def test_who_was_verified_is_asked_again_when_that_is_over() -> None:
    stage, asked = stage_of(leeway_s=0.0), context(bearer(), now=100.0)
    assert stage.tally(asked) is None  # nobody was let in
    assert stage.on_request(asked) is None
    tally = stage.tally(asked)
    assert tally is not None and not tally.counts
    assert [tally.admit("192.0.2.1", now) for now in (100.0, 159.9, 160.0)] == [b"", b"", None]  # it ends 60 s later
    asked.now, asked.epoch_s = 161.0, NOW + 20
    assert stage.on_request(asked) is None
    assert tally.admit("192.0.2.1", 162.0) == b""  # the lines are the same


@pytest.mark.parametrize(
    ("lines", "keys", "status", "challenge"),
    [
        ((), {}, 401, b'realm="balance"'),
        ((b"Authorization: Basic YTpi",), {"realm": "r"}, 401, b'realm="r"'),
        ((b"Authorization: Bearer x",), {}, 401, b'realm="balance", error="invalid_token"'),
        ((bearer(), bearer()), {}, 401, b'realm="balance"'),  # which of them would the backend read?
        ((bearer() + b", " + bearer()[15:],), {}, 401, b'realm="balance", error="invalid_token"'),
        ((bearer({"exp": 1}),), {}, 401, b'realm="balance", error="invalid_token"'),
        ((bearer(),), {"claims": (("role", ("admin",)),)}, 403, b'realm="balance", error="insufficient_scope"'),
    ],
    ids=range(7),
)
def test_what_is_refused_says_how(lines: tuple[bytes, ...], keys: dict[str, object], status: int, challenge: bytes) -> None:
    asked = context(*lines)
    reply = stage_of(**keys).on_request(asked)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.why) == (status, Why.UNAUTHORIZED)
    assert reply.lines == b"WWW-Authenticate: Bearer " + challenge + b"\r\n"


@pytest.mark.parametrize(
    ("source", "line", "is_found"),
    [
        ("authorization", bearer(), True),
        ("authorization", bearer().replace(b"Bearer", b"bEARER"), True),
        ("authorization", b"X-Token: " + by_hand(GOOD), False),
        ("header:X-Token", b"x-token: " + by_hand(GOOD), True),
        ("header:X-Token", bearer(), False),
        ("cookie:t", b"Cookie: a=1; t=" + by_hand(GOOD), True),
        ("cookie:t", b"Cookie: t=x; t=" + by_hand(GOOD), False),
        ("cookie:T", b"Cookie: t=" + by_hand(GOOD), False),
    ],
    ids=range(8),
)
def test_where_the_token_is(source: str, line: bytes, is_found: bool) -> None:
    assert (stage_of(source=source).on_request(context(line)) is None) is is_found


@pytest.mark.parametrize("name", [b"X-User", b"x-user", b"X_User", b"X.USER"])
def test_claims_go_to_fields_that_nobody_can_forge(name: bytes) -> None:
    stage = stage_of(claims_to_headers=(("sub", "X-User"), ("roles", "X-Roles"), ("gone", "X-Gone")))
    asked = context(name + b": root", bearer(GOOD | {"roles": ["a", "b"]}), b"x_gone: 1")
    assert stage.on_request(asked) is None
    assert asked.headers(b"x-user") == [b"ada"]
    assert asked.forward.endswith(b"X-User: ada\r\nX-Roles: a,b\r\n")
    assert b"root" not in asked.forward and b"x_gone" not in asked.forward


def test_a_claim_that_would_break_out_of_its_field_is_refused() -> None:
    reply = stage_of(claims_to_headers=(("sub", "X-User"),)).on_request(context(bearer(GOOD | {"sub": "a\r\nX-Role: admin"})))
    assert isinstance(reply, Reply) and reply.status == 401


@pytest.mark.parametrize(
    ("source", "line"), [("authorization", bearer()), ("header:X-Token", b"X_TOKEN: 1\r\nX-Token: " + by_hand(GOOD))]
)
def test_the_token_goes_on_or_not(source: str, line: bytes) -> None:
    for forwards in (True, False):
        asked = context(line)
        assert stage_of(source=source, forward=forwards).on_request(asked) is None
        assert (line in asked.forward) is forwards
        assert forwards or asked.forward == b"Host: a\r\n"


def test_who_was_verified_is_remembered_until_his_token_ends() -> None:
    stage = stage_of(leeway_s=0.0)
    first = context(bearer())
    for now, is_good, asked in ((100.0, True, 1), (159.9, True, 1), (160.0, False, 2)):
        first.now, first.epoch_s = now, NOW + now - 100
        assert (stage.on_request(first) is None) is is_good
        assert first.asked == asked
    other = context(bearer(), b"X-Other: 1", now=159.0, epoch_s=NOW + 59)  # other lines, the same token
    assert stage.on_request(other) is None
    assert stage._known


def test_what_is_remembered_is_bounded() -> None:
    stage = stage_of()
    for number in range(MAX_REMEMBERED + 10):
        assert stage.on_request(context(bearer(GOOD | {"jti": number}))) is None
    assert len(stage._known) == MAX_REMEMBERED
    long_lived = context(bearer(GOOD | {"exp": NOW + 10_000}))
    assert stage.on_request(long_lived) is None
    assert long_lived.fields.notes is not None
    assert long_lived.fields.notes[stage].until == 400.0  # five minutes


def test_keys_of_pem_files_and_of_a_set() -> None:
    pair = {name: key_for(name) for name in ("ES256", "RS256")}
    keys = json.dumps({"keys": [ECKey.import_key(public_pem(pair["ES256"])).as_dict(private=False) | {"kid": "new"}]})
    stage = stage_of(
        algorithms=("ES256", "RS256"), secret="", pem_files=(("a.pem", public_pem(pair["RS256"])),), jwks_file=(("k", keys),)
    )
    for algorithm, kid, is_good in (("ES256", "new", True), ("RS256", "any", True), ("ES256", "old", False)):
        token = pyjwt.encode(GOOD, private_pem(pair[algorithm]), algorithm, {"kid": kid}).encode()
        assert (stage.on_request(context(b"Authorization: Bearer " + token)) is None) is is_good


def test_verified_claims_are_there_for_limits_and_logs() -> None:
    config = RouteConfig(
        "r",
        security=RouteSecurity(jwt=Jwt(enabled=True, algorithms=("HS256",), secret=SECRET)),
        rate_limit=RateLimit(key=("jwt:tenant", "path", "jwt:gone")),
    )
    stage = jwt_stage(config, ENVIRONMENT)
    assert stage is not None
    asked = context(bearer(GOOD | {"tenant": {"id": 7}, "other": "x" * 3000}))
    for _ in range(2):  # the second time as remembered
        asked.identity = None
        assert stage.on_request(asked) is None
        assert asked.identity is not None
        assert (asked.identity.user, asked.identity.claims) == ("ada", {"tenant": b'{"id":7}', "gone": b""})
    refused = context(b"Authorization: Bearer " + by_hand(GOOD, secret="x" * 64))
    assert isinstance(stage.on_request(refused), Reply)
    assert refused.identity is None


# --- keys by URL, and what wrong tokens cost --------------------------------------------------------

SOURCE_KEYS = {"algorithms": ("ES256",), "secret": "", "jwks_url": "https://login.example/jwks"}


class Waking(At):
    __slots__ = ("said",)

    def wake(self, reply: Reply | None) -> None:
        self.said.append(reply)


class ByUrl:
    """A stage whose keys come by URL, and who asked for them."""

    def __init__(self, **keys: object) -> None:
        self.asked: list[JwksSource] = []
        self.sets = KeySets(self.asked.append, {})
        environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0, key_set=self.sets.get)
        settings = Jwt(**({"enabled": True} | SOURCE_KEYS | keys))  # type: ignore[arg-type]
        stage = jwt_stage(RouteConfig("r", security=RouteSecurity(jwt=settings)), environment)
        assert stage is not None and settings.jwks_source is not None
        self.stage, self.source = stage, settings.jwks_source

    def fetched(self, *kids: str, failure: str = "") -> None:
        key = ECKey.import_key(public_pem(key_for("ES256"))).as_dict(private=False)
        text = json.dumps({"keys": [key | {"kid": kid} for kid in kids]}) if kids else ""
        self.sets.update({self.source: KeyState(text, 1.0, failure, 1.0, fetches=len(self.asked))})

    def ask(self, kid: str, now: float = 100.0, **claims: object) -> tuple[Reply | Wait | None, Waking]:
        token = pyjwt.encode(GOOD | claims, private_pem(key_for("ES256")), "ES256", {"kid": kid})
        usual = context(b"Authorization: Bearer " + token.encode(), now=now)
        made = Waking()
        for name in ("fields", "forward", "now", "epoch_s", "asked", "client"):
            setattr(made, name, getattr(usual, name))
        made.said = []
        return self.stage.on_request(made), made


def test_the_first_keys_are_waited_for() -> None:
    by_url = ByUrl()
    wait, asked = by_url.ask("a")
    assert isinstance(wait, Wait)
    assert wait.at_timeout is not None and (wait.at_timeout.status, wait.at_timeout.why) == (503, Why.KEYS_UNAVAILABLE)
    by_url.fetched("a")
    assert asked.said == [None]
    assert asked.identity is not None and asked.identity.user == "ada"
    assert by_url.asked == []


def test_without_keys_it_is_503_at_once_and_no_401() -> None:
    by_url = ByUrl()
    _, waiting = by_url.ask("a")
    by_url.fetched(failure="refused")
    assert [(reply.status, reply.why) for reply in waiting.said if reply is not None] == [(503, Why.KEYS_UNAVAILABLE)]
    reply, _ = by_url.ask("a")
    assert isinstance(reply, Reply) and (reply.status, reply.why) == (503, Why.KEYS_UNAVAILABLE)
    no_token = by_url.stage.on_request(context())
    assert isinstance(no_token, Reply) and no_token.status == 401


def test_a_token_with_a_new_key_waits_for_it_and_one_that_is_made_up_soon_does_not() -> None:
    by_url = ByUrl(jwks_cooldown_s=30.0)
    by_url.fetched("a")
    assert by_url.ask("a")[0] is None
    wait, rotated = by_url.ask("b")
    assert isinstance(wait, Wait) and wait.at_timeout is not None and wait.at_timeout.status == 401
    wait, made_up = by_url.ask("zz")
    assert isinstance(wait, Wait)
    by_url.fetched("a", "b")
    assert rotated.said == [None]
    assert [reply.status for reply in made_up.said if reply is not None] == [401]
    for number in range(50):
        reply, _ = by_url.ask(f"made-up-{number}", now=101.0)
        assert isinstance(reply, Reply) and reply.status == 401
    assert len(by_url.asked) == 1


def test_who_was_let_in_by_a_key_that_is_gone_is_not_let_in_again() -> None:
    by_url = ByUrl()
    by_url.fetched("a")
    _, asked = by_url.ask("a")
    assert by_url.stage.on_request(asked) is None  # the same lines, as remembered
    by_url.fetched("b")
    assert isinstance(by_url.stage.on_request(asked), Wait)
    assert not by_url.stage._known
    by_url.fetched("b", failure="refused")
    assert isinstance(by_url.stage.on_request(asked), Reply)
    assert by_url.ask("b")[0] is None  # the last good set stays


def test_keys_of_the_file_count_beside_those_by_url() -> None:
    by_url = ByUrl(algorithms=("ES256", "HS256"), secret=SECRET)
    assert by_url.stage.on_request(context(bearer())) is None
    assert isinstance(by_url.ask("a")[0], Wait)


class Ticking:
    """A clock on which each check takes 5 ms."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.005
        return self.now


def forged(number: int) -> bytes:
    return b"Authorization: Bearer " + by_hand(GOOD | {"jti": number}, secret="x" * 64)


def test_wrong_tokens_are_not_checked_again_and_again() -> None:
    settings = Jwt(enabled=True, algorithms=("HS256",), secret=SECRET)
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0, clock=Ticking())
    stage = jwt_stage(RouteConfig("r", security=RouteSecurity(jwt=settings)), environment)
    assert stage is not None
    again = context(forged(0))
    for _ in range(5):
        assert isinstance(stage.on_request(again), Reply)
    assert again.asked == 1  # the time was asked for once: for one check
    again.now += 11.0
    assert isinstance(stage.on_request(again), Reply)
    assert again.asked == 2
    good = context(bearer())
    assert stage.on_request(good) is None
    whys = []
    for number in range(1, 80):  # one client
        reply = stage.on_request(context(forged(number), now=111.0))
        assert isinstance(reply, Reply)
        whys.append((reply.status, reply.why))
    assert whys.count((503, Why.AUTH_UNAVAILABLE)) == 30
    assert stage.on_request(good) is None  # who was verified before notices nothing
    for number in range(1000, 1300):  # 300 clients: half a second, and a quarter of the time from then on
        wrong = context(forged(number), now=111.0)
        wrong.client = f"10.0.{number // 256}.{number % 256}"
        stage.on_request(wrong)
    other = context(forged(1), now=111.0)
    other.client = "192.0.2.99"
    assert isinstance(stage.on_request(other), Reply)
    assert len(stage._wrong) < 200


def test_what_was_wrong_is_bounded() -> None:
    stage = stage_of()
    for number in range(MAX_REMEMBERED + 10):
        wrong = context(forged(number))
        wrong.client = f"10.0.{number >> 8}.{number & 255}"
        stage.on_request(wrong)
    assert len(stage._wrong) == MAX_REMEMBERED


def test_a_token_that_the_claims_do_not_allow_is_remembered_as_such() -> None:
    stage = stage_of(claims=(("role", ("admin",)),))
    asked = context(bearer())
    for _ in range(3):
        reply = stage.on_request(asked)
        assert isinstance(reply, Reply) and reply.status == 403
    assert asked.asked == 1
