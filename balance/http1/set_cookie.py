"""The Set-Cookie line that names a client's session (RFC 6265 section 4.1)."""

from __future__ import annotations

from balance.config.model import SessionCookie


def set_cookie(cookie: SessionCookie, token: bytes, *, is_secure: bool) -> bytes:
    """The whole line. `is_secure` is whether the client came over TLS; `secure` in the configuration may know better.

    Where that is auto, SameSite=None asks for Secure whatever was seen: without it browsers drop the cookie (RFC 6265bis 5.7).
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
