"""Values with variables: what they render to, and that none ever ends its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variables import RequestValues

from balance.transform.header_template import HeaderTemplate, literal_value


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", b"plain"),
        ("  padded\t", b"padded"),
        ("{client_ip}", b"192.0.2.1"),
        ("{scheme}://{host}/", b"https://shop.example/"),
        ("id={request_id};b={backend};r={region}", b"id=r1;b=b1;r=eu"),
        ('{"group": "csp", "max_age": 1}', b'{"group": "csp", "max_age": 1}'),  # braces of JSON
        ("{}", b"{}"),
        ("grün", "grün".encode()),
        ("", b""),
    ],
)
def test_text_renders_to(text: str, rendered: bytes) -> None:
    template = HeaderTemplate(text)
    values = RequestValues(scheme="https", backend="b1", region="eu")
    assert template.render(values) == rendered
    assert template.fixed in (None, rendered)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{client}", "{client} is not a variable; there are {client_ip} {scheme} {host} {request_id} {backend} {region}"),
        ("a\r\nX: 1", r"'a\r\nX: 1' has the control character '\r', which no header field may have"),
        ("a\0", r"'a\x00' has the control character '\x00', which no header field may have"),
        ("a\x7f", r"'a\x7f' has the control character '\x7f', which no header field may have"),
    ],
)
def test_text_that_no_field_can_have_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        HeaderTemplate(text)
    assert str(caught.value) == problem
    if "{" not in text:
        with pytest.raises(ValueError, match="control character"):
            literal_value(text)


def test_variables_are_named() -> None:
    template = HeaderTemplate("{host} at {backend}")
    assert template.names("backend")
    assert not template.names("region")


@given(st.text(), st.text(), st.text(), st.text(), st.text(), st.binary())
def test_no_value_ends_its_line(client: str, scheme: str, host: str, backend: str, region: str, request_id: bytes) -> None:
    template = HeaderTemplate("a {client_ip}{scheme}{host}{request_id}{backend}{region} b")
    values = RequestValues(client, scheme, host, b"", request_id, backend, region)
    rendered = template.render(values)
    assert all(0x20 <= byte < 0x7F for byte in rendered)
    assert rendered.startswith(b"a ")
    assert rendered.endswith(b" b")
