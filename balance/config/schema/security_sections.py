"""What `security` says of requests and replies: at the top, in listeners and in routes."""

from __future__ import annotations

from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.section import Flag, Period, Section, Size, Timeout, key, one_or_list
from balance.config.schema.values import security_values as value
from balance.config.schema.values.route_values import REGEX
from balance.config.schema.values.transform_values import HTTP_HOST

_ORIGINS = one_or_list(value.ORIGIN)
Origins = Annotated[list[Annotated[str, value.ORIGIN]], _ORIGINS[0], _ORIGINS[1]]
_NAMES = one_or_list(kind.FIELD_NAME)
FieldNames = Annotated[list[Annotated[str, kind.FIELD_NAME]], _NAMES[0], _NAMES[1]]
_ASKED = one_or_list(value.ASKED_FIELD)
AskedFields = Annotated[list[Annotated[str, value.ASKED_FIELD]], _ASKED[0], _ASKED[1]]
_ANSWERED = one_or_list(value.ANSWERED_FIELD)
AnsweredFields = Annotated[list[Annotated[str, value.ANSWERED_FIELD]], _ANSWERED[0], _ANSWERED[1]]
_PATTERNS = one_or_list(REGEX)
Patterns = Annotated[list[Annotated[str, REGEX]], _PATTERNS[0], _PATTERNS[1]]
_ALGORITHMS = one_or_list(value.JWT_ALGORITHM)
Algorithms = Annotated[list[Annotated[str, value.JWT_ALGORITHM]], _ALGORITHMS[0], _ALGORITHMS[1]]
_FILES = one_or_list(kind.FILE)
Files = Annotated[list[Annotated[str, kind.FILE]], _FILES[0], _FILES[1]]
_TEXTS = one_or_list(value.CLAIM)
Texts = Annotated[list[Annotated[str, value.CLAIM]], _TEXTS[0], _TEXTS[1]]
_METHODS = one_or_list(value.CORS_METHOD)
Methods = Annotated[list[Annotated[str, value.CORS_METHOD]], _METHODS[0], _METHODS[1]]


class SecurityHeadersSection(Section):
    """Fields of replies that tell browsers what to refuse, on our own replies, too. "" leaves one out."""

    section_name = "security.headers"
    enabled: Flag = key("Whether they are added.", False)
    hsts_max_age: Timeout = key(
        "Strict-Transport-Security: for how long browsers come over TLS only. Sent where the client came over TLS, also as "
        "told by a trusted proxy, and never else. 0 is off.",
        0,
    )
    hsts_subdomains: Flag = key("Whether that holds for every name below, too.", False)
    hsts_preload: Flag = key("Whether browsers may list the name: hard to take back.", False)
    nosniff: Flag = key("X-Content-Type-Options: nosniff.", True)
    frame_options: Annotated[str, kind.choice("sameorigin", "deny", "off")] = key("X-Frame-Options.", "sameorigin")
    referrer_policy: Annotated[str, kind.FIELD_VALUE] = key("Referrer-Policy.", "strict-origin-when-cross-origin")
    content_security_policy: Annotated[str, kind.FIELD_VALUE] = key("Content-Security-Policy.", "")
    permissions_policy: Annotated[str, kind.FIELD_VALUE] = key("Permissions-Policy.", "")
    cross_origin_opener_policy: Annotated[str, kind.FIELD_VALUE] = key("Cross-Origin-Opener-Policy.", "")
    cross_origin_resource_policy: Annotated[str, kind.FIELD_VALUE] = key("Cross-Origin-Resource-Policy.", "")
    cross_origin_embedder_policy: Annotated[str, kind.FIELD_VALUE] = key("Cross-Origin-Embedder-Policy.", "")
    replace: Flag = key("Whether they stand in for a backend's own of the same name; else those stay. HSTS always does.", True)
    remove: FieldNames = key("Fields of backends that are taken out, like Server and X-Powered-By.", [])


class CorsSection(Section):
    """Which pages of other origins may read replies. Preflight requests are answered here, before limits and authentication;
    what backends say of CORS is replaced. Without origins no other may."""

    section_name = "security.cors"
    enabled: Flag = key("Whether CORS is said here.", False)
    allow_origins: Origins = key(
        "Like https://app.example.org, https://*.example.org for every name below it, or * for all.", []
    )
    allow_origin_regex: Patterns = key("Regular expressions of whole origins, as RE2 has them.", [])
    allow_methods: Methods = key("What those pages may send.", ["GET", "HEAD", "POST"])
    allow_headers: FieldNames = key("The fields that they may set; * allows whatever they ask for.", [])
    expose_headers: FieldNames = key("The fields of replies that they may read, besides the harmless ones.", [])
    allow_credentials: Flag = key("Whether cookies and passwords go along; never with the origin *.", False)
    max_age: Timeout = key("How long browsers remember the answer to a preflight.", "10m")


