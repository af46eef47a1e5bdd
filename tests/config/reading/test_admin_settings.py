"""What `admin` may say, and what keeps an instance from starting: a port that others reach without tokens, above all."""

from pathlib import Path

import pytest

from balance.config import load_text
from balance.config.overrides.difference import difference
from balance.config.overrides.redacted import redacted
from balance.errors import ConfigError

BASE = 'listen: ":8080"\nbackends: [{address: "127.0.0.1:9001"}]\n'
TOKEN, OTHER = "0123456789abcdef0123", "another-token-4567890"
EXAMPLES = Path(__file__).resolve().parents[3] / "deployments" / "examples"
PAIR = f"cert_file: {EXAMPLES}/certificates/example.crt, key_file: {EXAMPLES}/certificates/example.key"
OPS = f"{{name: ops, token: {TOKEN}}}"
NEEDED = (
    "is reached from elsewhere, and there who asks needs a token; write admin: {auth: {tokens: [{name: ops, token_file: "
    "ops.token}]}}, or listen on 127.0.0.1:9090 (probes and metrics from elsewhere: metrics.listen)"
)
GUESSED = "can be guessed: write 20 characters, 8 of them different; `openssl rand -hex 24` makes one"


def problems(admin: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(f"{BASE}admin: {admin}\n", "f.yaml", {"EMPTY": ""})
    return [str(problem).partition(": ")[2] for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("admin", "expected"),
    [
        ('{listen: ":9090"}', [f"admin.listen: :9090 {NEEDED}"]),
        ('{listen: "0.0.0.0:9090"}', [f"admin.listen: 0.0.0.0:9090 {NEEDED}"]),
        ('{listen: "[::]:9090"}', [f"admin.listen: [::]:9090 {NEEDED}"]),
        ('{listen: "10.0.0.1:9090"}', [f"admin.listen: 10.0.0.1:9090 {NEEDED}"]),
        ('{listen: "balance.example:9090"}', [f"admin.listen: balance.example:9090 {NEEDED}"]),
        ("{auth: {}}", ["admin.auth: has no tokens; write tokens: [{name: ops, token_file: ops.token}], or leave it out"]),
        (
            '{listen: ":9090", auth: {tokens: [{name: ops, token: "${EMPTY}"}]}}',
            [
                "admin.auth.tokens[0].token: is empty, and who sends nothing would be let in; `openssl rand -hex 24` makes a "
                "token"
            ],
        ),
        ("{auth: {tokens: [{name: ops, token: short}]}}", [f"admin.auth.tokens[0].token: {GUESSED}"]),
        ("{auth: {tokens: [{name: ops, token: changemechangemechangeme}]}}", [f"admin.auth.tokens[0].token: {GUESSED}"]),
        (
            "{auth: {tokens: [{name: ops, token: a token with some spaces}]}}",
            [
                "admin.auth.tokens[0].token: has characters that no token has: write letters, digits and ._~+/- alone",
            ],
        ),
        ("{auth: {tokens: [{name: ops, token: [1]}]}}", ["admin.auth.tokens[0].token: is no text; write it in quotes"]),
        ("{auth: {tokens: [{name: ops}]}}", ["admin.auth.tokens[0]: has no token; write token_file, or token: ${ADMIN_TOKEN}"]),
        (
            f"{{auth: {{tokens: [{OPS}], read_only_tokens: [{OPS}]}}}}",
            [
                "admin.auth.read_only_tokens[0].name: 'ops' is the name of another token; the log could not tell them apart",
                "admin.auth.read_only_tokens[0].token: is the same as another one's; each has a token of its own",
            ],
        ),
        (
            "{auth: {tokens: [{name: ops, token_file: /nowhere}]}}",
            ["admin.auth.tokens[0].token_file: '/nowhere' can't be read: No such file or directory"],
        ),
        (
            f'{{listen: ":9090", auth: {{tokens: [{{name: x, token_file: {EXAMPLES}/admin.token}}]}}}}',
            ["admin.auth.tokens[0]: is the one of the examples, which everybody knows; `openssl rand -hex 24` makes one"],
        ),
        ("{tls: {}}", ["admin.tls: 'cert_file' is missing; TLS needs cert_file and key_file"]),
        (
            f"{{tls: {{{PAIR}, client_auth: verify}}}}",
            ["admin.tls.client_ca_file: is missing; client_auth: verify needs to know whose certificates count"],
        ),
        (
            f"{{tls: {{{PAIR}, client_ca_file: {EXAMPLES}/certificates/example.crt}}}}",
            ["admin.tls.client_ca_file: has no effect without client_auth; write verify or require-and-verify"],
        ),
        (
            f"{{tls: {{{PAIR.replace('example.key', 'api.key')}}}}}",
            [
                f"admin.tls.key_file: '{EXAMPLES}/certificates/api.key' is not the key of the certificate "
                f"'{EXAMPLES}/certificates/example.crt'"
            ],
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line_without_the_token(admin: str, expected: list[str]) -> None:
    assert problems(admin) == expected


@pytest.mark.parametrize(
    "admin",
    [
        "{}",
        '{listen: "[::1]:9090"}',
        '{listen: "localhost:9090"}',
        '{listen: "unix:/run/balance/admin.sock"}',
        f'{{listen: ":9090", auth: {{tokens: [{OPS}]}}, tls: {{{PAIR}}}}}',
        f'{{listen: ":9090", auth: {{read_only_tokens: [{OPS}]}}, tls: {{{PAIR}}}}}',
    ],
)
def test_loopback_needs_no_token_and_the_others_have_one(admin: str) -> None:
    assert load_text(f"{BASE}admin: {admin}\n", "f.yaml", {}).warnings == ()


def test_a_new_token_is_a_change_that_shows_neither() -> None:
    old, new = (
        load_text(f"{BASE}admin: {{auth: {{tokens: [{{name: ops, token: {token}}}]}}}}\n", "f.yaml", {}).config
        for token in (TOKEN, OTHER)
    )
    assert difference(old, new) == ("~ token ops: token changed",)
    assert redacted(new)["admin"]["auth"]["tokens"] == [{"name": "ops", "token": "***", "token_file": ""}]
