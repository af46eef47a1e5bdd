"""What a listener's http and a route have alike: transform, compression, buffering; and the replies of a route's own."""

from __future__ import annotations

from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.section import Flag, Section, Size, Text, key, one_or_list
from balance.config.schema.values import transform_values
from balance.config.schema.values.route_values import CHANGED_PREFIX, REGEX

_ALGORITHM = kind.choice("zstd", "br", "gzip", spellings={"brotli": "br"})
_ALGORITHMS = one_or_list(_ALGORITHM)
_MEDIA_TYPES = one_or_list(transform_values.MEDIA_TYPE)
Algorithms = Annotated[list[Annotated[str, _ALGORITHM]], _ALGORITHMS[0], _ALGORITHMS[1]]
MediaTypes = Annotated[list[Annotated[str, transform_values.MEDIA_TYPE]], _MEDIA_TYPES[0], _MEDIA_TYPES[1]]


class HeaderChangeSection(Section):
    """One change of the header fields, of our own replies (errors, redirects), too. What a request change sets or removes of
    X-Forwarded-*, X-Real-IP, Forwarded, Via and X-Request-Id stands in for our own line. Those that belong to one connection
    or frame a message can't be changed: Connection, Content-Length, Expect, Keep-Alive, Proxy-*, TE, Trailer,
    Transfer-Encoding, Upgrade; Host is http.host's."""

    section_name = "header change"
    action: Annotated[str, kind.choice("add", "set", "remove")] = key(
        "add: beside others of its name; set: instead of them; remove: all of them.", required=True
    )
    name: Annotated[str, transform_values.CHANGED_NAME] = key("The field's name.", required=True)
    value: Annotated[str, transform_values.TEMPLATE] = key(
        "add, set: its value, with {client_ip}, {scheme}, {host}, {request_id}, {backend} and {region}. A line whose value is "
        "empty, as its variables are unknown, is left out."
    )


class RewriteSection(Section):
    """One regular expression for the path, as RE2 has them, and what replaces the first part that it matches."""

    section_name = "rewrite"
    regex: Annotated[str, REGEX] = key("What is looked for in the path; ^ and $ are its ends.", required=True)
    replacement: Annotated[str, kind.text_matching(r'[!"$-~]*', "what may stand in a path: no spaces, and no #", 2000)] = key(
        "What stands there then: $1 to $9 are the groups, $0 is all of it, and a dollar sign is written $$$$. With ?name=$1 it "
        "goes before the request's query, and groups are encoded for it.",
        required=True,
    )


class TransformSection(Section):
    """What is changed in requests on their way to a backend, and in replies on their way back: first the prefix is stripped,
    then the path rewritten, then a prefix added. A route's keys win over its listener's, one by one."""

    section_name = "transform"
    request_headers: list[HeaderChangeSection] = key("Changes of the fields that the backend gets, in order.", [])
    response_headers: list[HeaderChangeSection] = key("Changes of the fields that the client gets, in order.", [])
    strip_prefix: Annotated[str, CHANGED_PREFIX] = key("Taken off the path, on a segment border: /v1 of /v1/users.", "")
    add_prefix: Annotated[str, CHANGED_PREFIX] = key("Put in front of the path.", "")
    rewrite: list[RewriteSection] = key("Regular expressions for the path; the first that matches is applied.", [])
    map_back: Flag = key(
        "Whether Location, and Path and Domain of cookies, get the stripped prefix back, and lose the one added.",
        False,
    )


class RedirectSection(Section):
    """A redirect instead of a backend's reply. Without `to` it leads to the request's own URL with the parts given here."""

    section_name = "redirect"
    to: Annotated[str, transform_values.REDIRECT_TO] = key(
        "Where to: a URL, or a path, as it stands: the request's own path does not go along. In both, $1 to $9 are groups of "
        "the route's path_regex, if it has one."
    )
    status: Annotated[int, transform_values.REDIRECT_STATUS] = key(
        "301 and 308 stay; 307 and 308 keep the method and the body.", 308
    )
    scheme: Annotated[str, kind.choice("http", "https")] = key("The scheme.")
    host: Annotated[str, transform_values.AUTHORITY] = key("The host, and a port if it has one.")
    path: Annotated[str, kind.URL_PATH] = key("The path.")
    keep_query: Flag = key("Whether the request's query goes along.", True)


class RespondSection(Section):
    """A reply of our own instead of a backend's."""

    section_name = "respond"
    status: Annotated[int, kind.integer(200, 599)] = key("Its status.", 200)
    body: Text = key("Its body.", "")
    headers: dict[Annotated[str, transform_values.CHANGED_NAME], Annotated[str, kind.FIELD_VALUE]] = key(
        "Its header fields; without Content-Type it is text/plain.", {}
    )


class CompressionSection(Section):
    """Compresses replies for clients that take it. Never what is encoded already, small, ranged, marked no-transform, or an
    event stream that is not among the types. Do not use it where a reply has a secret beside what its reader chose (BREACH)."""

    section_name = "compression"
    enabled: Flag = key("Whether replies are compressed.", False)
    algorithms: Algorithms = key(
        "By preference, where a client likes several alike. zstd and br need pip install 'balance[compression]'.",
        ["zstd", "br", "gzip"],
    )
    types: MediaTypes = key(
        "Which media types; * stands for any text. Event streams only where text/event-stream is named.",
        [
            "text/*",
            "application/json",
            "application/javascript",
            "application/xml",
            "application/*+json",
            "application/*+xml",
            "image/svg+xml",
            "application/wasm",
        ],
    )
    min_size: Size = key("Replies known to be smaller stay as they are.", "1KB")
    level: Annotated[int, kind.integer(0, 22)] = key(
        "How hard it tries. Above what holds other clients up no longer than some milliseconds it is lowered: to 9 for gzip, 6 "
        "for br, 7 for zstd. 0 is each one's own default: 4, 3, 3.",
        0,
    )


class OwnBufferingSection(Section):
    """Which bodies a pool or route takes whole. The nearest wins, key by key: a route's, its pool's, its listener's."""

    section_name = "own buffering"
    request: Size = key(
        "Request bodies up to this size are taken whole before a backend is chosen, for servers with few workers; larger ones "
        "stream. 0 streams all.",
        0,
    )
    response: Size = key(
        "Replies up to this size are taken at the backend's speed, and slow clients read from here; larger ones stream.", 0
    )


class BufferingSection(OwnBufferingSection):
    """Bodies that are taken whole, before a backend is chosen (request) or off the backend (response)."""

    section_name = "buffering"
    total: Size = key("All such bodies of one worker; beyond it they stream. 0: all stream.", "64MB")
