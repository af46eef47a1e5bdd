"""The Set-Cookie line of the session cookie (RFC 6265 section 4.1)."""

from __future__ import annotations

from balance.config.model import SessionCookie


def set_cookie(cookie: SessionCookie, token: bytes, *, is_secure: bool) -> bytes:
    """The line with its CRLF. `is_secure`: the client connected over TLS; `secure` in the configuration overrides it.

    With `auto`, SameSite=None implies Secure: browsers drop the cookie otherwise (RFC 6265bis section 5.7).
    """
    if cookie.secure is not None:
        is_secure = cookie.secure
    elif cookie.same_site == "none":
        is_secure = True
    parts = [f"Set-Cookie: {cookie.name}={token.decode('ascii')}; Path={cookie.path}; Max-Age={max(1, int(cookie.ttl_s))}"]
    if cookie.http_only:
        parts.append("HttpOnly")
    if is_secure:
        parts.append("Secure")
    parts.append(f"SameSite={cookie.same_site.capitalize()}")
    return "; ".join(parts).encode("latin-1") + b"\r\n"
