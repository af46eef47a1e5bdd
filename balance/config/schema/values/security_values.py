"""Value types of `security`: origins and methods of CORS."""

from __future__ import annotations

from balance.config.schema.scalars import METHOD, Scalar, as_text
from balance.security.cors_origins import normalized_origin


def _origin(value: object) -> str:
    return normalized_origin(as_text(value))


def _method(value: object) -> str:
    text = as_text(value)
    if text == "*":
        raise ValueError("'*' is no method here: it would not hold with credentials; list them, like [GET, PUT, DELETE]")
    return str(METHOD.read(text))


ORIGIN = Scalar(_origin, {"type": "string", "minLength": 1})
CORS_METHOD = Scalar(_method, {"type": "string", "minLength": 1})
