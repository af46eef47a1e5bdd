"""The Set-Cookie line that names a client's session (RFC 6265 section 4.1)."""

from __future__ import annotations

from balance.config.model import SessionCookie


def set_cookie(cookie: SessionCookie, token: bytes, *, is_secure: bool) -> bytes:
    """The whole line. `is_secure` is whether the client came over TLS; `secure` in the configuration may know better."""
    parts = [f"Set-Cookie: {cookie.name}={token.decode('ascii')}; Path={cookie.path}; Max-Age={max(1, int(cookie.ttl_s))}"]
    if cookie.http_only:
        parts.append("HttpOnly")
    if is_secure if cookie.secure is None else cookie.secure:
        parts.append("Secure")
    parts.append(f"SameSite={cookie.same_site.capitalize()}")
    return "; ".join(parts).encode("latin-1") + b"\r\n"
