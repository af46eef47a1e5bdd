"""Why a TLS handshake with a backend failed: the word for logs and counters, and a sentence for people."""

from __future__ import annotations

import re
import ssl
from typing import Final

from balance.errors import UpstreamError
from balance.model import TryPhase, Why
from balance.tls.pem_loading import reason_of

_NAME_ERRORS: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_OF_CERTIFICATES: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
_NAMELESS: Final = re.compile(r"\[SSL[^]]*\] (.*) \(_ssl\.c:\d+\)")
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


def failure_of(error: Exception) -> tuple[Why, str]:
    """Why a handshake failed that did not take too long, and how."""
    if isinstance(error, ssl.SSLCertVerificationError):
        is_name = error.verify_code in _NAME_ERRORS
        why = Why.BACKEND_TLS_NAME if is_name else Why.BACKEND_TLS_CERTIFICATE
        return why, f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = reason_of(error) or _reason_in(str(error))
        alert = reason.partition("ALERT_")[2] or (reason if reason == "TLSV1_UNRECOGNIZED_NAME" else "")
        if alert and any(word in alert for word in _OF_CERTIFICATES):
            return Why.BACKEND_TLS_REFUSED, f"it refuses our certificate: {_words(alert)}"
        if alert:
            return Why.BACKEND_TLS_PROTOCOL, f"it refuses the TLS handshake: {_words(alert)}"
        if reason in _NOT_TLS:
            return Why.BACKEND_TLS_PROTOCOL, "it does not speak TLS"
        return Why.BACKEND_TLS_PROTOCOL, f"TLS failed: {_words(reason)}"
    how = getattr(error, "strerror", None) or str(error) or "connection reset"
    return Why.BACKEND_TLS_PROTOCOL, f"it broke off the TLS handshake: {how}"


def late_refusal(error: Exception | None) -> UpstreamError | None:
    """What an error on a new connection says of the handshake. With TLS 1.3 a backend judges our certificate after our side of
    the handshake has ended: its alert comes in place of a reply, and nothing of the request was looked at.
    """
    if isinstance(error, ssl.SSLError) and "ALERT_" in reason_of(error):
        why, detail = failure_of(error)
        if why is Why.BACKEND_TLS_REFUSED:
            return UpstreamError(TryPhase.CONNECT, why, detail)
    return None


def _reason_in(text: str) -> str:
    """OpenSSL's word for an error that this Python has no name for, out of a text like "[SSL] ... (_ssl.c:1006)"."""
    found = _NAMELESS.fullmatch(text)
    return found[1].replace(" ", "_").upper() if found else text


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
