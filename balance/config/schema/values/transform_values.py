"""Value types of transform, redirect, respond and compression: what may be set in messages, and what never may."""

from __future__ import annotations

import re

from balance.config.schema.scalars import FIELD_NAME, FIELD_VALUE, Scalar, as_text, display, text_matching
from balance.config.schema.values.route_values import host_name

VARIABLES = ("client_ip", "scheme", "host", "request_id", "backend", "region")
REDIRECTS = (301, 302, 303, 307, 308)

# RFC 9110 sections 6.6.2, 7.6.1 and 7.8, RFC 9112 section 6: they belong to one connection or say where a message ends.
_FRAMING = frozenset(
    ["connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"]
)
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")


def _changed_name(value: object) -> str:
    name: str = FIELD_NAME.read(value)
    lower = name.lower()
    if lower == "host":
        raise ValueError(f"{name} is set by http.host: preserve, backend or a name")
    if lower in _FRAMING or lower.startswith("proxy-"):
        raise ValueError(f"{name} belongs to one connection or frames a message, and can't be changed")
    return name


def _template(value: object) -> str:
    text: str = FIELD_VALUE.read(value)
    for name in _VARIABLE.findall(text):
        if name not in VARIABLES:
            known = ", ".join(f"{{{variable}}}" for variable in VARIABLES)
            raise ValueError(f"{{{name}}} is no variable; there are {known}")
    return text


def _redirect_to(value: object) -> str:
    text = as_text(value)
    if not re.fullmatch(r"(https?://[!-~]+|/[!-~]*)", text) or len(text) > 2000:
        raise ValueError(f"{display(text)} is no target; write a URL like https://example.org/new, or a path, without spaces")
    if not text.startswith("/"):
        _authority(re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0])
    return text


def _redirect_status(value: object) -> int:
    if not isinstance(value, int) or value not in REDIRECTS:
        raise ValueError(f"{display(value)} is no status of a redirect; write one of {', '.join(map(str, REDIRECTS))}")
    return value


def _authority(value: object) -> str:
    text = as_text(value)
    name, port = re.fullmatch(r"(.*?)((?::[0-9]{1,5})?)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if text.startswith("["):
        name, port = text.partition("]")[0] + "]", text.partition("]")[2]
        if not re.fullmatch(r"(:[0-9]{1,5})?", port):
            raise ValueError(f"{display(text)} is no host, like [2001:db8::1]:8080")
    return host_name(name) + port


def _http_host(value: object) -> str:
    text = as_text(value)
    return text.lower() if text.lower() in ("preserve", "backend") else _authority(text)


CHANGED_NAME = Scalar(_changed_name, FIELD_NAME.schema)
TEMPLATE = Scalar(_template, FIELD_VALUE.schema)
REDIRECT_TO = Scalar(_redirect_to, {"type": "string", "pattern": "^(https?://|/)"})
REDIRECT_STATUS = Scalar(_redirect_status, {"type": "integer", "enum": list(REDIRECTS)})
AUTHORITY = Scalar(_authority, {"type": "string"})
HTTP_HOST = Scalar(_http_host, {"type": "string", "examples": ["preserve", "backend"]})
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
MEDIA_TYPE = text_matching(rf"{_TOKEN}/{_TOKEN}", "a media type, like text/html or text/*", 200)
