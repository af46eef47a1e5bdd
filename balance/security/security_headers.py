"""The fields of replies that tell browsers what to refuse: HSTS (RFC 6797), framing, sniffing, referrers, content policies."""

from __future__ import annotations

from typing import Final

from balance.security.settings import SecurityHeaders

_HSTS: Final = b"strict-transport-security"


class HeaderLines:
    """The lines for replies over plain HTTP and over TLS, and the names of which no line of a backend's goes on."""

    __slots__ = ("has_hsts", "plain", "removed", "secure", "weak")

    def __init__(self, settings: SecurityHeaders) -> None:
        lines: list[tuple[str, str]] = []
        if settings.nosniff:
            lines.append(("X-Content-Type-Options", "nosniff"))
        if settings.frame_options != "off":
            lines.append(("X-Frame-Options", settings.frame_options.upper()))
        for name, value in (
            ("Referrer-Policy", settings.referrer_policy),
            ("Content-Security-Policy", settings.content_security_policy),
            ("Permissions-Policy", settings.permissions_policy),
            ("Cross-Origin-Opener-Policy", settings.cross_origin_opener_policy),
            ("Cross-Origin-Resource-Policy", settings.cross_origin_resource_policy),
            ("Cross-Origin-Embedder-Policy", settings.cross_origin_embedder_policy),
        ):
            if value:
                lines.append((name, value))
        encoded = [(name.lower().encode(), f"{name}: {value}\r\n".encode("latin-1")) for name, value in lines]
        self.has_hsts = bool(settings.hsts_max_age_s)
        hsts = b""
        if self.has_hsts:
            hsts = b"Strict-Transport-Security: max-age=%d" % settings.hsts_max_age_s
            hsts += b"; includeSubDomains" if settings.hsts_subdomains else b""
            hsts += b"; preload" if settings.hsts_preload else b""
            hsts += b"\r\n"
        self.plain = b"".join(line for _, line in encoded)
        self.secure = self.plain + hsts
        self.weak = () if settings.replace else tuple(encoded)  # those that a backend's own stand in for
        if self.weak:
            self.plain, self.secure = b"", hsts
        removed = {name.lower().encode() for name in settings.remove}
        if settings.replace:
            removed |= {name for name, _ in encoded}
        if self.has_hsts:  # RFC 6797 section 6.1: one line; section 7.2: none over plain HTTP, whoever wrote it
            removed.add(_HSTS)
        self.removed = frozenset(removed)
