"""The file of endpoints: what is a list, and what is somebody in the middle of writing one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.answer import Answer, SourceFailure
from balance.discovery.endpoint import Endpoint
from balance.process.control.discovery.file_look import Content
from balance.process.control.discovery.file_source import read_endpoints

A, B = Endpoint("10.0.0.1:80"), Endpoint("10.0.0.2:80")


def read(text: str | bytes, pool: str = "web") -> Answer | SourceFailure:
    return read_endpoints(Content(text if isinstance(text, bytes) else text.encode()), pool, "b.yaml")


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("- 10.0.0.1:80\n- 10.0.0.2:80\n", (A, B)),
        ('["10.0.0.1:80", "10.0.0.2:80"]', (A, B)),
        ('[\n\t"10.0.0.1:80",\n\t"10.0.0.2:80"\n]', (A, B)),
        ("[]", ()),
        ("web: []\n", ()),
        ("web: [10.0.0.1:80]\nmail: [10.0.0.2:80]\n", (A,)),
        ('{"web": [{"address": "10.0.0.1:80"}]}', (A,)),
        ("- {address: 10.0.0.1:80, weight: 3, name: a, backup: true, region: eu, max_connections: 5, metadata: {rack: 7}}",
         (Endpoint("10.0.0.1:80", "a", 3, True, "eu", False, 5, (("rack", "7"),)),)),
        ("- {address: 10.0.0.1:80, draining: true, weight: 0}", (Endpoint("10.0.0.1:80", weight=0, draining=True),)),
        ("- unix:/run/a.sock", (Endpoint("unix:/run/a.sock"),)),
        ("- app.example:80", (Endpoint("app.example:80"),)),
        ("\ufeff- 10.0.0.1:80", (A,)),
    ],
)  # fmt: skip
def test_a_list_is_what_it_says(text: str, endpoints: tuple[Endpoint, ...]) -> None:
    assert read(text) == Answer(endpoints)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "b.yaml: is empty; write [] when there is nobody"),
        ("\n\n# nothing\n", "b.yaml: is empty"),
        ("---\n", "b.yaml: is empty"),
        ("~", "b.yaml:1:1: is empty"),
        ("web:\n", "b.yaml:1:5: is empty"),
        ("web: ''\n", "b.yaml:1:6: is no list"),
        ("10.0.0.1:80", "b.yaml:1:1: is no list of addresses or of backends"),
        ("mail: []\n", "b.yaml: has no pool 'web'; it has mail"),
        ("- 10.0.0.1:80\n- 10.0.0.2\n", "b.yaml:2:3: '10.0.0.2' has no port"),
        ("- 10.0.0.1:80\n- :80\n", "b.yaml:2:3: ':80' has no host"),
        ("- 10.0.0.1:80\n- {addr: x}", "b.yaml:2:4: unknown key 'addr'; a backend here may have address, name"),
        ("- {weight: 1}", "b.yaml:1:3: a backend without an address"),
        ("- {address: 10.0.0.1:80, weight: -1}", "b.yaml:1:34: weight is a number from 0 on"),
        ("- {address: 10.0.0.1:80, weight: 70000}", "b.yaml:1:34: the weight 70000 is not in 0..65535"),
        ("- {address: 10.0.0.1:80, backup: yes}", "b.yaml:1:34: backup is true or false"),
        ("- {address: 10.0.0.1:80, name: a b}", "b.yaml:1:32: 'a b' is not a name"),
        ("- {address: 10.0.0.1:80, address: 10.0.0.2:80}", "b.yaml:1:26: address is given twice"),
        ("- {address: [10.0.0.1:80]}", "b.yaml:1:13: address is a single value"),
        ("- {address: 10.0.0.1:80, metadata: {a: [1]}}", "b.yaml:1:36: metadata has texts by their names"),
        ("web: [10.0.0.1:80]\nweb: []\n", "b.yaml:2:1: web is given twice"),
        ("- http://10.0.0.1:80", "b.yaml:1:3: 'http://10.0.0.1:80' is a URL; write host:port"),
        ("- [10.0.0.1:80]", "b.yaml:1:3: a list stands where a backend belongs"),
        ("- 10.0.0.1:80\n  {x", "b.yaml:"),
        ('["10.0.0.1:80", "10.0', "b.yaml:"),
        ('{"web": ["10.0.0.1:80"', "b.yaml:"),
        ("- &a [*a]", "b.yaml:"),
        ("- !!python/object:os.system x", "b.yaml:1:3: the tag"),
        (b"- 10.0.0.1:80\n- \xff:80\n", "b.yaml:2: is not UTF-8 text"),
        (b"- 10.0.0.1:80\x00\x00\x00", "b.yaml:1:14: the character"),
    ],
)  # fmt: skip
def test_whatever_is_no_list_changes_nothing_and_is_said_with_its_place(text: str | bytes, words: str) -> None:
    """S7: zero bytes, half-written, invalid."""
    found = read(text)
    assert isinstance(found, SourceFailure)
    assert found.words.startswith(words)
    assert "\n" not in found.words


WHOLE = '{"web": [{"address": "10.0.0.1:80", "weight": 3}, "10.0.0.2:80"]}'


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_mapping_that_is_cut_anywhere_is_a_failure(length: int) -> None:
    """S7."""
    assert isinstance(read(WHOLE[:length]), SourceFailure)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)))
def test_whatever_stands_there_is_an_answer_or_one_line(text: str | bytes) -> None:
    try:
        found = read(text)
    except UnicodeEncodeError:
        return  # half a surrogate: no file has it
    if isinstance(found, SourceFailure):
        assert found.words.isprintable()