class BasicAuthSection(Section):
    """Asks for a user and a password. Hashes are bcrypt, argon2 (pip install 'balance[auth]') or scrypt, and are verified off
    the loop; what was right is remembered, and guesses are bounded (503)."""

    section_name = "security.basic_auth"
    enabled: Flag = key("Whether nobody gets in without.", False)
    users: dict[Annotated[str, value.USER], Annotated[str, value.HASH]] = key("Users and the hashes of their passwords.", {})
    htpasswd_file: Annotated[str, kind.FILE] = key(
        "A file with more, user:hash a line, as htpasswd -B writes it; a path is from this file's folder. Reloads read it anew."
    )
    realm: Annotated[str, kind.FIELD_VALUE] = key("What browsers show as they ask.", "balance")
    user_header: Annotated[str, value.IDENTITY_FIELD] = key(
        "A field that gets the user's name; the client's own of that name is removed in every spelling (X-User, X_User)."
    )
    forward: Flag = key("Whether the backend gets the Authorization field, too.", True)
    remember: Timeout = key(
        "For how long a password that was right is not verified again. A reload forgets what it changes.", "5m"
    )


class JwtSection(Section):
    """Asks for a token, signed by whom you trust (pip install 'balance[jwt]'). What is good is remembered until it ends."""

    section_name = "security.jwt"
    enabled: Flag = key("Whether nobody gets in without.", False)
    algorithms: Algorithms = key(
        "Those that tokens may be signed with: HS256, RS256, PS256, ES256, those with 384 and 512, and EdDSA. No default.", []
    )
    secret: Annotated[str, kind.SECRET] = key(
        "For HS*: as many bytes as the hash has at least; write ${JWT_SECRET}, a variable of the environment."
    )
    pem_files: Files = key("Files with public keys, for the others; a path is from this file's folder.", [])
    jwks_file: Annotated[str, kind.FILE] = key("A file with a set of keys (JWKS); keys of other kinds in it are passed over.")
    jwks_url: Annotated[str, value.JWKS_URL] = key(
        "The same by URL, like https://login.example.org/jwks.json: one process fetches it for all, again and again; the last "
        "good set stays. Only RSA, EC and Ed25519 keys count."
    )
    jwks_ca_file: Annotated[str, kind.FILE] = key(
        "A file with the CA certificates that its server's must be signed by. Default: the system's."
    )
    jwks_refresh: Period = key("How old that set may become; Cache-Control may say less, down to 30s.", "10m")
    jwks_cooldown: Period = key("How long no other fetch is made for a token whose key (`kid`) is not in the set.", "30s")
    jwks_timeout: Period = key("How long a fetch may take.", "5s")
    issuer: Texts = key("One of which `iss` has to be.", [])
    audience: Texts = key("One of which has to be in `aud`.", [])
    leeway: Timeout = key("How far clocks may be apart.", "30s")
    required_claims: Texts = key("Claims that have to be there.", ["exp"])
    claims: dict[Annotated[str, value.CLAIM], Texts] = key(
        "Claims and what they have to have: one of these, as their value, a member or a word of it; else 403.", {}
    )
    claims_to_headers: dict[Annotated[str, value.CLAIM], Annotated[str, value.IDENTITY_FIELD]] = key(
        "Fields that backends get claims in; the client's own of those names are removed in every spelling.", {}
    )
    source: Annotated[str, value.TOKEN_SOURCE] = key(
        "Where the token is: authorization (Bearer), header:NAME or cookie:NAME.", "authorization"
    )
    forward: Flag = key("Whether the backend gets the field with the token, too.", True)
    realm: Annotated[str, kind.FIELD_VALUE] = key("What a 401 names.", "balance")
    max_size: Size = key("A longer token is refused.", "8KB")


class ForwardAuthSection(Section):
    """Asks an authorizer about each request, before the backend: a GET without a body, which says in X-Forwarded-Method,
    -Proto, -Host, -Uri and -For what is asked for and by whom. 2xx lets it go on; any other but 5xx is what the client gets."""

    section_name = "security.forward_auth"
    enabled: Flag = key("Whether nobody gets in without its word.", False)
    pool: Annotated[str, kind.NAME] = key(
        "Its pool, one of `pools`: balancing, health checks, breakers and limits of connections are the pool's."
    )
    path: Annotated[str, value.ASKED_PATH] = key("What it is asked for.", "/")
    host: Annotated[str, HTTP_HOST] = key(
        "What it gets as Host. backend: its own address. preserve: what the client sent. Else this name.", "backend"
    )
    timeout: Period = key("How long a request waits for its answer, the connection included.", "5s")
    on_failure: Annotated[str, kind.choice("deny", "allow")] = key(
        "What becomes of a request that it says nothing about, as it can't be reached, is late, answers 5xx or no HTTP. deny "
        "is 503; allow lets it go on, without response_headers, and the access log has `rule: forward_auth`.",
        "deny",
    )
    request_headers: AskedFields = key("The client's fields that it gets besides; [] is all of them.", [])
    response_headers: AnsweredFields = key(
        "Fields of a good reply that the backend gets. The client's own of those names are removed in every spelling, whatever "
        "the authorizer says.",
        [],
    )
    client_headers: AskedFields = key("Fields of a good reply that the client gets, like Set-Cookie.", [])


class RequestSecuritySection(Section):
    """The keys of `security` that the top, a listener and a route may have: the nearest wins, key by key."""

    section_name = "request security"
    headers: SecurityHeadersSection = key("Fields of replies that tell browsers what to refuse.")
    cors: CorsSection = key("Which pages of other origins may read replies.")
    basic_auth: BasicAuthSection = key("Users and passwords.")
    jwt: JwtSection = key("Tokens.")
    forward_auth: ForwardAuthSection = key("An authorizer that is asked about each request.")


class RouteSecuritySection(RequestSecuritySection):
    """Over the listener's and the top's, key by key. Who may connect is the listener's to say."""

    section_name = "route security"
