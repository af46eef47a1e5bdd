"""The document names every door and nothing else."""

from asgi_client import ask

from balance.admin.application import ADD_BODY, CHANGE_BODY, METRICS_PATHS, admin_app
from balance.admin.state_view import StateView
from balance.config.checking.validation import ADMIN_PATHS
from balance.config.schema.common_sections import BackendSection


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
    assert described == routed


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
    assert set(patch["responses"]) == {"200", "400", "401", "403", "404", "409", "429", "503"}
    assert "requestBody" in patch


def test_no_endpoint_is_hidden_by_a_metrics_path(view: StateView) -> None:
    paths = ask(admin_app(view, is_local_only=True), "/openapi.json").json["paths"]
    assert {path for path in paths if "{" not in path} - set(METRICS_PATHS) <= ADMIN_PATHS


def test_what_can_be_said_of_a_backend_is_what_a_file_can_say() -> None:
    keys = set(BackendSection.model_fields)
    assert set(ADD_BODY["properties"]) == keys | {"pool"}
    assert set(CHANGE_BODY["properties"]) == keys - {"name"} | {"state"}
