"""Who serves by all EndpointSlices of a Service: S13 and what kube-proxy does, as a table."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slices import DYING, ENDING, READY, STARTING, endpoint, endpoint_slice, port

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.endpoint import Endpoint, checked_address, checked_name
from balance.discovery.endpoint_slices import MAX_ENDPOINTS, EndpointSlices


def report(*slices: dict[str, Any], port: str = "", family: str = "auto") -> Answer | SourceFailure:
    known = EndpointSlices(port, family)
    known.replace(slices)
    return known.report()


def found(*slices: dict[str, Any], port: str = "", family: str = "auto") -> list[str]:
    """Addresses, `~` before those that end."""
    answer = report(*slices, port=port, family=family)
    assert isinstance(answer, Answer), answer
    return [("~" if each.draining else "") + each.address for each in answer.endpoints]


def test_what_an_endpoint_says_of_itself() -> None:
    answer = report(endpoint_slice("app-1", endpoint("10.0.0.1", "app-7d9f", zone="eu-1a", nodeName="n1")))
    assert answer == Answer((Endpoint("10.0.0.1:8080", "app-7d9f", region="eu-1a"),))


CONDITIONS = [
    # of the first and the second endpoint; who is found
    ((READY, READY), ["10.0.0.1:8080", "10.0.0.2:8080"]),
    (({}, None), ["10.0.0.1:8080", "10.0.0.2:8080"]),  # absent ready counts as ready
    (({"ready": None}, READY), ["10.0.0.1:8080", "10.0.0.2:8080"]),
    ((STARTING, READY), ["10.0.0.2:8080"]),
    ((ENDING, READY), ["~10.0.0.1:8080", "10.0.0.2:8080"]),  # keeps its sessions, gets nothing new
    ((DYING, READY), ["10.0.0.2:8080"]),
    ((ENDING, ENDING), ["10.0.0.1:8080", "10.0.0.2:8080"]),  # KEP-1669: better than nobody
    ((ENDING, STARTING), ["10.0.0.1:8080"]),
    ((DYING, STARTING), []),
    (
        ({"ready": True, "serving": True, "terminating": True}, READY),
        ["10.0.0.1:8080", "10.0.0.2:8080"],
    ),  # publishNotReadyAddresses
    (({"ready": False, "terminating": True}, READY), ["10.0.0.2:8080"]),  # absent serving is as ready is
    (({"ready": False, "serving": True}, READY), ["10.0.0.2:8080"]),
]


@pytest.mark.parametrize(("conditions", "addresses"), CONDITIONS, ids=range(len(CONDITIONS)))
def test_conditions(conditions: tuple[dict[str, Any], dict[str, Any]], addresses: list[str]) -> None:
    first, second = conditions
    assert (
        found(endpoint_slice("a", endpoint("10.0.0.1", conditions=first), endpoint("10.0.0.2", conditions=second))) == addresses
    )
    # and the same in slices of their own
    apart = [
        endpoint_slice("a", endpoint("10.0.0.1", conditions=first)),
        endpoint_slice("b", endpoint("10.0.0.2", conditions=second)),
    ]
    assert found(*apart) == addresses


V6 = endpoint_slice("v6", endpoint("fd00::1", "pod-1"), family="IPv6")
V4 = endpoint_slice("v4", endpoint("10.0.0.1", "pod-1"))


@pytest.mark.parametrize(
    ("slices", "family", "addresses"),
    [
        ([V4, V6], "auto", ["10.0.0.1:8080"]),  # a pod of a dual-stack Service is one backend
        ([V6], "auto", ["[fd00::1]:8080"]),
        ([endpoint_slice("v4"), V6], "auto", ["[fd00::1]:8080"]),
        ([V4, V6], "ipv6", ["[fd00::1]:8080"]),
        ([V4, V6], "ipv4", ["10.0.0.1:8080"]),
        ([V4], "ipv6", []),
        ([endpoint_slice("n", endpoint("app.example"), family="FQDN"), V4], "auto", ["10.0.0.1:8080"]),
        (
            [endpoint_slice("n", endpoint("fd00::2"), endpoint("10.0.0.300"), endpoint("0.0.0.0")), V4],
            "auto",
            ["10.0.0.1:8080"],
        ),
    ],
    ids=range(8),
)
def test_address_families(slices: list[dict[str, Any]], family: str, addresses: list[str]) -> None:
    assert found(*slices, family=family) == addresses


WEB = [port(8080, "http"), port(8443, "https"), port(53, "dns", "UDP")]
ONE = endpoint("10.0.0.1")


@pytest.mark.parametrize(
    ("ports", "wanted", "address"),
    [
        ([port(8080)], "", "10.0.0.1:8080"),
        ([port(8080, "http")], "", "10.0.0.1:8080"),
        ([port(8080, protocol=None)], "", "10.0.0.1:8080"),  # absent is TCP
        ([port(8080, "http"), port(53, "dns", "UDP")], "", "10.0.0.1:8080"),
        ([port(8080, "http"), port(8080, "grpc")], "", "10.0.0.1:8080"),
        (WEB, "https", "10.0.0.1:8443"),
        (WEB, "8080", "10.0.0.1:8080"),
        ([], "8080", "10.0.0.1:8080"),  # a headless Service without ports
        ([port(None)], "9000", "10.0.0.1:9000"),  # every port
    ],
    ids=range(9),
)
def test_ports(ports: list[dict[str, Any]], wanted: str, address: str) -> None:
    assert found(endpoint_slice("a", ONE, ports=ports), port=wanted) == [address]


@pytest.mark.parametrize(
    ("ports", "wanted", "words"),
    [
        (WEB, "", "its endpoints have several ports, so `port` has to name one: http (8080), https (8443)"),
        (WEB, "metrics", "no endpoint has a port 'metrics'; there are: http (8080), https (8443)"),
        (WEB, "80", "no endpoint has a port '80'; there are: http (8080), https (8443)"),  # the Service's own, not its pods'
        (WEB, "dns", "no endpoint has a port 'dns'; there are"),
        ([], "", "no endpoint has a port; there are: none"),
        ([port(0), port(70000), port("8080")], "", "no endpoint has a port; there are: none"),  # type: ignore[arg-type]
    ],
    ids=range(6),
)
def test_a_port_that_is_not_there_is_no_empty_answer(ports: list[dict[str, Any]], wanted: str, words: str) -> None:
    result = report(endpoint_slice("a", ONE, ports=ports), port=wanted)
    assert isinstance(result, SourceFailure) and words in result.words


def test_a_named_port_may_have_another_number_in_each_slice() -> None:
    """A Service whose targetPort is a name, over pods that mean another number by it; `port` is the name of the Service's
    own port, as slices have it (ingress-nginx#839, nginx-gateway-fabric#221)."""
    slices = [endpoint_slice("a", ONE, ports=[port(8080, "http")])]
    slices += [
        endpoint_slice("b", endpoint("10.0.0.2"), ports=[port(9090, "http")]),
        endpoint_slice("c", endpoint("10.0.0.3"), ports=WEB[1:]),
    ]
    assert found(*slices, port="http") == ["10.0.0.1:8080", "10.0.0.2:9090"]
    assert found(*slices[:2]) == ["10.0.0.1:8080", "10.0.0.2:9090"]


@pytest.mark.parametrize("wanted", ["", "http", "8080"])
def test_pods_that_lack_the_port_are_left_out_and_never_asked_at_port_0(wanted: str) -> None:
    """ingress-nginx#9141, skipper#3151: a Service over two Deployments, of which one has no port of that name."""
    slices = [endpoint_slice("a", ONE, ports=[port(8080, "http")]), endpoint_slice("b", endpoint("10.0.0.2"), ports=[])]
    slices[1]["ports"] = None
    assert found(*slices, port=wanted) == ["10.0.0.1:8080"]


def test_nobody_is_an_answer_and_not_a_wrong_port() -> None:
    """The slice of a Service without pods has neither endpoints nor ports."""
    for slices in ([], [endpoint_slice("a", ports=[])], [endpoint_slice("a", endpoint("10.0.0.1", conditions=DYING))]):
        assert report(*slices, port="http") == Answer(())


def test_the_same_endpoint_in_several_slices_is_one() -> None:
    """While it moves from slice to slice it is in both, and in one of them by an older state (istio#27603)."""
    for pair in ([READY, ENDING], [ENDING, READY], [READY, STARTING], [STARTING, READY]):
        slices = [
            endpoint_slice(name, endpoint("10.0.0.1", "p", conditions=each)) for name, each in zip("ab", pair, strict=True)
        ]
        assert found(*slices) == ["10.0.0.1:8080"]


def test_names_are_unique_and_such_as_a_backend_may_have() -> None:
    slices = [
        endpoint_slice(
            "a", endpoint("10.0.0.1", "pod"), endpoint("10.0.0.2", "pod"), endpoint("10.0.0.3", "a b/c\n" + "x" * 300)
        )
    ]
    answer = report(*slices)
    assert isinstance(answer, Answer)
    assert [each.name[:7] for each in answer.endpoints] == ["pod", "", "x" * 7]
    assert [checked_name(each.key) for each in answer.endpoints]


def test_events_change_what_is_known() -> None:
    known = EndpointSlices()
    known.apply("ADDED", endpoint_slice("a", ONE))
    known.apply("ADDED", endpoint_slice("b", endpoint("10.0.0.2")))
    known.apply("MODIFIED", endpoint_slice("a", endpoint("10.0.0.3")))
    assert known.report() == report(endpoint_slice("a", endpoint("10.0.0.3")), endpoint_slice("b", endpoint("10.0.0.2")))
    known.apply("DELETED", endpoint_slice("b"))
    known.apply("DELETED", endpoint_slice("never"))
    assert known.report() == report(endpoint_slice("a", endpoint("10.0.0.3")))
    for kind, item in (("OTHER", endpoint_slice("a")), ("ADDED", {}), ("ADDED", {"metadata": {"name": 7}})):
        with pytest.raises(ValueError, match=r"is not known|has no name"):
            known.apply(kind, item)


def test_a_flood_of_endpoints_is_refused() -> None:
    slices = [endpoint_slice(f"s{n}", *[endpoint(f"10.{n}.{i >> 8}.{i & 255}") for i in range(1000)]) for n in range(11)]
    assert len(found(slices[0])) == 1000
    result = report(*slices)
    assert isinstance(result, SourceFailure) and str(MAX_ENDPOINTS) in result.words


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.sampled_from(["10.0.0.1", "fd00::1", "IPv4", "TCP", "x"]),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.sampled_from(["addresses", "conditions", "port", "name", "ready"]), each)
    ),
    max_leaves=6,
)


