"""Whether the condition of a rule holds for a request.

Who denies looks at whatever a backend may take: each value of a repeated field, and a method in either case. So a denial holds
when it holds for one of them, also one with `not`: nobody gets past a rule by sending a second value. Who allows, routes or
redirects goes by the first value, and by nothing that is unknown: neither by `cidr` nor by `not cidr` where the address of the
client is not known (over a Unix socket), and by no `not` of an unknown region.

`prefix`, `suffix` and `contains` are of text, also for paths; routes have prefixes on the borders of segments. `not` is
resolved when a condition is made, so that each test knows which way it counts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from balance import linear_regex
from balance.config.route_model import Condition, IpNetwork
from balance.host_names import normalize_host
from balance.routing.path_readings import configured_readings
from balance.stages.request_context import RequestContext

UNKNOWN_REGION: Final = b"unknown"

Values = Callable[[RequestContext, bytes], Sequence[bytes]]
Matches = Callable[[bytes], bool]


class RuleCondition(Protocol):
    """A condition, ready to be judged."""

    def holds(self, context: RequestContext, path: bytes) -> bool:
        """Whether it holds for the request with this reading of its path."""
        ...


def compile_condition(condition: Condition, *, is_denial: bool, is_negated: bool = False) -> RuleCondition:
    """The condition, or its negation, for a rule that denies or one that does not."""
    if condition.operator == "not":
        return compile_condition(condition.conditions[0], is_denial=is_denial, is_negated=not is_negated)
    if condition.operator in ("all", "any"):
        parts = [compile_condition(each, is_denial=is_denial, is_negated=is_negated) for each in condition.conditions]
        return _All(parts) if (condition.operator == "all") is not is_negated else _Any(parts)
    if condition.operator == "exists":
        found = _of_known_region if condition.subject == "region" else _values(condition, is_denial=False)
        return _Exists(found, is_expected=(condition.value is not False) is not is_negated)
    networks = _networks(condition)
    if networks is not None:
        return _InNetworks(networks, is_denial=is_denial, is_negated=is_negated)
    values, matches = _values(condition, is_denial=is_denial and not is_negated), _matcher(condition)
    if is_denial:
        return _SomeNot(values, matches) if is_negated else _Some(values, matches)
    if is_negated:
        return _FirstNot(values, matches, unknown=UNKNOWN_REGION if condition.subject == "region" else None)
    return _First(values, matches)


def subjects(condition: Condition) -> frozenset[str]:
    """What of a request makes a difference."""
    own = frozenset((condition.subject,)) if condition.subject else frozenset[str]()
    return own.union(*map(subjects, condition.conditions))


class _All:
    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[RuleCondition]) -> None:
        self._parts = tuple(parts)

    def holds(self, context: RequestContext, path: bytes) -> bool:
        for part in self._parts:  # noqa: SIM110  (a generator costs more than most tests)
            if not part.holds(context, path):
                return False
        return True


class _Any:
    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[RuleCondition]) -> None:
        self._parts = tuple(parts)

    def holds(self, context: RequestContext, path: bytes) -> bool:
        for part in self._parts:  # noqa: SIM110
            if part.holds(context, path):
                return True
        return False


class _Exists:
    __slots__ = ("_is_expected", "_values")

    def __init__(self, values: Values, *, is_expected: bool) -> None:
        self._values = values
        self._is_expected = is_expected

    def holds(self, context: RequestContext, path: bytes) -> bool:
        return bool(self._values(context, path)) is self._is_expected


class _Test:
    __slots__ = ("_matches", "_values")

    def __init__(self, values: Values, matches: Matches) -> None:
        self._values = values
        self._matches = matches


class _Some(_Test):
    __slots__ = ()

    def holds(self, context: RequestContext, path: bytes) -> bool:
        matches = self._matches
        for value in self._values(context, path):  # noqa: SIM110
            if matches(value):
                return True
        return False


class _SomeNot(_Test):
    __slots__ = ()

    def holds(self, context: RequestContext, path: bytes) -> bool:
        values = self._values(context, path)
        return not values or not all(map(self._matches, values))


class _First(_Test):
    __slots__ = ()

    def holds(self, context: RequestContext, path: bytes) -> bool:
        values = self._values(context, path)
        return bool(values) and self._matches(values[0])


class _FirstNot(_Test):
    __slots__ = ("_unknown",)

    def __init__(self, values: Values, matches: Matches, unknown: bytes | None) -> None:
        _Test.__init__(self, values, matches)
        self._unknown = unknown

    def holds(self, context: RequestContext, path: bytes) -> bool:
        values = self._values(context, path)
        return not values or (values[0] != self._unknown and not self._matches(values[0]))


class _InNetworks:
    """Whether the client's address is in one of some networks: one look-up for each length of prefix that they have."""

    __slots__ = ("_is_negated", "_networks", "_unknown")

    def __init__(self, networks: Sequence[IpNetwork], *, is_denial: bool, is_negated: bool) -> None:
        by_mask: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            by_mask.setdefault((network.version, int(network.netmask)), set()).add(int(network.network_address))
        self._networks = tuple((version, mask, frozenset(starts)) for (version, mask), starts in by_mask.items())
        self._is_negated = is_negated
        self._unknown = is_denial and is_negated  # what holds for an unknown address

    def holds(self, context: RequestContext, path: bytes) -> bool:
        address = client_address(context.client)
        if address is None:
            return self._unknown
        version, number = address
        for of_version, mask, starts in self._networks:
            if version == of_version and number & mask in starts:
                return not self._is_negated
        return self._is_negated


