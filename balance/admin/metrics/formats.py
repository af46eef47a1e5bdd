"""In which format metrics are shown: what the client likes best of those that there are (Accept, RFC 9110 section 12.5.1).

Who accepts none of them gets the oldest, as of any exporter: scrapers and browsers name many formats, and are content with it.
"""

from __future__ import annotations

import enum
import re
from typing import Final

MAX_RANGES: Final = 64  # of one field; Prometheus sends five
_QUALITY: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


class Format(enum.Enum):
    """What is shown, as (type, subtype, version), best first where a client likes several as well."""

    OPENMETRICS = ("application", "openmetrics-text", "1.0.0")
    TEXT = ("text", "plain", "0.0.4")
    JSON = ("application", "json", "")

    @property
    def content_type(self) -> str:
        """The field of the reply."""
        kind, subtype, version = self.value
        return f"{kind}/{subtype}; version={version}; charset=utf-8" if version else f"{kind}/{subtype}"


def negotiate(accept: str) -> Format:
    """The format for that Accept."""
    ranges = [_parsed(each) for each in accept.lower().split(",", MAX_RANGES)[:MAX_RANGES]]
    best, best_weight, is_named = Format.TEXT, 0.0, False
    for format in Format:
        specificity, weight = max((_match(format, each) for each in ranges), default=(0, 0.0))
        if specificity < 2:  # by a wildcard: not what anybody asks for who could have the usual
            weight = weight if format is Format.TEXT else 0.0
        if weight > best_weight or (weight == best_weight and weight and specificity >= 2 and not is_named):
            best, best_weight, is_named = format, weight, specificity >= 2
    return best


def _parsed(text: str) -> tuple[str, str, dict[str, str], float]:
    """Type, subtype, parameters and weight of a media range; one that is malformed has weight 0."""
    media, *rest = (part.strip() for part in text.split(";"))
    kind, _, subtype = media.partition("/")
    parameters: dict[str, str] = {}
    for part in rest:
        name, _, value = part.partition("=")
        value = value.strip().strip('"')
        if name.strip() == "q":
            return kind, subtype, parameters, float(value) if _QUALITY.fullmatch(value) else 0.0
        parameters[name.strip()] = value
    return kind, subtype, parameters, 1.0


def _match(format: Format, media_range: tuple[str, str, dict[str, str], float]) -> tuple[int, float]:
    """How exactly a range names the format (0: not at all), and the weight that it gives."""
    kind, subtype, parameters, weight = media_range
    own_kind, own_subtype, version = format.value
    if (kind, subtype) == ("*", "*"):
        return 1, weight
    if kind != own_kind:
        return 0, 0.0
    if subtype == "*":
        return 1, weight
    if subtype != own_subtype:
        return 0, 0.0
    asked = parameters.get("version")
    if asked is None:
        return 2, weight
    return (3, weight) if asked == version else (0, 0.0)
