"""The stage of a route with a fixed response instead of a backend's."""

from __future__ import annotations

from typing import Final

from balance.config.route_model import FixedResponse, HeaderChange, RouteConfig
from balance.model import Why
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, Stage
from balance.transform.header_changes import problem_of
from balance.transform.header_template import literal_value

_TYPE: Final = b"Content-Type: text/plain; charset=utf-8\r\n"
_WITHOUT_BODY: Final = (204, 304)  # RFC 9110 sections 15.3.5 and 15.4.5


class RespondStage(Stage):
    """Answers each request of the route with the same bytes. Who writes the reply leaves the body out for HEAD."""

    __slots__ = ("_reply",)

    def __init__(self, response: FixedResponse) -> None:
        """ValueError for a field that no reply can have."""
        lines = b""
        has_type = False
        for name, value in response.headers:
            problem = problem_of(HeaderChange("add", name), is_request=False)
            if problem:
                raise ValueError(problem)
            lines += name.encode() + b": " + literal_value(value) + b"\r\n"
            has_type = has_type or name.lower() == "content-type"
        body = b"" if response.status in _WITHOUT_BODY else response.body.encode()
        if body and not has_type:
            lines = _TYPE + lines
        self._reply = Reply(response.status, Why.FIXED_RESPONSE, lines=lines, body=body)

    def on_request(self, context: RequestContext) -> Reply:
        """The reply."""
        return self._reply


def respond_stage(route: RouteConfig, environment: object) -> RespondStage | None:
    """The stage of a route, if it has a fixed response."""
    return None if route.respond is None else RespondStage(route.respond)
