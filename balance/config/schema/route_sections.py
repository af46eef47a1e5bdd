"""A route: which requests it is for, where they go, and what it has of its own."""

from __future__ import annotations

from typing import Annotated

from balance.config.schema import scalars as kind
from balance.config.schema.common_sections import BackendSection, LoadBalancerSection, RetrySection, RouteTimeoutsSection
from balance.config.schema.policy_sections import PolicySection
from balance.config.schema.rate_limit_section import RateLimitSection
from balance.config.schema.section import Name, Section, Size, key, one_or_list
from balance.config.schema.security_sections import RouteSecuritySection
from balance.config.schema.transform_sections import (
    CompressionSection,
    OwnBufferingSection,
    RedirectSection,
    RespondSection,
    TransformSection,
)
from balance.config.schema.values import route_values as value

_METHODS = one_or_list(kind.METHOD)
Methods = Annotated[list[Annotated[str, kind.METHOD]], _METHODS[0], _METHODS[1]]
ValueCondition = Annotated[tuple[str, str], value.VALUE_CONDITION]


class RouteLimitsSection(Section):
    """The one of `http.limits` that a route may have for its own; the others hold before a route is known."""

    section_name = "route limits"
    body: Size = key("The body of a request; then 413. 0 is no bound: bodies stream.", 0)


class SplitSection(Section):
    """One of the pools among which a route's requests are shared out."""

    section_name = "split"
    pool: Name = key("The pool.", required=True)
    weight: Annotated[int, kind.integer(0, 65535)] = key("Its share, next to the others' weights; 0 gets nothing.", 1)


class RouteSection(Section):
    """Which requests go where. The routes of a listener are tried in this order, whatever their places in the file: priority;
    an exact host, the longest wildcard, any host; an exact path, regular expressions in the file's order, the longest prefix,
    any path; more conditions before fewer; the file's order. None matches: 404.

    A condition on a header field, query parameter or cookie is its value, or {present: true}, {present: false},
    {regex: ...} or {prefix: ...}; of a repeated one the first counts. Regular expressions are RE2's, of 80 steps
    besides literals."""

    section_name = "route"
    name: Name = key("Its name in logs and metrics; unique in its listener. Default: route-1, route-2, ... by position.")
    host: Annotated[str, value.HOST_PATTERN] = key(
        "shop.example.org, or *.example.org for every name below; case, port and a final dot make no difference. Default: any."
    )
    path: Annotated[str, value.PATH] = key("This path alone.")
    path_prefix: Annotated[str, value.PATH_PREFIX] = key("This path and what is below it: /api is /api and /api/users.")
    path_regex: Annotated[str, value.REGEX] = key("Paths in which it is found; ^ and $ are a path's ends.")
    methods: Methods = key("These methods; GET includes HEAD.", [])
    headers: dict[Annotated[str, value.LOWER_FIELD_NAME], ValueCondition] = key("Conditions on header fields, by name.", {})
    query: dict[Annotated[str, value.QUERY_NAME], ValueCondition] = key("Conditions on query parameters, by name.", {})
    cookies: dict[Annotated[str, value.COOKIE_NAME], ValueCondition] = key("Conditions on cookies, by name.", {})
    priority: Annotated[int, kind.integer(-1_000_000, 1_000_000)] = key("Higher is tried earlier, before all else.", 0)
    pool: Name = key("The pool. Default: the listener's.")
    backends: list[BackendSection] = key("Backends of its own: a pool that is called as the route.")
    split: list[SplitSection] = key(
        "Several pools, by weight. A user stays with his, by a cookie that is set for him, balance-side."
    )
    redirect: RedirectSection = key("A redirect instead.")
    respond: RespondSection = key("A reply of our own instead.")
    load_balancer: LoadBalancerSection = key("Which backend comes next, for this route's requests.")
    timeouts: RouteTimeoutsSection = key("Durations; they win over the pool's.")
    retry: RetrySection = key("When a request is tried again; key by key over the pool's.")
    rate_limit: RateLimitSection = key("How often a client may ask; key by key over the listener's.")
    limits: RouteLimitsSection = key("Bounds on what a client may send.")
    transform: TransformSection = key("What is changed in requests and replies.")
    policy: PolicySection = key("Traffic policies.")
    compression: CompressionSection = key("Whether replies are compressed.")
    security: RouteSecuritySection = key("Fields of replies, CORS, and who may ask.")
    buffering: OwnBufferingSection = key("Which bodies are taken whole.")
    error_pages: dict[Annotated[int, kind.ERROR_STATUS], Annotated[str, kind.FILE]] = key(
        "HTML files to answer errors with, by status, over the listener's; a path is from this file's folder.", {}
    )
