"""The document names every door and nothing else."""

from asgi_client import ask

from balance.admin.application import METRICS_PATHS, admin_app
from balance.admin.state_view import StateView
from balance.config.checking.validation import ADMIN_PATHS


def test_every_route_is_described_and_every_description_has_a_route(view: StateView) -> None:
    app = admin_app(view, is_local_only=True)
    document = ask(app, "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    routed = {
        (method, getattr(route, "path", "").replace(":path", ""))
        for route in app.routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD"
    }
    assert described == routed | {("GET", path) for path in METRICS_PATHS}


def test_operations_have_names_of_their_own_summaries_and_parameters(view: StateView) -> None:
    paths = ask(admin_app(view, is_local_only=True), "/openapi.json").json["paths"]
    operations = [operation for item in paths.values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] and operation["responses"] for operation in operations)
    patch = paths["/backends/{name}"]["patch"]
    assert [(each["name"], each["in"], each["required"]) for each in patch["parameters"]] == [
        ("name", "path", True),
        ("dry_run", "query", False),
        ("If-Match", "header", False),
    ]
    assert set(patch["responses"]) == {"200", "400", "401", "403", "404", "405", "408", "409", "413", "415", "429", "503"}
    assert patch["requestBody"]["required"] is True


def test_no_endpoint_is_hidden_by_a_metrics_path(view: StateView) -> None:
    paths = ask(admin_app(view, is_local_only=True), "/openapi.json").json["paths"]
    assert {path for path in paths if "{" not in path} - set(METRICS_PATHS) <= ADMIN_PATHS


def test_every_answer_says_what_kind_of_text_it_is(view: StateView) -> None:
    document = ask(admin_app(view, is_local_only=True), "/openapi.json").json
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    assert all(answer["content"] and answer["description"] for answer in answers)
    metrics = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert set(metrics) == {"text/plain", "application/openmetrics-text", "application/json"}
    assert document["paths"]["/ready"]["get"]["responses"]["503"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Probe"
    }