@lru_cache(maxsize=4096)
def client_address(text: str) -> tuple[int, int] | None:
    """The version and number of an address, of an IPv4-mapped one those of the IPv4 address; None for none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


def _networks(condition: Condition) -> list[IpNetwork] | None:
    """The networks of a condition on the client's address: `cidr`, and also `equals` and `in`, in any notation."""
    if condition.subject != "client_ip" or condition.operator not in ("cidr", "equals", "in"):
        return None
    networks: list[IpNetwork] = []
    for text in _texts(condition):
        network = ipaddress.ip_network(text, strict=False)
        if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
            mapped = network.network_address.ipv4_mapped
            if mapped is not None:
                network = ipaddress.IPv4Network((mapped, network.prefixlen - 96))
        networks.append(network)
    return networks


def _texts(condition: Condition) -> tuple[str, ...]:
    value = condition.value
    return value if isinstance(value, tuple) else (str(value),)


def _matcher(condition: Condition) -> Matches:
    operator, subject = condition.operator, condition.subject
    texts = _texts(condition)
    if operator == "regex":
        patterns = tuple(linear_regex.compile(text) for text in texts)
        return patterns[0].search if len(patterns) == 1 else lambda value: any(each.search(value) for each in patterns)
    if subject == "path":
        wanted = tuple(reading for text in texts for reading in configured_readings(text))
    elif subject == "host":
        wanted = tuple((normalize_host(text) if operator in ("equals", "in") else text.lower()).encode() for text in texts)
    else:
        wanted = tuple(text.encode() for text in texts)
    if operator in ("equals", "in"):
        if subject == "method" and b"GET" in wanted:
            wanted += (b"HEAD",)  # RFC 9110 section 9.3.2, as in routes
        return frozenset(wanted).__contains__
    if operator == "prefix":
        return lambda value: value.startswith(wanted)
    if operator == "suffix":
        return lambda value: value.endswith(wanted)
    if len(wanted) == 1:
        only = wanted[0]
        return lambda value: only in value
    return lambda value: any(each in value for each in wanted)  # contains


def _values(condition: Condition, *, is_denial: bool) -> Values:
    """The function that gives a request's values of the subject."""
    subject = condition.subject
    if subject == "header":
        header = condition.name.lower().encode()
        return lambda context, path: context.headers(header)
    name = condition.name.encode()
    if subject == "cookie":
        if is_denial:
            return lambda context, path: [reading for value in context.cookies(name) for reading in _cookie_readings(value)]
        return lambda context, path: context.cookies(name)
    if subject == "query":
        return lambda context, path: context.parameters(name)
    return _of_method_in_either_case if is_denial and subject == "method" else _SINGLE[subject]


def _cookie_readings(value: bytes) -> Sequence[bytes]:
    """A value as sent, without quotes (RFC 6265 section 4.1.1), and decoded as PHP and Express do."""
    bare = value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value
    decoded = unquote_to_bytes(bare)
    return (value,) if decoded == bare == value else (value, bare, decoded)


def _of_method_in_either_case(context: RequestContext, path: bytes) -> Sequence[bytes]:
    upper = context.method.upper()
    return (upper,) if upper == context.method else (context.method, upper)


def _of_client(context: RequestContext, path: bytes) -> Sequence[bytes]:
    address = client_address(context.client)
    if address is None:
        return ()
    version, number = address
    return (str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)).encode(),)


def _of_known_region(context: RequestContext, path: bytes) -> Sequence[bytes]:
    region = context.region.encode()
    return (region,) if region and region != UNKNOWN_REGION else ()


_SINGLE: Final[dict[str, Values]] = {
    "path": lambda context, path: (path,),
    "host": lambda context, path: (context.host.encode("latin-1"),) if context.host else (),
    "method": lambda context, path: (context.method,),
    "scheme": lambda context, path: (context.scheme.encode(),),
    "client_ip": _of_client,
    "region": lambda context, path: (context.region.encode() or UNKNOWN_REGION,),
}
