"""Every status that an endpoint answers with stands in the document, with the words for it."""

import pytest
from fake_instance import FakeInstance

from balance.admin.access.gate import Access
from balance.admin.endpoints import Endpoint
from balance.admin.openapi.bodies import NAMED_BODY
from balance.admin.openapi.statuses import statuses
from balance.admin.read_endpoints import ReadEndpoints

HANDLER = ReadEndpoints(FakeInstance().view).health
TOKEN = {"400", "401", "403", "429"}
BODY = {"400", "408", "413", "415"}


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (Endpoint("GET", "/x", HANDLER, Access.OPEN, ""), set()),
        (Endpoint("GET", "/x", HANDLER, Access.OPEN, "", {"a": "b"}), {"400"}),
        (Endpoint("GET", "/x", HANDLER, Access.READ, ""), TOKEN),
        (Endpoint("GET", "/x/{name}", HANDLER, Access.READ, ""), TOKEN | {"404"}),
        (Endpoint("POST", "/x", HANDLER, Access.WRITE, "", body=NAMED_BODY), TOKEN | BODY),
        (Endpoint("POST", "/x", HANDLER, Access.WRITE, "", can_be_refused=True), TOKEN | {"409", "503"}),
        (Endpoint("GET", "/x", HANDLER, Access.OPEN, "", also={"503": "No."}), {"503"}),
    ],
)
def test_statuses_follow_from_what_an_endpoint_takes(endpoint: Endpoint, expected: set[str]) -> None:
    assert set(statuses(endpoint, endpoint.path)) == expected | {"200", "405"}
