"""Traffic policies of a route: canary, blue_green, mirror, fault, regions, rules."""

from __future__ import annotations

from typing import Annotated

from balance.config.model import IpNetwork
from balance.config.route_model import Condition, ValueMatch
from balance.config.schema import scalars as kind
from balance.config.schema.addresses import NETWORK
from balance.config.schema.section import Flag, Name, Period, Section, Text, Timeout, key, one_or_list
from balance.config.schema.transform_sections import RedirectSection
from balance.config.schema.values import policy_values as value
from balance.config.schema.values.route_values import COOKIE_CONDITION, HEADER_CONDITION, LOWER_FIELD_NAME

Percent = Annotated[float, kind.number(0, 100)]
_NETWORKS = one_or_list(NETWORK)
Networks = Annotated[list[Annotated[IpNetwork, NETWORK]], _NETWORKS[0], _NETWORKS[1]]
_REGIONS = one_or_list(kind.NAME)
RegionNames = Annotated[list[Annotated[str, kind.NAME]], _REGIONS[0], _REGIONS[1]]


class CanarySection(Section):
    """A part of the users goes to another pool. Nobody changes sides while percent only grows."""

    section_name = "canary"
    pool: Name = key("The other pool.", required=True)
    percent: Percent = key("How many of the users go there, of a hundred.", 0)
    header: Annotated[ValueMatch, HEADER_CONDITION] = key(
        "Whoever sends this field goes there whatever the percent: a name, or {name, value}, as in conditions of routes."
    )
    cookie: Annotated[ValueMatch, COOKIE_CONDITION] = key("Likewise, who has this cookie.")
    sticky: Flag = key("Whether users without the key stay on their side by a cookie that is set for them, balance-side.", True)
    salt: Text = key("Makes this canary's users others than those of another canary with the same key.", "")
    key: Annotated[str, value.CANARY_KEY] = key(
        "What tells users apart: cookie:NAME, header:NAME or client-ip. Default: the cookie of sticky; without it, chance."
    )


class BlueGreenSection(Section):
    """Two pools, one of which gets everything; `balance switch` changes over at once."""

    section_name = "blue_green"
    blue: Name = key("The pool called blue.", required=True)
    green: Name = key("The pool called green.", required=True)
    active: Annotated[str, kind.choice("blue", "green")] = key("Which is used until a switch at run time.", "blue")
    header: Annotated[str, LOWER_FIELD_NAME] = key(
        "A field whose value, blue or green, picks a side for this request, whoever sends it."
    )


class MirrorSection(Section):
    """Copies requests to another pool, whose replies nobody sees. The client never waits for it."""

    section_name = "mirror"
    pool: Name = key("Where the copies go.", required=True)
    percent: Percent = key("How many of the requests, of a hundred.", 100)
    unsafe_methods: Flag = key("Whether POST and others that may change something are copied, too.", False)


class FaultSection(Section):
    """Injects faults, to see how clients take them. It ends by itself."""

    section_name = "fault"
    abort_percent: Percent = key("How many requests are answered with abort_status, of a hundred.", 0)
    abort_status: Annotated[int, kind.integer(400, 599)] = key("The status of those.", 503)
    delay_percent: Percent = key("How many requests wait for `delay`, of a hundred.", 0)
    delay: Timeout = key("How long those wait.", "0s")
    header: Annotated[ValueMatch, HEADER_CONDITION] = key(
        "Only requests with this field, from security.trusted_proxies: a name, or {name, value}."
    )
    until: Annotated[tuple[float, bool], value.UNTIL] = key(
        "When it ends: a time with its zone, like 2026-12-01T18:00:00Z, or a duration from the load of the file on, like 10m.",
        required=True,
    )


class RegionsSection(Section):
    """Sends requests to backends of their own region, and on to the next regions as far as its capacity falls short."""

    section_name = "regions"
    header: Annotated[str, LOWER_FIELD_NAME] = key("A field with the client's region, believed from security.trusted_proxies.")
    cidrs: dict[Name, Networks] = key("Regions by the client's address: {eu: [10.1.0.0/16]}; the longest network wins.", {})
    geoip_db: Annotated[str, kind.FILE] = key(
        "A MaxMind database (.mmdb) that tells the client's country; a path is from this file's folder. It needs "
        "pip install 'balance[geo]'."
    )
    fallback: dict[Name, RegionNames] = key(
        'Where requests of a region go next, in order: {eu: [us, asia], "*": [eu]}; "*" is for every other region.', {}
    )


class RuleSection(Section):
    """One rule. The highest priority is judged first, then the file's order; the first to allow, deny or redirect decides."""

    section_name = "rule"
    name: Name = key("Its name in the access log, unique in its route. Default: rules[0], rules[1], ... by position.")
    when: Annotated[Condition, value.WHEN] = key(
        "{subject, TEST} or {all|any: [...]} or {not: ...}. Subjects: path, host, method, scheme, client_ip, region, "
        "header:NAME, cookie:NAME, query:NAME. Tests: equals, in, contains, prefix, suffix, regex, cidr, exists.",
        required=True,
    )
    action: Annotated[str, kind.choice("allow", "deny", "redirect", "route")] = key(
        "allow: no later rule is asked. deny: an error. redirect: to another URL. route: to another pool, if no later rule "
        "denies.",
        required=True,
    )
    priority: Annotated[int, kind.integer(-1_000_000, 1_000_000)] = key("Higher is judged earlier.", 0)
    pool: Name = key("route: the pool.")
    redirect: RedirectSection = key("redirect: where to.")
    status: Annotated[int, kind.integer(400, 599)] = key("deny: the status.", 403)
    retry_after: Period = key("deny: after what time clients may ask again, as Retry-After says. Default: it is not said.")


class PolicySection(Section):
    """Traffic policies of a route."""

    section_name = "policy"
    canary: CanarySection = key("A part of the users goes to another pool.")
    blue_green: BlueGreenSection = key("Two pools, one of which gets everything.")
    mirror: MirrorSection = key("Copies of requests go to another pool.")
    fault: FaultSection = key("Faults that are injected.")
    regions: RegionsSection = key("Requests go to backends of their own region.")
    rules: list[RuleSection] = key("Conditions that allow, deny, redirect or choose a pool.", [])
