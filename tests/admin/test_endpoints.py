"""One front for many doors: methods, unknown paths, pages that move."""

import pytest
from asgi_client import ask
from starlette.requests import Request
from starlette.responses import Response

from balance.admin.access.gate import Access, Gate
from balance.admin.endpoints import DynamicRoute, Endpoint, application
from balance.admin.state_view import StateView


async def hello(request: Request) -> Response:
    return Response(request.method)


async def crash(request: Request) -> Response:
    raise ZeroDivisionError


DOORS = [
    Endpoint("GET", "/a", hello, Access.OPEN, "", aliases=("/b",)),
    Endpoint("POST", "/a", hello, Access.WRITE, ""),
    Endpoint("GET", "/crash", crash, Access.READ, ""),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/a", 200, "GET"),
        ("GET", "/b", 200, "GET"),
        ("POST", "/a", 200, "POST"),
        ("PUT", "/a", 405, "PUT is not allowed on /a; GET and HEAD and POST are"),
        ("POST", "/b", 405, "POST is not allowed on /b; GET and HEAD are"),
        ("GET", "/figures", 200, "GET"),
        ("GET", "/c", 404, "there is no /c; there are /a, /b, /crash, /figures"),
    ],
)
def test_a_method_on_a_path_is_answered_or_refused(view: StateView, method: str, path: str, status: int, text: str) -> None:
    answer = ask(
        application(DOORS, DynamicRoute(lambda: ["/figures"], hello), view.events, Gate(view, is_local_only=True)), path, method
    )
    assert answer.status == status
    assert (answer.text if status == 200 else answer.json["error"]) == text


def test_a_page_can_be_nowhere(view: StateView) -> None:
    app = application(DOORS, DynamicRoute(lambda: (), hello), view.events, Gate(view, is_local_only=True))
    assert [ask(app, path).status for path in ("/metrics", "/figures")] == [404, 404]


@pytest.mark.parametrize("path", ["/crash", "/a"])
def test_what_names_addresses_is_shown_under_no_strangers_name(view: StateView, path: str) -> None:
    app = application(DOORS, DynamicRoute(lambda: (), hello), view.events, Gate(view, is_local_only=True))
    answer = ask(app, path, Host="rebound.example")
    assert answer.status == (200 if path == "/a" else 403)
