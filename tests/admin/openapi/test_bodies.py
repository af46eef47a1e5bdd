"""What an order may say in the document is what a configuration file may say."""

from balance.admin.openapi.bodies import ADD_BODY, CHANGE_BODY
from balance.config.schema.common_sections import BackendSection


def test_what_can_be_said_of_a_backend_is_what_a_file_can_say() -> None:
    keys = set(BackendSection.model_fields)
    assert set(ADD_BODY["properties"]) == keys | {"pool", "url"}
    assert set(CHANGE_BODY["properties"]) == keys - {"name"} | {"state"}
