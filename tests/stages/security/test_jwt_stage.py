"""Who gets in by token, and what backends are told."""

from __future__ import annotations

import json

import jwt as pyjwt
import pytest
from contexts import request_context
from joserfc.jwk import ECKey
from tokens import GOOD, NOW, SECRET, by_hand, key_for, private_pem, public_pem

from balance.config.common_model import RateLimit
from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.security.settings import Jwt, RouteSecurity
from balance.stages.request_context import RequestContext
from balance.stages.security.jwt_stage import JwtStage, jwt_stage
from balance.stages.stage import Reply


class At(RequestContext):
    __slots__ = ("asked", "epoch_s")

    def epoch(self) -> float:
        self.asked += 1
        return self.epoch_s


def stage_of(**keys: object) -> JwtStage:
    settings = Jwt(**({"enabled": True, "algorithms": ("HS256",), "secret": SECRET} | keys))  # type: ignore[arg-type]
    stage = jwt_stage(RouteConfig("r", security=RouteSecurity(jwt=settings)), None)
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
    assert jwt_stage(RouteConfig("r"), None) is None
    assert stage_of().on_request(context(bearer())) is None


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
    assert asked.reply_lines == b"WWW-Authenticate: Bearer " + challenge + b"\r\n"


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


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.stages.security.jwt_stage.MAX_REMEMBERED", 3)
    stage = stage_of()
    for number in range(10):
        assert stage.on_request(context(bearer(GOOD | {"jti": number}))) is None
    assert len(stage._known) == 3
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
    stage = jwt_stage(config, None)
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
