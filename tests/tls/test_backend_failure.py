"""Why a handshake with a backend failed, by what OpenSSL says."""

from __future__ import annotations

import ssl

import pytest

from balance.errors import UpstreamError
from balance.health.failure_statuses import failure_outcomes
from balance.model import BACKEND_TLS, TryPhase, Why
from balance.tls.backend_failure import failure_of, late_refusal


def said(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] something (_ssl.c:1000)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "why", "detail"),
    [
        (said("TLSV13_ALERT_CERTIFICATE_REQUIRED"), Why.BACKEND_TLS_REFUSED,
         "it refuses our certificate: certificate required"),
        (said("TLSV1_ALERT_UNKNOWN_CA"), Why.BACKEND_TLS_REFUSED, "it refuses our certificate: unknown ca"),
        (said("SSLV3_ALERT_HANDSHAKE_FAILURE"), Why.BACKEND_TLS_PROTOCOL, "it refuses the TLS handshake: handshake failure"),
        (said("TLSV1_ALERT_PROTOCOL_VERSION"), Why.BACKEND_TLS_PROTOCOL, "it refuses the TLS handshake: protocol version"),
        (said("TLSV1_UNRECOGNIZED_NAME"), Why.BACKEND_TLS_PROTOCOL, "it refuses the TLS handshake: tlsv1 unrecognized name"),
        (said("WRONG_VERSION_NUMBER"), Why.BACKEND_TLS_PROTOCOL, "it does not speak TLS"),
        (said("DECRYPTION_FAILED"), Why.BACKEND_TLS_PROTOCOL, "TLS failed: decryption failed"),
        (ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)"), Why.BACKEND_TLS_PROTOCOL,
         "it refuses the TLS handshake: no application protocol"),
        (ConnectionResetError(), Why.BACKEND_TLS_PROTOCOL, "it broke off the TLS handshake: connection reset"),
        (ValueError("a name"), Why.BACKEND_TLS_PROTOCOL, "it broke off the TLS handshake: a name"),
    ],
)  # fmt: skip
def test_each_failure_has_a_word_and_a_sentence(error: Exception, why: Why, detail: str) -> None:
    assert failure_of(error) == (why, detail)


def test_what_comes_in_place_of_a_reply_is_a_refusal_only_as_an_alert_about_certificates() -> None:
    refused = late_refusal(said("TLSV13_ALERT_CERTIFICATE_REQUIRED"))
    assert isinstance(refused, UpstreamError)
    assert (refused.phase, refused.why) == (TryPhase.CONNECT, Why.BACKEND_TLS_REFUSED)
    for other in (None, ConnectionResetError(), said("DECRYPTION_FAILED"), said("SSLV3_ALERT_HANDSHAKE_FAILURE")):
        assert late_refusal(other) is None


def test_each_counts_as_a_failed_connection_for_outliers_and_breakers() -> None:
    assert len(BACKEND_TLS) == 5
    assert failure_outcomes(["connect"]) >= BACKEND_TLS
    assert not failure_outcomes(["reset", "timeout"]) & BACKEND_TLS