@settings(max_examples=40)
@given(st.lists(st.fixed_dictionaries({"addressType": VALUES, "endpoints": VALUES, "ports": VALUES}), max_size=3), st.randoms())
def test_whatever_a_server_says_the_result_is_an_answer_or_a_failure(
    slices: list[dict[str, Any]], chance: random.Random
) -> None:
    good = endpoint_slice("good", endpoint("10.9.9.9", "good"))
    for number, each in enumerate(slices):
        each["metadata"] = {"name": f"s{number}"}
        mixed = copy.deepcopy(good)  # a good one with a part that is not
        mixed["metadata"]["name"] = f"m{number}"
        mixed[chance.choice(["endpoints", "ports", "addressType"])] = each["endpoints"]
        slices[number] = chance.choice([each, mixed])
    result = report(*slices, good, port=chance.choice(["", "8080", "x"]))
    if isinstance(result, Answer):
        assert all(checked_address(each.address) == each.address and checked_name(each.key) for each in result.endpoints)
        assert len({each.key for each in result.endpoints}) == len(result.endpoints)
    else:
        assert "\n" not in result.words


@settings(max_examples=20)
@given(st.randoms())
def test_the_order_of_slices_and_endpoints_says_nothing(chance: random.Random) -> None:
    """S3."""
    endpoints = [endpoint(f"10.0.0.{n}", f"pod-{n % 4}", conditions=chance.choice([READY, ENDING])) for n in range(6)]
    parts = [endpoints[:2], endpoints[2:5], endpoints[5:]]
    first = report(*[endpoint_slice(str(n), *part) for n, part in enumerate(parts)])
    chance.shuffle(parts)
    assert report(*[endpoint_slice(str(n), *reversed(part)) for n, part in enumerate(parts)]) == first
